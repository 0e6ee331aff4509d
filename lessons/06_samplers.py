# %% [markdown]
# # 06 · Samplers: 1000 steps, 50, 10
#
# **After this lesson you can**
#
# - say why a sampler may draw noise at every step or at none, and get the same distribution;
# - write a step of DDIM and a step of Heun's method, and say what DPM-Solver++ remembers;
# - measure the order of a sampler, and find a slip in one that no eye would see;
# - choose sampler, number of steps and times for a picture.
#
# **Time** 50 minutes. **Article** section 3.1.3. **Needs** no GPU, no download; lessons 01 to 03.
# **Files** `minidiffusion/diffusion/sampler.py`, `minidiffusion/diffusion/schedule.py`, `benchmarks/samplers.py`.

# %%
from itertools import pairwise

import numpy as np
import torch

from lessons.exercises.lesson_06 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.diffusion import guidance, ideal, sampler
from minidiffusion.diffusion.prediction import Prediction, denoiser
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.pipelines.latent_diffusion import SeededNoise
from minidiffusion.pipelines.text_to_image import TextToImage

# %% [markdown]
# ## 1. Two ways back
#
# Lesson 03 walked from noise to data in many steps and drew fresh noise in each. When it left the noise out, everything
# collapsed. Now we leave it out once more, but properly. For a small beta a step of DDPM is
#
# $$x_{t-1} \approx x_t + \underbrace{\tfrac{1}{2} \beta_t \left(x_t + \nabla \log p(x_t)\right)}_{\text{carries the density from t to t-1}}
# + \underbrace{\tfrac{1}{2} \beta_t \nabla \log p(x_t) + \sqrt{\beta_t}\, \epsilon}_{\text{a step of Langevin dynamics}}$$
#
# The second bracket is a step of Langevin dynamics (lesson 07). Its noise spreads the points, its score gathers them, and
# together they move single points about but leave the density as it is. So it can be left out, *as a whole*. With it, the
# way back is the **reverse SDE** (逆向随机微分方程), without it the **probability-flow ODE** (概率流常微分方程): two
# equations, one for points that wiggle and one for points that flow, and at every t the same density (Song et al. 2021).
#
# Our data are two hills on a line, and the denoiser is the exact one (lesson 02). So whatever will be wrong in this lesson
# is the sampler's fault, not that of a network.
#
# **Predict before you look.** 4,000 points start from the same noise. Can the ways of two points cross under the SDE? Under
# the ODE? What does the middle way do, where only the noise was left out and the score stayed?

# %%
hills = toy.two_gaussians()
hills = toy.GaussianMixture(hills.weights, hills.means[:, :1], hills.covariances[:, :1, :1])  # the first axis only
schedule = make_schedule("cosine")
denoise = ideal.mixture(*hills, schedule)


def normal(n, generator):
    return torch.randn(n, 1, generator=generator, dtype=torch.float64)


def log_prob(x, t):
    return hills.noised(schedule.alpha[t], schedule.sigma[t]).log_prob(x)


# %%
def way(name, steps, x_T, seed=0, loudness=1.0, **options):
    g, times = torch.Generator().manual_seed(seed), schedule.times(steps, dtype=torch.float64)
    walk = sampler.SAMPLERS[name](denoise, x_T, times, noise=lambda x: loudness * normal(len(x), g), **options)
    return times.t, torch.cat([x_T, *(step.x for step in walk)], dim=1).T


# %%
x_T = normal(4000, torch.Generator().manual_seed(3))
runs = {
    "SDE: ddpm, 1000 steps": way("ddpm", 1000, x_T),
    "the same, noise left out": way("ddpm", 1000, x_T, loudness=0.0),
    "ODE: ddim, 1000 steps": way("ddim", 1000, x_T),
}
viz.trajectories(torch.arange(0, 1001, 5), log_prob, runs)

# %% [markdown]
# Left and right the 4,000 ends (orange) fill the true density (blue). The single points have nothing in common: under the
# SDE they cross and forget where they began, under the ODE no two ever meet, since from one place at one time only one way
# goes on. So on a line the order of the points is kept, and the lowest three tenths of all noises become the left hill,
# which holds three tenths of the data. In the middle, half of the Langevin step was left in, the half that gathers, and it
# has gathered everything in one place.
#
# ## 2. Exercise: the step of DDIM
#
# Divide $x_t = \alpha_t x_0 + \sigma_t \epsilon$ by $\alpha_t$: $\frac{x_t}{\alpha_t} = x_0 + \frac{\sigma_t}{\alpha_t} \epsilon$, a
# straight line with the slope $\epsilon$. The ODE says no more than that, for the noise that the denoiser sees:
#
# $$\frac{d\,(x_t / \alpha_t)}{d\,(\sigma_t / \alpha_t)} = \hat\epsilon(x_t, t)$$
#
# The simplest solver, **Euler's method** (欧拉法), believes that the slope stays what it is until the next time s. It has
# two names, and the other is **DDIM** (去噪扩散隐式模型): *find x0_hat, and noise it again to time s, with the same noise.*
#
# **Write** `ddim_step(x_t, eps_hat, t, s, alpha, sigma)`: x_t and eps_hat have one shape, t and s < t are times, alpha and
# sigma are the tables (`T+1`) of any schedule; the result is x_s.

# %% tags=["ex-ddim_step"]
def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
    raise NotImplementedError


# %%
ddim_step = check("ddim_step", ddim_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# Solve $x_t = \alpha_t \hat x_0 + \sigma_t \hat\epsilon$ for $\hat x_0$. Then $x_s = \alpha_s \hat x_0 + \sigma_s \hat\epsilon$.
# </details>

# %% [markdown] tags=["solution-ddim_step"]
# <details><summary>Solution</summary>
#
# ```python
# def ddim_step(x_t, eps_hat, t, s, alpha, sigma):
#     x0_hat = (x_t - sigma[t] * eps_hat) / alpha[t]
#     return alpha[s] * x0_hat + sigma[s] * eps_hat
# ```
# </details>

# %% [markdown]
# Nothing in this step says how far s is from t. That was the discovery: a network that was trained with a thousand steps
# can be sampled with fifty, or ten.
#
# **Predict.** "a boat", two seeds, with 10, 50 and 1000 steps of DDIM. What will change from left to right?

# %%
model = TextToImage.load("picturebook")


def boats(name, steps, seeds):
    batches = [model.generate("a boat", seeds, steps=n, guidance=1.0, sampler=name) for n in steps]
    rows = [[batch[i] for batch in batches] for i in range(len(seeds))]
    return viz.grid(rows, [f"seed {seed}" for seed in seeds], [f"{n} steps" for n in steps], side=1.0)


boats("ddim", (10, 50, 1000), seeds=[0, 1])

# %% [markdown]
# One noise, one picture: fifty steps and a thousand cannot be told apart, and ten are near (a desert turned into snow). The
# noise is a *name* for the picture, which is what makes it possible to mix two pictures, or to change one a little
# (lesson 15).
#
# **Predict.** The noise of seed 1 again, with DDPM?

# %%
boats("ddpm", (10, 50, 250), seeds=[1])

# %% [markdown]
# Another picture each time, every one a proper boat. The first noise is soon forgotten, and another number of steps puts the
# random numbers that follow to other uses.
#
# ## 3. How much noise? eta
#
# Between the two lies a dial. Keep only a part of eps_hat, and fill up with fresh noise to the amount that belongs to s:
#
# $$x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - \sigma_\text{rev}^2}\; \hat\epsilon + \sigma_\text{rev} \cdot \epsilon, \qquad
# \sigma_\text{rev} = \text{eta}\, \frac{\sigma_s}{\sigma_t} \sqrt{1 - \alpha_t^2 / \alpha_s^2}$$
#
# eta = 0 is DDIM and eta = 1 is DDPM.
#
# **Predict.** Now all points start from *one* place, x_T = -0.35. Where do they end for eta = 0, 0.5 and 1?

# %%
same = torch.full((4000, 1), -0.35, dtype=torch.float64)
runs = {f"eta = {eta}": way("ddim", 50, same, eta=eta) for eta in (0.0, 0.5, 1.0)}
viz.trajectories(torch.arange(0, 1001, 5), log_prob, runs)

# %% [markdown]
# Without noise one place has one end. With it, even with half of it, the start is forgotten and one place has all ends.
# Forgetting is also what noise is good for: whatever went wrong on the way is forgotten too. It has a price.
#
# **Predict.** With 10 steps, and with 100: which eta comes nearest to the true density? By how much?

# %%
n = 50_000
start = torch.distributions.Normal(0, 1).icdf((torch.arange(n, dtype=torch.float64)[:, None] + 0.5) / n)
true = way("heun", 100, start)[1][-1]  # the order is kept, so these are the true hills, evenly
for steps in (10, 25, 100):
    ends = {eta: way("ddim", steps, start, eta=eta)[1][-1].sort().values for eta in (0.0, 0.5, 1.0)}
    print(f"{steps:3} steps:", ", ".join(f"eta {eta}: {(x - true).abs().mean():.3f}" for eta, x in ends.items()))

# %% [markdown]
# This is the mean distance by which mass must be moved to make the true density of what came out. DDPM needs about twice
# as many steps as DDIM. And its ways are rough: they cannot be followed with long steps however clever a method is. Smooth
# ways can. Hence the search for good solvers of the ODE.
#
# ## 4. Exercise: Heun's method
#
# Euler's step takes the slope at its beginning, though it changes on the way. **Heun's method** (休恩法) takes Euler's step on
# trial, asks for the slope *there*, and then does the step once more, from its beginning, with the mean of both slopes.
#
# **Write** `heun_step(predict, x_t, t, s, alpha, sigma)`: `predict(x, t)` answers with eps_hat. It costs two calls. Use
# `ddim_step` twice.

# %% tags=["ex-heun_step"]
def heun_step(predict, x_t, t, s, alpha, sigma):
    raise NotImplementedError


# %%
heun_step = check("heun_step", heun_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# `ahead = ddim_step(x_t, slope, ...)` is a place at time s, so the second question is `predict(ahead, s)`.
# </details>

# %% [markdown] tags=["solution-heun_step"]
# <details><summary>Solution</summary>
#
# ```python
# def heun_step(predict, x_t, t, s, alpha, sigma):
#     slope = predict(x_t, t)
#     ahead = ddim_step(x_t, slope, t, s, alpha, sigma)
#     return ddim_step(x_t, (slope + predict(ahead, s)) / 2, t, s, alpha, sigma)
# ```
# </details>

# %% [markdown]
# One long step of each, in the coordinates in which the slope is eps_hat. To compare with, we follow the ODE in thousands of
# short ones, on the same cosine schedule with times a hundred times finer.
#
# **Predict.** Euler leaves the curve along its tangent. How much nearer to it will Heun's step end?

# %%
fine = make_schedule("cosine", 100_000)
exact_denoise = ideal.mixture(*hills, fine)
alpha, sigma = fine.alpha, fine.sigma


def predict(x, t):
    return exact_denoise(x, torch.tensor(t)).eps


# %%
def solve(step, x, t):
    for a, b in pairwise(t):
        x = step(predict, x, a, b, alpha, sigma)
    return x


def euler_step(predict, x_t, t, s, alpha, sigma):
    return ddim_step(x_t, predict(x_t, t), t, s, alpha, sigma)


# %%
t, s, x = 40_000, 20_000, torch.tensor([[-0.5]], dtype=torch.float64)
stops = range(t, s - 1, -500)
curve = [solve(heun_step, x, range(t, stop - 1, -50)) / alpha[stop] for stop in stops]
k = sigma[stops] / alpha[stops]
ends = {"one step of Euler (DDIM)": euler_step, "one step of Heun": heun_step}
ys = {"the ODE's solution": torch.cat(curve)[:, 0]}
for name, step in ends.items():
    first, last = x / alpha[t], step(predict, x, t, s, alpha, sigma) / alpha[s]
    ys[name] = (first + (last - first) * (k - k[0]) / (k[-1] - k[0]))[0]
viz.lines(k, ys, "x_t / alpha_t", xlabel="sigma_t / alpha_t, time runs to the left")

# %% [markdown]
# Where the solution bends, its tangent leaves it. The mean of the two slopes is nearly the slope of the chord, and the chord
# ends where the curve does. The library's version knows what to do at the two ends of the way, where one slope is missing:

# %%
viz.show_source(sampler.heun)

# %% [markdown]
# ## 5. Exercise: remember instead of asking twice
#
# Two calls a step are dear. A **multistep method** (多步法) asks once and remembers the last answer. DPM-Solver++(2M), with
# which this house draws, starts from DDIM's step in other words (put eps_hat in and see):
#
# $$x_s = \frac{\sigma_s}{\sigma_t}\, x_t + \left(\alpha_s - \alpha_t \frac{\sigma_s}{\sigma_t}\right) \hat x_0$$
#
# That would be exact if x0_hat stayed the same until s. But it sharpens on the way; the best single value is about the one
# that it will have *in the middle of the step*. We do not know it, but we know which way x0_hat has been going.
#
# **Write** `extrapolate(x0_hat, x0_before, step, step_before)`: continue the straight line through the last two answers to
# the middle of the coming step. step is the length of the coming step, step_before that of the last one, which lies
# between x0_before and x0_hat. (Lengths are measured in $\log(\alpha / \sigma)$, half the logarithm of the SNR.)

# %% tags=["ex-extrapolate"]
def extrapolate(x0_hat, x0_before, step, step_before):
    raise NotImplementedError


# %%
extrapolate = check("extrapolate", extrapolate)

# %% [markdown]
# <details><summary>Help</summary>
#
# The slope of the line is (x0_hat - x0_before) / step_before. Go on from x0_hat, by half a step.
# </details>

# %% [markdown] tags=["solution-extrapolate"]
# <details><summary>Solution</summary>
#
# ```python
# def extrapolate(x0_hat, x0_before, step, step_before):
#     return x0_hat + (x0_hat - x0_before) / step_before * step / 2
# ```
# </details>

# %%
def multistep(x, t):
    x0_before = step_before = None
    for a, b in pairwise(t):
        x0_hat, kept = exact_denoise(x, torch.tensor(a)).x0, sigma[b] / sigma[a]
        step = (alpha[b] / (alpha[a] * kept)).log()
        aim = x0_hat if x0_before is None else extrapolate(x0_hat, x0_before, step, step_before)
        x = kept * x + (alpha[b] - alpha[a] * kept) * aim
        x0_before, step_before = x0_hat, step
    return x


# %% [markdown]
# ## 6. How fast does the error fall?
#
# A method has **order** (阶) p if its error falls like 1 / n^p with the number n of steps. In a plot whose two axes are
# logarithmic, that is a straight line of slope p. We count calls of the network, for these are what costs time, and compare
# with 4,000 steps of Heun.
#
# **Predict.** What do twice as many calls do to the error of DDIM, of Heun, of DPM-Solver++? Which is the best with 8 calls?

# %%
def even(n):
    return torch.linspace(99_000, 3_000, n + 1).round().long().tolist()


def distances(ends, solution):
    return [(x - solution).abs().mean().item() for x in ends]


def slope(errors):  # from 64 calls on
    return -np.polyfit(np.log(calls[3:]), np.log(errors[3:]), 1)[0]


# %%
calls, begin = [8, 16, 32, 64, 128, 256, 512], normal(256, torch.Generator().manual_seed(4))
solution = solve(heun_step, begin, even(4000))
errors = {
    "ddim": distances([solve(euler_step, begin, even(n)) for n in calls], solution),
    "heun": distances([solve(heun_step, begin, even(n // 2)) for n in calls], solution),
    "dpm++": distances([multistep(begin, even(n)) for n in calls], solution),
}

# %%
three = torch.tensor([[1.9], [-0.4], [-1.2]], dtype=torch.float64)
runs = {"exact": way("heun", 500, three), "ddpm": way("ddpm", 1000, three, seed=1)}
runs |= {name: way(name, n, three) for name, n in (("ddim", 8), ("heun", 5), ("dpm++", 8))}
viz.convergence(
    torch.arange(0, 1001, 5), log_prob, runs["exact"], {"ddpm": runs["ddpm"]},
    {name: runs[name] for name in ("ddim", "heun", "dpm++")},
    {f"{name}: slope {slope(e):.2f}": (calls, e) for name, e in errors.items()}, {"ddim": 1, "dpm++": 2},
)  # fmt: skip

# %% [markdown]
# Left, three noises on their way: DDPM in 1000 steps wiggles to somewhere else, the others follow the black line, with eight
# calls each. Right, twice as many calls halve the error of DDIM and quarter that of the other two. For an error of 0.0001
# DDIM needs about 6,000 calls, Heun 320, DPM-Solver++ 170.
#
# With few calls it is another story. Heun has half as many steps for the same calls, and with 16 it is *worse* than DDIM:
# **an order is a promise about many steps**. DPM-Solver++ has the slope of the one and the price of the other, which is why
# it is the usual choice.
#
# The promise also needs a smooth solution. We measured from 0.99 T to 0.03 T. At T there is no signal, and below 0.03 T
# sigma of this schedule rises like a root, with an infinitely steep start. The whole way:

# %%
def whole(name, n):
    *_, last = sampler.SAMPLERS[name](exact_denoise, begin, fine.times(n, dtype=torch.float64))
    return last.x


to_the_end = whole("heun", 4000)
for name, calls_a_step in (("ddim", 1), ("heun", 2), ("plms", 1), ("dpm++", 1)):
    errors = distances([whole(name, n // calls_a_step) for n in calls], to_the_end)
    print(f"{name:5} slope {slope(errors):.2f}, error with 8 calls {errors[0]:.3f}, with 32 calls {errors[2]:.4f}")

# %% [markdown]
# The methods of order 2 lose their order, but not their lead: with 32 calls DPM-Solver++ is six times as near as DDIM. (PLMS,
# the fourth, is Stable Diffusion's first sampler, a multistep method that remembers four slopes. Here it is the best. Keep
# that in mind until section 9.)
#
# ## 7. The negative control: a Heun that looks right
#
# Here is Heun's step with a slip that is easily made: the second question is about the place ahead, but it still says time
# t. It raises no error. **The negative control** must lose its slope.
#
# **Predict.** The same two noises were sampled with the right step and with the slip, 25 steps each. Which pair has the
# slip, A or B?

# %%
def slip_step(predict, x_t, t, s, alpha, sigma):
    slope = predict(x_t, t)
    ahead = ddim_step(x_t, slope, t, s, alpha, sigma)
    return ddim_step(x_t, (slope + predict(ahead, t)) / 2, t, s, alpha, sigma)


# %%
@torch.inference_mode()
def with_step(step, seeds=(1, 3), n=25):
    denoise, words = denoiser(model.unet, model.schedule, model.prediction), model.context(["a boat"] * len(seeds))
    tables = model.schedule.alpha.float(), model.schedule.sigma.float()
    times = torch.linspace(990, 20, n).round().long().tolist()
    x = SeededNoise(seeds)(torch.empty(len(seeds), 16, 8, 8))
    for t, s in pairwise(times):
        x = step(lambda x, t: denoise(x, torch.tensor(t), words).eps, x, t, s, *tables)
    return list(model.decode(denoise(x, torch.tensor(times[-1]), words).x0))


viz.strip(with_step(heun_step) + with_step(slip_step), ["A", "A", "B", "B"], side=1.0)

# %%
for name, step in (("right", heun_step), ("with the slip", slip_step)):
    errors = distances([solve(step, begin, even(n // 2)) for n in calls], solution)
    print(f"{name:14} error with 32 calls {errors[2]:.4f}, with 512 calls {errors[-1]:.5f}; slope {slope(errors):.2f}")

# %% [markdown]
# B has the slip. One of its boats is another boat, but nothing about it is wrong, and nobody who sees B alone will notice.
# The slip costs a factor of eighty with 512 calls and turns order 2 into order 1, at twice the price of DDIM. That is why
# this house measures the order of its samplers in a test.
#
# ## 8. At which times? Spacing
#
# Ten steps, but which ten of the thousand times? Three ways are in use (**time spacing**, 时间步间隔):

# %%
for spacing in ("trailing", "linspace", "leading"):
    print(f"{spacing:9}", schedule.times(5, spacing).t.tolist(), "alpha where it begins:",
          f"{schedule.alpha[schedule.times(5, spacing).t[0]]:.2f}")  # fmt: skip

# %% [markdown]
# Training ended at T = 1000, with alpha = 0. Leading begins at 801, where the network has always seen 0.31 x_0 under the
# noise, and gives it pure noise instead.
#
# **Predict.** Pure noise of 1,024 numbers has a mean very near to 0. What will the network conclude about the brightness of
# the picture? What does the weather look like in this world if all pictures are of medium brightness?

# %%
@torch.inference_mode()
def houses(spacing, n=5, seeds=range(24)):
    times, noise = model.schedule.times(n, spacing), SeededNoise(seeds)
    plain = denoiser(model.unet, model.schedule, model.prediction)
    words, nothing = model.context(["a house"] * len(seeds)), model.context([""] * len(seeds))
    guided = guidance.classifier_free(plain, words, nothing, 2.5)
    *_, last = sampler.ddim(guided, noise(torch.empty(len(seeds), 16, 8, 8)), times)
    drawn = model.decode(last.x)
    return drawn[drawn.mean((1, 2, 3)).argsort()]


# %%
drawn = {spacing: houses(spacing) for spacing in ("trailing", "linspace", "leading")}
for name, x in drawn.items():
    print(f"{name:9} standard deviation of the brightness {x.mean((1, 2, 3)).std():.2f}")
rows = [[drawn[name][i] for i in (0, 8, 16, 23)] for name in ("trailing", "leading")]
viz.grid(rows, ["trailing", "leading"], ["darkest", "", "", "brightest"], side=1.0)

# %% [markdown]
# Four of 24 houses each, in five steps of DDIM, from the darkest to the brightest. **With leading it always rains.** The
# network takes the missing brightness for a message: at alpha = 0.31 a bright picture would have moved the mean of the
# noise, and it did not, so the picture must be grey. No later step can take that back. This is what "leading", and
# schedules whose alpha_T is not 0, do to Stable Diffusion (Lin et al. 2023). With 25 steps leading begins at 961 and does
# less harm, but it costs nothing to begin at T. Trailing is the default here.
#
# ## 9. Pictures
#
# **Predict.** The real model, with all its errors: how many steps does a picture need? Which of these samplers will fail with
# four?

# %%
prompt, names, steps = "a large red house by the sea at night", ("ddpm", "ddim", "plms", "dpm++"), (4, 8, 15, 25, 50)
rows = [[model.generate(prompt, [3], steps=n, sampler=name)[0] for n in steps] for name in names]
viz.grid(rows, names, [f"{n} steps" for n in steps], side=0.9)

# %% [markdown]
# With 4 and with 8 steps the ODE draws a smeared house in the middle, with a glow on both sides: the first answers are means
# of houses on the left and on the right, and too few questions were asked to decide. From 15 on the house stands where this
# noise means it to stand, a little to the left, and DDIM and DPM-Solver++ agree. DDPM draws other houses, once in watercolour.
#
# And PLMS, the best on the hills, fails with few steps. It multiplies its four last slopes by 55/24, -59/24, 37/24 and -9/24:
# large weights of alternating sign. The exact denoiser makes no mistakes that these could multiply, but a network does. Is
# that the reason? We make the hills narrow, as pictures are in most directions, let the denoiser be wrong by 0.1 in each
# answer, and look how far the end moves.
#
# **Predict.** More than 0.1, or less?

# %%
narrow_denoise = ideal.mixture(hills.weights, hills.means, 0.01 * hills.covariances, schedule)


def wrong_denoise(x, t):
    x0_hat, eps_hat, _ = narrow_denoise(x, t)
    error = 0.1 * normal(len(x), noise)
    return Prediction(x0_hat - schedule.sigma[t] * error, eps_hat + schedule.alpha[t] * error)


for name, steps in (("ddim", 8), ("heun", 5), ("dpm++", 8), ("plms", 7)):  # eight calls each
    noise, times = torch.Generator().manual_seed(0), schedule.times(steps, dtype=torch.float64)
    right, wrong = (list(sampler.SAMPLERS[name](f, x_T, times))[-1].x for f in (narrow_denoise, wrong_denoise))
    print(f"{name:5} half of the points move by more than {(wrong - right).abs().median():.3f}")

# %% [markdown]
# It is. The others average the mistakes of their steps away, PLMS makes them nearly twice as large. **An order says how near a
# method comes to the solution, not what it makes of mistakes.**
#
# One prompt proves little. `benchmarks/samplers.py` asks 96 prompts and lets the judge read the attributes back. Percent of
# prompts with *all* attributes right:
#
# | calls (Heun 14 and 24 instead of 15 and 25, predictor-corrector 3, 7, 15, 25 and 49) | 4 | 8 | 15 | 25 | 50 |
# |---|---|---|---|---|---|
# | ddim | 100 | 100 | 100 | 100 | 100 |
# | dpm++ | 99 | 100 | 100 | 100 | 100 |
# | ddpm | 99 | 99 | 98 | 99 | 99 |
# | heun | 96 | 99 | 100 | 100 | 100 |
# | euler-maruyama | 86 | 97 | 97 | 98 | 100 |
# | plms | 39 | 30 | 92 | 100 | 100 |
# | predictor-corrector | 18 | 91 | 97 | 96 | 99 |
#
# (100 stands for 96 to 100, 97 for 91 to 99.) The first four cannot be told apart: what a prompt says is decided with eight
# questions. What more calls buy is the picture that the noise means. From that (150 calls) DDIM is away by 0.16, 0.11, 0.07,
# 0.03 and 0.02, the root-mean-square over pixels of -1 to 1; DPM-Solver++ by 0.16, 0.11, 0.07, 0.03 and 0.01. So with up
# to 25 calls the higher order gives *nothing*: in pictures the steps are still too long for its promise. Hence the
# default of this house, 25 calls of DPM-Solver++, where the picture is settled. In a hurry, take 8.
#
# ## Summary
#
# - SDE and ODE have the same density at every t. They differ by a step of Langevin dynamics, noise and half the score.
# - DDIM is Euler's method: find x0_hat, noise it again to s with the same eps_hat. Same noise, same picture.
# - Heun and DPM-Solver++ are of order 2: twice the calls, a quarter of the error, if the steps are short enough.
# - Samplers are compared at equal calls, and tested by their order, since the eye does not see a slip.
# - Begin at T. With times that begin below it, all pictures come out grey.
#
# ## Can you still say it?
#
# 1. Why may the noise be left out of the SDE, and what must be left out with it?
# 2. What does eta do, and which sampler is DDIM with eta = 1?
# 3. Why can two ways of the ODE not cross? What does that say about the lowest tenth of all noises on a line?
# 4. Where are the two calls in a step of Heun's method, and why does DPM-Solver++ need one?
# 5. With how many calls would DDIM reach the error that Heun has with 128?
# 6. A friend's sampler of order 2 has slope 1. Its pictures are fine. What do you tell her?
# 7. Why does it always rain?
#
# ## Go on
#
# - Next: lesson 07, sampling without training (see the [map of the course](README.md)).
# - The discovery: J. Song, C. Meng, S. Ermon, [Denoising Diffusion Implicit Models](https://arxiv.org/abs/2010.02502), 2021.
# - The ODE, Heun's method, and what noise repairs: T. Karras et al., [Elucidating the Design Space of Diffusion-Based
#   Generative Models](https://arxiv.org/abs/2206.00364), 2022, sections 3 and 4.
