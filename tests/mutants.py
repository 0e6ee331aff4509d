r"""Do the tests notice? Each mutant is a slip that real repositories have made; a named test must fail on it.

    python tests/mutants.py            # every mutant, each on a copy of the project (a minute or two)
    python tests/mutants.py clamp      # those whose name contains "clamp"

A mutant that no test notices ("SURVIVED") is a hole in the tests, and the exit status is 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    name: str
    file: str
    right: str
    wrong: str
    test: str


DIFFUSION = "minidiffusion/diffusion/"
MCMC = "minidiffusion/mcmc/"
MUTANTS = [
    Mutant(
        "the network's time is off by one",
        DIFFUSION + "prediction.py",
        "output = network(x_t, times - 1) if",
        "output = network(x_t, times) if",
        "tests/diffusion/test_prediction.py::test_the_network_counts_from_0_and_sees_one_time_a_sample",
    ),
    Mutant(
        "the loss looks up the time before",
        DIFFUSION + "objective.py",
        "x_t = forward.sample(schedule, x_0, t, eps)\n    wanted",
        "x_t = forward.sample(schedule, x_0, t - 1, eps)\n    wanted",
        "tests/diffusion/test_objective.py::test_the_noise_asked_for_is_the_noise_added",
    ),
    Mutant(
        "sqrt(alpha) for alpha",
        DIFFUSION + "forward.py",
        "return at(schedule.alpha, t, x_0) * x_0 +",
        "return at(schedule.alpha.sqrt(), t, x_0) * x_0 +",
        "tests/diffusion/test_forward.py::test_samples_have_the_stated_mean_and_variance",
    ),
    Mutant(
        "beta for beta-tilde",
        DIFFUSION + "forward.py",
        "return mean, (var_ts * (sigma_s / sigma_t) ** 2).clamp(min=0)",
        "return mean, var_ts.clamp(min=0)",
        "tests/diffusion/test_forward.py::test_posterior_is_bayes_rule",
    ),
    Mutant(
        "noise at the last step",
        DIFFUSION + "sampler.py",
        "x = mean + var.sqrt() * noise(x) if sigma[1] > 0 else mean",
        "x = mean + var.sqrt() * noise(x)",
        "tests/diffusion/test_sampler.py::test_ddpm_ends_without_noise_whatever_its_variance",
    ),
    Mutant(
        "guidance counts the prompt twice",
        DIFFUSION + "guidance.py",
        "eps=u.eps + scale * (c.eps - u.eps)",
        "eps=c.eps + scale * (c.eps - u.eps)",
        "tests/diffusion/test_guidance.py::test_scale_0_ignores_the_prompt_and_1_is_the_prompt_alone",
    ),
    Mutant(
        "x_0 is clipped, and eps is stale",
        DIFFUSION + "prediction.py",
        "return Prediction(x0=(x_t - sigma * output) / alpha, eps=output)",
        "return Prediction(x0=((x_t - sigma * output) / alpha).clamp(-1, 1), eps=output)",
        "tests/diffusion/test_prediction.py::test_there_and_back_for_any_answer",
    ),
    Mutant(
        "the decoder clamps its probability",
        DIFFUSION + "bound.py",
        "return log_difference(log_ndtr(upper), log_ndtr(lower)).flatten(1).sum(dim=1)",
        "return (log_ndtr(upper).exp() - log_ndtr(lower).exp()).clamp(min=1e-12).log().flatten(1).sum(dim=1)",
        "tests/diffusion/test_bound.py::test_the_decoder_charges_a_miss_by_20_sigma_in_full",
    ),
    Mutant(
        "min-SNR written as max",
        DIFFUSION + "objective.py",
        "snr.clamp(max=gamma)",
        "snr.clamp(min=gamma)",
        "tests/diffusion/test_objective.py::test_weights_by_hand",
    ),
    Mutant(
        "min-SNR of v without the + 1",
        DIFFUSION + "objective.py",
        "return (alpha * to_eps + sigma) ** 2",
        "return to_eps**2",
        "tests/diffusion/test_objective.py::test_a_weighting_means_the_same_for_every_kind",
    ),
    Mutant(
        "the outermost bins end",
        DIFFUSION + "bound.py",
        ".masked_fill(x_0 > 1 - half, torch.inf)",
        "",
        "tests/diffusion/test_bound.py::test_the_decoder_is_a_distribution_over_the_256_greys",
    ),
    Mutant(
        "the bound moves the answer as well",
        DIFFUSION + "objective.py",
        "answer.detach()",
        "answer",
        "tests/diffusion/test_objective.py::test_the_bound_moves_the_variance_only",
    ),
    Mutant(
        "the learned variance is upside down",
        DIFFUSION + "forward.py",
        "torch.exp(nu * beta.log() + (1 - nu) * beta_tilde.log())",
        "torch.exp((1 - nu) * beta.log() + nu * beta_tilde.log())",
        "tests/diffusion/test_sampler.py::test_a_learned_variance_lies_between_the_two",
    ),
    Mutant(
        "the divergence has the wrong sign",
        DIFFUSION + "likelihood.py",
        "log_p = log_p + h / 2 * (div + div_next)",
        "log_p = log_p - h / 2 * (div + div_next)",
        "tests/diffusion/test_bound.py::test_the_ode_gives_the_known_likelihood",
    ),
    Mutant(
        "the score is -eps",
        DIFFUSION + "sampler.py",
        "- beta / times.sigma[i] * eps_hat + beta.sqrt()",
        "- beta * eps_hat + beta.sqrt()",
        "tests/diffusion/test_sampler.py::test_with_the_exact_score_the_samples_are_those_of_the_mixture",
    ),
    Mutant(
        "Langevin without the 2",
        DIFFUSION + "sampler.py",
        "(2 * delta).sqrt() * noise(x)",
        "delta.sqrt() * noise(x)",
        "tests/diffusion/test_sampler.py::test_with_the_exact_score_the_samples_are_those_of_the_mixture",
    ),
    Mutant(
        "Heun keeps the first slope",
        DIFFUSION + "sampler.py",
        "eps_hat = (eps_hat + denoise(ahead, times.t[i + 1]).eps) / 2",
        "denoise(ahead, times.t[i + 1])",
        "tests/diffusion/test_sampler.py::test_order_of_convergence",
    ),
    Mutant(
        "DPM-Solver++ extrapolates with 1/r upside down",
        DIFFUSION + "sampler.py",
        "h[i] / (2 * h[i - 1])",
        "h[i - 1] / (2 * h[i])",
        "tests/diffusion/test_sampler.py::test_samplers_are_those_of_diffusers",
    ),
    Mutant(
        "the Hastings term is dropped",
        MCMC + "metropolis.py",
        "log_ratio = log_p_to - log_p_from + log_q_back - log_q_there",
        "log_ratio = log_p_to - log_p_from",
        "tests/mcmc/test_metropolis.py::test_with_the_accept_rule_a_discrete_chain_leaves_its_distribution_alone",
    ),
    Mutant(
        "accepted where it should be refused",
        MCMC + "metropolis.py",
        "return u < probability",
        "return u > probability",
        "tests/mcmc/test_metropolis.py::test_accept_and_choose",
    ),
    Mutant(
        "Langevin drifts downhill",
        MCMC + "langevin.py",
        "return x + step * slope + math.sqrt(2 * step)",
        "return x - step * slope + math.sqrt(2 * step)",
        "tests/mcmc/test_langevin.py::test_ula_is_biased_as_the_formula_says_and_mala_is_not",
    ),
    Mutant(
        "Langevin noise of sqrt(step)",
        MCMC + "langevin.py",
        "return x + step * slope + math.sqrt(2 * step)",
        "return x + step * slope + math.sqrt(step)",
        "tests/mcmc/test_langevin.py::test_ula_is_biased_as_the_formula_says_and_mala_is_not",
    ),
    Mutant(
        "MALA proposes with a tenth more noise than it says",
        MCMC + "langevin.py",
        "to = move(x, slope, step, generator)",
        "to = x + step * slope + 1.1 * math.sqrt(2 * step) * standard_normal_like(x, generator)",
        "tests/mcmc/test_langevin.py::test_mala_is_metropolis_with_the_langevin_step_as_its_proposal",
    ),
    Mutant(
        "leapfrog without its half step",
        MCMC + "hamiltonian.py",
        "p = p + step / 2 * slope",
        "p = p + step * slope",
        "tests/mcmc/test_hamiltonian.py::test_leapfrog_is_reversible",
    ),
]


def passes(test: str, folder: Path) -> bool:
    r"""Does the test pass in that copy of the project? Raises RuntimeError if it could not even be run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run {test}:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main() -> int:
    wanted = [mutant for mutant in MUTANTS if all(word in mutant.name for word in sys.argv[1:])]
    survived = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        ignore = shutil.ignore_patterns(".*", "build", "pictures", "weights", "lessons", "docs", "__pycache__")
        shutil.copytree(ROOT, folder, ignore=ignore)
        for mutant in wanted:
            path = folder / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.right) != 1:
                raise RuntimeError(f"{mutant.file} has {mutant.right!r} {text.count(mutant.right)} times, not once")
            path.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
            noticed = not passes(mutant.test, folder)
            path.write_text(text, encoding="utf-8")
            survived += not noticed
            print(
                f"{'noticed' if noticed else 'SURVIVED':9} {mutant.name}: {mutant.test.rpartition('::')[2]}", flush=True
            )
        for test in sorted({mutant.test for mutant in wanted}):  # a test that fails on the right code notices nothing
            if not passes(test, folder):
                survived += 1
                print(f"BROKEN    {test} fails without a mutant")
    return min(survived, 1)


if __name__ == "__main__":
    sys.exit(main())
