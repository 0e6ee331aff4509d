r"""A sheet of icons: what the choices of a prompt make (article 5)."""

from collections.abc import Sequence

import PIL.Image

from minidiffusion.actions.upscale import upscale
from minidiffusion.images.grid import grid
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.parser import jobs


def icons(
    model: TextToImage, prompts: str | Sequence[Prompt], seed: int = 0, settings: SamplingSettings = DEFAULTS
) -> tuple[PIL.Image.Image, list[Picture]]:
    r"""The sheet, and the single icons: one for each choice, all from one seed so that they belong together.

    "a {red, blue} {house, boat}, paper cut" makes four. Each is drawn with twice the pixels. prompts: a text, or what
    `jobs` made of it. Raises PromptError.
    """
    prompts = jobs(prompts) if isinstance(prompts, str) else prompts
    drawn = [model.imagine(prompt, [seed], settings)[0] for prompt in prompts]
    large = [upscale(model, picture, [seed])[0] for picture in drawn]
    return grid([picture.image for picture in large], enlarge=2), large
