r"""Where did the denoiser look for *red*? A map for each word (DAAM, Tang et al. 2022; Hertz et al. 2022; article
2.3.2).

    map_word(place) = mean over passes, layers and heads of  sum over the word's tokens of  softmax(Q K^T / sqrt(d))

In cross-attention every place of the picture is a query, and the tokens of the prompt are the keys; the weights say
which were used. They are not kept when a picture is drawn, but its record is, so it is drawn once more while
`attention_maps` watches.

A map says where a word was looked up. It does not say what the word did there; see lessons 08 and 14.
"""

import unicodedata
from contextlib import ExitStack
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from minidiffusion.attention.maps import CROSS, Maps, attention_maps
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture, Record
from minidiffusion.picturebook.captions import vocabulary
from minidiffusion.prompt.conditions import weighted_texts
from minidiffusion.prompt.parser import parse

from .settings import SamplingSettings
from .text_to_image import TextToImage


def cross_attention_maps(model: TextToImage, picture: Picture) -> list[tuple[str, Float[np.ndarray, "h w"]]]:
    r"""For each word of the prompt, in order: how much each place of the latent looked at it, 0 to 1.

    What is missing to 1 went to the other tokens, most of it to those at which a text starts and ends. Takes as long as
    drawing the picture. Raises UserError for a picture that `imagine` did not make, or not of one text alone, or with
    other weights.
    """
    record = picture.record
    if record is None or record.action != "imagine":
        raise UserError("Attention maps exist for a picture that imagine made, and for no other.")
    prompt = parse(record.prompt)
    texts = [text for text, _ in weighted_texts(prompt, record.seed)]
    if len(prompt.parts) != 1 or len(texts) != 1 or prompt.images or prompt.sref:
        raise UserError("Attention maps exist for one text alone: no ::, --stylize, --weird, no pictures.")
    if record.weights != model.weights_hash:
        raise UserError("The picture was made by other weights than these.")
    _, looked = watched(model, record)
    words = spans(model.tokenizer, texts[0], model.context_length)
    return [(word, looked[span].sum(0).cpu().numpy()) for word, span in words]


def watched(model: TextToImage, record: Record) -> tuple[Picture, Float[Tensor, "n h w"]]:
    r"""The picture, drawn again, and how much each place of its latent looked at each of the n tokens of its prompt."""
    f = model.vae.config.downsampling
    layers = nn.ModuleList(layer for name, layer in model.unet.named_modules() if name.endswith(CROSS))
    settings = SamplingSettings(record.steps, record.guidance, record.sampler)  # type: ignore[arg-type]  # checked there
    size = (record.width, record.height) if "size" in record.settings else None
    passes = []
    with ExitStack() as watching:
        maps = watching.enter_context(attention_maps(layers))
        after_each_pass = model.unet.register_forward_hook(
            lambda *_: passes.append(on_latent(maps, record.height // f, record.width // f))
        )
        watching.callback(after_each_pass.remove)
        (picture,) = model.imagine(record.prompt, [record.seed], settings, size=size)
    return picture, torch.stack(passes).mean(0)


def on_latent(maps: Maps, h: int, w: int) -> Float[Tensor, "n h w"]:
    r"""The mean over layers and heads. Where a layer has fewer places than the latent, each is repeated, not smoothed.

    Guided, the U-Net saw the latent twice; the last row of the batch is the one that had the prompt.
    """
    layers = []
    for map_ in maps.values():
        coarser = isqrt(h * w // map_.shape[2])
        places = rearrange(map_[-1].mean(0), "(h w) n -> 1 n h w", h=h // coarser)
        layers.append(F.interpolate(places, scale_factor=coarser, mode="nearest")[0])
    return torch.stack(layers).mean(0)


def spans(tokenizer: Tokenizer, text: str, context_length: int) -> list[tuple[str, slice]]:
    r"""The words of a text, and at which positions of the context their tokens stand; 0 is the start of the text.

    Chinese has no spaces: what the picture book knows is a word, and any other character is one. Punctuation is passed
    over, and so is what was too long to be read.
    """
    known = vocabulary("zh")
    longest = max(map(len, known))
    pieces, words, start = tokenizer.words(text), [], 1
    while pieces:
        n = next((n for n in range(longest, 1, -1) if "".join(pieces[:n]) in known), 1)
        word, stop = "".join(pieces[:n]), start + sum(len(tokenizer.encode_word(piece)) for piece in pieces[:n])
        if stop < context_length and any(unicodedata.category(sign)[0] != "P" for sign in word):
            words.append((word, slice(start, stop)))
        pieces, start = pieces[n:], stop
    return words
