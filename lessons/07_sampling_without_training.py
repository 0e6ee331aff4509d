# %% [markdown]
# # 07 · MCMC and Langevin: sampling without training
#
# **After this lesson you can**
#
# - draw from a density that you can only evaluate, up to a constant, by three kinds of random walk;
# - say why accepting and rejecting makes a walk right, and what Langevin's steps get wrong without it;
# - tell by R-hat that chains have not mixed, and say when R-hat is fooled;
# - sample digits and pictures in latent space by Langevin dynamics, and say why diffusion is the better way.
#
# **Time** 60 minutes. **Article** section 3.2. **Needs** no GPU, no download; lesson 02 for the score.
# **Files** `minidiffusion/mcmc/metropolis.py`, and `langevin.py`, `hamiltonian.py`, `diagnostics.py` beside it;
# `minidiffusion/pipelines/latent_mcmc.py`.

# %%
from itertools import islice, product

import numpy as np
import torch

from lessons.exercises.lesson_07 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.mcmc import diagnostics, hamiltonian, langevin, metropolis
from minidiffusion.mcmc.target import Gaussian, NoisedData
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.pipelines.latent_mcmc import LatentPrior, PromptDensity
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.training.digits import trained_digits

# %% [markdown]
# ## 1. Three ways to draw a vector
#
# The article names three ways to draw a latent vector: from a Gaussian, by MCMC, by Langevin. The first is exact and easy,
# if the density *is* a Gaussian: $x = \mu + L z$ with $z \sim \mathcal N(0, I)$ and $L L^T = \Sigma$
# (**Gaussian sampling**, 高斯采样). A VAE is trained to make it so.
#
# For any other density we have, at best, a function that says how probable a place is, and that only up to a constant:
# normalising it would take an integral over all places. It is enough. We walk about at random, in such a way that in
# the long run we spend our time where the density is. A walk whose next place depends on the present one only is a Markov
# chain, hence **Markov chain Monte Carlo** (马尔可夫链蒙特卡洛, MCMC).
#
# ## 2. Exercise: the accept rule
#
# **Metropolis-Hastings**: propose a step anywhere nearby. If p is larger there, go. If not, go with the probability
# p(to) / p(from), and otherwise stay where you are, and *count the old place again*. From a to b there are then as many
# moves as from b to a, so p stays as it is once reached (**detailed balance**, 细致平衡).
#
# **Write** `accept_probability(log_p_to, log_p_from)`: two tensors `c`, one number for each chain; the result too. In
# high dimensions p itself is 0 or infinite for a computer, therefore the logarithms.

# %% tags=["ex-accept_probability"]
def accept_probability(log_p_to, log_p_from):
    raise NotImplementedError


# %%
accept_probability = check("accept_probability", accept_probability)

# %% [markdown]
# <details><summary>Help</summary>
#
# p(to) / p(from) = exp(log p(to) - log p(from)), and `.clamp(max=1)`.
# </details>

# %% [markdown] tags=["solution-accept_probability"]
# <details><summary>Solution</summary>
#
# ```python
# def accept_probability(log_p_to, log_p_from):
#     return torch.exp(log_p_to - log_p_from).clamp(max=1)
# ```
# </details>

# %% [markdown]
# Is it right? For five states on a circle everything can be written down: the matrix of all transition probabilities, and
# whether p is what it leaves alone.

# %%
p = torch.tensor([0.1, 0.3, 0.05, 0.35, 0.2], dtype=torch.float64)
go = torch.zeros(5, 5, dtype=torch.float64)
for i, j in product(range(5), (-1, 1)):
    k = (i + j) % 5
    go[i, k] = 0.5 * accept_probability(p[k].log(), p[i].log())
go += torch.diag(1 - go.sum(1))  # those who stay
print("p           ", p.tolist())
print("p after one ", (p @ go).tolist())
print("from anywhere, after 200:", (torch.matrix_power(go, 200)[2]).round(decimals=4).tolist())

# %% [markdown]
# ## 3. Exercise: up the slope, and shaken
#
# Metropolis steps blindly. If we have the **score**, the gradient of log p (lesson 02), we can do better.
# **Langevin dynamics** (朗之万动力学) goes a little up the slope and is shaken by just as much noise as keeps it from ending
# at the top:
#
# $$x \leftarrow x + h\, \nabla \log p(x) + \sqrt{2h}\; z$$
#
# **Write** `ula_step(x, score, step, noise)`: x, score and noise have one shape.

# %% tags=["ex-ula_step"]
def ula_step(x, score, step, noise):
    raise NotImplementedError


# %%
ula_step = check("ula_step", ula_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# The last summand has the *variance* 2 step.
# </details>

# %% [markdown] tags=["solution-ula_step"]
# <details><summary>Solution</summary>
#
# ```python
# def ula_step(x, score, step, noise):
#     return x + step * score + (2 * step) ** 0.5 * noise
# ```
# </details>

# %% [markdown]
# ## 4. Exercise: the price of a real step
#
# With infinitely small steps this samples p exactly. With real ones it does not: nobody checks, as Metropolis does. How
# wrong it is can be computed for $p = \mathcal N(0, s^2)$, where the score is $-x/s^2$. One step is then
# $x \leftarrow (1 - h/s^2)\, x + \sqrt{2h}\, z$. In the long run the variance v no longer changes:
# $v = (1 - h/s^2)^2\, v + 2h$.
#
# **Write** `ula_variance(s, step)`: solve this for v. Both are plain numbers.

# %% tags=["ex-ula_variance"]
def ula_variance(s, step):
    raise NotImplementedError


# %%
ula_variance = check("ula_variance", ula_variance)

# %% [markdown]
# <details><summary>Help</summary>
#
# 1 - (1 - a)² = 2a - a², with a = step / s².
# </details>

# %% [markdown] tags=["solution-ula_variance"]
# <details><summary>Solution</summary>
#
# ```python
# def ula_variance(s, step):
#     return s**2 / (1 - step / (2 * s**2))
# ```
# </details>

# %% [markdown]
# **Predict.** Your step, two hundred times, with 100,000 chains and s = 1: what variance at h = 0.5, at h = 1? And if each step
# is accepted or rejected, as in section 2?

# %%
normal = Gaussian(torch.zeros(1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
for h in (0.05, 0.5, 1.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100_000, 1, generator=generator, dtype=torch.float64)
    for _ in range(200):
        x = ula_step(x, -x, h, torch.randn(x.shape, generator=generator, dtype=torch.float64))
    *_, adjusted = islice(langevin.mala(normal, torch.zeros_like(x), step=h, generator=generator), 200)
    print(f"h = {h:4}: ULA {x.var():.3f}, by your formula {ula_variance(1.0, h):.3f}; accepted or not {adjusted.x.var():.3f}")

# %% [markdown]
# The unadjusted walk, **ULA**, is too wide by exactly what the formula says. With the accept rule it is **MALA**, and has
# no bias at any step, but it stands still when the step is too large.
#
# **HMC** (Hamiltonian Monte Carlo, 哈密顿蒙特卡洛) goes further: it gives x a push and lets it glide over the landscape -log p
# for many steps of the score before it asks whether to accept.
#
# ## 5. The characters
#
# Eight hills on a circle. All 200 chains start on the one at the right.
#
# **Predict before you look.** Which sampler will have reached the left side after 10, 100, 1000 moves? Who walks, who glides?

# %%
circle = toy.circle_of_gaussians(std=0.2)
start = torch.tensor([1.4, 0.0], dtype=torch.float64).repeat(200, 1)


def seeded():
    return torch.Generator().manual_seed(0)


samplers = {
    "Metropolis": metropolis.metropolis_hastings(circle, start, step=0.25, generator=seeded()),
    "ULA": langevin.ula(circle, start, step=0.01, generator=seeded()),
    "MALA": langevin.mala(circle, start, step=0.02, generator=seeded()),
    "HMC": hamiltonian.hmc(circle, start, step=0.12, n=12, generator=seeded()),
}
draws = {name: torch.cat([start[None], metropolis.collect(states, 1000).x]) for name, states in samplers.items()}

# %% [markdown]
# One more, which does not start there but from noise: **annealed Langevin** (退火朗之万) samples the data with much noise on
# them first, then with less and less. Much noise makes one broad hill of the eight.

# %%
sigmas = torch.logspace(0.3, -1.2, 20, dtype=torch.float64)
levels = [circle.noised(1.0, sigma) for sigma in sigmas]
noise = 2 * torch.randn(200, 2, generator=seeded(), dtype=torch.float64)
states = langevin.annealed(lambda x, i: levels[i].score(x), noise, sigmas, step=0.0008, n=50, generator=seeded())
draws["annealed"] = torch.cat([noise[None], metropolis.collect(states, 1000).x])
viz.chains(circle.log_prob, draws, at=(0, 10, 100, 300, 1000))

# %% [markdown]
# Metropolis, ULA and MALA stumble about and diffuse from hill to hill; HMC crosses valleys in one glide and is round the
# circle first. But each must *cross* the valleys, and with deeper ones (a distance of ten standard deviations instead of
# five) it would wait for ever. Annealed Langevin never crosses any: its chains are dealt out to all hills while the
# hills are still one. **That is the idea from which diffusion models came** (Song & Ermon 2019): learn the score at all
# noise levels, and walk from much noise to none.
#
# ## 6. Exercise: have they mixed?
#
# Nobody shows us the true density in 1,024 dimensions. What we can do is start several chains in different places and ask
# whether they agree. **R-hat** (潜在尺度缩减因子) compares the variance *within* chains, W, with that *between* their means, B/n:
#
# $$\hat R = \sqrt{\tfrac{n-1}{n} + \frac{B/n}{W}}$$
#
# **Write** `rhat(draws)` for draws `n c` (n draws, c chains): W is the mean of the chains' variances, B/n the variance of
# the chains' means; both are variances of samples (`Tensor.var` as it is).

# %% tags=["ex-rhat"]
def rhat(draws):
    raise NotImplementedError


# %%
rhat = check("rhat", rhat)

# %% [markdown]
# <details><summary>Help</summary>
#
# `draws.var(dim=0)` is the variance of each chain, `draws.mean(dim=0)` the mean of each.
# </details>

# %% [markdown] tags=["solution-rhat"]
# <details><summary>Solution</summary>
#
# ```python
# def rhat(draws):
#     n = len(draws)
#     within, between = draws.var(dim=0).mean(), draws.mean(dim=0).var()
#     return ((n - 1) / n + between / within).sqrt()
# ```
# </details>

# %% [markdown]
# **Predict.** The last 500 moves of our chains: whose R-hat is near 1? And, as a **negative control**, if the hills are so
# far apart that no chain ever leaves the one on which all of them started?

# %%
for name in ("Metropolis", "ULA", "MALA", "HMC"):
    x = draws[name][500:]
    print(f"{name:11} R-hat {rhat(x[..., 0]):.3f}, the library's (split, by ranks) {diagnostics.rhat(x)[0]:.3f}, "
          f"worth {diagnostics.ess_bulk(x)[0]:6.0f} of {x.shape[0] * x.shape[1]} independent draws")  # fmt: skip
far = toy.circle_of_gaussians(std=0.05)
stuck = metropolis.collect(metropolis.metropolis_hastings(far, start, step=0.1, generator=seeded()), 1000).x
print(f"{'stuck':11} R-hat {rhat(stuck[500:, :, 0]):.3f}; mean of x_1 {stuck[500:, :, 0].mean():.2f}, and it should be 0")

# %% [markdown]
# A bad R-hat proves that something is wrong. A good one proves nothing: the stuck chains agree perfectly, for they all missed
# the same seven hills. Start chains far apart, and know your density.
#
# ## 7. A learned score: digits by Langevin
#
# The denoiser of the digits (lesson 04) is a score at every noise level, $-\hat\epsilon/\sigma_t$. No sampler of lesson 06
# is needed to draw from it:

# %%
denoise, schedule = trained_digits()
times = schedule.times(20)
levels = [NoisedData(denoise, schedule, int(t)) for t in times.t[:-1]]
noise, step = torch.randn(10, 1, 8, 8, generator=seeded()), 0.2 * times.sigma[-2].item() ** 2
way = metropolis.collect(langevin.annealed(lambda x, i: levels[i].score(x), noise, times.sigma[:-1], step=step, n=20,
                                generator=seeded()), 400).x  # fmt: skip
shown = [0, 100, 200, 260, 320, 399]
ink = [[-x.clamp(-1, 1).expand(3, -1, -1) for x in way[k]] for k in shown]
viz.grid(ink, [f"move {k + 1}" for k in shown], side=0.8)

# %% [markdown]
# Digits, from nothing but gradients and noise. The last row still has the noise of the last level; a denoiser's guess would
# take it off.
#
# ## 8. Text to picture without diffusion
#
# Now the article's latent space. A picture shall be probable if its latent is a probable one (a Gaussian with the mean and
# the covariance of 1,000 real latents) and if CLIP finds that it fits the prompt:
# $\log p(u) = -|u|^2/2 + 200 \cdot \mathrm{sim}(\mathrm{CLIP}(picture), \mathrm{CLIP}(prompt))$. It is a density with
# a gradient, so MALA can sample it.
#
# **Predict.** What will you see: a sharp red house, a blurred one, or something that only CLIP takes for one?

# %%
model = TextToImage.load("picturebook")
rng = np.random.default_rng(0)
pages = torch.stack([torch.from_numpy(render(random_scene(rng, "seen"))) for _ in range(1000)])
pages = pages.permute(0, 3, 1, 2) / 127.5 - 1
with torch.no_grad():
    latents = torch.cat([model.vae.encode(part).mode() for part in pages.split(100)]) * model.vae.config.scaling_factor
prompt = "a red house by the sea at night, watercolor"
target = PromptDensity(model, LatentPrior.fit(latents), prompt)

# %%
u = torch.randn(3, 1024, generator=seeded())
states = langevin.mala(target, u, step=0.02, warmup=100, generator=seeded())
film = [u, *(state.x for state in islice(states, 120))]
shown = [0, 10, 40, 120]
with torch.no_grad():
    columns = {f"move {k}": target.pictures(film[k]) for k in shown}
    columns["diffusion"] = model.generate(prompt, seeds=[0, 1, 2])
    for name, pictures in columns.items():
        print(f"{name:10} CLIP's similarity {target.similarity(pictures).mean():.2f}")
viz.grid([[pictures[i] for pictures in columns.values()] for i in range(3)], column_titles=[*columns], side=1.5)

# %% [markdown]
# The walk finds the hour, the colour and the paper, and something red where a house would stand. CLIP likes it as much as
# what diffusion draws; you do not. Two reasons. The Gaussian knows which latents are probable only up to their
# covariance, and a mixture of two plausible pictures is as plausible to it as either. And CLIP was never asked to tell
# pictures from non-pictures; a walk that follows its gradient finds what pleases CLIP. (On real CLIP and real
# pictures this is how "adversarial" images are made.)
#
# The judge of lesson 00 agrees with you. Of everything that 40 prompts said, it found 45 % in the best of as many
# Gaussian draws as fit (best by CLIP), 46 % in what MALA walked to, and 100 % in what diffusion drew, in equal time; of
# the first two, not one picture obeyed its whole prompt (`python benchmarks/mcmc.py --only pictures`).
#
# A diffusion model is what was missing: a *learned* score, at all noise levels, of what pictures are.
#
# ## Summary
#
# - Accepting with probability min(1, p(to)/p(from)) makes any symmetric walk sample p.
# - Langevin: x + h score + sqrt(2h) noise. Without the accept rule its variance is s² / (1 - h / 2s²) instead of s².
# - R-hat near 1 is necessary, not sufficient. No diagnostic knows of a mode that no chain has seen.
# - Annealing over noise levels deals chains out to all modes. With a learned score, that is diffusion.
#
# ## Can you still say it?
#
# 1. Why must a rejected move count the old place once more?
# 2. Where does the unknown constant of p drop out, in Metropolis and in Langevin?
# 3. At which step does ULA on N(0, s²) run off to infinity?
# 4. Why does HMC need the score, and why does it still need the accept rule?
# 5. When is R-hat 1.00 and everything wrong?
# 6. What would the Agreement target need so that its samples look like pictures?
#
# ## Go on
#
# - Next: lesson 08, attention (see the [map of the course](README.md)).
# - The best text on HMC: R. Neal, [MCMC using Hamiltonian dynamics](https://arxiv.org/abs/1206.1901), 2011.
# - From Langevin to diffusion: Y. Song and S. Ermon, [Generative Modeling by Estimating Gradients of the Data
#   Distribution](https://arxiv.org/abs/1907.05600), 2019.
