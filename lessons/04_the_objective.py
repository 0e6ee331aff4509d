# %% [markdown]
# # 04 · The objective: from L_vlb to L_simple, in bits
#
# **After this lesson you can**
#
# - say what "a good model" means in bits, and compute it for real, held-out pictures;
# - write down every term of the variational bound, and check the sum against a likelihood that is known;
# - compute the probability of a grey so that it is right 20 standard deviations away;
# - say which weight the simple loss leaves out, and what that does.
#
# **Time** 50 minutes. **Article** section 4.1.3. **Needs** no GPU, no download; lessons 01 to 03.
# **Files** `minidiffusion/diffusion/bound.py`, `objective.py` and `likelihood.py` beside it, `benchmarks/digits.py`.

# %%
import math

import torch

from lessons.exercises.lesson_04 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.data.digits import GREY_LEVELS, digits
from minidiffusion.diffusion import bound, ideal, objective
from minidiffusion.diffusion.likelihood import log_likelihood
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.training.digits import trained_digits

# %% [markdown]
# ## 1. How good is a model?
#
# "The samples look nice" is no measure: a model that has memorised ten pictures makes nice samples. Ask instead how
# probable it finds data that it has *never seen*. By a theorem of Shannon's, something of probability p can be stored in
# $-\log_2 p$ **bits**; a good model of pictures is a good compressor of new pictures. (With the natural logarithm the unit
# is a **nat**, 1.44 bits.)
#
# For a diffusion model $p_\theta(x_0)$ is an integral over all ways from noise to x_0, which nobody can do. But there is
# a **variational bound** (变分下界) on it, which the article states as $L_{vlb}$, and which is a sum of things that can be
# computed:
#
# $$-\log p_\theta(x_0) \;\le\; L_{vlb} = \underbrace{D_{KL}(q(x_T|x_0) \,\|\, p(x_T))}_{\text{prior}}
# + \sum_{t=2}^{T} \underbrace{E\, D_{KL}(q(x_{t-1}|x_t,x_0) \,\|\, p_\theta(x_{t-1}|x_t))}_{\text{step } t}
# + \underbrace{E[-\log p_\theta(x_0|x_1)]}_{\text{decoder}}$$
#
# Read it as a story about compression. The receiver has the model. You send him x_T, then x_{T-1} given x_T, and so on to
# x_0. Each message costs what *his* guess $p_\theta$ lacks to the *truth* q, which you, who know x_0, have in hand. That
# lack is the **Kullback-Leibler divergence** (KL 散度).
#
# ## 2. Exercise: one KL term
#
# Both sides of each step are Gaussian (lesson 03), so the integral is a formula. In one dimension:
#
# $$D_{KL}(\mathcal N(\mu_q, v_q) \| \mathcal N(\mu_p, v_p)) =
# \tfrac12\left(\frac{v_q}{v_p} - 1 - \ln\frac{v_q}{v_p} + \frac{(\mu_q - \mu_p)^2}{v_p}\right)$$
#
# **Write** `kl(mean_q, var_q, mean_p, var_p)`: four tensors of one shape; the result has it too, in nats.

# %% tags=["ex-kl"]
def kl(mean_q, var_q, mean_p, var_p):
    raise NotImplementedError


# %%
kl = check("kl", kl)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.log` is the natural logarithm. Try it: two equal Gaussians must give 0, and no input may give less.
# </details>

# %% [markdown] tags=["solution-kl"]
# <details><summary>Solution</summary>
#
# ```python
# def kl(mean_q, var_q, mean_p, var_p):
#     ratio = var_q / var_p
#     return 0.5 * (ratio - 1 - torch.log(ratio) + (mean_q - mean_p) ** 2 / var_p)
# ```
# </details>

# %% [markdown]
# The library adds them up over all steps, with one draw of noise for each:

# %%
viz.show_source(bound.variational_bound)

# %% [markdown]
# ## 3. Is the sum right? Check it where the answer is known
#
# Most code that computes $L_{vlb}$ is never checked, for on pictures nobody knows the true likelihood. For two hills in the
# plane we know everything: $\log p(x_0)$, and the best possible denoiser (lesson 02). So the bound has to lie above
# $-\log p$ and, if all is right, to close in on it as the steps get shorter and more Gaussian.
#
# **Predict.** How far above will it be with 10 steps, with 100, with 1000? And does it matter whether the variance of the
# reverse step is beta or beta-tilde? (Article: $\sigma_t^2$; lesson 03.)

# %%
hills = toy.two_gaussians()
x_0 = hills.sample(40_000, torch.Generator().manual_seed(0))


def gap(T, variance):
    schedule, generator = make_schedule("cosine", T), torch.Generator().manual_seed(T)
    some = x_0[: 4_000_000 // T]
    cost = bound.variational_bound(ideal.mixture(*hills, schedule), schedule, some, variance=variance, generator=generator)
    gaps = cost.total + hills.log_prob(some)
    return gaps.mean().item(), gaps.std().item() / len(some) ** 0.5


steps = [10, 30, 100, 300, 1000]
gaps = {variance: [gap(T, variance) for T in steps] for variance in ("beta", "beta_tilde")}

# %%
print(f"-log p of the data: {-hills.log_prob(x_0).mean():.3f} nats for each point")
for variance, values in gaps.items():
    print(f"{variance:12}", "   ".join(f"T = {T}: {g:.3f} ± {e:.3f}" for T, (g, e) in zip(steps, values, strict=True)))
means = {f"sigma_t^2 = {variance}": torch.tensor(values)[:, 0] for variance, values in gaps.items()}
viz.lines(torch.tensor(steps).log10(), means, "L_vlb - (-log p), nats", xlabel="log10 of the number of steps T")

# %% [markdown]
# With beta the gap closes: what is left at a thousand steps is smaller than what so few points can tell. With
# beta-tilde it stays open: that variance would be right if the data were a single point, and in the last steps, where the
# data's own width shows, it is too sure of itself. The bound is a measuring instrument, and now it is a calibrated one.
#
# There is a second way to the likelihood, without any bound. The deterministic way from noise to data (the ODE of lesson
# 06) can be followed backwards, counting how it squeezes and stretches:

# %%
schedule = make_schedule("cosine")
few = x_0[:100]
by_ode = log_likelihood(ideal.mixture(*hills, schedule), schedule, few, steps=200)
print(f"largest error of the ODE's log p over 100 points: {(by_ode - hills.log_prob(few)).abs().max():.4f} nats")

# %% [markdown]
# ## 4. Exercise: the probability of a grey
#
# Pictures are not real numbers, they are *greys*, and a probability needs no density. The last term, the **decoder**, asks:
# a Gaussian around mean, with standard deviation std, falls into which of 17 bins of width 2/16? The first and last bin
# reach to infinity:
#
# $$P(x_0) = \Phi\!\left(\frac{x_0 + \frac1{16} - \mu}{\sigma}\right) - \Phi\!\left(\frac{x_0 - \frac1{16} - \mu}{\sigma}\right)$$
#
# It looks like one line, and it is where most programs are wrong. Far from the mean both $\Phi$ round to the same number,
# and the logarithm of 0 is minus infinity.
#
# **Write** `log_p(x_0, mean, std)`: three tensors of one shape, x_0 one of the 17 greys from -1 to 1; the natural logarithm
# of P, right for any distance.

# %% tags=["ex-log_p"]
def log_p(x_0, mean, std):
    raise NotImplementedError


# %%
log_p = check("log_p", log_p)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.special.log_ndtr(z)` is log Phi(z), exact for z far below 0. And log(a - b) = log a + log(1 - b/a). Right of the
# mean both Phi are nearly 1; there, use Phi(u) - Phi(l) = Phi(-l) - Phi(-u).
# </details>

# %% [markdown] tags=["solution-log_p"]
# <details><summary>Solution</summary>
#
# ```python
# def log_p(x_0, mean, std):
#     low, high = (x_0 - 1 / 16 - mean) / std, (x_0 + 1 / 16 - mean) / std
#     low, high = torch.where(x_0 == -1, -torch.inf, low), torch.where(x_0 == 1, torch.inf, high)
#     mirror = low > 0
#     low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
#     log_high, log_low = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
#     return log_high + torch.log1p(-torch.exp(log_low - log_high))
# ```
# </details>

# %% [markdown]
# Why not clamp the probability at 1e-12, as many do? That is our **negative control**. A model that is very sure, and wrong:
#
# **Predict.** A pixel is 20 standard deviations away from where the model expects it. How many bits does it cost? How many
# with the clamp?

# %%
sure = torch.tensor([0.02], dtype=torch.float64)
for distance in (1, 5, 20, 50):
    x, mean = torch.tensor([0.5], dtype=torch.float64), torch.tensor([0.5 - 1 / 16 - 0.02 * distance])
    cost = -log_p(x, mean, sure).item() / math.log(2)
    print(f"{distance:3} standard deviations from the bin: {cost:8.1f} bits, clamped {min(cost, 12 * math.log2(10)):5.1f}")

# %% [markdown]
# With the clamp no mistake costs more than 40 bits, so a model that is recklessly sure looks better than it is. The result
# is not a bound on anything any more.
#
# ## 5. Real pictures, in bits
#
# Now the whole bound on real, held-out data: 297 handwritten digits of 8 x 8 pixels in 17 greys. The denoiser was trained for
# a minute on 1,500 others (`minidiffusion train digits`). It also says how wide each step should be, pixel by pixel, which
# is called a **learned variance** (Nichol & Dhariwal 2021).
#
# Two yardsticks: guessing among 17 greys costs log2(17) = 4.09 bits a pixel. Knowing for each pixel how often it has which
# grey costs 2.36.
#
# **Predict.** What will the model need? Which of its three parts will be the largest? What does the model gain by learning its
# variance?

# %%
denoise, short = trained_digits()
held_out, _ = digits(held_out=True)
cost = {}
for variance in ("learned", "beta", "beta_tilde"):
    with torch.no_grad():
        cost[variance] = bound.variational_bound(denoise, short, held_out, decoder=bound.discretised(GREY_LEVELS), variance=variance,
                                     generator=torch.Generator().manual_seed(1))  # fmt: skip
print("bits a pixel     prior   steps 2 to T   decoder     all")
for name, c in cost.items():
    parts = [c.bits_per_dim(part).mean() for part in (c.prior, c.steps[:, 1:].sum(1), c.steps[:, 0], c.total)]
    print(f"{name:16} {parts[0]:.3f}   {parts[1]:12.3f}   {parts[2]:7.3f}   {parts[3]:.3f}")

# %% [markdown]
# Half a bit below the yardstick: strokes hang together, and the model knows how. The prior costs nothing, since at T nothing
# is left of the picture. Much of the gain of the learned variance comes from paper: in the corners it is certain, and with
# the fixed variance beta every step pays a little for being unsure about what is sure.
#
# ## 6. Exercise: the weight that L_simple leaves out
#
# Where do the bits go, and what does the usual loss make of it? With sigma_t² = beta_t both variances are fixed, and all
# that a network can change in the KL of step t is the distance of the means, $(\mu_q - \mu_p)^2 / (2 \beta_t)$. In lesson 03
# you wrote the mean with the noise in it: $\mu = \frac{1}{\sqrt{1-\beta_t}}(x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,
# \epsilon)$. So the term is a *weight* times $(\epsilon - \hat\epsilon)^2$.
#
# **Write** `eps_weight(beta_t, alpha_bar_t)`: that weight. Both are tensors without dimensions.

# %% tags=["ex-eps_weight"]
def eps_weight(beta_t, alpha_bar_t):
    raise NotImplementedError


# %%
eps_weight = check("eps_weight", eps_weight)

# %% [markdown]
# <details><summary>Help</summary>
#
# The means differ by beta_t / sqrt((1 - beta_t) (1 - alpha_bar_t)) times (eps - eps_hat). Square that, and divide by
# 2 beta_t.
# </details>

# %% [markdown] tags=["solution-eps_weight"]
# <details><summary>Solution</summary>
#
# ```python
# def eps_weight(beta_t, alpha_bar_t):
#     return beta_t / (2 * (1 - beta_t) * (1 - alpha_bar_t))
# ```
# </details>

# %% [markdown]
# Ho et al. (2020) dropped this weight, put 1 in its place, called the result $L_{simple}$, and got better pictures. Every
# image model since then has trained with some such loss. To compare them, put all in one unit, the squared error of x_0
# (an error d of x_0 is an error alpha/sigma d of eps, and a little more of v), and look at the share that each step gets.
#
# **Predict.** On the left: which steps cost the most bits? On the right: which steps does $L_{vlb}$ care about, which $L_{simple}$?

# %%
t = torch.arange(1, short.T)
in_x0 = {kind: objective.squared_error(kind, short.alpha[t], short.sigma[t]) for kind in ("eps", "v")}
weights = {
    "L_vlb": in_x0["eps"] * torch.stack([eps_weight(short.beta[k - 1], short.alpha[k] ** 2) for k in t]),
    "L_simple, predicting eps": in_x0["eps"],
    "L_simple, predicting v": in_x0["v"],
}
bits = {name: c.bits_per_dim(c.steps[:, :-1]).mean(0) for name, c in cost.items()}
shares = {name: w / w.sum() for name, w in weights.items()}
viz.bits_per_step({f"variance {name}": b for name, b in bits.items()}, shares)

# %%
for low, high in ((1, 10), (11, 40), (41, 99)):
    counts = ", ".join(f"{name} {share[low - 1 : high].sum():.1%}" for name, share in shares.items())
    print(f"t = {low:2} to {high:2}: {bits['learned'][low - 1 : high].sum():.2f} bits a pixel; counts in {counts}")

# %% [markdown]
# Two thirds of the bits are in the first ten steps: telling a grey from its neighbour is expensive, and the eye does not
# care. What the digit *is* gets decided in the noisy half, for a ninth of the bits. $L_{vlb}$ gives that half four
# thousandths of its weight, so a network trained with it spends its strength on grain. $L_{simple}$ gives it six times
# as much, and with v eighteen times. Good compression and good pictures are two aims, and the weight says which one you
# want.
#
# The **hybrid loss** (混合损失) with which the digits were trained is $L_{simple}$ for the answer and a little $L_{vlb}$ for the
# variance only:

# %%
viz.show_source(objective.hybrid)

# %% [markdown]
# ## Summary
#
# - A model is measured in bits for data it has not seen. $L_{vlb}$ bounds them from above, term by term.
# - With a perfect denoiser and sigma² = beta the bound closes as T grows; we have checked it against a known likelihood.
# - The probability of a grey is a difference of two Phi, to be taken of logarithms, and never clamped.
# - $L_{simple}$ is $L_{vlb}$ without its weight: worse bits, better pictures.
#
# ## Can you still say it?
#
# 1. Who knows q(x_{t-1} | x_t, x_0), and who does not, in the story of the two who send messages?
# 2. Why can one sample have L_vlb below -log p of the *data*, if it is a bound?
# 3. Why is the prior term 0.000 here, and what would it be with a schedule that ends at alpha_bar_T = 0.36 (lesson 05)?
# 4. Why is beta-tilde too small, and for which data would it be right?
# 5. Would the bits change if you trained on eps instead of v? And the bound's formula?
# 6. A program reports 3.1 bits a pixel for 256 greys and clamps at 1e-12. What would you ask its author?
#
# ## Go on
#
# - Next: lesson 05, a listing that trains and learns nothing (see the [map of the course](README.md)).
# - Learned variances and where the bits are: A. Nichol and P. Dhariwal, [Improved Denoising Diffusion Probabilistic
#   Models](https://arxiv.org/abs/2102.09672), 2021, figures 2 and 5.
# - The likelihood by the ODE: Y. Song et al., [Score-Based Generative Modeling through Stochastic Differential
#   Equations](https://arxiv.org/abs/2011.13456), 2021.
