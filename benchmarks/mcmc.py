r"""How fast do our chains sample, and what pictures do they draw for a prompt?

    python benchmarks/mcmc.py                          # both parts; about ten minutes on one core
    python benchmarks/mcmc.py --only speed             # effective draws a second, beside blackjax if it is installed
    python benchmarks/mcmc.py --only pictures          # text to picture without diffusion, at equal seconds

Speed: the same algorithm with the same settings on the same density, here and in blackjax (pip install blackjax), on
one core, after compilation, judged by the same effective sample size. Few chains measure what a Python call costs, many
chains what the arithmetic costs.

Pictures: for each prompt every method gets the seconds that diffusion takes for a number of pictures. The shipped judge
classifies them. The rows go to results/mcmc.csv.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.data.toy import two_gaussians
from minidiffusion.evaluation.evaluate import prompt_accuracy
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng
from minidiffusion.evaluation.judge import load_judge, read_attributes
from minidiffusion.mcmc import diagnostics
from minidiffusion.mcmc.hamiltonian import hmc
from minidiffusion.mcmc.langevin import mala
from minidiffusion.mcmc.metropolis import State, collect, metropolis_hastings
from minidiffusion.mcmc.target import correlated
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.pipelines.latent_mcmc import LatentPrior, PromptDensity
from minidiffusion.pipelines.text_to_image import TextToImage

# ------------------------------------------------------------------------------------------------- speed

TARGETS = {"two hills, 2-D": (two_gaussians(), 2), "Gaussian, 100-D, correlation 0.5": (correlated(100, 0.5), 100)}
SETTINGS = {  # step, and leapfrog steps
    ("hmc", 2): (0.15, 10),
    ("hmc", 100): (0.25, 10),
    ("mala", 2): (0.05, 1),
    ("mala", 100): (0.08, 1),
    ("metropolis", 2): (0.4, 1),
    ("metropolis", 100): (0.12, 1),
}
CHAINS = {10: 2000, 1000: 200}  # chains: draws of each


def ours(name: str, target, x: Tensor, step: float, leaps: int) -> Iterator[State]:
    generator = torch.Generator().manual_seed(0)
    match name:
        case "hmc":
            return hmc(target, x, step=step, n=leaps, jitter=False, generator=generator)
        case "mala":
            return mala(target, x, step=step, generator=generator)
        case _:
            return metropolis_hastings(target, x, step=step, generator=generator)


def blackjax_sampler(name: str, target, x: Tensor, step: float, leaps: int) -> Callable[[int], Tensor]:
    r"""n -> draws `n c d`, by blackjax, whose first call compiles."""
    import blackjax  # pyright: ignore[reportMissingImports]
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    if hasattr(target, "weights"):
        weights, means, covariances = (jnp.asarray(part.numpy()) for part in target)
        precisions, log_det = jnp.linalg.inv(covariances), jnp.linalg.slogdet(covariances)[1]

        def log_p(x):
            d = x - means
            return jax.nn.logsumexp(jnp.log(weights) - 0.5 * jnp.einsum("ki,kij,kj->k", d, precisions, d) - log_det / 2)
    else:
        precision = jnp.asarray(target.precision.numpy())

        def log_p(x):
            return -0.5 * x @ precision @ x

    match name:
        case "hmc":
            kernel = blackjax.hmc(log_p, step, jnp.ones(x.shape[1]), leaps)
        case "mala":
            kernel = blackjax.mala(log_p, step)
        case _:
            kernel = blackjax.additive_step_random_walk(log_p, blackjax.mcmc.random_walk.normal(step))

    @jax.jit
    def run(keys, states):
        def one(states, key):
            states, _ = jax.vmap(kernel.step)(jax.random.split(key, x.shape[0]), states)
            return states, states.position

        return jax.lax.scan(one, states, keys)[1]

    def draw(n: int) -> Tensor:
        states = jax.vmap(kernel.init)(jnp.asarray(x.numpy()))
        return torch.from_numpy(np.array(run(jax.random.split(jax.random.key(0), n), states)))

    return draw


def worth(draws: Tensor) -> float:
    r"""The effective sample size of the number that mixes worst."""
    return diagnostics.ess_bulk(draws).min().item()


def speed() -> Iterator[Row]:
    with_blackjax = find_spec("blackjax") is not None
    for (case, (target, d)), (chains, n) in ((t, c) for t in TARGETS.items() for c in CHAINS.items()):
        x = target.sample(chains, torch.Generator().manual_seed(1))
        for name in ("metropolis", "mala", "hmc"):
            settings = SETTINGS[name, d]
            collect(ours(name, target, x, *settings), 20)  # warm
            start = time.perf_counter()
            draws = collect(ours(name, target, x, *settings), n).x
            rates = {"torch": worth(draws) / (time.perf_counter() - start)}
            if with_blackjax:
                draw = blackjax_sampler(name, target, x, *settings)
                draw(n)  # compiles
                start = time.perf_counter()
                draws = draw(n)
                rates["blackjax"] = worth(draws) / (time.perf_counter() - start)
            for backend, rate in rates.items():
                varied = {"part": "speed", "target": case, "sampler": name, "chains": chains, "draws": n}
                yield Row("mcmc", varied, "effective draws a second", rate, "1/s", backend=backend, dtype="float64")


# ------------------------------------------------------------------------------------------------- pictures


def pictures(prompts: int, grids: int = 4) -> Iterator[Row]:
    r"""Each method draws one picture a prompt in the time in which diffusion draws `grids` grids of four."""
    model, judge = TextToImage.load("picturebook"), load_judge("picturebook")
    book = PictureBook(6000)
    with torch.no_grad():
        parts = torch.arange(6000).split(200)
        latents = torch.cat([model.vae.encode(book.pictures(part)).mode() for part in parts])
    prior = LatentPrior.fit(latents * model.vae.config.scaling_factor)
    exam = draw_prompts(prompts, exam_rng(2), "seen", "en")

    start = time.perf_counter()
    for seed in range(grids):
        model.generate("a red house", [seed] * 4)
    seconds = time.perf_counter() - start

    def best_of(target: PromptDensity, generator: torch.Generator) -> Tensor:
        best, score, end = target.best_of(64, generator), -2.0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            u = target.best_of(64, generator)
            with torch.no_grad():
                similarity = target.similarity(target.pictures(u)).item()
            if similarity > score:
                best, score = u, similarity
        return best

    def walk(target: PromptDensity, generator: torch.Generator) -> Tensor:
        u = torch.randn(1, len(prior.mean), generator=generator)
        states, end = mala(target, u, step=0.02, warmup=60, generator=generator), time.perf_counter() + seconds
        while time.perf_counter() < end:
            u = next(states).x
        return u

    def diffuse(target: PromptDensity, prompt: str, seed: int) -> Tensor:
        candidates = torch.cat([model.generate(prompt, [seed + 1000 * k] * 4) for k in range(grids)])
        with torch.no_grad():
            return candidates[target.similarity(candidates.clone()).argmax()][None]

    found: dict[str, list[Tensor]] = {"Gaussian, best by CLIP": [], "MALA": [], "diffusion, best by CLIP": []}
    for seed, prompt in enumerate(exam):
        target, generator = PromptDensity(model, prior, prompt.text), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            found["Gaussian, best by CLIP"].append(read_attributes(judge, target.pictures(best_of(target, generator))))
            found["diffusion, best by CLIP"].append(read_attributes(judge, diffuse(target, prompt.text, seed)))
        u = walk(target, generator)
        with torch.no_grad():
            found["MALA"].append(read_attributes(judge, target.pictures(u)))
    for way, attributes in found.items():
        shares = prompt_accuracy(exam, torch.cat(attributes))["seen"]
        for what in ("subject", "colour", "place", "every single", "all at once"):
            share = shares[what]
            case = {"part": "pictures", "way": way, "seconds": f"{seconds:.1f}"}
            yield Row("mcmc", case, f"{what} right", share.right / share.n, "share", *share.interval)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["speed", "pictures"])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for part, measure in (("speed", speed), ("pictures", lambda: pictures(options.prompts))):
        if options.only in (None, part):
            for row in measure():
                print(f"{', '.join(map(str, row.case.values())):64} {row.backend:10} {row.value:10.3g}", flush=True)
                rows.append(row)
    write_csv(RESULTS / "mcmc.csv", rows)


if __name__ == "__main__":
    main()
