r"""The denoiser of digits: what is shipped, and whether training makes it."""

import shutil
from dataclasses import replace

import pytest
import torch

from benchmarks.digits import histogram_bits
from minidiffusion.checkpoint import CheckpointError
from minidiffusion.data.digits import GREY_LEVELS, digits
from minidiffusion.diffusion.bound import discretised, variational_bound
from minidiffusion.diffusion.sampler import ddpm, heun
from minidiffusion.training.digits import SHIPPED, DigitsTask, DigitsTraining, trained_digits
from minidiffusion.training.loop import train


def bits(denoise, schedule, variance="learned"):
    """Bits for each pixel of the held-out digits: (all, prior)."""
    with torch.no_grad():
        cost = variational_bound(
            denoise,
            schedule,
            digits(held_out=True)[0],
            decoder=discretised(GREY_LEVELS),
            variance=variance,
            generator=torch.Generator().manual_seed(0),
        )
    return [cost.bits_per_dim(part).mean().item() for part in (cost.total, cost.prior)]


def test_the_shipped_denoiser_compresses_held_out_digits_far_better_than_a_histogram():
    denoise, schedule = trained_digits()
    (learned, prior), (fixed, _) = bits(denoise, schedule), bits(denoise, schedule, "beta")
    histogram = histogram_bits(digits()[0], digits(held_out=True)[0])
    assert learned < 1.85 < fixed < histogram < 2.4
    assert prior < 1e-4


def nearest(x, data):
    return torch.cdist(x.flatten(1), data.flatten(1)).min(dim=1).values


@pytest.mark.parametrize("sampler", ["heun", "ddpm"])
def test_what_it_draws_lies_as_near_to_real_digits_as_real_digits_do_and_copies_none(sampler):
    denoise, schedule = trained_digits()
    training, held_out = digits()[0], digits(held_out=True)[0]
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(100, 1, 8, 8, generator=generator)
    with torch.no_grad():
        if sampler == "heun":
            *_, last = heun(denoise, x_T, schedule.times(20))
        else:
            fresh = lambda x: torch.randn(x.shape, generator=generator)  # noqa: E731
            *_, last = ddpm(denoise, x_T, schedule.times(schedule.T), variance="learned", noise=fresh)
    real, drawn = nearest(held_out, training), nearest(last.x, training)
    assert drawn.median() < 1.25 * real.median()
    assert drawn.min() > 0.5 * real.min()
    pixels = training.flatten(1)[torch.randint(len(training), (100, 64), generator=generator), torch.arange(64)]
    assert nearest(pixels, training).median() > 1.5 * real.median()  # right greys, but no digits: the histogram's


@pytest.mark.slow
def test_ten_seconds_of_training_beat_the_histogram(tmp_path):
    recipe = DigitsTraining()
    recipe = replace(recipe, recipe=replace(recipe.recipe, steps=500, sheet_every=500))
    losses = [record.loss for record in train(DigitsTask(recipe, digits()[0], tmp_path), recipe.recipe, tmp_path / "t")]
    assert sum(losses[-50:]) < 0.7 * sum(losses[:50])
    assert bits(*trained_digits(tmp_path))[0] < histogram_bits(digits()[0], digits(held_out=True)[0])
    assert (tmp_path / "t" / "sheet_0000500.png").exists()


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.json"):
        trained_digits(tmp_path)


@pytest.mark.parametrize("name", ["digits.safetensors", "digits.json", "model.json"])
def test_damaged_weights_are_refused_by_name(name, tmp_path):
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-30] + b"~" + content[-29:])  # as long as before
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        trained_digits(tmp_path)
