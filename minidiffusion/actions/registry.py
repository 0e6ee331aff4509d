r"""What one can do with prompts and pictures, as pure functions (article 1.2, 5).

    imagine     pictures of a prompt
    vary        pictures like this one: noised part of the way, and drawn again from there (Meng et al. 2022, SDEdit)
    repaint     a region drawn anew, everything else kept to the bit ("vary region")
    zoom        the camera steps back: the picture shrinks, and what lies around it is drawn
    pan         the camera turns: the canvas grows to one side
    blend       pictures of what two to five pictures have in common, each in its own way
    upscale     a picture with twice the pixels, by a network that learnt what belongs there
    write       pictures of a prompt, by a transformer instead of diffusion (`with_tokens.py`)

Every function takes a model, perhaps pictures, a prompt in the language of `prompt.py`, and seeds, one a result.
Nothing else decides, and the records of the results say it all: `again` makes the same picture from its record.
"""

from collections.abc import Callable, Sequence

import PIL.Image
import torch

from minidiffusion.images.canvas import extend
from minidiffusion.images.mask import pack_mask, unpack_mask
from minidiffusion.images.pixels import to_tensor
from minidiffusion.prompt.describe import describe, style_of
from minidiffusion.pipelines.settings import DEFAULTS, SamplingSettings
from minidiffusion.pipelines.inpainting import draw, fill, finished, read, size_of
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.images.pixels import to_pixels
from minidiffusion.prompt.parser import Prompt
from minidiffusion.images.record import Picture, Record, pixel_hash
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings, write


def imagine(
    model: TextToImage,
    prompt: str | Prompt,
    seeds: Sequence[int],
    how: SamplingSettings = DEFAULTS,
    size: tuple[int, int] | None = None,
    looked: Sequence[Picture] = (),
) -> list[Picture]:
    r"""Pictures of the prompt. size: width and height in pixels, by default as --ar says.

    looked: the opened images of the prompt, and then that of --sref.
    """
    prompt = read(prompt)
    settings = {} if size is None else {"size": list(size)}
    size = size_of(model, prompt.ar) if size is None else model.sides(size)
    wanted = len(prompt.images) + (prompt.sref is not None)
    if len(looked) != wanted:
        raise ValueError(f"The prompt names {wanted} pictures, but {len(looked)} were handed over.")
    seen = [(describe(model, picture.image)[0], prompt.iw) for picture in looked[: len(prompt.images)]]
    if prompt.sref is not None:
        seen.append((style_of(model, looked[-1].image), prompt.sw / 100))
    x = draw(model, prompt, seeds, how, size, seen)
    return finished(model, "imagine", prompt, seeds, how, x, settings, looked)


def vary(
    model: TextToImage,
    picture: Picture,
    seeds: Sequence[int],
    prompt: str | Prompt | None = None,
    strength: float = 0.7,
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""Pictures like this one. strength: from 0 (what the autoencoder makes of it) to 1 (nothing of it is left);
    Midjourney's "subtle" is about 0.35, its "strong" 0.7.

    prompt: by default the picture's own; another one is what Midjourney calls remix. Raises ValueError for a strength
    outside that range, and for a picture whose sides the model cannot draw.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength is {strength}; valid are 0 to 1.")
    prompt = read(prompt, picture)
    size = model.sides(picture.image.size)
    begin = model.encode(to_tensor(picture.image)).expand(len(seeds), -1, -1, -1)
    x = draw(model, prompt, seeds, how, size, begin=begin, strength=strength)
    return finished(model, "vary", prompt, seeds, how, x, {"strength": strength}, [picture])


def repaint(
    model: TextToImage,
    picture: Picture,
    seeds: Sequence[int],
    mask: PIL.Image.Image,
    prompt: str | Prompt | None = None,
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""The picture with the white part of `mask` (in mode "1", of its size) drawn anew; the black part is kept.

    Kept is every bit of every pixel. Inside the model the known region ends at whole latents, each some pixels wide.
    Raises ValueError if there is nothing to draw, or if the sizes differ.
    """
    prompt = read(prompt, picture)
    if mask.size != picture.image.size or not mask.getbbox():
        raise ValueError("The mask must be as large as the picture, and white where it is to be drawn anew.")
    x = fill(model, prompt, seeds, how, picture.image, mask)
    return finished(model, "repaint", prompt, seeds, how, x, {"mask": pack_mask(mask)}, [picture])


def zoom(
    model: TextToImage,
    picture: Picture,
    seeds: Sequence[int],
    factor: float = 1.5,
    prompt: str | Prompt | None = None,
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""The picture from further away: it fills the middle, 1/factor as large, and around it more is drawn.

    Raises ValueError unless factor is 1.1 to 4.
    """
    if not 1.1 <= factor <= 4:
        raise ValueError(f"The zoom is {factor}; valid are 1.1 to 4.")
    prompt = read(prompt, picture)
    width, height = picture.image.size
    small = picture.image.resize((round(width / factor), round(height / factor)), PIL.Image.Resampling.LANCZOS)
    corner = ((width - small.width) // 2, (height - small.height) // 2)
    canvas, mask = extend(small, (width, height), corner, seam(model))
    x = fill(model, prompt, seeds, how, canvas, mask, mended=True)
    return finished(model, "zoom", prompt, seeds, how, x, {"factor": factor}, [picture])


def pan(
    model: TextToImage,
    picture: Picture,
    seeds: Sequence[int],
    direction: str,
    prompt: str | Prompt | None = None,
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""The picture, grown by half to the "left", "right", "up" or "down"; what would make it more than 2:1 is cut off.

    Cut off is what lies at the other side. Raises ValueError for another direction.
    """
    if direction not in PANS:
        raise ValueError(f"The direction is {direction!r}; valid are {', '.join(PANS)}.")
    prompt = read(prompt, picture)
    size, corner = [], []
    for side, other, d in zip(picture.image.size, picture.image.size[::-1], PANS[direction], strict=True):
        grow = abs(d) * model.size_step * max(1, round(side / 2 / model.size_step))
        size.append(min(side + grow, max(side, 2 * other)))
        corner.append(grow if d < 0 else size[-1] - grow - side)  # the new strip is always as wide as it should be
    canvas, mask = extend(picture.image, (size[0], size[1]), (corner[0], corner[1]), seam(model))
    x = fill(model, prompt, seeds, how, canvas, mask, mended=True)
    return finished(model, "pan", prompt, seeds, how, x, {"direction": direction}, [picture])


def seam(model: TextToImage) -> int:
    r"""How many pixels at the edge of a picture that grows there are drawn anew, so that it does not show."""
    return model.vae.config.downsampling // 2


PANS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def blend(
    model: TextToImage,
    pictures: Sequence[Picture],
    seeds: Sequence[int],
    prompt: str | Prompt = "",
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""New pictures between two to five pictures: each is put into words, and all the words guide at once.

    They begin from the mean of the pictures' latents, noised nearly all the way. prompt: what else should be seen.
    """
    if not 2 <= len(pictures) <= 5:
        raise ValueError(f"{len(pictures)} pictures cannot be blended; valid are 2 to 5.")
    prompt = read(prompt, pictures[0])
    size = model.sides(pictures[0].image.size)
    seen = [(describe(model, picture.image)[0], 1.0) for picture in pictures]
    resized = [picture.image.resize(size, PIL.Image.Resampling.LANCZOS) for picture in pictures]
    middle = torch.stack([model.encode(to_tensor(image)) for image in resized]).mean(dim=0)
    begin = middle.expand(len(seeds), -1, -1, -1)
    x = draw(model, prompt, seeds, how, size, seen, begin=begin, strength=0.9)
    return finished(model, "blend", prompt, seeds, how, x, {}, pictures)


def upscale(
    model: TextToImage,
    picture: Picture,
    seeds: Sequence[int],
    prompt: str | Prompt | None = None,
    strength: float = 0.0,
    how: SamplingSettings = DEFAULTS,
) -> list[Picture]:
    r"""The picture with twice the pixels. strength: how far it is drawn anew before, as by `vary`; 0 is "subtle".

    Without a network for it, as for Stable Diffusion, it is Lanczos' interpolation.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"The strength is {strength}; valid are 0 to 1.")
    prompt = read(prompt, picture)
    if strength > 0:
        images = [each.image for each in vary(model, picture, seeds, prompt, strength, how)]
    else:
        images = [picture.image] * len(seeds)
    x = torch.cat([to_tensor(enlarge(model, image)) for image in images])
    return finished(model, "upscale", prompt, seeds, how, x, {"strength": strength}, [picture])


@torch.inference_mode()
def enlarge(model: TextToImage, image: PIL.Image.Image) -> PIL.Image.Image:
    if model.upscaler is None:
        return image.convert("RGB").resize((2 * image.width, 2 * image.height), PIL.Image.Resampling.LANCZOS)
    return PIL.Image.fromarray(to_pixels(model.upscaler(to_tensor(image).to(model.device)))[0])


ACTIONS: dict[str, Callable[..., list[Picture]]] = {
    "imagine": lambda model, looked, size=None, **given: imagine(
        model, looked=looked, size=None if size is None else tuple(size), **given
    ),
    "vary": lambda model, sources, **given: vary(model, *sources, **given),
    "repaint": lambda model, sources, mask, **given: repaint(model, *sources, mask=unpack_mask(mask), **given),
    "zoom": lambda model, sources, **given: zoom(model, *sources, **given),
    "pan": lambda model, sources, **given: pan(model, *sources, **given),
    "blend": lambda model, sources, **given: blend(model, sources, **given),
    "upscale": lambda model, sources, **given: upscale(model, *sources, **given),
    "write": lambda model, sources, prompt, seeds, how, rows=0, **settings: write(
        model, prompt, seeds, TokenSamplingSettings(how.guidance, **settings), *sources, rows=rows
    ),
}


def again(
    model: TextToImage | TokenPipeline,
    record: Record,
    brought: Sequence[PIL.Image.Image] = (),
    other: TextToImage | TokenPipeline | None = None,
) -> Picture:
    r"""The picture of a record, made anew, from the first ancestor on.

    brought: pictures from elsewhere that it, or an ancestor, was made from. other: a second model, if some of them were
    drawn and some written. Raises ValueError if a picture is missing, for an unknown action, and if the weights are not
    those that made it.
    """
    kind = TokenPipeline if record.action == "write" else TextToImage
    makers = [each for each in (model, other) if isinstance(each, kind) and each.weights == record.weights]
    if not makers:
        raise ValueError("The picture was made by other weights than these.")
    if record.action not in ACTIONS:
        raise ValueError(f"There is no action {record.action!r}; valid are {', '.join(ACTIONS)}.")
    foreign = {pixel_hash(image): image for image in brought}
    sources = []
    for source in record.sources:
        if isinstance(source, Record):
            sources.append(again(model, source, brought, other))
        elif source in foreign:
            sources.append(Picture(foreign[source], None))
        else:
            raise ValueError(f"It was made from a picture from elsewhere, which is missing (SHA-256 {source[:12]}...).")
    how = SamplingSettings(record.steps, record.guidance, record.sampler)
    given = {"prompt": record.prompt, "seeds": [record.seed], "how": how, **record.settings}
    try:
        (picture,) = ACTIONS[record.action](makers[0], sources, **given)
    except TypeError as error:  # too few pictures, a setting that the action does not have, or text for a number
        raise ValueError(f"The record does not fit the action {record.action!r}: {error}") from error
    return picture
