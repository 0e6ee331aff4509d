r"""How pictures are sampled, and which values are valid. What is not is refused before anything is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minidiffusion.diffusion.sampler import SAMPLERS, SamplerName
from minidiffusion.errors import UserError

MAX_SEED = 2**32 - 1
MAX_GUIDANCE = 100.0
MAX_SIZE = 2048

Size = int | tuple[int, int]
"""Width and height of a picture in pixels; one number if they are the same."""


@dataclass(frozen=True)
class SamplingSettings:
    r"""Settings of the sampler, which do not depend on the prompt. Raises UserError for a value out of range."""

    steps: int = 25
    """Steps of the sampler, 1 to the schedule's T."""
    guidance: float | None = None
    """0 ignores the prompt, 1 is what the network learnt, up to 100 exaggerates it; None is what suits the weights."""
    sampler: SamplerName = "dpm++"
    on_step: Callable[[Any], None] | None = None
    """Called after each step, with the sampler's `Step`; by a token pipeline, with each `Token`."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps must be at least 1, got {self.steps}.")
        if self.guidance is not None:
            check_guidance(self.guidance)
        if self.sampler not in SAMPLERS:
            raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}.")


DEFAULTS = SamplingSettings()


def check_guidance(guidance: float) -> None:
    if not 0 <= guidance <= MAX_GUIDANCE:  # NaN fails every comparison
        raise UserError(f"guidance must be between 0 and {MAX_GUIDANCE:.0f}, got {guidance}.")


def check_seeds(seeds: Sequence[int]) -> None:
    r"""Raises UserError for a seed out of range."""
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed must be between 0 and {MAX_SEED}, got {seed}.")


def check_size(size: int, step: int) -> None:
    r"""Raises UserError, naming the nearest valid sizes, unless `size` is a multiple of `step` up to MAX_SIZE."""
    if size % step or not step <= size <= MAX_SIZE:
        largest = MAX_SIZE // step * step
        below, above = (min(max(near, step), largest) for near in (size // step * step, (size // step + 1) * step))
        nearest = f"{below}" if below == above else f"{below} and {above}"
        raise UserError(f"size must be a multiple of {step} up to {largest}, got {size}; the nearest: {nearest}.")
