# %% [markdown]
# # 02 · The best possible denoiser
#
# **After this lesson you can**
#
# - compute, without any training, the best answer to "what was the clean picture?";
# - say why this answer is blurred, and why it must be;
# - turn a denoiser into a score, and a score into a denoiser;
# - train a small denoising autoencoder and measure how far from perfect it is.
#
# **Time** 40 minutes. **Article** section 2.1.2. **Needs** no GPU, no download; lesson 01.
# **Files** `minidiffusion/diffusion/ideal.py`, `minidiffusion/diffusion/prediction.py`, `minidiffusion/networks/mlp.py`.

# %%
import torch

from lessons.exercises.lesson_02 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.diffusion import forward, ideal, objective
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks.mlp import MLP, MLPConfig
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import Scene

# %% [markdown]
# ## 1. A guessing game
#
# Lesson 01 turned x_0 into x_t = alpha x_0 + sigma eps. Now the other way round: you see x_t, and are asked for x_0. A
# **denoising autoencoder** (去噪自编码器) is a network that plays this game and pays the squared error of each guess. What
# should it answer?
#
# Whoever pays squared errors does best with the *mean* of what is possible: $\hat x_0 = E[x_0 | x_t]$. This is
# true for any data and any network, and it explains most of what diffusion models do.
#
# ## 2. Exercise: the best answer for 192 pictures
#
# Suppose all the data there are in the world are n points $x_1 \dots x_n$. Each may have become x_t; the more noise that
# would have taken, the less probable it is:
#
# $$p(x_i | x_t) \propto \exp\left(-\frac{|x_t - \alpha x_i|^2}{2 \sigma^2}\right), \qquad
# \hat x_0 = \sum_i p(x_i | x_t)\, x_i$$
#
# **Write** `posterior_mean(x_t, data, alpha, sigma)`: x_t is `b d`, data `n d`, alpha and sigma are numbers; the result
# is `b d`. Probabilities that are proportional to an exponential and add up to 1: that is a softmax.

# %% tags=["ex-posterior_mean"]
def posterior_mean(x_t, data, alpha, sigma):
    raise NotImplementedError


# %%
posterior_mean = check("posterior_mean", posterior_mean)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.cdist(x_t, alpha * data)` is `b n`, the distance of every x_t to every moved point. Square it, divide, change the
# sign, softmax over the n points, and multiply the matrix of probabilities `b n` with data `n d`.
# </details>

# %% [markdown] tags=["solution-posterior_mean"]
# <details><summary>Solution</summary>
#
# ```python
# def posterior_mean(x_t, data, alpha, sigma):
#     square = torch.cdist(x_t, alpha * data) ** 2
#     return torch.softmax(-square / (2 * sigma**2), dim=1) @ data
# ```
# </details>

# %% [markdown]
# Our world shall have 192 pictures: houses, cats, boats and trees in four colours, each in twelve
# variations of clouds and waves. We noise a red house to different times and ask for it back.
#
# **Predict before you look.** What will the best possible answer look like at t = 1000, where nothing of the picture is
# left? And at t = 600?

# %%
def picture(subject, colour, seed):
    scene = Scene(subject, colour, "sea", "sunset", "storybook", "large", "centre", seed)
    return torch.from_numpy(render(scene)).permute(2, 0, 1) / 127.5 - 1


colours = ("red", "blue", "yellow", "white")
world = torch.stack([picture(s, c, k) for s in ("house", "cat", "boat", "tree") for c in colours for k in range(12)])
schedule, generator = make_schedule("cosine"), torch.Generator().manual_seed(1)
times = torch.tensor([100, 500, 800, 900, 950, 980, 1000])
x_t = forward.sample(schedule, world[:1].expand(7, -1, -1, -1), times, torch.randn(7, 3, 64, 64, generator=generator))
tables = zip(x_t, schedule.alpha[times].tolist(), schedule.sigma[times].tolist(), strict=True)
guesses = [posterior_mean(x.reshape(1, -1), world.flatten(1), a, s).reshape(3, 64, 64) for x, a, s in tables]
viz.grid([list(x_t), guesses], ["x_t", "best x0_hat"], [f"t = {t}" for t in times.tolist()], side=1.3)

# %% [markdown]
# At t = 1000 the answer is the mean of all pictures: a sea at sunset with a ghost of everything in it. It is the best
# answer, and it is no picture. As soon as x_t says a little, the mean narrows to the pictures that fit, and below some
# time only one does. In 12,288 dimensions this happens astonishingly early: noise in which we see nothing tells a
# perfect observer which of 192 pictures it was.
#
# Two things follow. **One step is not enough**: the answer to pure noise is a blur, so a sampler must go a little way,
# and ask again (lesson 03). And **a perfect denoiser memorises**: for t near 0 it can only answer with pictures that it
# has seen. New pictures come from networks that are *not* perfect, and generalise between what they have seen.
#
# ## 3. The score
#
# The **score** (分数函数) of a density is the gradient of its logarithm: an arrow, at every place, that points uphill,
# to where data are more probable. For two hills with noise of different strength:
#
# **Predict.** With much noise, where do the arrows point? With little?

# %%
hills = toy.two_gaussians()
side = torch.linspace(-2.5, 2.5, 15, dtype=torch.float64)
points = torch.cartesian_prod(side, side)
noised = {t: hills.noised(schedule.alpha[t], schedule.sigma[t]) for t in (900, 600, 250)}
viz.vector_fields(points, [m.score(points) for m in noised.values()], [m.log_prob for m in noised.values()],
           [f"t = {t}, sigma = {schedule.sigma[t]:.2f}" for t in noised])  # fmt: skip

# %% [markdown]
# Much noise makes one broad hill, and all arrows point to its middle; with less, each point is drawn to the hill that
# it probably came from. That is the same story as that of the guesses above, and indeed it is the same thing:
#
# ## 4. Exercise: Tweedie's formula
#
# $$\hat x_0 = \frac{x_t + \sigma^2\, \nabla \log p(x_t)}{\alpha}$$
#
# The best guess is one step of length sigma² along the score, undone by alpha. (Why: the score of a sum over all x_0
# is the mean of the single scores $-(x_t - \alpha x_0)/\sigma^2$, weighted by how probable each x_0 is.)
#
# **Write** `tweedie(x_t, score, alpha, sigma)`: x_t and score have the same shape.

# %% tags=["ex-tweedie"]
def tweedie(x_t, score, alpha, sigma):
    raise NotImplementedError


# %%
tweedie = check("tweedie", tweedie)

# %% [markdown]
# <details><summary>Help</summary>
#
# Solve $score = -(x_t - \alpha \hat x_0) / \sigma^2$ for $\hat x_0$.
# </details>

# %% [markdown] tags=["solution-tweedie"]
# <details><summary>Solution</summary>
#
# ```python
# def tweedie(x_t, score, alpha, sigma):
#     return (x_t + sigma**2 * score) / alpha
# ```
# </details>

# %% [markdown]
# Check it against the other way to the same number: for a mixture of Gaussians, `ideal.mixture` computes the posterior
# mean without any gradient.

# %%
for t, mixture in noised.items():
    direct = ideal.mixture(*hills, schedule)(points, torch.tensor(t)).x0
    by_score = tweedie(points, mixture.score(points), schedule.alpha[t], schedule.sigma[t])
    print(f"t = {t}: largest difference {(direct - by_score).abs().max():.1e}")

# %% [markdown]
# So *denoiser*, *score* and *noise predictor* are three names for one function: $\nabla \log p = -\hat\epsilon / \sigma$.
#
# ## 5. A network learns it
#
# Now a network that knows no formula: it sees noised points and pays its squared error. `ideal.mixture` says what even
# the best must pay.
#
# **Predict.** Will the network's loss end above, at, or below the best possible one? And if it is not told t?

# %%
def batch(n, seed):
    g = torch.Generator().manual_seed(seed)
    return hills.sample(n, g).float(), torch.randint(1, 1001, (n,), generator=g), torch.randn(n, 2, generator=g)


# %%
def train(told, steps=600):
    torch.manual_seed(0)
    network, losses = MLP(MLPConfig(width=64, depth=2)), []
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for k in range(steps):
        loss = objective.loss(lambda x, t: network(x, told * t), schedule, *batch(512, k)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


# %%
def best_v(x_t, t):
    v = torch.empty_like(x_t)
    for k in t.unique():
        x0_hat, eps_hat, _ = ideal.mixture(*hills, schedule)(x_t[t == k].double(), k + 1)
        v[t == k] = (schedule.alpha[k + 1] * eps_hat - schedule.sigma[k + 1] * x0_hat).float()
    return v


floor = objective.loss(best_v, schedule, *batch(20_000, seed=10_000)).mean()
told, not_told = (train(told).unfold(0, 50, 10).mean(1) for told in (1, 0))
steps = torch.arange(len(told)) * 10 + 25
viz.lines(steps, {"network": told, "never told t": not_told, "best possible": floor.expand(len(told))},
          "loss, mean of 50 steps", xlabel="step")  # fmt: skip

# %% [markdown]
# The network comes down to the floor and cannot go below it: what is left is not its fault, it is what noise has
# destroyed. **A loss that stays above 0 is no sign of bad training.** The negative control, a network that is never told
# t, stays clearly above: the same x_t means one thing under little noise and another under much, and it must answer
# both with one function. (The network of the article's listing is in this position; lesson 05.)
#
# ## Summary
#
# - The best denoiser answers the mean of all x_0 that could have become x_t. The more noise, the more blurred it is.
# - For a finite data set it is a softmax; it memorises. For Gaussians it is a formula, too.
# - Tweedie: x0_hat = (x_t + sigma² score) / alpha. Denoiser, score and predicted noise are one function.
# - Training has a floor above 0, which can be computed for toy data.
#
# ## Can you still say it?
#
# 1. Why the mean, and not the most probable picture?
# 2. What would the best answer be if the error were counted by its absolute value instead of its square?
# 3. Why does one step from pure noise give a blur? Whose fault is it?
# 4. Where does a diffusion model get new pictures from, if the perfect one only repeats old ones?
# 5. What is the score of a standard normal distribution at x?
# 6. Where does x0_hat lie if x_t lies exactly between two equally probable points?
#
# ## Go on
#
# - Next: lesson 03, walking back (see the [map of the course](README.md)).
# - Denoisers and scores: P. Vincent, [A Connection Between Score Matching and Denoising
#   Autoencoders](https://www.iro.umontreal.ca/~vincentp/Publications/smdae_techreport.pdf), 2011.
# - The ideal denoiser of a data set: T. Karras et al., [Elucidating the Design Space of Diffusion-Based Generative
#   Models](https://arxiv.org/abs/2206.00364), 2022, figure 1 and appendix B.3.
