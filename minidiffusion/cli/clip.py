r"""`minidiffusion clip` (article, listing 4.2) and `search`: sentences for a picture, and pictures for a sentence."""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from minidiffusion.errors import UserError, quoted

from .options import MAX_PICTURES, Threads, check_between, check_out, parse

if TYPE_CHECKING:
    from PIL import Image

    from minidiffusion.pretrained.clip import Pretrained

THUMBNAIL = 160


@dataclass(frozen=True, kw_only=True)
class CLIPWeights(Threads):
    weights: str = "picturebook"
    """The name of weights that are shipped; or a CLIP of transformers (a folder) or of OpenAI (a file)."""


@dataclass(frozen=True, kw_only=True)
class Clip(CLIPWeights):
    r"""Which of these sentences fits a picture best?"""

    image: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IMAGE")]
    """A picture: a file, or an http or https address."""
    label: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A sentence; give --label once for each: --label "a red house at night" --label "a blue boat"."""


def clip(arguments: Sequence[str]) -> None:
    options = parse(Clip, "clip", arguments)
    if not options.label or not all(label.strip() for label in options.label):
        raise UserError('clip needs labels, none of them empty: --label "a photo of a cat" --label "a photo of a dog".')
    from minidiffusion.images.read_picture import read_picture

    image = read_picture(options.image)  # before the weights: what is wrong with it is known sooner
    model = load(options.weights)
    for label in options.label:
        if lost := model.tokenizer.dropped(label, model.clip.config.context_length):
            print(f"The label is longer than the context; not read is: {quoted(lost)}.", file=sys.stderr)
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
    lines = [f"{100 * p:9.2f} %  {cosine:7.3f}   {' '.join(label.split())}" for p, cosine, label in rows]
    return "\n".join(["probability   cosine   label", *lines])


@dataclass(frozen=True, kw_only=True)
class Search(CLIPWeights):
    r"""Find pictures in a folder by words, or by a picture that they should be like."""

    words: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WORDS")]
    """What to look for, in quotes; "" together with --like."""
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Where to look. Embeddings are kept in FOLDER/.minidiffusion-index, so that each picture is read once."""
    like: str | None = None
    """A picture, instead of words: a file, or an http or https address."""
    n: int = 9
    """How many pictures, 1 to 64."""
    out: Path = Path("search.png")
    """The contact sheet: the best first, row by row."""


def search(arguments: Sequence[str]) -> None:
    options = parse(Search, "search", arguments)
    check_between("n", options.n, 1, MAX_PICTURES)
    if bool(options.words.strip()) == (options.like is not None):
        raise UserError('search needs words or --like PICTURE, one of the two: search "" FOLDER --like PICTURE.')
    check_out(options.out)
    import torch

    from minidiffusion.clip.picture_index import index
    from minidiffusion.images.read_picture import read_picture

    picture = None if options.like is None else read_picture(options.like)
    model = load(options.weights)
    complain = partial(print, file=sys.stderr)
    names, embeddings = index(model.clip, model.preprocess, options.folder, complain)
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
    from PIL import Image, ImageOps

    from minidiffusion.checkpoint import write_atomically
    from minidiffusion.clip.preprocess import on_white
    from minidiffusion.images.grid import grid
    from minidiffusion.images.read_picture import read_picture

    size = (THUMBNAIL, THUMBNAIL)
    squares = [ImageOps.pad(on_white(read_picture(file)), size, Image.Resampling.BICUBIC, "white") for file in files]
    buffer = io.BytesIO()
    grid(squares, enlarge=1).save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


def load(weights: str) -> "Pretrained":
    r"""Shipped weights by name, or those at a path."""
    from minidiffusion.pretrained.clip import load
    from minidiffusion.pretrained.weights import find_weights

    return load(find_weights(weights))
