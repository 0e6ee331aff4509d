r"""All trainings: each is a frozen dataclass of settings and the task that they describe.

`vae`, `clip` and `judge` need only pictures; `unet` needs the trained `vae` and `clip` in the same weights folder,
`upscaler` the `vae`, `codebook` the `clip`, and `tokens` the `codebook` and the tokenizer that comes with `clip`.
`make weights` runs them with their defaults. (`tokens.py` names the one exception.)
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from minidiffusion.data.captioned import CaptionedPictures

from .clip import CLIPTask, CLIPTraining
from .codebook import CodebookTask, CodebookTraining
from .digits import DigitsTask, DigitsTraining
from .judge import JudgeTask, JudgeTraining
from .loop import train
from .progress import run_with_progress
from .tokens import TokensTask, TokensTraining
from .unet import UNetTask, UNetTraining
from .upscaler import UpscalerTask, UpscalerTraining
from .vae import VAETask, VAETraining

TASKS = {
    VAETraining: VAETask,
    CLIPTraining: CLIPTask,
    JudgeTraining: JudgeTask,
    UNetTraining: UNetTask,
    UpscalerTraining: UpscalerTask,
    DigitsTraining: DigitsTask,
    CodebookTraining: CodebookTask,
    TokensTraining: TokensTask,
}


def run(training: Any, data: CaptionedPictures | Tensor, weights: Path, resume: bool = False) -> None:
    r"""Train to the end, with a progress bar. training: the settings. The network goes to the folder `weights`.

    Log, sheets and the checkpoint to resume from go to `weights`/training/NAME. Raises what `loop.train` raises.
    """
    task = TASKS[type(training)](training, data, weights)
    folder = weights / "training" / task.name
    run_with_progress(train(task, training.recipe, folder, resume), training.recipe.steps, task.name)
