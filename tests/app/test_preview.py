r"""What an unfinished picture looks like."""

import numpy as np
import pytest
import torch

from minidiffusion.app.preview import guessed, previews, written
from minidiffusion.diffusion.sampler import Step
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.tokens.sampling import Token
from tests.tiny import tiny_model
from tests.tiny_tokens import tiny_token_pipeline


def of(z: torch.Tensor) -> Step:
    return Step(0, 0, torch.full_like(z, torch.nan), z)


@torch.no_grad()
def test_a_guess_is_what_the_decoder_makes_of_it_without_its_network():
    model, z = tiny_model(), torch.randn(2, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    network = model.vae.decoder(model.vae.post_quant_conv(z / 0.5))
    torch.testing.assert_close(guessed(model, of(z)), model.vae.decode(z / 0.5) - network, rtol=0, atol=1e-5)
    assert network.abs().max() > 0.01


def test_a_decoder_without_a_linear_path_does_it_all():
    model, z = tiny_model(), torch.randn(2, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    model.vae = AutoencoderKL(VAEConfig(4, channels=(8, 8), groups=4, linear_path=False, scaling_factor=0.5)).eval()
    assert guessed(model, of(z)).equal(model.decode(z))


def test_with_the_weights_that_are_shipped_it_shows_the_picture():
    r"""Off by less than 1/16 of the way from black to white: 0.10 of 2 when measured, with the whole decoder 0.06."""
    model, rng = TextToImage.load(), np.random.default_rng(0)
    x = torch.from_numpy(np.stack([render(random_scene(rng)) for _ in range(16)])).movedim(3, 1) / 127.5 - 1
    error = guessed(model, of(model.encode(x))) - x
    assert error.square().mean().sqrt() < 2 / 16


@pytest.mark.parametrize("n", [1, 6, 16])
def test_what_is_written_is_shown_patch_by_patch_and_the_rest_is_grey(n):
    writer = tiny_token_pipeline()
    ids = torch.randint(32, (2, 16), generator=torch.Generator().manual_seed(0))
    shown = written(writer, Token(n - 1, ids[:, :n], torch.ones(2)))
    book, kernel, bias = writer.codebook.quantizer.embedding.weight, *writer.codebook.synthesis.parameters()
    for place in range(16):
        row, column = divmod(place, 4)
        patch = shown[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        code = torch.einsum("bd,dcij->bcij", book[ids[:, place]], kernel) + bias[:, None, None]
        torch.testing.assert_close(patch, code if place < n else torch.zeros_like(code), rtol=0, atol=1e-5)


def test_there_is_a_pause_between_previews(monkeypatch):
    now, shown = 0.0, []
    monkeypatch.setattr("minidiffusion.app.preview.PAUSE", 1.0)
    monkeypatch.setattr("minidiffusion.app.preview.time.monotonic", lambda: now)
    on_step = previews(shown.append, lambda step: torch.zeros(1, 3, 2, 2))
    for now in (5.0, 5.9, 6.0):  # noqa: B007
        on_step(of(torch.zeros(1)))
    assert [preview is None for preview in shown] == [True, False, True, True, False]
