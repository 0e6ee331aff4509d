r"""The page, in Gradio: its components by their `elem_id`, and which event calls which handler (`handlers.py`)."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from minidiffusion.actions import registry

from . import html
from .handlers import NEW_PICTURES, Event, Handlers, Updates, View
from .upload import MAX_SIDE

CANVAS = "document.querySelector('#canvas canvas')"
READ_CANVAS = f"(...values) => [...values.slice(0, -1), {CANVAS}?.toDataURL('image/png') ?? '']"
CLEAR_CANVAS = f"() => {{ const canvas = {CANVAS}; if (canvas) canvas.width = canvas.width; }}"
UPLOAD = '<label class="upload">Upload a picture<input type="file" accept="image/*"></label>'


def build(handlers: Handlers) -> gr.Blocks:
    with gr.Blocks(title="minidiffusion studio", analytics_enabled=False, fill_width=True) as page:
        state = {"view": gr.State(View()), "to_blend": gr.State(())}
        add_prompt(has_tokens=handlers.token_pipeline is not None)
        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                clickable("gallery")
                clickable("command")
            with gr.Column(scale=5, min_width=340):
                html_component("details")
                add_tabs()
        with gr.Row(elem_classes="heading"):
            html_component("history_title", "<h2>History</h2>")
            js = script("upload.js").replace("MAX_SIDE", str(MAX_SIDE))
            html_component("upload", html_template=UPLOAD, js_on_load=js)
        clickable("history")
        components = {each.elem_id: each for each in page.blocks.values() if each.elem_id}
        connect(page, components | state, handlers)
    # Users wait in the job queue; Gradio's own only has to be longer.
    page.queue(default_concurrency_limit=None, max_size=200)
    return page


def connect(page: gr.Blocks, components: Mapping[str, Any], handlers: Handlers) -> None:
    r"""Events, as in "prompt.submit", call their handlers with the values of some components."""

    def on(events: str, handler: Callable[..., Iterator[Updates]], inputs: str = "", js: str | None = None) -> None:
        def listen(request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[dict[Any, Any]]:
            data = event._data if isinstance(event._data, dict) else {}
            for updates in handler(Event(str(request.session_hash), data), *values):
                if "stop" in updates:
                    updates["stop"] = gr.Button(interactive=updates["stop"])
                yield {components[name]: value for name, value in updates.items()}

        sources, names = {"page": page, **components}, [event.split(".") for event in events.split()]
        triggers = [getattr(sources[name], event) for name, event in names]
        hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        outputs = list(components.values())
        gr.on(triggers, listen, [components[name] for name in inputs.split()], outputs, js=js, **hidden)

    on("page.load", handlers.load)
    on("prompt.submit imagine.click", handlers.imagine, "prompt model")
    on("stop.click", handlers.stop)
    on("gallery.select", handlers.select, "view")
    for action, buttons in change_buttons().items():
        for i, options in enumerate(buttons.values()):
            on(f"{action}-{i}.click", partial(handlers.change, action, options), "view change_prompt")
    on("repaint.click", handlers.repaint, "view repaint_prompt canvas", js=READ_CANVAS)
    components["clear_mask"].click(None, js=CLEAR_CANVAS)
    on("add.click", handlers.add, "view to_blend")
    on("clear.click", handlers.clear)
    on("blend.click", handlers.blend, "to_blend")
    on("describe.click", handlers.describe, "view")
    on("look.click", handlers.look, "view")
    on("history.select", handlers.open)
    on("upload.upload", handlers.upload)
    on("examples.select vocabulary.select analysis.select", handlers.insert, "prompt")


def change_buttons() -> dict[str, Mapping[str, Mapping[str, Any]]]:
    r"""action -> label -> options: the buttons of every action, by default one that has its name."""
    actions = [registry.find(name) for name in registry.names()]
    buttons = {each.name: {each.name.capitalize(): {}} if each.buttons is None else each.buttons for each in actions}
    return {name: buttons[name] for name in sorted(buttons, key=lambda name: len(buttons[name])) if buttons[name]}


def add_prompt(has_tokens: bool) -> None:
    html_component("title", "<h1>minidiffusion <span>studio</span></h1>")
    bare: dict[str, Any] = {"show_label": False, "container": False}
    with gr.Row(equal_height=True):
        hint = "A prompt in English or 中文, with flags such as --ar 3:2"
        gr.Textbox(placeholder=hint, autofocus=True, max_lines=1, scale=8, elem_id="prompt", **bare)
        size: dict[str, Any] = {"scale": 0, "min_width": 180, "visible": has_tokens}
        gr.Radio(list(NEW_PICTURES), value="diffusion", label="Model", elem_id="model", **size, **bare)
        gr.Button("Imagine", variant="primary", scale=1, min_width=110, elem_id="imagine")
        gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="stop")
    html_component("status")
    clickable("examples", html.examples())


def add_tabs() -> None:
    own: dict[str, Any] = {"label": "Prompt", "placeholder": "by default the prompt of the picture", "max_lines": 1}
    with gr.Tabs():
        with gr.Tab("Change"):
            gr.Textbox(elem_id="change_prompt", **own)
            for action, buttons in change_buttons().items():
                with gr.Row(elem_classes="change"):
                    for i, label in enumerate(buttons):
                        button(label, f"{action}-{i}")
        with gr.Tab("Repaint"):
            html_component("canvas", js_on_load=script("paint.js"))
            gr.Textbox(elem_id="repaint_prompt", **own)
            with gr.Row():
                button("Repaint the painted region", "repaint")
                button("Clear the mask", "clear_mask")
        with gr.Tab("Blend"):
            html_component("blend_pictures", html.blend_pictures(()))
            with gr.Row():
                button("Add the selected picture", "add")
                button("Blend", "blend")
                button("Clear", "clear")
        with gr.Tab("Analyse"):
            with gr.Row():
                button("Describe", "describe")
                button("Attention maps", "look")
            clickable("analysis")
        with gr.Tab("Words"):
            clickable("vocabulary", html.vocabulary())
        with gr.Tab("Flags"):
            html_component("flags", html.flags())


def button(label: str, name: str) -> gr.Button:
    return gr.Button(label, size="sm", min_width=60, elem_id=name)


def clickable(name: str, value: str = "") -> gr.HTML:
    r"""HTML whose elements can be clicked (`page.js`)."""
    return html_component(name, value, js_on_load=script("page.js"))


def html_component(name: str, value: str = "", **arguments: Any) -> gr.HTML:
    return gr.HTML(value, elem_id=name, apply_default_css=False, **arguments)


def script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
