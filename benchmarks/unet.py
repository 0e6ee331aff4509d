r"""Is our U-Net as fast as the one that everybody uses? Against diffusers' UNet2DConditionModel, with the same weights.

    python benchmarks/unet.py           # about two minutes on two cores; needs diffusers (the extra "parity")

Both have the same parameters under the same names, so theirs are loaded into ours, and nothing is timed before results
and gradients agree. Then they run in turns, in alternating order, on the same inputs. "speed against diffusers" is the
median of their time over ours in the same round, with the 5th and 95th percentile, which a busy machine disturbs less
than the times. A training step is loss, backward pass and AdamW; a sampling step is one call with guidance and one step
of DDIM. The rows go to results/unet.csv, those of a card, which calculates in half precision, to results/unet-cuda.csv.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.clock import Clock, Cuda, Rehearsal, Spread, here, spread
from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.sampler import ddim
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion_kernels.backend import Backend, auto_is


class Size(NamedTuple):
    r"""A network and its inputs: latents of side x side, text tokens, and the batch sizes of training and sampling."""

    name: str
    config: UNetConfig
    side: int
    words: int
    trained: int
    sampled: int


SD_LIKE = UNetConfig(
    in_channels=4,
    channels=(64, 128, 256, 256),
    attention=(True, True, True, False),
    layers_per_block=2,
    heads=8,
    context_dim=256,
)
SIZES = (Size("miniature", UNetConfig(), 8, 32, 32, 4), Size("as SD 1.5, a fifth as wide", SD_LIKE, 32, 77, 2, 1))
REHEARSED = (
    Size("rehearsal", UNetConfig(in_channels=4, channels=(32,), attention=(True,), heads=2, groups=8), 4, 5, 1, 1),
)


def for_this_card() -> tuple[Size, ...]:
    r"""Stable Diffusion's own size as well, if three of them with gradients and AdamW's moments fit into memory."""
    full = Size("SD 1.5", UNetConfig.stable_diffusion_1_5(), 64, 77, 1, 1)
    return (*SIZES, full) if torch.cuda.get_device_properties(0).total_memory > 60e9 else SIZES


class Theirs(nn.Module):
    r"""diffusers' U-Net with our signature."""

    def __init__(self, config: UNetConfig):
        from diffusers import UNet2DConditionModel  # pyright: ignore  # slow to import

        super().__init__()
        self.unet = UNet2DConditionModel(
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            block_out_channels=config.channels,
            layers_per_block=config.layers_per_block,
            attention_head_dim=config.heads,  # the number of heads, in spite of its name
            cross_attention_dim=config.context_dim,
            norm_num_groups=config.groups,
            down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in config.attention),
            up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(config.attention)),
        )

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        return self.unet(x, t, context).sample


class Contender(NamedTuple):
    net: nn.Module
    auto: Backend
    """What backend="auto" means while it runs."""
    half: bool
    """Does it calculate in half precision?"""

    def run(self, f: Callable[[], Any]) -> Any:
        device = next(self.net.parameters()).device.type
        with auto_is(self.auto), torch.autocast(device, torch.float16, enabled=self.half):
            answer = f()
        if device == "cuda":
            torch.cuda.synchronize()
        return answer


def contenders(size: Size, clock: Clock) -> dict[str, Contender]:
    r"""Ours once for each backend, and theirs, all with the same weights."""
    autos: dict[str, Backend] = {"torch": "auto"}
    if isinstance(clock, Cuda):
        autos = {"triton": "triton" if isinstance(clock, Rehearsal) else "auto", "torch": "torch"}
    torch.manual_seed(0)
    theirs, ours = Theirs(size.config).to(clock.device), UNet(size.config)
    ours.load_state_dict(theirs.unet.state_dict(), strict=True)
    half = clock.device == "cuda"
    found = {name: Contender(deepcopy(ours).to(clock.device), auto, half) for name, auto in autos.items()}
    return found | {"diffusers": Contender(theirs, "auto", half)}


def given(size: Size, n: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Latents, times, words and the wanted answer, for n pictures."""
    generator = torch.Generator().manual_seed(1)
    shape = (n, size.config.in_channels, size.side, size.side)
    x, wanted = torch.randn(2, *shape, generator=generator).to(device)
    context = torch.randn(n, size.words, size.config.context_dim, generator=generator).to(device)
    return x, torch.arange(1, n + 1, device=device), context, wanted


def training_step(contender: Contender, size: Size, device: str) -> Callable[[], object]:
    x, t, context, wanted = given(size, size.trained, device)
    optimizer = torch.optim.AdamW(contender.net.parameters(), lr=1e-6)

    def step() -> None:
        F.mse_loss(contender.net(x, t, context), wanted).backward()
        optimizer.step()
        optimizer.zero_grad()

    return lambda: contender.run(step)


def sampling_step(contender: Contender, size: Size, device: str) -> Callable[[], object]:
    x, _, context, _ = given(size, size.sampled, device)
    schedule = make_schedule("cosine")
    guided = classifier_free(denoiser(contender.net, schedule, "v"), context, torch.zeros_like(context), 2.5)
    step = torch.inference_mode()(lambda: next(ddim(guided, x, schedule.times(25))))
    return lambda: contender.run(step)


STEPS = {"training": training_step, "sampling": sampling_step}


def check(found: dict[str, Contender], size: Size, device: str) -> None:
    r"""Raises RuntimeError if a network of ours does not answer, or does not learn, as theirs does."""
    x, t, context, wanted = given(size, size.trained, device)

    def results(contender: Contender) -> tuple[Tensor, Tensor]:
        def f() -> tuple[Tensor, Tensor]:
            y = contender.net(x, t, context)
            named = sorted((name.removeprefix("unet."), p) for name, p in contender.net.named_parameters())
            gradients = torch.autograd.grad(F.mse_loss(y, wanted), [p for _, p in named])
            return y.detach().float(), torch.cat([g.flatten() for g in gradients])

        return contender.run(f)

    right = results(found["diffusers"])
    for name, contender in found.items():
        for what, a, b in zip(("result", "gradient"), results(contender), right, strict=True):
            error, good = ((a - b).norm() / b.norm()).item(), 2e-2 if contender.half else 1e-5
            if not error <= good:
                raise RuntimeError(f"{size.name}: the {what} of {name} is off by {error:.1e} from that of diffusers")


def rows(clock: Clock, sizes: Sequence[Size], seconds: float) -> Iterator[Row]:
    threads_before = torch.get_num_threads()
    for size in sizes:
        check(contenders(size, clock), size, clock.device)
        for threads in (threads_before,) if isinstance(clock, Cuda) else (1, 2):
            torch.set_num_threads(threads)
            for step, make in STEPS.items():
                case = {"network": size.name, "step": step, "threads": threads}
                steps = {name: make(c, size, clock.device) for name, c in contenders(size, clock).items()}
                yield from compared(clock, case, steps, seconds)
    torch.set_num_threads(threads_before)


def compared(
    clock: Clock, case: dict[str, Any], steps: dict[str, Callable[[], object]], seconds: float
) -> Iterator[Row]:
    dtype = "float16" if clock.device == "cuda" else "float32"
    taken = clock.race(steps, seconds)
    for backend, times in taken.items():
        where = (backend, dtype, clock.name)
        yield Row("unet", case, "time", *around(spread(times), "s"), *where)
        if isinstance(clock, Cuda):
            yield Row("unet", case, "peak memory", clock.peak(steps[backend]), "B", math.nan, math.nan, *where)
        if backend != "diffusers":
            ratios = [theirs / ours for theirs, ours in zip(taken["diffusers"], times, strict=True)]
            yield Row("unet", case, "speed against diffusers", *around(spread(ratios), "1"), *where)
    if hasattr(os, "getloadavg"):  # not on Windows
        load = os.getloadavg()[0]
        yield Row("unet", case, "load of the machine, one minute", load, "processes", device=clock.name)


def around(x: Spread, unit: str) -> tuple[float, str, float, float]:
    return x.median, unit, x.low, x.high


def compare(clock: Clock, sizes: Sequence[Size] = SIZES, folder: Path = RESULTS, seconds: float = 12) -> list[Row]:
    found = []
    for row in rows(clock, sizes, seconds):
        interval = f"({row.low:.4g} to {row.high:.4g})" if row.low == row.low else ""
        where = ", ".join(map(str, row.case.values()))
        print(f"{where:42} {row.backend:10} {row.metric:32} {row.value:.4g} {row.unit} {interval}", flush=True)
        found.append(row)
    write_csv(folder / f"unet{clock.suffix}.csv", found)
    return found


if __name__ == "__main__":
    compare(here())
