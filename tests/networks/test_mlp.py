import torch

from minidiffusion.data.toy import two_gaussians
from minidiffusion.diffusion import ideal, objective
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks.mlp import MLP, MLPConfig

SCHEDULE = make_schedule("cosine")


def batch(seed, n=512):
    generator = torch.Generator().manual_seed(seed)
    x_0 = two_gaussians().sample(n, generator).float()
    t = torch.randint(1, 1001, (n,), generator=generator)
    return x_0, t, torch.randn(n, 2, generator=generator)


def test_answers_have_the_shape_of_the_question_and_start_at_zero():
    network = MLP(MLPConfig((1, 8, 8), width=32, depth=1))
    answer = network(torch.randn(3, 1, 8, 8), torch.tensor([0, 10, 999]))
    assert answer.shape == (3, 1, 8, 8) and answer.abs().max() == 0


def test_a_few_hundred_steps_come_near_the_best_possible_loss_but_not_without_the_time():
    # E |v - v_ideal|^2 is what no network can avoid; it is computed here from the ideal denoiser.
    x_0, t, eps = batch(seed=1000, n=4000)
    best = ideal.mixture(*two_gaussians(), SCHEDULE)

    def ideal_v(x_t, times):
        answers = torch.empty_like(x_t)
        for k in times.unique():
            x0_hat, eps_hat, _ = best(x_t[times == k].double(), k + 1)
            answers[times == k] = (SCHEDULE.alpha[k + 1] * eps_hat - SCHEDULE.sigma[k + 1] * x0_hat).float()
        return answers

    floor = objective.loss(ideal_v, SCHEDULE, x_0, t, eps).mean().item()

    def trained(told: bool) -> float:
        torch.manual_seed(0)
        network = MLP(MLPConfig(width=64, depth=2))
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)

        def answer(x_t, times):
            return network(x_t, times if told else torch.zeros_like(times))

        for k in range(500):
            value = objective.loss(answer, SCHEDULE, *batch(k)).mean()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        with torch.no_grad():
            return objective.loss(answer, SCHEDULE, x_0, t, eps).mean().item()

    told, not_told = trained(told=True), trained(told=False)
    assert floor < told < 1.05 * floor, (floor, told)
    assert not_told > 1.1 * floor, (floor, not_told)
