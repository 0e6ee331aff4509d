r"""CLIP: pictures and sentences as vectors of one space (article 2.4, 3.4, 4.3).

Weights that others published are read by `minidiffusion.pretrained.clip`.

    encoder         the vision transformer, the text transformer, and CLIP itself
    resnet          the ModifiedResNet, the other picture encoder
    contrastive     the InfoNCE loss
    tokenizer       byte-pair encoding
    vocabulary      OpenAI's merges
    preprocess      pictures to the tensors that the encoder takes
    augment         random crops, and captions of mirrored pictures
    retrieve        zero-shot classification, retrieval, linear probe, nearest neighbours
    picture_index   a folder of pictures, searched by words
"""

from .augment import crop, swap_sides
from .contrastive import clamp_temperature, info_nce, symmetric_cross_entropy
from .encoder import CLIP, CLIPConfig, TextEncoder, VisionEncoder
from .preprocess import Preprocess
from .resnet import ModifiedResNet
from .retrieve import class_embeddings, linear_probe, nearest_neighbours, recall
from .tokenizer import Tokenizer

__all__ = [
    "CLIP", "CLIPConfig", "ModifiedResNet", "Preprocess", "TextEncoder", "Tokenizer", "VisionEncoder",
    "clamp_temperature", "class_embeddings", "crop", "info_nce", "linear_probe", "nearest_neighbours", "recall",
    "swap_sides", "symmetric_cross_entropy",
]  # fmt: skip
