r"""Diffusion: a fixed process that adds noise, and a learned one that removes it (article 2.1, 3.1, 4.1).

Nothing here knows a network.

    schedule     alpha_t and sigma_t, for all times t
    forward      q(x_t | x_0), its posterior, and the variance of a reverse step
    prediction   eps, x0, v, score, velocity: what a network predicts, and the denoiser made of it
    objective    the training loss, its weightings, and the times to train at
    sampler      DDPM, DDIM, Heun, DPM-Solver++ and others
    guidance     classifier-free guidance, several prompts, a classifier
    inpaint      sampling with a part of x_0 known
    ideal        the best possible denoiser, in closed form
    bound        the variational bound on -log p(x_0)
    likelihood   log p(x_0), by the probability-flow ODE
"""

from . import forward, ideal, objective
from .bound import Bound, discretised, variational_bound
from .guidance import classifier, classifier_free, combine, composed
from .inpaint import inpaint, with_known_region
from .likelihood import log_likelihood
from .objective import TimestepSampling, Weighting
from .prediction import PREDICTION_TYPES, Denoise, Prediction, PredictionType, convert, denoiser, target, to_prediction
from .sampler import (
    SAMPLERS,
    Noise,
    SamplerName,
    Step,
    ddim,
    ddpm,
    dpm_solver_pp,
    euler,
    euler_maruyama,
    heun,
    plms,
    predictor_corrector,
)
from .schedule import SCHEDULES, Schedule, ScheduleName, Spacing, Times, make_schedule

__all__ = [
    "PREDICTION_TYPES", "SAMPLERS", "SCHEDULES", "Bound", "Denoise", "Noise", "Prediction", "PredictionType",
    "SamplerName", "Schedule", "ScheduleName", "Spacing", "Step", "Times", "TimestepSampling", "Weighting",
    "classifier", "classifier_free", "combine", "composed", "convert", "ddim", "ddpm", "denoiser", "discretised",
    "dpm_solver_pp", "euler", "euler_maruyama", "forward", "heun", "ideal", "inpaint", "log_likelihood",
    "make_schedule", "objective", "plms", "predictor_corrector", "target", "to_prediction", "variational_bound",
    "with_known_region",
]  # fmt: skip
