r"""Previews of unfinished pictures."""

import numpy as np
import pytest
import torch

from minidiffusion.app.preview import latent_preview, preview_callback, token_preview
from minidiffusion.diffusion.sampler import Step
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.tokens.sampling import Token
from tests.tiny import tiny_model
from tests.tiny_tokens import tiny_token_pipeline


def of(z: torch.Tensor) -> Step:
    return Step(0, 0, torch.full_like(z, torch.nan), z)


@torch.no_grad()
def test_latents_are_decoded_without_the_network_of_the_decoder():
    model, z = tiny_model(), torch.randn(2, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    network = model.vae.decoder(model.vae.post_quant_conv(z / 0.5))
    torch.testing.assert_close(latent_preview(model, of(z)), model.vae.decode(z / 0.5) - network, rtol=0, atol=1e-5)
    assert network.abs().max() > 0.01


def test_without_a_linear_path_the_whole_decoder_is_used():
    model, z = tiny_model(), torch.randn(2, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    model.vae = AutoencoderKL(VAEConfig(4, channels=(8, 8), groups=4, linear_path=False, scaling_factor=0.5)).eval()
    assert latent_preview(model, of(z)).equal(model.decode(z))


def test_with_the_shipped_weights_the_preview_is_near_the_picture():
    r"""Off by less than 1/16 of the way from black to white: 0.10 of 2 when measured, with the whole decoder 0.06."""
    model, rng = TextToImage.load(), np.random.default_rng(0)
    x = torch.from_numpy(np.stack([render(random_scene(rng)) for _ in range(16)])).movedim(3, 1) / 127.5 - 1
    error = latent_preview(model, of(model.encode(x))) - x
    assert error.square().mean().sqrt() < 2 / 16


@pytest.mark.parametrize("n", [1, 6, 16])
def test_tokens_are_shown_patch_by_patch_and_the_rest_is_grey(n):
    pipeline = tiny_token_pipeline()
    ids = torch.randint(32, (2, 16), generator=torch.Generator().manual_seed(0))
    shown = token_preview(pipeline, Token(n - 1, ids[:, :n], torch.ones(2)))
    book, kernel, bias = pipeline.codebook.quantizer.embedding.weight, *pipeline.codebook.synthesis.parameters()
    for place in range(16):
        row, column = divmod(place, 4)
        patch = shown[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        code = torch.einsum("bd,dcij->bcij", book[ids[:, place]], kernel) + bias[:, None, None]
        torch.testing.assert_close(patch, code if place < n else torch.zeros_like(code), rtol=0, atol=1e-5)


def test_there_is_an_interval_between_previews(monkeypatch):
    now, shown = 0.0, []
    monkeypatch.setattr("minidiffusion.app.preview.INTERVAL", 1.0)
    monkeypatch.setattr("minidiffusion.app.preview.time.monotonic", lambda: now)
    on_step = preview_callback(shown.append, lambda step: torch.zeros(1, 3, 2, 2))
    for now in (5.0, 5.9, 6.0):  # noqa: B007
        on_step(of(torch.zeros(1)))
    assert [preview is None for preview in shown] == [True, False, True, True, False]
