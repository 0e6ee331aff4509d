r"""The exercises of lesson 04: one KL term, the discretised decoder, and the weight that L_simple leaves out."""

import torch
from torch.special import log_ndtr

from lessons.check import Exercise, Exercises
from minidiffusion.diffusion import bound, objective
from minidiffusion.diffusion.schedule import from_alpha_bar

HALF = 1 / 16  # half the distance of 17 greys from -1 to 1


def kl(mean_q, var_q, mean_p, var_p):
    r"""The divergence of N(mean_p, var_p) from N(mean_q, var_q) in nats, number by number."""
    return bound.gaussian_kl(mean_q, var_q, mean_p, var_p)


def kl_cases():
    generator = torch.Generator().manual_seed(0)
    for n in (1, 5):
        means = torch.randn(2, n, generator=generator, dtype=torch.float64)
        variances = torch.rand(2, n, generator=generator, dtype=torch.float64) + 0.1
        yield means[0], variances[0], means[1], variances[1]


def log_p(x_0, mean, std):
    r"""log of the probability of the grey x_0 (one of 17 from -1 to 1), pixel by pixel."""
    one_each = (z.reshape(-1, 1) for z in (x_0, mean, std.square()))
    return bound.discretised(17)(*one_each)


def grey_cases():
    r"""In the middle, at both ends, with a bell wider and narrower than a grey, and far off on either side."""
    greys = torch.tensor([0.0, 0.125, -1.0, 1.0, 0.5, -0.5, 1.0], dtype=torch.float64)
    mean = torch.tensor([0.1, 0.125, -0.9, 0.7, -0.7, 0.9, -1.0], dtype=torch.float64)
    for std in (0.3, 0.06, 0.02):
        yield greys, mean, torch.full_like(greys, std)


def cdf(z):
    return torch.special.ndtr(z)


def naive(half=HALF, edges=True, floor=0.0):
    r"""The difference of two probabilities, as most would write it first."""

    def difference(x_0, mean, std):
        upper, lower = cdf((x_0 + half - mean) / std), cdf((x_0 - half - mean) / std)
        if edges:
            upper, lower = upper.masked_fill(x_0 == 1, 1.0), lower.masked_fill(x_0 == -1, 0.0)
        return (upper - lower).clamp(min=floor).log()

    return difference


def one_sided(x_0, mean, std):
    r"""The difference of logarithms, without the mirror: right on the left side of the bell only."""
    upper, lower = ((x_0 + side * HALF - mean) / std for side in (1, -1))
    upper, lower = upper.masked_fill(x_0 == 1, torch.inf), lower.masked_fill(x_0 == -1, -torch.inf)
    return bound.log_difference(log_ndtr(upper), log_ndtr(lower))


def eps_weight(beta_t, alpha_bar_t):
    r"""What the squared error of eps counts in the KL term of step t, for sigma_t^2 = beta_t."""
    schedule = from_alpha_bar(torch.stack([alpha_bar_t / (1 - beta_t), alpha_bar_t]))
    return objective.weight("vlb", "eps", schedule, torch.tensor([1]))[0]


def weight_cases():
    for beta, alpha_bar in ((0.02, 0.9), (0.1, 0.05), (0.5, 0.3)):
        yield torch.tensor(beta, dtype=torch.float64), torch.tensor(alpha_bar, dtype=torch.float64)


check = Exercises(
    kl=Exercise(
        kl,
        kl_cases,
        mistakes={
            "q and p are exchanged; a KL divergence is not symmetric":
                lambda m, v, n, w: kl(n, w, m, v),
            "the squared distance of the means is divided by p's variance, not by q's":
                lambda m, v, n, w: 0.5 * (v / w - 1 - (v / w).log() + (m - n) ** 2 / v),
            "the factor 1/2 is missing":
                lambda m, v, n, w: 2 * kl(m, v, n, w),
            "this is in bits; the exercise asks for nats, with the natural logarithm":
                lambda m, v, n, w: 0.5 * (v / w - 1 - (v / w).log2() + (m - n) ** 2 / w),
            "the - 1 is missing: two equal Gaussians must be at 0":
                lambda m, v, n, w: kl(m, v, n, w) + 0.5,
        },
    ),
    log_p=Exercise(
        log_p,
        grey_cases,
        mistakes={
            "far from the mean both probabilities round to the same number, and the logarithm is infinite: subtract "
            "logarithms":
                naive(),
            "the first and the last grey reach to infinity, or the 17 probabilities do not add up to 1":
                lambda x, m, s: bound.log_difference(*mirrored((x + HALF - m) / s, (x - HALF - m) / s)),
            "a floor hides how wrong a model is: far off, a grey costs what it costs":
                naive(floor=1e-12),
            "17 greys from -1 to 1 are 2/16 apart, so half of it is 1/16, not 1/17":
                lambda x, m, s: bound.log_difference(*mirrored(
                    ((x + 1 / 17 - m) / s).masked_fill(x == 1, torch.inf),
                    ((x - 1 / 17 - m) / s).masked_fill(x == -1, -torch.inf))),
            "left of the mean this is right; right of it both are nearly 1. Mirror it there":
                one_sided,
            "this is a density, not the probability of a grey":
                lambda x, m, s: torch.distributions.Normal(m, s).log_prob(x),
        },
    ),
    eps_weight=Exercise(
        eps_weight,
        weight_cases,
        mistakes={
            "1 - beta_t is missing below: the mean is divided by sqrt(1 - beta_t)":
                lambda b, a: b / (2 * (1 - a)),
            "the difference of the means must be squared":
                lambda b, a: 1 / (2 * ((1 - b) * (1 - a)).sqrt()),
            "the 2 is missing: a Gaussian's KL has 1 / (2 variance)":
                lambda b, a: 2 * eps_weight(b, a),
            "the KL divides by the variance beta_t once":
                lambda b, a: eps_weight(b, a) * b,
        },
    ),
)  # fmt: skip


def mirrored(upper, lower):
    r"""log Phi of both, each taken on the side of the bell where it is small."""
    right = lower > 0
    return log_ndtr(torch.where(right, -lower, upper)), log_ndtr(torch.where(right, -upper, lower))
