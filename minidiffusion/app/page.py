r"""The page, in Gradio: its parts, where they stand, and which click goes where (`clicks.py`)."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from minidiffusion.app import html
from minidiffusion.app.handlers import ROADS, Handlers, Shown, View
from minidiffusion.app.upload import LARGEST

CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("Vary a little", "vary", {"strength": 0.35}),
    ("Vary a lot", "vary", {"strength": 0.7}),
    ("Enlarge", "upscale", {}),
    ("Enlarge, redraw", "upscale", {"strength": 0.2}),
    ("Zoom out 1.5 ×", "zoom", {"factor": 1.5}),
    ("Zoom out 2 ×", "zoom", {"factor": 2.0}),
    ("← Pan", "pan", {"direction": "left"}),
    ("Pan →", "pan", {"direction": "right"}),
    ("↑ Pan", "pan", {"direction": "up"}),
    ("↓ Pan", "pan", {"direction": "down"}),
]
PAINTED = (
    "(...given) => [...given.slice(0, -1), document.querySelector('#canvas canvas')?.toDataURL('image/png') ?? '']"
)
WIPE = "() => { const canvas = document.querySelector('#canvas canvas'); if (canvas) canvas.width = canvas.width; }"
OWN_WORDS = "as the picture's prompt says"
BRING = '<label class="bring">Bring a picture<input type="file" accept="image/*"></label>'


def build(clicks: Handlers) -> gr.Blocks:
    with gr.Blocks(title="minidiffusion studio", analytics_enabled=False, fill_width=True) as page:
        parts: dict[str, Any] = {"view": gr.State(View()), "to_blend": gr.State(())}

        text("title", "<h1>minidiffusion <span>studio</span></h1>")
        with gr.Row(equal_height=True):
            parts["prompt"] = gr.Textbox(
                placeholder="What do you want to see? In English or 中文, perhaps with flags: --ar 3:2",
                show_label=False,
                container=False,
                autofocus=True,
                max_lines=1,
                scale=8,
                elem_id="prompt",
            )
            road = gr.Radio(
                list(ROADS),
                value="diffusion",
                label="Model",
                show_label=False,
                container=False,
                scale=0,
                min_width=180,
                visible=clicks.writer is not None,
                elem_id="road",
            )
            go = gr.Button("Imagine", variant="primary", scale=1, min_width=110, elem_id="go")
            parts["stop"] = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="stop")
        parts["say"] = text("say")
        ideas = clickable("ideas", html.ideas())

        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                parts["stage"] = clickable("stage")
                parts["typed"] = clickable("typed")
            with gr.Column(scale=5, min_width=340):
                parts["about"] = text("about")
                with gr.Tabs():
                    with gr.Tab("Change"):
                        words = gr.Textbox(label="In other words", placeholder=OWN_WORDS, max_lines=1)
                        with gr.Row(elem_id="changes"):
                            changes = [(button(label, action), action, given) for label, action, given in CHANGES]
                    with gr.Tab("Region"):
                        parts["canvas"] = text("canvas", js_on_load=script("paint.js"))
                        there = gr.Textbox(label="What should be there", placeholder=OWN_WORDS, max_lines=1)
                        with gr.Row():
                            repaint, wipe = button("Draw the painted region anew", "repaint"), button("Wipe", "wipe")
                    with gr.Tab("Blend"):
                        parts["tray"] = text("tray", html.tray(()))
                        with gr.Row():
                            add, blend = button("Add this picture", "add"), button("Blend", "blend")
                            empty = button("Empty", "empty")
                    with gr.Tab("Look"):
                        with gr.Row():
                            describe, look = button("Describe it", "describe"), button("Where did it look?", "look")
                        parts["told"] = clickable("told")
                    with gr.Tab("Words"):
                        lexicon = clickable("lexicon", html.known_words())
                    with gr.Tab("Flags"):
                        text("flags", html.flags())

        with gr.Row(elem_id="shelf"):
            text("history", "<h2>History</h2>")
            paper = script("bring.js").replace("LARGEST", str(LARGEST))
            bring = text("bring", html_template=BRING, js_on_load=paper)
        parts["past"] = clickable("past")

        def on(
            events: Any, do: Callable[..., Iterator[Shown]], *given: str | gr.Textbox | gr.Radio, js: str | None = None
        ) -> None:
            r"""When one of these happens, do that, with what stands in the given parts."""

            def clicked(request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[dict[Any, Any]]:
                told = event._data if isinstance(event._data, dict) else {}
                for shown in do(str(request.session_hash), told, *values):
                    if "stop" in shown:
                        shown["stop"] = gr.Button(interactive=shown["stop"])
                    yield {parts[name]: value for name, value in shown.items()}

            inputs = [parts[each] if isinstance(each, str) else each for each in given]
            hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
            gr.on(events, clicked, inputs, list(parts.values()), js=js, **hidden)

        on([page.load], clicks.arrive)
        on([parts["prompt"].submit, go.click], clicks.imagine, "prompt", road)
        on([parts["stop"].click], clicks.stop)
        on([parts["stage"].select], clicks.choose, "view")
        for each, action, settings in changes:
            on([each.click], partial(clicks.change, action, settings), "view", words)
        on([repaint.click], clicks.repaint, "view", there, "canvas", js=PAINTED)
        wipe.click(None, js=WIPE)
        on([add.click], clicks.add, "view", "to_blend")
        on([empty.click], clicks.empty)
        on([blend.click], clicks.blend, "to_blend")
        on([describe.click], clicks.describe, "view")
        on([look.click], clicks.look, "view")
        on([parts["past"].select], clicks.open)
        on([bring.upload], clicks.bring)
        on([ideas.select, lexicon.select, parts["told"].select], clicks.write, "prompt")
    # The line in which people wait is that of the desk; Gradio's only has to be longer.
    page.queue(default_concurrency_limit=None, max_size=200)
    return page


def button(label: str, name: str) -> gr.Button:
    return gr.Button(label, size="sm", min_width=60, elem_classes=name)


def clickable(name: str, value: str = "") -> gr.HTML:
    return text(name, value, js_on_load=script("page.js"))


def text(name: str, value: str = "", **given: Any) -> gr.HTML:
    return gr.HTML(value, elem_id=name, apply_default_css=False, **given)


def script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
