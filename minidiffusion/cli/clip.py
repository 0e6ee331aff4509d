r"""The commands that look, with CLIP: `minidiffusion clip` (article, listing 4.2), `search`, `describe`, `shorten`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from minidiffusion.cli.main import MOST_PICTURES, parse, quoted, use_threads

if TYPE_CHECKING:
    from PIL import Image

    from minidiffusion.pretrained.clip import Pretrained

THUMBNAIL = 160


@dataclass(frozen=True)
class Clip:
    r"""Which of these sentences fits a picture best?"""

    image: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IMAGE")]
    """A picture: a file, or an http or https address."""
    label: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A sentence; give --label once for each: --label "a red house at night" --label "a blue boat"."""
    weights: str = "picturebook"
    """The name of weights that are shipped; or a CLIP of transformers (a folder) or of OpenAI (a file)."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def clip(arguments: Sequence[str]) -> None:
    options = parse(Clip, "clip", arguments)
    if not options.label or not all(label.strip() for label in options.label):
        raise ValueError(
            'clip needs labels, none of them empty: --label "a photo of a cat" --label "a photo of a dog".'
        )
    from minidiffusion.images.read_picture import read_picture

    use_threads(options.threads)
    image = read_picture(options.image)  # before the weights: what is wrong with it is known sooner
    model = load(options.weights)
    for label in options.label:
        if lost := model.tokenizer.dropped(label, model.clip.config.context_length):
            print(f"I read only the beginning of a label as long as this; lost is: {quoted(lost)}.", file=sys.stderr)
    print(table(model, image, options.label))
    if len(options.label) == 1:
        print("With a single label the probability is always 1: a softmax compares. The cosine alone says something.")


def table(model: "Pretrained", image: "Image.Image", labels: Sequence[str]) -> str:
    r"""The labels, the likeliest first, each with its probability among them and its cosine to the picture."""
    import torch

    with torch.inference_mode():
        e = model.clip.encode_image(model.preprocess(image))
        cosines = (e @ model.clip.encode_text(model.tokenizer(labels, model.clip.config.context_length)).T)[0]
        probabilities = (model.clip.logit_scale.exp() * cosines).softmax(dim=0)
    rows = sorted(zip(probabilities.tolist(), cosines.tolist(), labels, strict=True), key=lambda row: -row[0])
    lines = ["probability   cosine   label"]
    return "\n".join(
        lines + [f"{100 * p:9.2f} %  {cosine:7.3f}   {' '.join(label.split())}" for p, cosine, label in rows]
    )


@dataclass(frozen=True)
class Search:
    r"""Find pictures in a folder by words, or by a picture that they should be like."""

    words: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WORDS")]
    """What to look for, in quotes; "" together with --like."""
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Where to look. What was seen is remembered in FOLDER/.minidiffusion-index."""
    like: str | None = None
    """A picture, instead of words: a file, or an http or https address."""
    n: int = 9
    """How many pictures, 1 to 64."""
    out: Path = Path("search.png")
    """The contact sheet: the best first, row by row."""
    weights: str = "picturebook"
    """The name of weights that are shipped; or a CLIP of transformers (a folder) or of OpenAI (a file)."""
    threads: int | None = None
    """How many threads of the processor to use; None leaves it to PyTorch."""


def search(arguments: Sequence[str]) -> None:
    options = parse(Search, "search", arguments)
    if not 1 <= options.n <= MOST_PICTURES:
        raise ValueError(f"--n is {options.n}; valid are 1 to {MOST_PICTURES}.")
    if bool(options.words.strip()) == (options.like is not None):
        raise ValueError('search needs words or --like PICTURE, one of the two: search "" FOLDER --like PICTURE.')
    if options.out.suffix.lower() != ".png":
        raise ValueError(f"--out is {options.out}; the contact sheet is written as .png.")
    import torch

    from minidiffusion.clip.picture_index import index
    from minidiffusion.images.read_picture import read_picture

    use_threads(options.threads)
    picture = None if options.like is None else read_picture(options.like)
    model = load(options.weights)
    names, embeddings = index(model, options.folder, lambda sentence: print(sentence, file=sys.stderr))
    with torch.inference_mode():
        if picture is None:
            query = model.clip.encode_text(model.tokenizer(options.words, model.clip.config.context_length))
        else:
            query = model.clip.encode_image(model.preprocess(picture))
        cosines, best = (embeddings @ query[0]).topk(min(options.n, len(names)))
    found = [names[i] for i in best.tolist()]
    write_sheet([options.folder / name for name in found], options.out)
    for cosine, name in zip(cosines.tolist(), found, strict=True):
        print(f"{cosine:7.3f}   {name}")
    print(options.out)


def write_sheet(files: Sequence[Path], out: Path) -> None:
    r"""The pictures, each whole in a white square of THUMBNAIL pixels."""
    import io

    from PIL import Image, ImageOps

    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.clip.preprocess import on_white
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.images.grid import grid

    size = (THUMBNAIL, THUMBNAIL)
    squares = [ImageOps.pad(on_white(read_picture(file)), size, Image.Resampling.BICUBIC, "white") for file in files]
    buffer = io.BytesIO()
    grid(squares, enlarge=1).save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


@dataclass(frozen=True)
class Describe:
    r"""Put a picture into words, with CLIP: up to three captions that would be prompts, the best first."""

    picture: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")]
    """A file or an address, ours or not."""
    language: str = "en"
    """en or zh."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder."""


def describe(arguments: Sequence[str]) -> None:
    options = parse(Describe, "describe", arguments)
    from minidiffusion.images.read_picture import read_picture
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.prompt import describe
    from minidiffusion.picturebook.captions import check_language

    check_language(options.language)
    image = read_picture(options.picture)
    print("\n".join(describe.describe(TextToImage.load(options.weights), image, options.language)))


@dataclass(frozen=True)
class Shorten:
    r"""Which words of a prompt matter? How far CLIP's vector of it turns without each."""

    prompt: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PROMPT")]
    """Words with spaces between."""
    weights: str = "picturebook"
    """The name of weights that are shipped, or a folder."""


def shorten(arguments: Sequence[str]) -> None:
    options = parse(Shorten, "shorten", arguments)
    from minidiffusion.pipelines.text_to_image import TextToImage
    from minidiffusion.prompt import describe

    words = describe.shorten(TextToImage.load(options.weights), options.prompt)
    most = max((weight for _, weight in words), default=0.0)
    for word, weight in words:
        print(f"{weight:6.3f}  {'#' * round(20 * weight / most) if most > 0 else '':20}  {quoted(word)[1:-1]}")


def load(weights: str) -> "Pretrained":
    r"""Shipped weights by name, or those at a path."""
    from minidiffusion.pretrained import clip as pretrained
    from minidiffusion.pretrained.weights import find_weights

    return pretrained.load(find_weights(weights))
