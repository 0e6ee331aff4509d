r"""The exercises of lesson 06: a step of DDIM, a step of Heun's method, and what DPM-Solver++(2M) remembers."""

import torch

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion.prediction import Prediction, to_prediction
from minidiffusion.diffusion.sampler import ddim, dpm_solver_pp, heun
from minidiffusion.diffusion.schedule import Times, flow, linear


def step_between(sampler, predict, x_t, t, s, alpha, sigma):
    r"""One step of a sampler of the library, for a predict(x, t) that answers with eps_hat."""

    def denoise(x, time):
        return to_prediction("eps", predict(x, int(time)), x, alpha[time], sigma[time])

    times = torch.tensor([t, s])
    [step] = sampler(denoise, x_t, Times(times, alpha[times], sigma[times]))
    return step.x


def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
    r"""x_s, by the library's DDIM; alpha and sigma are the schedule's tables."""
    return step_between(ddim, lambda x, time: eps_hat, x_t, t, s, alpha, sigma)


def heun_step(predict, x_t, t, s, alpha, sigma):
    r"""x_s, by the library's Heun; predict(x, t) answers with eps_hat."""
    return step_between(heun, predict, x_t, t, s, alpha, sigma)


def extrapolate(x0_hat, x0_before, step, step_before):
    r"""What the library's DPM-Solver++(2M) takes for x_0 in its second step: its result, solved for it."""
    half_log_snr = torch.tensor([0.0, float(step_before), float(step_before + step)], dtype=torch.float64)
    alpha, sigma = (2 * half_log_snr).sigmoid().sqrt(), (-2 * half_log_snr).sigmoid().sqrt()
    answers = iter([x0_before, x0_hat])
    times = Times(torch.tensor([2, 1, 0]), alpha, sigma)
    first, second = dpm_solver_pp(lambda x, t: Prediction(next(answers), x), torch.zeros_like(x0_hat), times)
    kept = sigma[2] / sigma[1]
    return (second.x - kept * first.x) / (alpha[2] - kept * alpha[1])


# ------------------------------------------------------------------------------------------------- cases


def step_cases():
    generator = torch.Generator().manual_seed(0)
    for schedule, shape, t, s in [(linear(), (3, 2), 700, 400), (flow(10), (2, 1, 4), 6, 5), (linear(), (5,), 30, 0)]:
        x_t, eps_hat = torch.randn(2, *shape, generator=generator)
        yield x_t, eps_hat, t, s, schedule.alpha, schedule.sigma


def bend(x, t):
    r"""Stands for a network: its answers depend on the place and on the time, and on neither linearly."""
    return torch.tanh(2 * x) + (0.01 * t) ** 0.5


def heun_cases():
    for x_t, _, t, s, alpha, sigma in step_cases():
        if s > 0:
            yield bend, x_t, t, s, alpha, sigma
            yield bend, x_t.mT, t - 1, s - 2, alpha, sigma


def memory_cases():
    generator = torch.Generator().manual_seed(0)
    for shape, step, step_before in [((3, 2), 0.5, 0.8), ((2, 1, 4), 1.5, 0.6), ((5,), 0.7, 0.7)]:
        x0_hat, x0_before = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
        yield x0_hat, x0_before, step, step_before


# ------------------------------------------------------------------------------------------------- likely mistakes


def clean(x_t, eps_hat, t, alpha, sigma):
    return (x_t - sigma[t] * eps_hat) / alpha[t]


def with_slopes(wrong):
    r"""A wrong heun_step from wrong(first slope, predict, x_t, ahead, t, s, step)."""

    def heun_step(predict, x_t, t, s, alpha, sigma):
        def step(x, slope):
            return ddim_step(x, slope, t, s, alpha, sigma)

        slope = predict(x_t, t)
        return wrong(slope, predict, x_t, step(x_t, slope), t, s, step)

    return heun_step


check = Exercises(
    ddim_step=Exercise(
        ddim_step,
        step_cases,
        mistakes={
            "at s less noise is left: eps_hat comes back with sigma_s, not with sigma_t":
                lambda x, eps, t, s, a, b: a[s] * clean(x, eps, t, a, b) + b[t] * eps,
            "the noise of time s is missing: add sigma_s eps_hat":
                lambda x, eps, t, s, a, b: a[s] * clean(x, eps, t, a, b),
            "this is x0_hat, the end of the way; go only as far as s":
                lambda x, eps, t, s, a, b: clean(x, eps, t, a, b),
            "at s the signal has the factor alpha_s; x0_hat must be multiplied by it":
                lambda x, eps, t, s, a, b: clean(x, eps, t, a, b) + b[s] * eps,
            "to get x0_hat, what is left without the noise must be divided by alpha_t":
                lambda x, eps, t, s, a, b: a[s] * (x - b[t] * eps) + b[s] * eps,
            "noise goes, but signal grows as well: this is right only where alpha is 1 at all times":
                lambda x, eps, t, s, a, b: x - (b[t] - b[s]) * eps,
            "alpha and sigma are the factors already; only alpha_bar needs a square root":
                lambda x, eps, t, s, a, b: ddim_step(x, eps, t, s, a.sqrt(), b.sqrt()),
        },
    ),
    heun_step=Exercise(
        heun_step,
        heun_cases,
        mistakes={
            "the second question is about the place ahead at time s; you asked about it at time t":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: step(x, (slope + predict(ahead, t)) / 2)),
            "the second question is about the place ahead; you asked about x_t again":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: step(x, (slope + predict(x, s)) / 2)),
            "this is the first step alone; the second answer is not used":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: ahead),
            "take the mean of both slopes, not the second alone":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: step(x, predict(ahead, s))),
            "the mean of two slopes is half of their sum":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: step(x, slope + predict(ahead, s))),
            "the step with the mean slope starts from x_t as well; you went on from the place ahead":
                with_slopes(lambda slope, predict, x, ahead, t, s, step: step(ahead, (slope + predict(ahead, s)) / 2)),
        },
    ),
    extrapolate=Exercise(
        extrapolate,
        memory_cases,
        mistakes={
            "this goes on to the end of the step; go to its middle, half as far":
                lambda now, before, step, last: now + (now - before) * step / last,
            "the ratio is upside down: after a long step behind, the same change means a gentle slope":
                lambda now, before, step, last: now + (now - before) * last / (2 * step),
            "this goes back to where x_0 came from: the change is x0_hat - x0_before":
                lambda now, before, step, last: now - (now - before) * step / (2 * last),
            "this is right for steps of one length only; divide by that of the last, multiply by that of this step":
                lambda now, before, step, last: now + (now - before) / 2,
            "the line goes on from x0_hat, the newer answer, not from x0_before":
                lambda now, before, step, last: before + (now - before) * step / (2 * last),
        },
    ),
)  # fmt: skip
