r"""Which settings a picture can have. What is outside is refused, with what is valid, before anything is computed."""

from collections.abc import Sequence

from minidiffusion.diffusion.sampler import SAMPLERS

MAX_SEED = 2**32 - 1
MAX_GUIDANCE = 100.0
MAX_SIZE = 2048

Size = int | tuple[int, int]
"""Width and height of a picture in pixels; one number if they are the same."""


def check(prompts: Sequence[str], seeds: Sequence[int], guidance: float, sampler: str | None = None) -> None:
    r"""Raises ValueError, naming what is valid, for settings outside their range. sampler: None where there is none."""
    if not seeds or len(prompts) != len(seeds):
        raise ValueError(f"Each picture needs a prompt and a seed, not {len(prompts)} prompts and {len(seeds)} seeds.")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"The seed is {seed}; valid are 0 to {MAX_SEED}.")
    if not 0 <= guidance <= MAX_GUIDANCE:  # NaN fails every comparison
        raise ValueError(f"The guidance is {guidance}; valid are 0 to {MAX_GUIDANCE:.0f}.")
    if sampler is not None and sampler not in SAMPLERS:
        raise ValueError(f"The sampler is {sampler!r}; valid are {', '.join(SAMPLERS)}.")


def check_size(size: int, step: int) -> None:
    r"""Raises ValueError, naming the nearest valid sizes, unless `size` is a multiple of `step` up to MAX_SIZE."""
    if size % step or not step <= size <= MAX_SIZE:
        largest = MAX_SIZE // step * step
        below, above = (min(max(near, step), largest) for near in (size // step * step, (size // step + 1) * step))
        nearest = f"{below}" if below == above else f"{below} and {above}"
        raise ValueError(
            f"The size is {size}; valid are the multiples of {step} up to {largest}, next to it {nearest}."
        )
