r"""`minidiffusion imagine`: pictures of a prompt, by diffusion or by tokens; and `flags`, what a prompt may say."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from minidiffusion.errors import UserError

from .draw import Drawing, Job, draw
from .options import PromptText, parse

if TYPE_CHECKING:
    from minidiffusion.prompt.flags import Prompt


@dataclass(frozen=True, kw_only=True)
class Imagine(Drawing):
    r"""Pictures of a prompt: a grid, the single pictures, and a record of how they were made."""

    prompt: PromptText
    """What to draw, in quotes: "a red house by the sea at night, watercolor".
    It may have weights, choices and flags: "a {red, blue} house::2 fog::-0.5 --ar 3:2 --chaos 30".
    `minidiffusion flags` lists the flags."""
    size: int | None = None
    """Width and height in pixels; --ar in the prompt makes one of them longer.
    By default what the weights were trained on: 64, or 512 for Stable Diffusion."""
    model: Literal["diffusion", "tokens"] = "diffusion"
    """diffusion, or tokens: a transformer writes the picture, row by row. The options below are for tokens only.
    For diffusion only are --steps, --sampler, --size, and all flags but --no, --chaos, --seed and --repeat."""
    temperature: float = 1.0
    """Above 0; below 1 probable tokens become more probable."""
    top_k: int | None = None
    """Only the k most probable tokens are drawn; by default all."""
    top_p: float = 0.95
    """Only the most probable tokens that together have this probability are drawn; 1 is all."""
    drafts: int = 1
    """Drafts of each picture, of which CLIP chooses one, 1 to 64."""
    begin: str | None = None
    """A picture, as a file or an address, whose first rows are kept; the rest is written."""
    rows: int = 4
    """How many of its rows of tokens, each 8 pixels high, are kept."""


FOREIGN = {
    "diffusion": ("temperature", "top_k", "top_p", "drafts", "begin", "rows"),
    "tokens": ("steps", "sampler", "size"),
}
"""The options that belong to the other model."""


def imagine(arguments: Sequence[str]) -> None:
    options = parse(Imagine, "imagine", arguments)
    for each in fields(Imagine):
        if each.name in FOREIGN[options.model] and getattr(options, each.name) != each.default:
            raise UserError(f"--{each.name.replace('_', '-')} is not for --model {options.model}.")
    from minidiffusion.prompt.parser import jobs

    (write if options.model == "tokens" else diffuse)(options, jobs(options.prompt))


def diffuse(options: Imagine, prompts: Sequence["Prompt"]) -> None:
    r"""`imagine --model diffusion`. The images of a prompt, and that of its --sref, are opened here."""
    from minidiffusion.actions.imagine import imagine
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.record import Picture

    def opened(prompt: "Prompt") -> list[Picture]:
        return [Picture(read_picture(path), None) for path in (*prompt.images, *filter(None, [prompt.sref]))]

    size = None if options.size is None else (options.size, options.size)
    draw(options, imagine, [Job(prompt, opened(prompt)) for prompt in prompts], {"size": size})


def write(options: Imagine, prompts: Sequence["Prompt"]) -> None:
    r"""`imagine --model tokens`."""
    from minidiffusion.actions.write import write
    from minidiffusion.images.png import open_picture
    from minidiffusion.pipelines.token_to_image import TokenSamplingSettings, words_of

    given = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "drafts")}
    TokenSamplingSettings(options.guidance, **given)  # refused before anything slow
    for prompt in prompts:
        words_of(prompt)
    if options.begin is not None:
        given["rows"] = options.rows
    elif options.rows != Imagine.rows:
        raise UserError("--rows needs --begin PICTURE, of which they are the first rows.")
    begun = [] if options.begin is None else [open_picture(options.begin)]
    draw(options, write, [Job(prompt, begun) for prompt in prompts], given)


@dataclass(frozen=True)
class Flags:
    r"""List the flags of a prompt: what each does and takes, and its default."""


def flags(arguments: Sequence[str]) -> None:
    parse(Flags, "flags", arguments)
    from minidiffusion.prompt.flags import flags_help

    print(flags_help())
