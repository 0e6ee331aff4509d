# %% [markdown]
# # 05 · Debug the article's listing
#
# **After this lesson you can**
#
# - find, in code that runs without an error, the mistakes that keep it from learning;
# - say for each of them by which symptom it shows;
# - repair the loss, the network's input and the sampler, and prove each repair with a number;
# - tell a mistake from a network that is merely too small.
#
# **Time** 50 minutes. **Article** the second chapter 4, section 4.1. **Needs** no GPU, no download; lessons 01 to 04.
# **Files** `lessons/listing.py`, `lessons/listing_repaired.py`, `tests/lessons/test_listing.py`.

# %%
import numpy as np
import PIL.Image
import torch

from lessons import listing, listing_repaired
from lessons.exercises.lesson_05 import check
from minidiffusion import viz
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene

# %% [markdown]
# ## 1. The patient
#
# This is the diffusion model of the article, as printed. Read it as you would read a colleague's code. Its loss falls to
# about 1 and stays there; nothing is ever raised.
#
# **Predict before you look further.** How many mistakes do you count? Which of them stop the learning, which only spoil
# the samples, which will bite when it moves to a GPU? Write them down with line numbers.

# %%
viz.show_source(listing.DiffusionModel)

# %%
viz.show_source(listing.train_step)

# %% [markdown]
# ## 2. First symptom: the loss stays at 1
#
# We train it on 64 pages of our picture book, at 32 x 32 pixels.

# %%
def page(rng):
    picture = PIL.Image.fromarray(render(random_scene(rng, "seen"))).resize((32, 32), PIL.Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 127.5 - 1


rng = np.random.default_rng(0)
pages = torch.stack([page(rng) for _ in range(64)])


def losses_of(train_step, model, steps=150):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = [train_step(model, optimizer, pages[torch.randint(64, (12,))]) for _ in range(steps)]
    return torch.tensor(losses)


# %%
torch.manual_seed(0)
patient = listing.DiffusionModel(n_steps=1000)
stuck = losses_of(listing.train_step, patient)
with torch.no_grad():
    answers = patient(pages, torch.randint(1000, (64,)))
print(f"loss, mean of the last 50 steps    {stuck[-50:].mean():.3f}")
print(f"mean of the squared answers        {answers.square().mean():.4f}")

# %% [markdown]
# The network answers 0 to everything, and that is the best it can do! `forward` draws one noise and adds it; the training
# loop draws *another* and asks for that. The second has nothing to do with anything that the network sees, so the best
# guess is its mean, 0, and the squared error of that is the noise's variance (方差), 1.
#
# A loss that falls and then stays is no proof of learning. **The first thing to ask of a loss is what it would be if the
# network answered 0.**
#
# ## 3. Exercise: one noise, used twice
#
# **Write** `training_loss(network, x_0, alpha_bar_t, seed)`. x_0 is `b c h w`, alpha_bar_t is `b`; network(x_t) answers
# with what it thinks the noise is. Draw the noise with `torch.randn(x_0.shape, generator=...)` from a
# `torch.Generator().manual_seed(seed)`, so that the check can repeat your draw; return the mean squared error (均方误差).

# %% tags=["ex-training_loss"]
def training_loss(network, x_0, alpha_bar_t, seed):
    raise NotImplementedError


# %%
training_loss = check("training_loss", training_loss)

# %% [markdown]
# <details><summary>Help</summary>
#
# Three lines: draw eps; make x_t from x_0, eps and alpha_bar_t, which must first get the shape `b 1 1 1`; compare
# network(x_t) with the *same* eps.
# </details>

# %% [markdown] tags=["solution-training_loss"]
# <details><summary>Solution</summary>
#
# ```python
# def training_loss(network, x_0, alpha_bar_t, seed):
#     eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed))
#     a = alpha_bar_t.view(-1, 1, 1, 1)
#     x_t = a.sqrt() * x_0 + (1 - a).sqrt() * eps
#     return (network(x_t) - eps).square().mean()
# ```
# </details>

# %% [markdown]
# Your loss on the untouched network of the article:

# %%
def repaired_once(model, optimizer, x):
    t = torch.randint(0, model.n_steps, (len(x),))
    loss = training_loss(model.net, x, model.alpha_bar[t], seed=int(torch.randint(10**9, ())))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


torch.manual_seed(0)
once = losses_of(repaired_once, listing.DiffusionModel(n_steps=1000))
print(f"loss, mean of the last 50 steps    {once[-50:].mean():.3f}")

# %% [markdown]
# ## 4. Second symptom: none, at first sight
#
# `forward(x, t)` takes t, uses it to add noise, and never tells the network. `sample` even makes a `t_tensor` that nobody
# reads. One and the same network has to answer at all noise levels without knowing which one it is looking at. The loss
# that you have just seen is that of such a network, and it looks healthy.
#
# **Predict.** How much will the loss gain from t? Where more, where there is much noise or where there is little? And what
# will the samples of a network look like that never knows how far it has come?
#
# ## 5. Exercise: tell it the time
#
# The smallest cure: one more channel, which is t / n_steps in every pixel. (The U-Net of the house adds sines and cosines
# of t inside every block, which is finer; lesson 11.)
#
# **Write** `with_time(x_t, t, n_steps)`: x_t is `b c h w`, t is `b`, whole numbers; the result is `b c+1 h w`.

# %% tags=["ex-with_time"]
def with_time(x_t, t, n_steps):
    raise NotImplementedError


# %%
with_time = check("with_time", with_time)

# %% [markdown]
# <details><summary>Help</summary>
#
# `(t / n_steps).view(-1, 1, 1, 1)` is `b 1 1 1`; `.expand(b, 1, h, w)` makes a picture of it; `torch.cat(..., dim=1)`.
# </details>

# %% [markdown] tags=["solution-with_time"]
# <details><summary>Solution</summary>
#
# ```python
# def with_time(x_t, t, n_steps):
#     b, c, h, w = x_t.shape
#     time = (t / n_steps).view(b, 1, 1, 1).expand(b, 1, h, w)
#     return torch.cat([x_t, time], dim=1)
# ```
# </details>

# %% [markdown]
# Two networks of the same size, with four input channels: one gets the time, the other a constant in its place.

# %%
def train_with(clock):
    torch.manual_seed(0)
    model = listing_repaired.DiffusionModel(n_steps=1000)
    model.forward = lambda x_t, t: model.net(with_time(x_t, clock(t), model.n_steps))
    return model, losses_of(listing_repaired.train_step, model, steps=250)


told, fixed = train_with(lambda t: t)

# %%
untold, _ = train_with(lambda t: 0 * t + 500)
levels = torch.tensor([5, 20, 50, 100, 200, 400, 600, 800, 999])
noise = torch.randn(pages.shape, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    loss_at = {name: torch.stack([(m(m.diffuse_step(pages, t.expand(64), noise), t.expand(64)) - noise).square().mean()
                                  for t in levels]) for name, m in (("told t", told), ("not told", untold))}  # fmt: skip
viz.panels((levels, loss_at, "loss at each noise level", "t", True))

# %% [markdown]
# The network can guess t from the grain of what it sees, so it loses little: a few hundredths here and there, most in
# proportion at the noisy end, where the one that knows t may trust that nothing but noise is left. (At the left both are
# near 1, and that is no mistake: noise too faint to see cannot be predicted.)
#
# Mistakes of this kind are the worst. The loss hardly tells; the samples do, as you will see in section 9: a sampler asks
# a thousand times, and each time the same small error pushes in the same direction.
#
# ## 6. Third symptom: samples that explode
#
# In `sample`, each step ends with `+ noise`. The reverse step (lesson 03) is a draw from
# $\mathcal{N}(\mu_\theta(x_t, t),\ \sigma_t^2 I)$, so it must be `+ sigma_t * noise`, with sigma_t² = beta_t for instance. To
# see this mistake *alone*, we take a perfect network. For data that are normal with standard deviation 0.5, the best
# possible answer is known (lesson 02).
#
# **Predict.** The data have a standard deviation of 0.5. What will the samples have: with full noise, as printed? With no
# noise at all?
#
# ## 7. Exercise: the step
#
# **Write** `reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise)`: the article's step with the right amount of noise.
# beta_t and alpha_bar_t are tensors without dimensions; the other three have one shape.

# %% tags=["ex-reverse_step"]
def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
    raise NotImplementedError


# %%
reverse_step = check("reverse_step", reverse_step)

# %% [markdown]
# <details><summary>Help</summary>
#
# The article's line is right up to the last summand. A standard normal number times c has the variance c².
# </details>

# %% [markdown] tags=["solution-reverse_step"]
# <details><summary>Solution</summary>
#
# ```python
# def reverse_step(x_t, eps_hat, beta_t, alpha_bar_t, noise):
#     mean = (x_t - beta_t / torch.sqrt(1 - alpha_bar_t) * eps_hat) / torch.sqrt(1 - beta_t)
#     return mean + torch.sqrt(beta_t) * noise
# ```
# </details>

# %%
model = listing_repaired.DiffusionModel(n_steps=1000)
variance = 0.25 * model.alpha_bar + 1 - model.alpha_bar  # of x_t, if x_0 has 0.25


def spread_on_the_way(factor):
    generator, spreads = torch.Generator().manual_seed(0), []
    x = torch.randn(5_000, generator=generator)
    for t in reversed(range(1000)):
        eps_hat = torch.sqrt(1 - model.alpha_bar[t]) * x / variance[t]  # the best possible answer
        noise = torch.randn(5_000, generator=generator) * (t > 0)
        x = reverse_step(x, eps_hat, model.beta[t], model.alpha_bar[t], factor(model.beta[t]) * noise)
        spreads.append(x.std())
    return torch.stack(spreads)


# %%
spreads = {
    "repaired: sqrt(beta) noise": spread_on_the_way(lambda beta: 1),
    "as printed: full noise": spread_on_the_way(lambda beta: 1 / beta.sqrt()),
    "negative control: no noise": spread_on_the_way(lambda beta: 0),
    "the data": torch.full((1000,), 0.5),
}
smooth = {name: curve.unfold(0, 20, 5).mean(1) for name, curve in (("as printed", stuck), ("repaired", fixed[:150]))}
viz.panels(
    (torch.arange(len(smooth["repaired"])) * 5 + 10, smooth, "training: loss, mean of 20 steps", "step", False),
    (torch.arange(999, -1, -1), spreads, "sampling with a perfect network: std of x", "t (read from right to left)", True),
)

# %%
for name, curve in spreads.items():
    print(f"{name:30} {curve[-1]:8.3f}")

# %% [markdown]
# Full noise in each of a thousand steps: the samples are some twenty times too wide, however good the network is. The
# **negative control** shows that leaving the noise out is no cure. Each step of the mean alone pulls x together, nothing
# pushes it apart, and every sample ends at the same point, the mean of the data.
#
# ## 8. What will bite later
#
# The remaining mistakes show no symptom on this laptop today. Look for them on purpose. We have no second device here, but
# `meta` serves as one: a device on which tensors have shapes and no values.

# %%
moved, cured = listing.DiffusionModel(1000).to("meta"), listing_repaired.DiffusionModel(1000).to("meta")
print("after .to(device), the weights are on", moved.net[0].weight.device)
print("    the tables of the listing are on ", moved.alpha_bar.device, " <- and indexing them with t fails on a GPU")
print("    the tables of the repaired one on", cured.alpha_bar.device)
print("saved tables:", [key for key in moved.state_dict() if "alpha" in key], "and", [*cured.state_dict()][:3])

# %% [markdown]
# Plain attributes are neither moved nor saved; **buffers** (缓冲区) are, so the repaired model says
# `register_buffer("alpha_bar", ...)`.
#
# Now `n_steps`. The betas from 0.0001 to 0.02 were made for a thousand steps. What is left of the signal if there are fewer?

# %%
for n_steps in (1000, 500, 300, 100):
    print(f"{n_steps:5} steps: alpha_bar_T = {listing.DiffusionModel(n_steps).alpha_bar[-1]:.5f}")
try:
    listing_repaired.DiffusionModel(100)
except ValueError as error:
    print("repaired:", error)

# %% [markdown]
# With 100 steps a third of the variance at T is still signal. `sample` begins with pure noise, which the network has never
# seen at T. Every fast experiment of a student ("only 100 steps, to see whether it works") falls into this trap.
#
# And two more. `sample` runs without `torch.no_grad()`, so it keeps a thousand networks' worth of memory for gradients that
# nobody asks for; and its size is fixed at 32 x 32.
#
# ## 9. The repaired listing
#
# The same size, the same names, a number at each repair:

# %%
viz.show_source(listing_repaired.DiffusionModel)

# %%
torch.manual_seed(1)
with torch.no_grad():
    rows = {"pages": pages[:6], "as printed": patient.sample(6, "cpu")}
rows |= {"repaired, but\nnot told t": untold.sample(6), "repaired": told.sample(6)}
for name, x in rows.items():
    print(f"{' '.join(name.split()):24} mean {x.mean():5.2f}   standard deviation {x.std():8.2f}")
viz.grid([list(row) for row in rows.values()], [*rows], side=1.1)

# %% [markdown]
# Without t the sampler has drifted off, here to black (another batch size sent it to white). The repaired model learns what
# it can, colours that go together and soft edges, and still draws no house. That is no mistake any more. Three 3 x 3 convolutions see 7 x 7 pixels; which way is up,
# and whether there is already a roof, lies outside, and with 250 steps it has not even learnt how bright a page is. **When
# a perfect network gives the right statistics in your sampler, the loss falls well below its trivial value, and the
# pictures are still bad, then the network is too small or too young**, and it is time for a better one (lesson 11), not
# for more debugging.
#
# ## Summary
#
# | mistake | symptom | repair |
# |---|---|---|
# | the noise in the loss is not the one that was added | loss 1.0, answers 0 | draw once, use twice |
# | t never reaches the network | loss a little too high, samples drift | an input for t |
# | sigma_t missing in `sample` | standard deviation 20 times too large | `sqrt(beta_t) * noise` |
# | tables are plain attributes | fails on a GPU, lost when saved | `register_buffer` |
# | n_steps and beta are tied | off-distribution start | refuse, or scale beta |
# | gradients kept while sampling | memory | `torch.no_grad()` |
#
# ## Can you still say it?
#
# 1. What would the loss be if a network that predicts x_0 always answered 0, for data of variance 0.25?
# 2. Why does nothing *raise* in the listing, on the CPU?
# 3. Why is no noise at all as wrong as too much?
# 4. Which of the six mistakes can be found by training, which only by reading, which only by sampling?
# 5. The listing draws t with `torch.randint(0, n_steps, (b,))`. What would go wrong with one t for the whole batch?
# 6. If `alpha_bar[t]` were not reshaped, for which batch size would it go wrong *silently*, with pictures 32 wide?
#
# ## Go on
#
# - Next: lesson 06, samplers (see the [map of the course](README.md)).
# - The tests of each repair: [`tests/lessons/test_listing.py`](../tests/lessons/test_listing.py).
# - How the original authors say it, in 12 lines: J. Ho et al., [Denoising Diffusion Probabilistic
#   Models](https://arxiv.org/abs/2006.11239), 2020, algorithms 1 and 2.
