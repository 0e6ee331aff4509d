r"""What the commands that draw share: their options, and the path from prompts to files."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from minidiffusion.errors import UserError

from .options import MAX_PICTURES, Weights, check_between, check_out

if TYPE_CHECKING:
    from minidiffusion.actions.action import Action
    from minidiffusion.images.record import Picture
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.prompt.flags import Prompt

SECONDS_IN_SILENCE = 10
"""After so long progress is shown where nobody may be watching; on a terminal, at once."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Weights):
    r"""Options of all commands that draw."""

    seed: int | None = None
    """Seed of the first picture, 0 to 4294967295; the next have the following ones.
    By default what --seed in the prompt says, or 0."""
    n: int = 4
    """How many pictures, 1 to 64."""
    steps: int = 25
    """How many steps the sampler takes; more is slower and, up to a point, better."""
    guidance: float | None = None
    """How strictly to follow the prompt, 0 to 100; 0 ignores it, 1 adds nothing to what the network learnt.
    By default what suits the weights: 2.5, 1.5 for tokens, 7.5 for Stable Diffusion."""
    negative: Annotated[str, tyro.conf.arg(name="no")] = ""
    """Words to stay away from, with commas between; the same as --no in the prompt."""
    sampler: str = "dpm++"
    """dpm++, ddim, plms, euler or heun; or, with hundreds of steps, ddpm, euler-maruyama or predictor-corrector."""
    out: Path = Path("pictures")
    """A folder, where the files are named after the prompt; or FILE.png for the grid, the others beside it."""


@dataclass(frozen=True)
class Job:
    r"""A prompt, and the pictures that the action is applied to."""

    prompt: "Prompt"
    pictures: Sequence["Picture"] = ()


def draw(options: Drawing, action: "Action", jobs: Sequence[Job], given: Mapping[str, Any]) -> None:
    r"""The results of an action, a sheet a job: drawn, written and reported. given: the action's own options.

    Whatever is wrong with the options is refused before the weights are loaded.
    """
    check_between("n", options.n, 1, MAX_PICTURES)
    check_out(options.out, must_be_png=False)
    one_file = options.out.suffix.lower() == ".png" and not options.out.is_dir()
    if one_file and len(jobs) > 1:
        raise UserError(f"out must be a folder, as the prompt makes {len(jobs)} sheets, got {options.out}.")
    from minidiffusion.images.png import sheet_name, write_pictures
    from minidiffusion.pipelines.settings import SamplingSettings
    from minidiffusion.prompt.vocabulary import remarks

    action.check(given)
    settings = SamplingSettings(options.steps, options.guidance, options.sampler)  # type: ignore[arg-type]  # checked
    jobs = with_negative(jobs, options.negative)
    seeds = [seeds_of(options, job.prompt) for job in jobs]
    model = options.load(action.by_tokens)
    for remark in remarks([job.prompt for job in jobs], model, of_picturebook=options.weights == "picturebook"):
        print(remark, file=sys.stderr)
    for job, own in zip(jobs, seeds, strict=True):
        start = time.perf_counter()
        pictures = in_batches(model, action, job, own, settings, given)
        seconds = time.perf_counter() - start
        if not job.prompt.parts and not job.prompt.images and action.pictures[0] < 2:
            print("The prompt is empty, so the pictures are of anything.", file=sys.stderr)
        sheet, *others = write_pictures(pictures, options.out if one_file else options.out / sheet_name(pictures))
        width, height = pictures[0].image.size
        print(f"{sheet}\n  {options.n} pictures of {width} x {height} in {seconds:.1f} s")
        print(f"  beside it: {', '.join(path.name for path in others)}")


def with_negative(jobs: Sequence[Job], words: str) -> list[Job]:
    r"""The jobs; each prompt's --no goes on with these words."""
    from minidiffusion.prompt.flags import LIST, read

    no = read("--no", words, LIST) if words.strip() else ()
    return [replace(job, prompt=replace(job.prompt, no=(*job.prompt.no, *no))) for job in jobs]


def seeds_of(options: Drawing, prompt: "Prompt") -> list[int]:
    r"""The first is --seed, or what the prompt says; after the largest seed comes 0."""
    from minidiffusion.pipelines.settings import MAX_SEED, check_seeds

    first = (prompt.seed or 0) if options.seed is None else options.seed
    check_seeds([first])
    return [(first + i) % (MAX_SEED + 1) for i in range(options.n)]


def in_batches(
    model: Any,
    action: "Action",
    job: Job,
    seeds: Sequence[int],
    settings: "SamplingSettings",
    given: Mapping[str, Any],
) -> list["Picture"]:
    r"""The pictures of a job, with a progress bar."""
    from tqdm import tqdm

    from minidiffusion.pipelines.batches import batches

    if action.by_tokens:
        steps = model.rows**2
        groups = [seeds] if given.get("drafts", 1) == 1 else [[seed] for seed in seeds]
    else:
        steps = settings.steps * job.prompt.quality
        groups = batches(seeds, *(given.get("size") or model.sides_of(job.prompt.ar)))
    delay, pause = (0, 0.1) if sys.stderr.isatty() else (SECONDS_IN_SILENCE, SECONDS_IN_SILENCE)
    pictures = []
    with tqdm(total=steps * len(groups), unit="step", leave=False, delay=delay, mininterval=pause) as bar:

        def count(step: object) -> None:
            bar.update()

        for group in groups:
            pictures += action(model, job.pictures, group, job.prompt, replace(settings, on_step=count), **given)
    return pictures
