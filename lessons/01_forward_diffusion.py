# %% [markdown]
# # 01 · Forward diffusion: destroying a picture on purpose
#
# **After this lesson you can**
#
# - write one step of the forward process, and the jump that replaces a thousand of them;
# - show that the two are the same, on paper and by simulation;
# - read a noise schedule: where a picture disappears, and what is left at the end;
# - say why every factor in it is a square root, and what happens if you forget one.
#
# **Time** 40 minutes. **Article** sections 2.1.1, 2.1.3, 3.1.2 and 4.1.1. **Needs** no GPU, no download.
# **Files** `minidiffusion/diffusion/forward.py`, `minidiffusion/diffusion/schedule.py`, `minidiffusion/data/toy.py`.

# %%
import torch

from lessons.exercises.lesson_01 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.diffusion import forward
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import Scene

# %% [markdown]
# ## 1. Why destroy a picture?
#
# Nobody knows how to make a picture out of nothing. Everybody knows how to ruin one: add noise, again and again, until
# nothing is left. The idea of **diffusion models** (扩散模型) is to ruin pictures in steps so small that each can be
# undone, and to let a network learn to undo them. This lesson is about the ruining, the **forward process**
# (前向扩散过程). It is fixed: nothing in it is learnt, and everything about it can be computed.
#
# Our picture has three colours from -1 to 1. A step t makes it a little fainter and adds a little noise:
#
# $$q(x_t | x_{t-1}) = \mathcal{N}(x_t;\ \sqrt{1 - \beta_t}\, x_{t-1},\ \beta_t I)$$
#
# That is: $x_t = \sqrt{1-\beta_t}\, x_{t-1} + \sqrt{\beta_t}\, \epsilon$ with fresh standard normal noise $\epsilon$. What comes
# next depends on the present only, not on how it came about: a **Markov chain** (马尔可夫链).
#
# ## 2. Exercise: one step
#
# **Write** `q_step(x, beta, eps)`: x and eps have the same shape, any shape; beta is a number in 0..1.

# %% tags=["ex-q_step"]
def q_step(x, beta, eps):
    raise NotImplementedError


# %%
q_step = check("q_step", q_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# beta is the *variance* of the noise that is added. A random number of variance 1, multiplied by c, has variance c².
# </details>

# %% [markdown] tags=["solution-q_step"]
# <details><summary>Solution</summary>
#
# ```python
# def q_step(x, beta, eps):
#     return (1 - beta) ** 0.5 * x + beta**0.5 * eps
# ```
# </details>

# %% [markdown]
# Your step, a thousand times, with the betas of Ho et al. (2020), which are those of the article's listing: from
# 0.0001 in the first step to 0.02 in the last.
#
# **Predict before you look.** After which of these steps can you no longer tell what it is: 50, 100, 200, 400, 1000?

# %%
scene = Scene("house", "red", "sea", "sunset", "storybook", "large", "centre")
x_0 = torch.from_numpy(render(scene)).permute(2, 0, 1) / 127.5 - 1
beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
generator = torch.Generator().manual_seed(0)
chain = [x_0]
for b in beta.tolist():
    chain.append(q_step(chain[-1], b, torch.randn(x_0.shape, generator=generator)))
stops = [0, 50, 100, 200, 400, 1000]
viz.strip([chain[t] for t in stops], [f"t = {t}" for t in stops])

# %% [markdown]
# At 200 there is still a house, at 400 only its shadow, and the last half of the steps looks all the same.
# Small things went first (the windows), large ones last (sky above, sea below): noise of every pixel on its own hides
# what few pixels say, and cannot hide what many pixels agree on.
#
# ## 3. Exercise: a thousand steps in one
#
# Training needs x_t for random t, millions of times. Walking there would be a waste, and it is not necessary. A sum of
# independent Gaussians is a Gaussian, so after any number of steps
#
# $$x_T = \text{factor} \cdot x_0 + \text{noise of some variance}.$$
#
# **Write** `compose(beta)`: given the betas of all steps (a tensor `T`), return the two numbers `(factor, variance)`.
# Work out what one step does to both.

# %% tags=["ex-compose"]
def compose(beta):
    raise NotImplementedError


# %%
compose = check("compose", compose)

# %% [markdown]
# <details><summary>Help</summary>
#
# A step multiplies everything that is there by sqrt(1 - b): x_0's factor, and the noise of earlier steps, whose
# variance is thereby multiplied by 1 - b. Then it adds the variance b. Begin with factor 1 and variance 0.
# </details>

# %% [markdown] tags=["solution-compose"]
# <details><summary>Solution</summary>
#
# ```python
# def compose(beta):
#     factor, variance = 1.0, 0.0
#     for b in beta.tolist():
#         factor, variance = (1 - b) ** 0.5 * factor, (1 - b) * variance + b
#     return factor, variance
# ```
# </details>

# %% [markdown]
# **Predict.** What do factor² and variance add up to? After 1000 steps, how much of the picture is left, in percent?

# %%
for T in (1, 100, 400, 1000):
    factor, variance = compose(beta[:T])
    print(f"{T:4} steps: factor {factor:.4f}, variance {variance:.4f}, factor^2 + variance = {factor**2 + variance:.6f}")

# %% [markdown]
# They add up to 1 at every step: if x_0 has variance 1, so has every x_t. The schedule **preserves variance**
# (方差保持), because the step multiplies by sqrt(1 - b) and not by 1. The factor of x_0 is a product,
#
# $$\alpha_t = \sqrt{\bar\alpha_t}, \qquad \bar\alpha_t = \prod_{s=1}^t (1 - \beta_s), \qquad \sigma_t = \sqrt{1 - \bar\alpha_t},$$
#
# and with it the whole forward process is one line, the jump: $x_t = \alpha_t x_0 + \sigma_t \epsilon$.
#
# ## 4. Exercise: the jump
#
# **Write** `q_sample(x_0, alpha_bar, eps)`: x_0 and eps are batches `b ...`, alpha_bar has shape `b`, one number for each
# sample, since in a training batch every picture has a time of its own.

# %% tags=["ex-q_sample"]
def q_sample(x_0, alpha_bar, eps):
    raise NotImplementedError


# %%
q_sample = check("q_sample", q_sample)

# %% [markdown]
# <details><summary>Help</summary>
#
# `alpha_bar` of shape `b` cannot be multiplied with `b c h w`: broadcasting starts from the right and would meet the
# columns. Reshape it to `b 1 1 1`, with as many ones as x_0 has other axes.
# </details>

# %% [markdown] tags=["solution-q_sample"]
# <details><summary>Solution</summary>
#
# ```python
# def q_sample(x_0, alpha_bar, eps):
#     alpha_bar = alpha_bar.reshape(-1, *[1] * (x_0.ndim - 1))
#     return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * eps
# ```
# </details>

# %% [markdown]
# Is the jump really the walk? Take one pixel of value 0.7, send 20,000 copies of it on the walk, and compare with the
# formula. The uncertainty of the mean of n numbers is their standard deviation divided by sqrt(n).
#
# **Predict.** How many of the four means will be within two uncertainties of the formula? Within four?

# %%
x, n = torch.full((20_000,), 0.7), 20_000
for t, b in enumerate(beta.tolist(), start=1):
    x = q_step(x, b, torch.randn(n, generator=generator))
    if t in (1, 100, 400, 1000):
        factor, variance = compose(beta[:t])
        off = (x.mean().item() - factor * 0.7) / (variance / n) ** 0.5
        print(f"t = {t:4}: walk {x.mean():+.4f} +- {x.std():.4f}, jump {factor * 0.7:+.4f} +- {variance**0.5:.4f}"
              f"   (means differ by {off:+.1f} uncertainties)")  # fmt: skip

# %% [markdown]
# In the library the jump is called `sample` and the walk `single_step`; they take alpha and sigma from a table.

# %%
viz.show_source(forward.sample)

# %% [markdown]
# ## 5. How fast? Schedules
#
# How fast a picture disappears is our choice. **linear** is the one above; **cosine** was made a year later, after
# it was noticed that linear wastes the second half of its steps on what is noise already. A **noise schedule**
# (噪声调度) is judged by two curves: alpha_bar, the share of the variance that is still signal, and the
# **signal-to-noise ratio** (信噪比, SNR) alpha² / sigma². At SNR 1 (the grey line) both are equally strong.
#
# **Predict.** At t = 500, what will be left of the signal under linear, and under cosine?

# %%
names = ("linear", "cosine", "flow")
schedules = {name: make_schedule(name) for name in names}
times = [0, 100, 200, 400, 600, 800, 1000]
eps = torch.randn(len(times), *x_0.shape, generator=generator)
noised = q_sample(x_0.expand_as(eps), schedules["cosine"].alpha[times].float() ** 2, eps)
viz.forward_process(
    list(noised),
    times,
    {name: s.alpha**2 / (s.alpha**2 + s.sigma**2) for name, s in schedules.items()},
    {name: s.snr for name, s in schedules.items()},
)

# %% [markdown]
# The pictures on top follow cosine. Linear has lost nine tenths of the signal before t = 500; cosine loses half of it
# there. **flow**, the straight line x_t = (1 - t/T) x_0 + (t/T) eps of newer models, does not preserve variance (its
# curve shows the signal's share), and yet it is only another pair of tables: everything in this course works with all.
#
# Linear also ends a little too early: alpha_bar is 0.00004 at T, not 0. Stable Diffusion's schedule keeps even 0.0047.
# A network trained on it can see in "pure noise" how bright the picture will be, but a sampler starts from noise that
# tells nothing. That is why its pictures are all of medium brightness (Lin et al. 2023).
#
# ## 6. The negative control: forget the square roots
#
# "x_t = alpha_bar x_0 + (1 - alpha_bar) eps" looks innocent, and is one of the most frequent mistakes.
#
# **Predict.** With x_0 of variance 1, what is the variance of x_t where alpha_bar is 1/2, done right, and done wrong?

# %%
alpha_bar = schedules["cosine"].alpha[::10] ** 2
data, noise = torch.randn(2, 100_000, 1, generator=generator)
right = alpha_bar.sqrt() * data + (1 - alpha_bar).sqrt() * noise
wrong = alpha_bar * data + (1 - alpha_bar) * noise
viz.lines(torch.arange(0, 1001, 10), {"with square roots": right.var(0), "without": wrong.var(0)}, "variance of x_t")

# %% [markdown]
# Without the roots the variance falls to a half in the middle and comes back: 1/4 + 1/4. No error is raised, and
# pictures look noisy all the same. But the network now meets inputs of a size that depends on t, and a sampler that
# believes in x_t = alpha x_0 + sigma eps computes a wrong x_0 from every right answer.
#
# ## 7. What happens to a whole distribution
#
# One picture turns into noise. What happens to *all* pictures, the distribution? In the plane we can look.
#
# **Predict.** Sketch the dinosaur at t = 300. Which of its parts goes first?

# %%
cloud = toy.dinosaur(3000, torch.Generator().manual_seed(0))
times = [0, 50, 150, 300, 600, 1000]
clouds = [
    q_sample(cloud, schedules["cosine"].alpha[[t]].float().square().expand(3000), torch.randn(3000, 2, generator=generator))
    for t in times
]
viz.scatter(clouds, [f"t = {t}" for t in times])

# %% [markdown]
# Every point goes its own random way, but the cloud as a whole flows into one round Gaussian, the same for every data
# set. That is the point of it: **the end is known**, N(0, I), and we can draw from it. If the steps could be taken
# backwards, noise would become a dinosaur. Lesson 02 asks what one needs to know for that, and lesson 03 does it.
#
# ## Summary
#
# - The forward process is a Markov chain: shrink by sqrt(1 - beta), add noise of variance beta.
# - T steps are one jump, x_t = alpha_t x_0 + sigma_t eps, with alpha_t² the product of all 1 - beta.
# - alpha² + sigma² = 1 preserves the variance. All factors are square roots since variances add, not deviations.
# - The schedule decides how the signal-to-noise ratio falls. Nothing here is learnt.
#
# ## Can you still say it?
#
# 1. Which two things does one step do, and why must it shrink x?
# 2. Why may a thousand steps be replaced by one?
# 3. beta is 0.02 in every step. How many steps until half of the variance is noise?
# 4. Why are the windows of the house gone before the horizon?
# 5. What does SNR = 1 look like? At which t does cosine reach it?
# 6. A batch of 32 pictures of width 32 and `alpha_bar` of shape `32`: what happens without a reshape?
# 7. What is wrong with starting a sampler from N(0, I) if alpha_bar_T is 0.36?
#
# ## Go on
#
# - Next: lesson 02, the best possible denoiser (see the [map of the course](README.md)).
# - The paper: J. Ho, A. Jain, P. Abbeel, [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239),
#   2020, section 2.
# - On ends that are not quite noise: S. Lin et al., [Common Diffusion Noise Schedules and Sample Steps are
#   Flawed](https://arxiv.org/abs/2305.08891), 2023.
