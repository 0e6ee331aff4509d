import pytest
import torch

from minidiffusion.data.toy import two_gaussians
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.guidance import classifier, classifier_free, combine, composed
from minidiffusion.diffusion.prediction import Prediction
from minidiffusion.diffusion.sampler import ddim
from minidiffusion.diffusion.schedule import make_schedule

CONDITIONAL, UNCONDITIONAL = torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), -1.0)
CALLS = []


def denoise(x, t, context):
    CALLS.append(len(x))
    signal = x + context.mean(dim=(1, 2))[:, None] * t
    return Prediction(x0=signal, eps=x - signal)


def guided(scale):
    return classifier_free(denoise, CONDITIONAL, UNCONDITIONAL, scale)(torch.ones(2, 5), torch.tensor(3.0))


def test_scale_0_ignores_the_prompt_and_1_is_the_prompt_alone():
    for scale, context in [(0.0, UNCONDITIONAL), (1.0, CONDITIONAL)]:
        for ours, plain in zip(guided(scale), denoise(torch.ones(2, 5), torch.tensor(3.0), context), strict=True):
            torch.testing.assert_close(ours, plain)


def test_it_is_linear_in_the_scale():
    one, three, five = guided(1.0), guided(3.0), guided(5.0)
    torch.testing.assert_close(three.x0, (one.x0 + five.x0) / 2)
    torch.testing.assert_close(three.eps, (one.eps + five.eps) / 2)


def test_one_batch_of_two_and_none_for_scale_1():
    CALLS.clear()
    guided(2.0)
    guided(1.0)
    assert CALLS == [4, 2]


def test_guided_x0_and_eps_still_explain_the_same_x_t():
    alpha, sigma = 0.6, 0.8
    x_t = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eps_u, eps_c = torch.randn(2, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, c = (Prediction((x_t - sigma * eps) / alpha, eps) for eps in (eps_u, eps_c))
    mixed = combine(u, c, 4.0)
    torch.testing.assert_close(alpha * mixed.x0 + sigma * mixed.eps, x_t)


def test_the_width_of_the_step_is_that_of_the_prompt():
    def with_width(x, t, context):
        return denoise(x, t, context)._replace(nu=context.mean(dim=(1, 2))[:, None].expand_as(x))

    for scale in (1.0, 3.0):
        guided = classifier_free(with_width, CONDITIONAL, UNCONDITIONAL, scale)(torch.ones(2, 5), torch.tensor(3.0))
        assert torch.equal(guided.nu, torch.ones(2, 5))


# ------------------------------------------------------------------------------------------------ classifiers


def hill_of(mixture, schedule, k):
    """log p(hill k | x_t), exactly."""

    def log_prob(x_t, t):
        return mixture.noised(schedule.alpha[t], schedule.sigma[t]).log_share(x_t)[:, k]

    return log_prob


@pytest.mark.parametrize("k", [0, 1])
def test_guidance_by_the_true_classifier_is_the_denoiser_of_that_class(k):
    schedule, mixture = make_schedule("cosine"), two_gaussians()
    guided = classifier(ideal.mixture(*mixture, schedule), hill_of(mixture, schedule, k), schedule)
    alone = ideal.mixture(torch.ones(1).double(), mixture.means[k : k + 1], mixture.covariances[k : k + 1], schedule)
    x_t = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    for t in (1, 300, 700, 999):
        got, expected = guided(x_t, torch.tensor(t)), alone(x_t, torch.tensor(t))
        torch.testing.assert_close(got.eps, expected.eps, rtol=0, atol=1e-8)
        torch.testing.assert_close(got.x0, expected.x0, rtol=1e-6, atol=1e-6)


def test_a_classifier_guides_a_sampler_which_runs_without_gradients():
    schedule, mixture = make_schedule("cosine"), two_gaussians()
    guided = classifier(ideal.mixture(*mixture, schedule), hill_of(mixture, schedule, 0), schedule)
    x_T = torch.randn(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    *_, last = ddim(guided, x_T, schedule.times(50, "leading", dtype=torch.float64))
    assert mixture.log_share(last.x).exp()[:, 0].mean() > 0.95


def test_without_scale_a_classifier_changes_nothing():
    schedule, mixture = make_schedule("cosine"), two_gaussians()
    denoise, t, x_t = ideal.mixture(*mixture, schedule), torch.tensor(500), torch.ones(3, 2, dtype=torch.float64)
    guided = classifier(denoise, hill_of(mixture, schedule, 0), schedule, scale=0.0)
    torch.testing.assert_close(guided(x_t, t), denoise(x_t, t))


def test_a_classifier_leaves_the_width_of_the_step_alone():
    schedule, mixture = make_schedule("cosine"), two_gaussians()
    plain, x_t = ideal.mixture(*mixture, schedule), torch.ones(3, 2, dtype=torch.float64)
    with_width = lambda x_t, t: plain(x_t, t)._replace(nu=x_t / 2)  # noqa: E731
    guided = classifier(with_width, hill_of(mixture, schedule, 0), schedule)(x_t, torch.tensor(500))
    assert torch.equal(guided.nu, x_t / 2)


# ------------------------------------------------------------------------------------------------ several prompts


def test_prompts_are_composed_as_their_weights_say():
    x, t = torch.ones(2, 5), torch.tensor(3.0)
    others = torch.full((2, 3, 4), 4.0)
    u, c, d = (denoise(x, t, context) for context in (UNCONDITIONAL, CONDITIONAL, others))
    both = composed(denoise, [CONDITIONAL, others], [3.0, -1.0], UNCONDITIONAL, 2.5)(x, t)
    for got, nothing, one, two in zip(both[:2], u[:2], c[:2], d[:2], strict=True):
        torch.testing.assert_close(got, nothing + 2.5 * (3 * (one - nothing) - (two - nothing)) / 2)


def test_one_prompt_and_two_halves_of_one_are_guidance():
    x, t = torch.ones(2, 5), torch.tensor(3.0)
    for prompts, weights in (([CONDITIONAL], [0.3]), ([CONDITIONAL, CONDITIONAL], [0.5, 1.5])):
        for got, expected in zip(
            composed(denoise, prompts, weights, UNCONDITIONAL, 3.0)(x, t), guided(3.0), strict=True
        ):
            torch.testing.assert_close(got, expected)


def test_weights_that_sum_to_nothing_are_refused():
    for weights in ([1.0, -1.0], [0.0], [-2.0, 1.0], [float("nan")]):
        with pytest.raises(ValueError, match="must be greater than 0"):
            composed(denoise, [CONDITIONAL] * len(weights), weights, UNCONDITIONAL, 2.0)
