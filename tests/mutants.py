r"""Do the tests notice? Each mutant is a slip that real repositories have made; a named test must fail on it.

    python tests/mutants.py            # every mutant, each on a copy of the project (some minutes)
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
TOKENS = "minidiffusion/tokens/"
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
        "a sampler keeps the graph",
        DIFFUSION + "sampler.py",
        "@torch.no_grad()\ndef ddim(",
        "def ddim(",
        "tests/diffusion/test_sampler.py::test_samplers_build_no_graph_and_leave_the_callers_gradients_alone",
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
        "the bound trains the prediction as well",
        DIFFUSION + "objective.py",
        "output.detach()",
        "output",
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

KERNELS = "kernels/minidiffusion_kernels/"
NORM = "tests/kernels/test_group_norm.py::test_as_near_to_float64_as_pytorch"
ATTENTION = "tests/kernels/test_attention.py::test_as_near_to_float64_as_pytorch"
MUTANTS += [
    Mutant(
        "GroupNorm kernel: rstd without eps",
        KERNELS + "group_norm/forward.py",
        "axis=1), axis=0) / (members * S) + eps)",
        "axis=1), axis=0) / (members * S))",
        NORM + "[1x3x63-g3-float32-silu-affine-last]",
    ),
    Mutant(
        "GroupNorm kernel: one-pass variance",
        KERNELS + "group_norm/forward.py",
        "tl.sum(tl.sum(centred * centred, axis=1), axis=0) / (members * S) +",
        "tl.sum(tl.sum(x * x, axis=1), axis=0) / (members * S) - mean * mean +",
        "tests/kernels/test_group_norm.py::test_a_large_mean_costs_no_more_than_its_own_rounding[small-first-1000]",
    ),
    Mutant(
        "GroupNorm kernel: masked by C, not by the group",
        KERNELS + "group_norm/forward.py",
        "offsets, inside = tile(channel, end, pixel,",
        "offsets, inside = tile(channel, C, pixel,",
        NORM + "[2x9x7x9-g3-float32-affine]",
    ),
    Mutant(
        "GroupNorm kernel: means are merged, their distances forgotten",
        KERNELS + "group_norm/forward.py",
        "tl.sum(m2 + delta * delta * n, axis=1)",
        "tl.sum(m2, axis=1)",
        "tests/kernels/test_group_norm.py::test_a_group_of_many_parts",
    ),
    Mutant(
        "GroupNorm kernel: tile after tile, without Chan's third term",
        KERNELS + "group_norm/forward.py",
        "m2 + other_m2 + delta * delta * n * share,",
        "m2 + other_m2,",
        "tests/kernels/test_group_norm.py::test_a_group_of_many_parts",
    ),
    Mutant(
        "GroupNorm kernel: samples counted in 32 bits",
        KERNELS + "group_norm/forward.py",
        "return n.to(tl.int64) * C * S",
        "return n * C * S",
        "tests/kernels/test_group_norm.py::test_large_batches_are_found_with_64_bits",
    ),
    Mutant(
        "GroupNorm kernel: SiLU's derivative",
        KERNELS + "group_norm/backward.py",
        "(1 + z * (1 - s))\n\n",
        "(1 + z * s)\n\n",
        NORM + "[1x3x63-g3-float32-silu-affine-last]",
    ),
    Mutant(
        "GroupNorm kernel: c2 forgotten",
        KERNELS + "group_norm/backward.py",
        "scale * dz - c1 - c2 * centred",
        "scale * dz - c1",
        "tests/kernels/test_group_norm.py::test_a_group_of_many_parts",
    ),
    Mutant(
        "GroupNorm kernel: dweight and dbias swapped",
        KERNELS + "group_norm/backward.py",
        "return dx, sum_dz_xhat.sum(0), sum_dz.sum(0)",
        "return dx, sum_dz.sum(0), sum_dz_xhat.sum(0)",
        NORM + "[1x3x63-g3-float32-silu-affine-last]",
    ),
    Mutant(
        "attention kernel: the tail is not masked",
        KERNELS + "attention/forward.py",
        "allowed = key < N\n",
        "allowed = key < N + 1024\n",
        ATTENTION + "[33x100-d16-float32-joined]",
    ),
    Mutant(
        "attention kernel: alpha forgotten",
        KERNELS + "attention/forward.py",
        "weighted = weighted * shrink[:, None]\n",
        "weighted = weighted\n",
        ATTENTION + "[33x100-d16-float32-joined]",
    ),
    Mutant(
        "attention kernel: powers of 2 of scores meant for e",
        KERNELS + "attention/forward.py",
        "scale * math.log2(math.e)",
        "scale",
        ATTENTION + "[33x100-d16-float32-joined]",
    ),
    Mutant(
        "attention kernel: causal, and one key more",
        KERNELS + "attention/forward.py",
        "(key <= first_query +",
        "(key <= 1 + first_query +",
        ATTENTION + "[16x16-d16-float32-transposed-causal]",
    ),
    Mutant(
        "attention kernel: queries with the stride of keys",
        KERNELS + "attention/forward.py",
        "stride_qh, UNIT), m, stride_q, BLOCK_M",
        "stride_qh, UNIT), m, stride_k, BLOCK_M",
        ATTENTION + "[100x33-d16-float32-sliced]",
    ),
    Mutant(
        "attention kernel: dk without the scale",
        KERNELS + "attention/backward.py",
        "tl.store(dk_at, dk * scale,",
        "tl.store(dk_at, dk,",
        ATTENTION + "[33x100-d16-float32-joined]",
    ),
    Mutant(
        "attention kernel: ds without delta",
        KERNELS + "attention/backward.py",
        "ds = p * (dp - delta[:, None])",
        "ds = p * dp",
        ATTENTION + "[33x100-d16-float32-joined]",
    ),
    Mutant(
        "attention kernel: on a card without tensor cores in Triton",
        KERNELS + "attention/op.py",
        "OLDEST = (8, 0)",
        "OLDEST = (7, 5)",
        "tests/kernels/test_attention.py::test_auto_is_ours_from_an_a100_on[40-torch.float16-capability0-False]",
    ),
    Mutant(
        "interpreter: bfloat16 is cut off, not rounded",
        KERNELS + "interpreter.py",
        "upper = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16)",
        "upper = (bits >> 16)",
        "tests/kernels/test_interpreter.py::test_rounding_is_that_of_pytorch_for_every_kind_of_number",
    ),
    Mutant(
        "codes: straight-through without detach",
        "minidiffusion/latent/vq.py",
        "Quantized(e.detach() + (z - z.detach()), ids, loss)",
        "Quantized(e + (z - z.detach()), ids, loss)",
        "tests/latent/test_vq.py::test_the_gradient_goes_straight_through_to_z_and_not_to_the_codes",
    ),
    Mutant(
        "codes: beta on the codebook's term",
        "minidiffusion/latent/vq.py",
        "F.mse_loss(e, z.detach()) + self.beta * F.mse_loss(z, e.detach())",
        "self.beta * F.mse_loss(e, z.detach()) + F.mse_loss(z, e.detach())",
        "tests/latent/test_vq.py::test_the_gradients_of_the_loss_are_those_of_equation_3",
    ),
    Mutant(
        "ELBO: the clamp of free bits before the mean",
        "minidiffusion/latent/elbo.py",
        "posterior.kl_of_each().mean(dim=0).clamp(min=floor).sum()",
        "posterior.kl_of_each().clamp(min=floor).mean(dim=0).sum()",
        "tests/latent/test_elbo.py::test_free_bits_by_hand",
    ),
    Mutant(
        "tokens: the future is seen",
        TOKENS + "seq2seq.py",
        "causal=x.shape[1] > 1)",
        "causal=False)",
        "tests/tokens/test_seq2seq.py::test_nothing_leaks_from_the_future",
    ),
    Mutant(
        "tokens: the picture is not shifted behind BOS",
        TOKENS + "seq2seq.py",
        "shifted = F.pad(picture_ids[:, :-1], (1, 0), value=self.bos)",
        "shifted = picture_ids",
        "tests/tokens/test_seq2seq.py::test_nothing_leaks_from_the_future",
    ),
    Mutant(
        "tokens: BOS is a code",
        TOKENS + "seq2seq.py",
        "(1, 0), value=self.bos)",
        "(1, 0), value=0)",
        "tests/tokens/test_seq2seq.py::test_with_a_cache_every_place_gets_the_logits_that_it_gets_without",
    ),
    Mutant(
        "tokens: a cache is written in place, and the next picture begins with it",
        TOKENS + "seq2seq.py",
        "return self.head(self.decoder.final_norm(x)), cache._replace(picture=picture)",
        "cache.picture[:] = picture\n        return self.head(self.decoder.final_norm(x)), cache",
        "tests/tokens/test_seq2seq.py::test_one_beginning_can_have_two_ends",
    ),
    Mutant(
        "studio: what is kept goes through the autoencoder",
        "minidiffusion/pipelines/inpainting.py",
        "torch.where(unknown > 0, drawn, x)",
        "drawn",
        "tests/actions/test_actions.py::test_outside_the_mask_every_bit_is_kept_and_inside_there_is_something_new",
    ),
    Mutant(
        "studio: every picture of a grid forgets the same words",
        "minidiffusion/prompt/conditions.py",
        "each = [weighted_texts(prompt, seed, extra) for",
        "each = [weighted_texts(prompt, seeds[0], extra) for",
        "tests/actions/test_actions.py::test_each_picture_of_a_grid_is_what_its_seed_alone_would_have_made",
    ),
    Mutant(
        "inpainting: the noise does not explain what is known",
        DIFFUSION + "inpaint.py",
        "eps=mask * eps + (1 - mask) * true_eps, nu=nu)",
        "eps=eps, nu=nu)",
        "tests/diffusion/test_inpaint.py::test_a_denoiser_that_knows_a_part_ends_there_with_any_sampler",
    ),
]


def passes(folder: Path, *tests: str) -> bool:
    r"""Do the tests pass in that copy of the project? Raises RuntimeError if they could not even be run."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    path = os.pathsep.join(map(str, (folder, folder / "kernels")))  # before the installed project
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run {' '.join(tests)}:\n{done.stdout}{done.stderr}")
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
            noticed = not passes(folder, mutant.test)
            path.write_text(text, encoding="utf-8")
            survived += not noticed
            print(
                f"{'noticed' if noticed else 'SURVIVED':9} {mutant.name}: {mutant.test.rpartition('::')[2]}", flush=True
            )
        tests = sorted({mutant.test for mutant in wanted})  # a test that fails on the right code notices nothing
        if not passes(folder, *tests):
            broken = [test for test in tests if not passes(folder, test)]
            survived += 1
            print(f"BROKEN    without a mutant: {broken or 'together, but none alone'}")
    return min(survived, 1)


if __name__ == "__main__":
    sys.exit(main())
