r"""A Stable Diffusion 1.5 of diffusers with narrow networks, random in every tensor."""

from pathlib import Path

import pytest

from minidiffusion.clip.tokenizer import Tokenizer
from tests.shake import shake
from tests.tiny import CAPTIONS

LEVELS = 4
SIZE = 64  # pixels; latents of 8 x 8, which the four levels of the U-Net halve to 1 x 1


def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS, 600, words="clip")


def make_pipeline():
    r"""A StableDiffusionPipeline of diffusers, with the scheduler of Stable Diffusion's own folder."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    words = tokenizer()
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIZE // 8, block_out_channels=(16, 32, 32, 32), layers_per_block=2, cross_attention_dim=24,
        attention_head_dim=4, norm_num_groups=8,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(16, 16, 32, 32), layers_per_block=2, latent_channels=4, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * LEVELS, up_block_types=("UpDecoderBlock2D",) * LEVELS,
    )  # fmt: skip
    text_config = transformers.CLIPTextConfig(
        vocab_size=words.vocab_size, hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=77, projection_dim=24, eos_token_id=words.end, bos_token_id=words.start,
        pad_token_id=words.end,
    )  # fmt: skip
    text = transformers.CLIPTextModel(text_config)
    for seed, network in enumerate((unet, vae, text)):
        shake(network, seed)
    return diffusers.StableDiffusionPipeline(
        vae,
        text,
        transformers.CLIPTokenizer(vocab=words.ids, merges=words.merges, model_max_length=77),
        unet,
        diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(folder: Path) -> Path:
    r"""The same on disk."""
    make_pipeline().save_pretrained(folder)
    return folder
