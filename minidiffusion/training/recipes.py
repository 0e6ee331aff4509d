r"""What can be trained, by name: each entry is a frozen dataclass of settings and the task that they describe.

`vae`, `clip` and `judge` need only pictures; `unet` needs the finished `vae` and `clip` in the same weights folder.
The defaults are the shipped recipe: `make weights` runs them as they stand.
"""

from pathlib import Path

from torch import Tensor

from minidiffusion.data.captioned import CaptionedPictures

from .clip import CLIPTask, CLIPTraining
from .digits import DigitsTask, DigitsTraining
from .judge import JudgeTask, JudgeTraining
from .loop import run_with_progress, train
from .unet import UNetTask, UNetTraining
from .vae import VAETask, VAETraining

Training = VAETraining | CLIPTraining | JudgeTraining | UNetTraining | DigitsTraining

TASKS = {
    VAETraining: VAETask,
    CLIPTraining: CLIPTask,
    JudgeTraining: JudgeTask,
    UNetTraining: UNetTask,
    DigitsTraining: DigitsTask,
}


def run(training: Training, data: CaptionedPictures | Tensor, weights: Path, resume: bool = False) -> None:
    r"""Train to the end, with a progress bar. The finished network goes to the folder `weights`.

    Log, sheets and the checkpoint to resume from go to `weights`/training/NAME. Raises what `loop.train` raises.
    """
    task = TASKS[type(training)](training, data, weights)
    name = task.settings["task"]
    run_with_progress(train(task, training.recipe, weights / "training" / name, resume), training.recipe.steps, name)
