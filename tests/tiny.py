r"""A whole text-to-image model in a fraction of a second: random weights, real anatomy. Its pictures mean nothing."""

from pathlib import Path

import torch

from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.pipelines.text_to_image import TextToImage

CAPTIONS = [
    "a red house by the sea at night, watercolor",
    "a small blue cat in the snow",
    "夜晚海边的红色小房子，水彩画",
]


def tiny_model(seed: int = 0, T: int = 50, schedule: str = "cosine", prediction: str = "v") -> TextToImage:
    r"""Pictures of 16 x 16, latents of 4 x 4 x 4. Every tensor is random: no part of a network is without effect."""
    tokenizer = Tokenizer.train(CAPTIONS, 700)
    torch.manual_seed(seed)
    parts = (
        CLIP(CLIPConfig(8, tokenizer.vocab_size, 24, 16, 1, 2, 16, 8, 8, 1, 2)),
        UNet(UNetConfig(4, channels=(8, 8), attention=(False, True), heads=2, context_dim=16, ff_mult=2, groups=4)),
        AutoencoderKL(VAEConfig(latent_channels=4, channels=(8, 8), groups=4, scaling_factor=0.5)),
    )
    for part in parts:
        for tensor in part.parameters():
            torch.nn.init.normal_(tensor, 1.0 if tensor.ndim == 1 else 0.0, 0.15)
    return TextToImage(tokenizer, *parts, schedule=schedule, T=T, prediction=prediction)


def tiny_weights(folder: Path, **settings) -> Path:
    r"""The same on disk, as `TextToImage.load` and `--weights` want it."""
    tiny_model(**settings).save(folder)
    return folder
