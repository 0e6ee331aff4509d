# %% [markdown]
# # 03 · Reverse diffusion: walking back
#
# **After this lesson you can**
#
# - say why a step back is a Gaussian if it is short, and none if it is long;
# - compute the step back exactly when x_0 is known, as a product of two hills;
# - turn it into a sampler by putting a guess in the place of x_0;
# - train a small diffusion model from nothing, and watch noise become a spiral.
#
# **Time** 45 minutes. **Article** section 4.1.2. **Needs** no GPU, no download; lessons 01 and 02.
# **Files** `minidiffusion/diffusion/forward.py`, `minidiffusion/diffusion/sampler.py`, `minidiffusion/networks/mlp.py`.

# %%
import torch

from lessons.exercises.lesson_03 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.diffusion import forward, ideal, objective, sampler
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks.mlp import MLP, MLPConfig

# %% [markdown]
# ## 1. Can a step be undone?
#
# The **reverse process** (逆向扩散过程) starts from noise and undoes one step after the other. In the article:
#
# $$p_\theta(x_{t-1} | x_t) = \mathcal{N}(x_{t-1};\ \mu_\theta(x_t, t),\ \sigma_t^2 I)$$
#
# That a *forward* step is Gaussian was our choice. Why should the way back be one? What may x_s have been, given x_t? By
# Bayes' rule (贝叶斯公式) $q(x_s | x_t) \propto q(x_t | x_s)\, q(x_s)$. For data on a line, all of this can be computed: let
# the data be two narrow hills at -1 and 1, and let us stand at x_t = 0.2.
#
# **Predict before you look.** What does $q(x_s | x_t)$ look like if s is one step before t = 600? 250 steps before? All the
# way back at s = 0?

# %%
schedule = make_schedule("cosine")
line = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64)
half, one = torch.full((2,), 0.5, dtype=torch.float64), torch.ones(2, 1, 1, dtype=torch.float64)
data = toy.GaussianMixture(half, torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.15**2 * one)


def way_back(s, t, x_t):
    before = data.noised(schedule.alpha[s], schedule.sigma[s]).log_prob(line[:, None]).exp()
    factor, var = forward.transition(schedule.alpha[[t, s]], schedule.sigma[[t, s]])
    density = before * torch.exp(-((x_t - factor * line) ** 2) / (2 * var))
    return {"what x_s was, given x_t": density / density.max(), "x_s alone": 0.5 * before / before.max()}


viz.densities(line, [way_back(s, t=600, x_t=0.2) for s in (599, 350, 0)], ["s = 599", "s = 350", "s = 0"])

# %% [markdown]
# One step back: a narrow Gaussian around where we are. 250 steps: it has two tops, and is a Gaussian no more. All the way:
# two hills, for x_t = 0.2 may have come from either. A Gaussian in the middle between two hills would sit where no data are. **This is why
# diffusion takes many small steps**: only a short step back is a Gaussian (Feller 1949; Sohl-Dickstein et al. 2015).
#
# ## 2. If x_0 were known
#
# Then there is no mixture to worry about, and $q(x_s | x_t, x_0)$ is exactly Gaussian for any s. Two things are known
# about x_s:
#
# - what x_0 says, looking forward: $x_s \sim \mathcal{N}(\sqrt{\bar\alpha_s}\, x_0,\ 1 - \bar\alpha_s)$;
# - what x_t says, looking back one step: $x_t = \sqrt{1-\beta_t}\, x_s + \sqrt{\beta_t}\, \epsilon$, that is,
#   $x_s$ is about $x_t / \sqrt{1-\beta_t}$, with variance $\beta_t / (1-\beta_t)$.
#
# What both say together is the *product* of the two hills. A product of Gaussians is a Gaussian: the
# **precisions** (精度, 1 over the variance) add up, and the mean is the mean of both, weighted by the precisions.
#
# **Predict.** Near t = 0, which of the two is the sharper hill? Near T?

# %%
def product(t, x_0=-1.0, x_t=0.7):
    alpha, sigma = schedule.alpha[[t, t - 40]], schedule.sigma[[t, t - 40]]
    factor, var = forward.transition(alpha, sigma)
    said = {
        "what x_0 says": (alpha[1] * x_0, sigma[1] ** 2),
        "what x_t says": (x_t / factor, var / factor**2),
        "both: q(x_s | x_t, x_0)": forward.posterior(torch.tensor(x_t), torch.tensor(x_0), alpha, sigma),
    }
    return {name: torch.exp(-((line - mean) ** 2) / (2 * v)) / v.sqrt() for name, (mean, v) in said.items()}


viz.densities(line, [product(t) for t in (100, 400, 800)], [f"t = {t}, s = {t - 40}" for t in (100, 400, 800)])

# %% [markdown]
# (Forty steps at once, so that the hills can be told apart.) At t = 100 both are sure of themselves, x_0 a little more, and
# the step goes more than half of the way. At t = 800 x_0 hardly says anything about x_s, which is still mostly noise, and x_t
# nearly keeps its place.
#
# ## 3. Exercise: the posterior
#
# **Write** `posterior(x_t, x_0, beta_t, alpha_bar_s)` for s = t - 1: the pair (mean, variance). x_t and x_0 have one shape;
# beta_t and alpha_bar_s are tensors without dimensions.

# %% tags=["ex-posterior"]
def posterior(x_t, x_0, beta_t, alpha_bar_s):
    raise NotImplementedError


# %%
posterior = check("posterior", posterior)

# %% [markdown]
# <details><summary>Help</summary>
#
# The precisions are 1 / (1 - alpha_bar_s) and (1 - beta_t) / beta_t. The variance is 1 over their sum; the mean is
# (precision_1 mean_1 + precision_2 mean_2) times that.
# </details>

# %% [markdown] tags=["solution-posterior"]
# <details><summary>Solution</summary>
#
# ```python
# def posterior(x_t, x_0, beta_t, alpha_bar_s):
#     from_x0, from_xt = 1 / (1 - alpha_bar_s), (1 - beta_t) / beta_t
#     var = 1 / (from_x0 + from_xt)
#     mean = var * (from_x0 * alpha_bar_s.sqrt() * x_0 + from_xt * x_t / (1 - beta_t).sqrt())
#     return mean, var
# ```
# </details>

# %% [markdown]
# In the papers it is written without fractions of fractions, $\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t} \beta_t$,
# and in the library for any two times:

# %%
viz.show_source(forward.posterior)

# %% [markdown]
# ## 4. Exercise: one step of the sampler
#
# x_0 is not known; it is what we are looking for. But a denoiser has a guess (lesson 02), which gets better on the
# way. So: **put the guess in the place of x_0**, draw x_s, ask again. That is all of DDPM's sampling.
#
# **Write** `p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise)`: a draw of x_s. noise is standard normal and has the shape
# of x_t. It must work at the last step as well, where alpha_bar_s is 1.

# %% tags=["ex-p_step"]
def p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise):
    raise NotImplementedError


# %%
p_step = check("p_step", p_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# mean + standard deviation * noise. Your `posterior` divides by 1 - alpha_bar_s, which is 0 at the last step; with the
# papers' form there is nothing to divide by:
# mean = (sqrt(alpha_bar_s) beta_t x0_hat + sqrt(1 - beta_t) (1 - alpha_bar_s) x_t) / (1 - alpha_bar_t).
# </details>

# %% [markdown] tags=["solution-p_step"]
# <details><summary>Solution</summary>
#
# ```python
# def p_step(x_t, x0_hat, beta_t, alpha_bar_s, noise):
#     alpha_bar_t = (1 - beta_t) * alpha_bar_s
#     mean = alpha_bar_s.sqrt() * beta_t * x0_hat + (1 - beta_t).sqrt() * (1 - alpha_bar_s) * x_t
#     var = beta_t * (1 - alpha_bar_s) / (1 - alpha_bar_t)
#     return mean / (1 - alpha_bar_t) + var.sqrt() * noise
# ```
# </details>

# %% [markdown]
# Let it walk. The denoiser shall be the perfect one for 2,000 points of a picture that you will recognise.
#
# **Predict.** At which t does the shape begin to show: 800, 500, 200?

# %%
def walk(steps, spread=1.0, n=2_000):
    short, generator = make_schedule("cosine", steps), torch.Generator().manual_seed(0)
    denoise = ideal.finite_data(toy.dinosaur(2_000, torch.Generator().manual_seed(1)), short)
    states = [torch.randn(n, 2, generator=generator)]
    for t in range(steps, 0, -1):
        x0_hat = denoise(states[-1], torch.tensor(t)).x0
        noise = spread * torch.randn(n, 2, generator=generator)
        states.append(p_step(states[-1], x0_hat, short.beta[t - 1].float(), short.alpha[t - 1].float() ** 2, noise))
    return states


states = walk(200)
viz.scatter([states[200 - t] for t in (200, 140, 80, 40, 15, 0)],
            [f"t = {5 * t}" for t in (200, 140, 80, 40, 15, 0)], limit=2.6)  # fmt: skip

# %% [markdown]
# ## 5. What if the steps are long, or without noise?
#
# **Predict.** The same walk in 20, 5 and 2 steps: what will be wrong, and where? And in 200 steps without noise, which is the
# **negative control**: what will be missing?

# %%
ends = {f"{n} steps": walk(n)[-1] for n in (200, 20, 5, 2)} | {"200, no noise": walk(200, spread=0.0)[-1]}
viz.scatter([*ends.values()], [*ends], limit=2.6)

# %%
for name, x in ends.items():
    print(f"{name:14} variance {x.var(0).mean():.3f}   (the data's: 1)")

# %% [markdown]
# Twenty steps lose the eye and thicken the head; five smear everything, since x0_hat is still a mean of many points when
# the last step goes to it; two steps stay in the middle of it all. Without noise every step goes to a mean and pulls
# together what was apart, and 2,000 different noises end in one point. The noise is no decoration. It is the part of the
# step back that nobody can know.
#
# ## 6. Exercise: the article's formula for the mean
#
# Networks mostly predict the noise, and the article's listing (lesson 05) has the mean in this form (Ho et al. 2020, eq. 11):
#
# $$\mu_\theta = \frac{1}{\sqrt{1-\beta_t}} \left(x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\, \hat\epsilon\right)$$
#
# It is the same mean, with $\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\, \hat\epsilon) / \sqrt{\bar\alpha_t}$ put in.
#
# **Write** `mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s)`. Careful: you get alpha_bar of s = t - 1.

# %% tags=["ex-mean_from_eps"]
def mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s):
    raise NotImplementedError


# %%
mean_from_eps = check("mean_from_eps", mean_from_eps)

# %% [markdown]
# <details><summary>Help</summary>
#
# alpha_bar_t = (1 - beta_t) alpha_bar_s.
# </details>

# %% [markdown] tags=["solution-mean_from_eps"]
# <details><summary>Solution</summary>
#
# ```python
# def mean_from_eps(x_t, eps_hat, beta_t, alpha_bar_s):
#     alpha_bar_t = (1 - beta_t) * alpha_bar_s
#     return (x_t - beta_t / (1 - alpha_bar_t).sqrt() * eps_hat) / (1 - beta_t).sqrt()
# ```
# </details>

# %% [markdown]
# ## 7. A diffusion model from nothing
#
# Until here the denoiser was perfect, and so could only give back points that it was given (lesson 02). Now a network of
# 60,000 parameters learns from a stream of points on a spiral. Everything it takes is in this cell.

# %%
T = 200
short, generator = make_schedule("cosine", T), torch.Generator().manual_seed(0)
torch.manual_seed(0)
network = MLP(MLPConfig(shape=(2,), width=64, depth=3))
optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
fade = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
for _ in range(1500):
    x_0, t = toy.swiss_roll(256, generator), torch.randint(1, T + 1, (256,), generator=generator)
    eps = torch.randn(x_0.shape, generator=generator)
    loss = objective.loss(network, short, x_0, t, eps, kind="v").mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    fade.step()

# %%
x_T = torch.randn(2_000, 2, generator=generator)
with torch.no_grad():
    way = [x_T, *(step.x for step in sampler.ddpm(denoiser(network, short, "v"), x_T, short.times(T)))]
clouds = [way[T - t] for t in (200, 120, 60, 25, 0)] + [toy.swiss_roll(2_000, generator)]
viz.scatter(clouds, [f"t = {t}" for t in (200, 120, 60, 25, 0)] + ["data"], limit=2.6)

# %% [markdown]
# None of these 2,000 points was in the training data. A few lie between the arms of the spiral, where no data are: points
# that were late in deciding for one of them, and a network that is smooth where the perfect denoiser would jump.
#
# Instead of two numbers, the picture model of this house has 1,024 (a latent of 16 x 8 x 8), instead of the MLP a U-Net, and
# it is told the prompt. The loop is the one you have just seen.
#
# ## Summary
#
# - A short step back is nearly Gaussian; a long one is not. Hence many steps.
# - With x_0 known, q(x_s | x_t, x_0) is the product of two hills: precisions add.
# - The sampler puts x0_hat in the place of x_0, draws, and asks again.
# - Means from x0_hat and from eps_hat are the same formula. The noise of each step is part of the answer.
#
# ## Can you still say it?
#
# 1. At t = 1 the variance of the posterior is 0. Why?
# 2. Which of the two hills in section 2 depends on the data?
# 3. What does the sampler do in its very first step, with an x0_hat that is the mean of all data?
# 4. Why does a sampler with a perfect denoiser of finite data memorise, and one with a network does not?
# 5. Where would the walk of section 5 end if it had one step?
# 6. In which of the three plots of section 1 would a Gaussian in the place of the blue hill do harm?
#
# ## Go on
#
# - Next: lesson 04, what the loss has to do with probability (see the [map of the course](README.md)).
# - Where it began: J. Sohl-Dickstein et al., [Deep Unsupervised Learning using Nonequilibrium
#   Thermodynamics](https://arxiv.org/abs/1503.03585), 2015.
# - The form that is used: J. Ho et al., [Denoising Diffusion Probabilistic Models](https://arxiv.org/abs/2006.11239), 2020,
#   section 3.2.
