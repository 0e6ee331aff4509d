r"""What can be trained, by name: each entry is a frozen dataclass of settings and the task that they describe.

`vae`, `clip` and `judge` need only pictures; `unet` needs the finished `vae` and `clip` in the same weights folder,
`upscaler` the `vae`, `codebook` the `clip`, and `tokens` the `codebook` and the tokenizer that comes with `clip`.
The defaults are the shipped recipe: `make weights` runs them as they stand. (`tokens.py` names the one exception.)
"""

from pathlib import Path

from torch import Tensor

from minidiffusion.data.captioned import CaptionedPictures

from minidiffusion.training.clip import CLIPTask, CLIPTraining
from minidiffusion.training.codebook import CodebookTask, CodebookTraining
from minidiffusion.training.digits import DigitsTask, DigitsTraining
from minidiffusion.training.judge import JudgeTask, JudgeTraining
from minidiffusion.training.loop import run_with_progress, train
from minidiffusion.training.tokens import TokensTask, TokensTraining
from minidiffusion.training.unet import UNetTask, UNetTraining
from minidiffusion.training.upscaler import UpscalerTask, UpscalerTraining
from minidiffusion.training.vae import VAETask, VAETraining

Training = (
    VAETraining
    | CLIPTraining
    | JudgeTraining
    | UNetTraining
    | UpscalerTraining
    | DigitsTraining
    | CodebookTraining
    | TokensTraining
)

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


def run(training: Training, data: CaptionedPictures | Tensor, weights: Path, resume: bool = False) -> None:
    r"""Train to the end, with a progress bar. The finished network goes to the folder `weights`.

    Log, sheets and the checkpoint to resume from go to `weights`/training/NAME. Raises what `loop.train` raises.
    """
    task = TASKS[type(training)](training, data, weights)
    name = task.settings["task"]
    run_with_progress(train(task, training.recipe, weights / "training" / name, resume), training.recipe.steps, name)
