# %% [markdown]
# # 12 · Latent space: autoencoder, VAE, VQ
#
# **After this lesson you can**
#
# - say how few numbers a picture needs, and why a straight (linear) code needs more of them than a bent one;
# - write what makes a VAE of an autoencoder, reparametrisation and KL, and say what beta, collapse and free bits are;
# - walk from one picture to another, and say when a straight line, an arc or a diffusion model should do it;
# - write a picture as a few whole numbers, and pass a gradient through a choice that has none.
#
# **Time** 75 minutes. **Article** sections 2.2 and 3.2.1. **Needs** no GPU, no download; lesson 02 helps.
# **Files** `minidiffusion/latent/autoencoder.py`, and beside it `linear.py`, `elbo.py`, `interpolate.py`, `vae.py`,
# `vq.py`.

# %%
import numpy as np
import torch
from einops import rearrange
from torch import nn

from lessons.exercises.lesson_12 import check
from minidiffusion import viz
from minidiffusion.data import toy
from minidiffusion.data.digits import digits
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.sampler import SAMPLERS

# %%
from minidiffusion.evaluation.judge import load_judge, read_attributes
from minidiffusion.latent.autoencoder import Autoencoder, VariationalAutoencoder, perceptron
from minidiffusion.latent.elbo import active_units, elbo, free_bits, importance_bound
from minidiffusion.latent.interpolate import attribute_direction, geodesic, length, lerp, manifold
from minidiffusion.latent.linear import principal_components
from minidiffusion.latent.vae import DiagonalGaussian
from minidiffusion.latent.vq import VectorQuantizer, perplexity, usage
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import ATTRIBUTES, random_scene
from minidiffusion.pipelines.latent_mcmc import LatentPrior
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.viz.latent import codebooks, codes, interpolations


# %%
def ink(rows):  # digits as they are kept here, `b 64`, as pictures, ink on paper
    return [-row.detach().view(1, 8, 8).expand(3, -1, -1) for row in rows]


# %% [markdown]
# ## 1. How many numbers is a picture?
#
# A page of our picture book has 64 x 64 pixels of 3 colours: 12,288 numbers. Do we need them all? Draw 12,288 random
# numbers, and you will not see a picture, however often you try. Pictures fill next to nothing of the space of all
# pixel values.
#
# A first answer is **principal component analysis** (主成分分析, PCA): keep k coordinates of each picture, those along the
# directions in which known pictures vary most. What is left over of *new* pictures? We ask for four kinds: pages; 8 x 8
# digits (64 numbers); noise, as **negative control**; and pictures of one disc that runs around a circle, for which one
# number, the angle, says everything.

# %%
rng = np.random.default_rng(0)
scenes = [random_scene(rng, "seen") for _ in range(500)]
pages = torch.stack([torch.from_numpy(render(scene)) for scene in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
(x, y), (x_new, _) = digits(), digits(held_out=True)
x, x_new = x.flatten(1), x_new.flatten(1)
generator = torch.Generator().manual_seed(0)
angle = 2 * torch.pi * torch.rand(400, 1, 1, generator=generator)
row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
away = ((column - 32 - 20 * angle.cos()) ** 2 + (row - 32 - 20 * angle.sin()) ** 2).sqrt()
disc, noise = torch.sigmoid(6 - away).flatten(1), torch.randn(400, 64**2, generator=generator)

# %% [markdown]
# **Predict before you look.** Which k leaves 10 % of a page, of a digit, of noise? And of the disc: is it k = 1?

# %%
def left_over(known, new):  # the share of the variance that the k leading components of the known ones do not hold
    mean = known.mean(0)
    _, _, directions = torch.linalg.svd(known - mean, full_matrices=False)
    kept = ((new - mean) @ directions.T).square().sum(0).cumsum(0)
    return nn.functional.pad(1 - kept / (new - mean).square().sum(), (0, 300 - len(directions)), value=torch.nan)


flat = pages.flatten(1)
left = {"pages": left_over(flat[:300], flat[300:]), "digits": left_over(x, x_new),
        "noise": left_over(noise[:300], noise[300:]), "disc": left_over(disc[:300], disc[300:])}  # fmt: skip
for name, share in left.items():
    print(f"{name:7}", *(f"k = {k}: {share[k - 1]:.0%}," for k in (1, 2, 10, 20, 50)))
viz.lines(torch.arange(1, 301).log10(), left, "share of the variance left over by k components", "log10 k")

# %% [markdown]
# Fifty numbers hold more than nine tenths of a page; of noise, fifty hold nearly nothing, for in it no pixel says
# anything about another. But look at the disc. It *is* one number, and with one component nine tenths are missing. Its
# pictures lie on a closed line that winds through many dimensions, and a straight ruler is held against it.
#
# That is the idea of the **manifold** (流形): pictures lie on a thin, bent sheet in the space of all pixel values. A code
# for them should be a map of the sheet. PCA knows flat maps only.
#
# ## 2. A bottleneck
#
# An **autoencoder** (自编码器) is two networks: $z = \mathrm{encode}(x)$ has k numbers, $\hat x = \mathrm{decode}(z)$ shall
# be x again. What does not fit through the **bottleneck** (瓶颈) is lost. z is the picture's **latent** (潜在变量). If both
# are linear, the best one is PCA (Baldi & Hornik 1989). With a hidden layer that bends, the map may be bent.

# %%
def train(model, loss, steps=500, lr=1e-2):
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, x[torch.randint(len(x), (128,), generator=generator)], generator).backward()
        optimizer.step()
        rates.step()
    return model.requires_grad_(False)


def networks(outputs, k):  # an encoder with that many outputs, and a decoder of codes of k numbers
    torch.manual_seed(0)
    return perceptron(64, 128, 64, outputs), perceptron(k, 64, 128, 64)


# %% [markdown]
# **Predict.** With k numbers of a new digit, how much smaller is the autoencoder's error, for k = 2 and for k = 16?

# %%
def squared_error(model, x, _=None):
    return (model(x) - x).square().mean()


ae = {k: train(Autoencoder(*networks(k, k)), squared_error) for k in (2, 16)}
spread = (x_new - x.mean(0)).square().mean()
for k, model in ae.items():
    error = squared_error(model, x_new) / spread
    print(f"k = {k:2}: PCA leaves {left['digits'][k - 1]:.1%}, the autoencoder {error:.1%}")

# %% [markdown]
# With two numbers bending pays: a third less is left over. With sixteen it gains little on new digits; 1,500 known ones
# are few for a map of so many dimensions.
#
# ## 3. Holes
#
# A decoder makes pictures of codes. So is it a generator? Draw a code at random, decode it, and there is a new digit.
# Try it, as the **negative control** of this lesson. Which codes are probable? Nobody said. We try two guesses:
# $\mathcal N(0, I)$, and the Gaussian with mean and covariance of the codes of all known digits.
#
# How bad a picture is we measure by its squared distance to the nearest known digit. (For new digits by real hands that
# is not 0 either.)
#
# **Predict.** In two dimensions and in sixteen: digits?

# %%
def draws(model, z, k, n=500):  # decoded from N(0, I), and from the Gaussian that fits the codes z
    eps = torch.randn(n, k, generator=torch.Generator().manual_seed(1))
    root = torch.linalg.cholesky(torch.cov(z.T) + 1e-6 * torch.eye(k))
    return {"N(0, I)": model.decode(eps), "fitted": model.decode(z.mean(0) + eps @ root.T)}


def strangeness(rows):
    return torch.cdist(rows, x).amin(1).square().mean() / 64


drawn = {f"k = {k}, {name}": rows for k in ae for name, rows in draws(ae[k], ae[k].encode(x), k).items()}
print(f"{'real new digits':24} {strangeness(x_new):.3f}")
for name, rows in drawn.items():
    print(f"{name:24} {strangeness(rows):.3f}")
viz.grid([ink(rows[:10]) for rows in drawn.values()], [name.replace(", ", "\n", 1) for name in drawn], side=0.8)

# %% [markdown]
# Two numbers are easily filled: wherever one looks, some digit is near. (Not being strange is not enough: a blurred
# mean of digits is not strange either.) In sixteen dimensions there is more room than 1,500 digits can fill. Most of it
# is **holes**, from which the decoder was never asked for anything. What it says there is nobody's digit.
#
# Two things are missing: the decoder must be trained in the whole neighbourhood of each code, and all neighbourhoods
# together must fill a region that we know how to draw from. That is what a **variational autoencoder** (变分自编码器, VAE)
# adds.
#
# ## 4. Exercise: a draw that lets the gradient through
#
# The VAE's encoder answers not with a point but with a cloud, the Gaussian $q(z \mid x) = \mathcal N(\mu, \sigma^2)$
# with an independent spread for each number, and the decoder gets a draw from it. How shall the gradient go back
# through a *draw*? By making the randomness an input: $z = \mu + \sigma \epsilon$ with $\epsilon \sim \mathcal N(0, I)$
# (**reparametrisation**, 重参数化). The encoder gives $\log \sigma^2$, called `logvar`, which may be any number.
#
# **Write** `reparametrise(mean, logvar, eps)`: three tensors of one shape; the result too.

# %% tags=["ex-reparametrise"]
def reparametrise(mean, logvar, eps):
    raise NotImplementedError


# %%
reparametrise = check("reparametrise", reparametrise)

# %% [markdown]
# <details><summary>Help</summary>
#
# $\sigma = \exp(\tfrac12 \log \sigma^2)$.
# </details>

# %% [markdown] tags=["solution-reparametrise"]
# <details><summary>Solution</summary>
#
# ```python
# def reparametrise(mean, logvar, eps):
#     return mean + torch.exp(0.5 * logvar) * eps
# ```
# </details>

# %% [markdown]
# There is another way, which needs no gradient of f:
# $\nabla_\mu \mathbb E f(z) = \mathbb E\,[f(z)\, \nabla_\mu \log q(z)]$. It is what reinforcement learning does.
# **Predict.** For $f(z) = (z - 3)^2$ at $\mu = 0$, $\sigma = 1$ the gradient is -6. How many times more does the other
# way scatter, from draw to draw?

# %%
eps = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
mean = torch.zeros(100_000, 1, requires_grad=True)
z = reparametrise(mean, torch.zeros_like(mean), eps)
(through,) = torch.autograd.grad((z - 3).square().sum(), mean)
around = (z.detach() - 3).square() * z.detach()  # the gradient of log N(z; mean, 1) at mean = 0 is z
for name, gradient in {"through the draw": through, "around it": around}.items():
    print(f"{name:16} mean {gradient.mean():.2f}, standard deviation {gradient.std():.1f}")

# %% [markdown]
# Both are right on average. But one draw of the first is worth more than fifty of the second, and z is only one number
# here.
#
# ## 5. Exercise: keep close to the prior
#
# All clouds together should fill $\mathcal N(0, I)$, the **prior** (先验), from which we shall draw. How far one cloud is
# from it is said by the Kullback-Leibler divergence (lesson 04). For independent Gaussians it has a closed form, in
# nats:
#
# $$D_{KL} = \tfrac12 \sum_j \left( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \right)$$
#
# **Write** `kl(mean, logvar)`: two tensors `b k`; the result is `b`.

# %% tags=["ex-kl"]
def kl(mean, logvar):
    raise NotImplementedError


# %%
kl = check("kl", kl)

# %% [markdown]
# <details><summary>Help</summary>
#
# $\sigma^2$ is `logvar.exp()`; sum over `dim=1`.
# </details>

# %% [markdown] tags=["solution-kl"]
# <details><summary>Solution</summary>
#
# ```python
# def kl(mean, logvar):
#     return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=1)
# ```
# </details>

# %% [markdown]
# ## 6. The VAE
#
# What a VAE maximises is the **evidence lower bound** (证据下界, ELBO). The model says: a digit is $\mathrm{decode}(z)$ for
# a z from the prior, plus noise of strength $\sigma$ in each pixel (not to be confused with the cloud's). Then
#
# $$\log p(x) \ge \mathbb E_q \log \mathcal N(x;\, \mathrm{decode}(z),\, \sigma^2) - \beta\, D_{KL}(q(z \mid x)\, \|\, \mathcal N(0, I)), \qquad \beta = 1$$
#
# How well the picture comes out (its squared error, divided by $-2 \sigma^2$, and a constant), minus what its code
# costs in nats. Your two functions are in it:

# %%
sigma = 0.3  # a little more than the typical error: a pixel that is wrong by sigma costs half a nat


def minus_elbo(beta=1.0, floor=0.0):
    def loss(vae, x, generator):
        mean, logvar = vae.encoder(x).chunk(2, dim=1)
        z = reparametrise(mean, logvar, torch.randn(mean.shape, generator=generator))
        error = (x - vae.decode(z)).square().sum(1).mean() / (2 * sigma**2)
        return error + beta * (free_bits(DiagonalGaussian(mean, logvar), floor) if floor else kl(mean, logvar).mean())

    return loss


vae = {k: train(VariationalAutoencoder(*networks(2 * k, k)), minus_elbo()) for k in (2, 16)}

# %% [markdown]
# **Predict.** The codes of all known digits in two dimensions, by PCA, by the autoencoder, by the VAE (the middles of
# its clouds). Which parts the digits best? Which has the largest numbers?

# %%
_, _, directions = torch.linalg.svd(x - x.mean(0), full_matrices=False)
z = {"PCA": (x - x.mean(0)) @ directions[:2].T, "autoencoder": ae[2].encode(x), "VAE": vae[2].posterior(x).mean}
codes({name: cloud[:130] for name, cloud in z.items()}, y[:130])

# %% [markdown]
# PCA mixes most digits. The autoencoder parts them in rays, as long as it likes (look at the axes). The VAE has rays
# too, but all of them within reach of $\mathcal N(0, I)$: what lies farther out than a draw is likely to come costs
# nats. Now the draws. **Predict.** Are the VAE's less strange?

# %%
drawn = {f"VAE, k = {k}": draws(vae[k], vae[k].posterior(x).mean, k)["N(0, I)"] for k in vae}
print(f"{'real new digits':24} {strangeness(x_new):.3f}")
for name, rows in drawn.items():
    print(f"{name:24} {strangeness(rows):.3f}")
viz.grid([ink(rows[:10]) for rows in drawn.values()], list(drawn), side=0.8)

# %% [markdown]
# With sixteen numbers the draws are now about as far from known digits as real new digits are. Sampling a generative
# model is here a single line, $z \sim \mathcal N(0, I)$ (**Gaussian sampling**, 高斯采样, the first of the article's three
# ways; lesson 07 has the others).
#
# How good is the bound? Many draws of z, weighted by importance, tighten it (Burda et al. 2016). **Predict.** Which of
# the two models explains new digits better?

# %%
for k, model in vae.items():
    bounds = {n: importance_bound(model, x_new, sigma, n, torch.Generator().manual_seed(0)) for n in (10, 200)}
    print(f"k = {k:2}: ELBO {elbo(model, x_new, sigma, torch.Generator().manual_seed(0)).mean():.1f} nats;",
          *(f"with {n} draws {bound.mean():.1f};" for n, bound in bounds.items()))  # fmt: skip

# %% [markdown]
# More numbers explain more, though their codes cost more nats. And the bound is loose by two or three nats: $q$ is a
# Gaussian whose numbers are independent, and the truth is not.
#
# The prior of the smaller one is known and has two dimensions, so the whole sheet can be laid out: a grid of codes, as
# dense as the prior is (at its **quantiles**, 分位数), decoded. **Predict.** Which digits will be neighbours?

# %%
sheet = -vae[2].decode(manifold(10).view(-1, 2)).view(10, 10, 8, 8)
sheet = rearrange(nn.functional.pad(sheet, (1, 1, 1, 1), value=1.0), "i j h w -> (i h) (j w)")
viz.strip([sheet.expand(3, -1, -1)], side=3.2)

# %% [markdown]
# This is the map of section 1: every step is a small change of the picture, and where two lands meet lies something
# that could be either. It is also blurred. Two numbers cannot say everything, and the best answer to a question half
# asked is a mean.
#
# ## 7. Beta, and the collapse
#
# $\beta > 1$ makes each nat of code dearer (the **beta-VAE**; Higgins et al. 2017). A number of the code pays if it
# saves more error than it costs. For a linear decoder one can say when that is: if the variance of the data along its
# direction is larger than $\beta \sigma^2$ (Lucas et al. 2019). PCA knows these variances. The largest is 2.8.
#
# **Predict.** $\sigma^2$ is 0.09. Of sixteen numbers, how many will say anything at $\beta$ = 1, 4, 16, and 64?

# %%
variance = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)
print(f"largest variances: {', '.join(f'{v:.2f}' for v in variance[:6])}")
beta_vae = {1: vae[16]} | {b: train(VariationalAutoencoder(*networks(32, 16)), minus_elbo(b)) for b in (4, 16, 64)}


def report(name, model):
    mean, logvar = model.posterior(x_new).mean, model.posterior(x_new).logvar
    error = (model.decode(mean) - x_new).square().mean() / spread
    print(f"{name}: error {error:4.0%}, code {kl(mean, logvar).mean():5.2f} nats, numbers in use {active_units(mean)}")


for b, model in beta_vae.items():
    report(f"beta = {b:2}, {(variance > b * sigma**2).sum():2} variances above beta sigma²", model)

# %% [markdown]
# At 64 all is lost: **posterior collapse** (后验坍缩), the negative control of the VAE. Every cloud is the prior itself,
# whatever the picture, and the decoder answers the mean of all digits. That is no accident of training: no direction
# has a variance above $64 \cdot 0.09 = 5.8$, so none is worth its nats. With a decoder that knows much by itself (one
# that writes pixel after pixel and sees those before, say) it happens at $\beta = 1$ too, since the code has little to
# add. And already at $\beta = 1$ not all sixteen are in use: the VAE prunes by itself. (A bent decoder does not keep
# exactly to the rule for straight ones. Where it says that all collapses, it does.)
#
# The cure is to give some nats for free: **free bits** (自由比特; Kingma et al. 2016). Below a floor of 0.5 nats a number
# costs nothing more, so giving it up gains nothing. **Predict.** At $\beta$ = 64, with sixteen numbers: how many nats?

# %%
free = train(VariationalAutoencoder(*networks(32, 16)), minus_elbo(64, floor=0.5))
report("beta = 64, free bits  ", free)
shown = {"new digits": x_new, "beta = 1": vae[16], "beta = 64": beta_vae[64], "free bits": free}
rows = [m if name == "new digits" else m.decode(m.posterior(x_new).mean) for name, m in shown.items()]
viz.grid([ink(row[:10]) for row in rows], list(shown), side=0.75)

# %% [markdown]
# ## 8. Exercise: walking on an arc
#
# Between two codes there are pictures that nobody has drawn. What is the way? The straight line (**lerp**, 线性插值) is
# $(1 - w) a + w b$. But draws from $\mathcal N(0, I)$ in d dimensions have a length near $\sqrt d$, nearly all of them,
# and two of them are nearly perpendicular: the straight line between them cuts through the inside, where no draw ever
# is. The arc (**slerp**, 球面线性插值; Shoemake 1985) does not:
#
# $$\mathrm{slerp}(a, b, w) = \frac{\sin((1 - w)\, \theta)}{\sin \theta}\, a + \frac{\sin(w\, \theta)}{\sin \theta}\, b, \qquad \cos \theta = \frac{a \cdot b}{|a|\, |b|}$$
#
# **Write** `slerp(a, b, w)`: a and b are `1 d`, w is `n`, from 0 to 1; the result is `n d`.

# %% tags=["ex-slerp"]
def slerp(a, b, w):
    raise NotImplementedError


# %%
slerp = check("slerp", slerp)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.arccos((a * b).sum() / (a.norm() * b.norm()))`, and `w[:, None]` is `n 1`.
# </details>

# %% [markdown] tags=["solution-slerp"]
# <details><summary>Solution</summary>
#
# ```python
# def slerp(a, b, w):
#     theta = torch.arccos((a * b).sum() / (a.norm() * b.norm()))
#     w = w[:, None]
#     return torch.sin((1 - w) * theta) / torch.sin(theta) * a + torch.sin(w * theta) / torch.sin(theta) * b
# ```
# </details>

# %% [markdown]
# **Predict.** Ten thousand draws in 16, 128 and 1024 dimensions: how long are they, in units of $\sqrt d$, and how long
# is what lies half-way between two?

# %%
w = torch.tensor([0.5])
for d in (16, 128, 1024):
    a, b = torch.randn(2, 10_000, d, generator=torch.Generator().manual_seed(0)) / d**0.5
    lengths, arc = a.norm(dim=1), torch.stack([slerp(a[[i]], b[[i]], w).norm() for i in range(200)])
    print(f"d = {d:4}: {lengths.mean():.2f} ± {lengths.std():.2f}; half-way: straight",
          f"{lerp(a, b, 0.5).norm(dim=1).mean():.2f}, arc {arc.mean():.2f}")  # fmt: skip

# %% [markdown]
# $|z|^2$ is a sum of d squares whose mean is 1, and by the law of large numbers $|z|^2 / d$ comes near 1. So it is for
# the inner product of two draws, only that its mean is 0: a right angle.
#
# There is a third way: the one on which the *pictures* change least, the **geodesic** (测地线) of the decoder. It starts
# as a straight line and is pulled tight (`geodesic`, by gradient). **Predict.** A walk from a 0 to a 1 in the codes of
# the VAE: how long is each of the three ways, measured in pixels? Which pictures are on it?

# %%
w = torch.linspace(0, 1, 16)
a, b = (vae[16].posterior(x).mean[i : i + 1] for i in (0, 1))
ways = {"straight": lerp(a, b, w), "arc": slerp(a, b, w), "geodesic": geodesic(vae[16].decode, a[0], b[0])}
for name, way in ways.items():
    print(f"{name:9} {length(vae[16].decode, way):5.2f}")
print(f"{'fading':9} {(vae[16].decode(a) - vae[16].decode(b)).norm():5.2f}, pixel by pixel, with no digit between")
viz.grid([ink(vae[16].decode(way[::3])) for way in ways.values()], list(ways), side=0.8)

# %% [markdown]
# Here the arc is the *longest*, and the straight line is nearly as short as the geodesic: this VAE's sheet is not much
# bent where digits are. The argument with $\sqrt d$ is about draws from a Gaussian in many dimensions. These two codes
# are middles of clouds in sixteen, of which some are not even in use. It will come into its own with the noise of a
# diffusion model.
#
# ## 9. The latent space of the picture book
#
# Now the VAE that this house draws with, `vae.py`: convolutions, a picture of 3 x 64 x 64 becomes a latent of
# 16 x 8 x 8. Against PCA of the same patches with as many numbers (`linear.py`), how good is it? **Predict**, in
# decibels of PSNR (6 dB is half the error).

# %%
model = TextToImage.load("picturebook")
model.vae.requires_grad_(False)
q = model.vae.encode(pages)
z, u = q.mean, q.mean * model.vae.config.scaling_factor  # as the VAE has it, and as the diffusion model does
print(f"width of a cloud {(0.5 * q.logvar).exp().mean():.3f}, of all latents {z.std():.2f};",
      f"a code costs {q.kl().mean():,.0f} nats")  # fmt: skip


# %%
def psnr(error):  # of pictures in [-1, 1], in decibels
    return 10 * (4 / error).log10()


error = (model.vae.decode(z[300:]) - pages[300:]).square().mean()
pca = principal_components(pages[:300], 8, 16)
patches = pages[300:].unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(-1, 192) - pca.mean
patch_error = (patches - patches @ pca.directions @ pca.directions.T).square().mean()
print(f"PSNR with 1,024 numbers: PCA {psnr(patch_error):.1f} dB, the VAE {psnr(error):.1f} dB")

# %% [markdown]
# Nearly five decibels better than a flat map. A cloud's width is a two-hundredth of the whole's: in the training the KL
# term counted next to nothing ($10^{-4}$, `training/vae.py`; Stable Diffusion's authors took about $10^{-6}$). That is
# hardly a VAE any more but a sharp autoencoder, and its latents are far from $\mathcal N(0, I)$. **Predict.** What does
# it decode from a draw? From $\mathcal N(0, I)$; with each channel's own mean and width; from the Gaussian with the
# covariance of all 1,024 numbers; and, for comparison, from the diffusion model.

# %%
eps = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
by_channel = u.mean((0, 2, 3), keepdim=True) + u.std((0, 2, 3)).view(1, 16, 1, 1) * eps
columns = {"N(0, I)": eps, "each channel": by_channel, "all covariances": LatentPrior.fit(u).latents(eps.flatten(1))}
pictures = [model.decode(latent) for latent in columns.values()] + [model.generate("", seeds=[0], guidance=1.0)]
viz.strip([picture[0] for picture in pictures], [*columns, "diffusion"], side=1.3)

# %% [markdown]
# Tiles, tiles, fog, and at last a picture. **That is the division of labour in latent diffusion**: the autoencoder
# takes care of the look (what pixels belong together) and is sharp because it need not be drawn from; the diffusion
# model is the prior, and learns where latents are.
#
# ### One factor
#
# Diffusion adds noise of a standard deviation from 0 to 1, so its data should have about 1. Stable Diffusion's latents
# have 5.5; its authors measured it and multiply by its inverse, **0.18215**. Ours have 1.11, and the factor is 0.90.
# What if one forgets it?
#
# **Predict.** With latents of standard deviation 1, half of the variance of $x_t$ is noise at t = 500 of 1000. And with
# 5.5?

# %%
alpha, sigma_t, share = model.schedule.alpha.float(), model.schedule.sigma.float(), {}
for name, std in {"std 1": 1.0, "std 5.5": 1 / 0.18215}.items():
    share[name] = (alpha * std) ** 2 / ((alpha * std) ** 2 + sigma_t**2)
    print(f"{name}: as much noise as signal at t = {(share[name] > 0.5).sum()}")
viz.lines(torch.arange(1001), share, "share of the variance of x_t that is signal")

# %% [markdown]
# With 5.5, nearly nine tenths of the schedule would be spent on latents that are more signal than noise, and all
# composing would have to be done in the rest. (The network would also get numbers that are five times too large.) One
# factor serves all channels, though they differ: from 2.5 to 0.6 in ours. That is left so on purpose, since what is
# wide, the brightness of large areas, then comes out of the noise first.
#
# ### Directions
#
# Take the mean latent of all nights, minus that of all days: does adding it make any day a night
# (`attribute_direction`)? We learn six such directions from 300 pages, and try them on the other 200. The judge of
# lesson 00 says what it sees.
#
# **Predict.** Which of the six will work: day to night, storybook to ink, meadow to snow; red to blue, left to right,
# house to tree?

# %%
judge = load_judge().requires_grad_(False)
changes = {"sky": ("day", "night"), "style": ("storybook", "ink"), "colour": ("red", "blue"),
           "side": ("left", "right"), "place": ("meadow", "snow"), "subject": ("house", "tree")}  # fmt: skip
pairs = {}
for attribute, (old, new) in changes.items():
    value = [getattr(scene, attribute) for scene in scenes]
    known = torch.tensor([v in (old, new) for v in value[:300]])
    direction = attribute_direction(u[:300][known], torch.tensor([v == new for v in value[:300]])[known])
    tried = u[300:][torch.tensor([v == old for v in value[300:]])]
    answers = read_attributes(judge, model.decode(tried + direction))[:, list(ATTRIBUTES).index(attribute)]
    share = (answers == ATTRIBUTES[attribute].index(new)).float().mean()
    print(f"{old:9} to {new:5}: the judge sees it in {share:.0%} of {len(tried)}")
    pairs[f"{old} to {new}"] = model.decode(torch.stack([tried[1], tried[1] + direction]))
names = list(pairs)[:4]
viz.grid([[pairs[name][i] for name in names] for i in (0, 1)], ["as it is", "+ direction"], names, side=1.2)

# %% [markdown]
# What is everywhere in the picture, or always at the same place, has a direction: hour, style and ground. What depends
# on *where* something stands has none: our latent is itself a small picture of 8 x 8 places, so the mean of blue things
# minus that of red ones is a cold haze where things often stand. And what works is cruder than the judge thinks. The
# sun does not become a moon: it fades while a moon appears. Ink gets its frame and its pale paper, but no strokes of a
# pen. To change a subject, one needs words (lesson 14).
#
# ### The walk
#
# Two pictures, drawn by the diffusion model from noises $x_T$ and prompts. From the one to the other go three ways:
# straight and on your arc, from latent to latent; and on the arc from *noise to noise*, with the words moving too, and
# then diffusion.
#
# **Predict.** What stands half-way in each row? How far is the first from a cross-fade of the pixels?

# %%
prompts = ["a large red house on the left in a meadow at day, storybook",
           "a large blue lighthouse on the right by the sea at night, storybook"]  # fmt: skip
w = torch.linspace(0, 1, 5)
noises = [torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
context = lerp(*(model.context([prompt]) for prompt in prompts), w)


def diffused(x_T):
    denoise = denoiser(model.unet, model.schedule, model.prediction)
    denoise = classifier_free(denoise, context, model.context([""] * len(x_T)), model.guidance)
    *_, last = SAMPLERS["dpm++"](torch.inference_mode()(denoise), x_T, model.schedule.times(20), noise=torch.zeros_like)
    return last.x.clone()


# %%
def arc(a, b):
    return slerp(a.flatten(1), b.flatten(1), w).view(-1, 16, 8, 8)


ways = {"noise, straight": lerp(*noises, w), "noise, arc": arc(*noises)}
from_noise = diffused(ways["noise, arc"])
ends = from_noise[:1], from_noise[-1:]
ways = {"latents, straight": lerp(*ends, w), "latents, arc": arc(*ends)} | ways
norms = {name: way.flatten(1).norm(dim=1) / way[0].norm() for name, way in ways.items()}
shown = {name: model.decode(ways[name]) for name in ("latents, straight", "latents, arc")}
for name, pictures in shown.items():
    difference = (pictures - lerp(*map(model.decode, ends), w))[2].abs().mean() / 2
    print(f"{name}: half-way, a pixel differs from the cross-fade by {difference:.1%}")
shown["noise, arc"] = model.decode(from_noise)
interpolations(w, {name: list(row) for name, row in shown.items()}, norms, z, u)

# %% [markdown]
# - **The straight way through latents is a cross-fade**, to a few per cent: a latent is a small picture, and its
#   decoder is nearly linear. Half-way stand both, transparent.
# - **The arc is no better**: it keeps the length, so both stand there at seventy per cent instead of fifty, darker and
#   harder. It was made for another kind of vector.
# - **That kind is noise.** Through noise and words every stop is *a picture*: something is decided at each, because a
#   denoiser has no answer for "half a house". On the straight way the noise has only 0.7 of its standard deviation in
#   the middle (lower left), which no $x_T$ in training had. (Try it: this U-Net forgives most of it.)
# - Lower right: one factor, and the latents have the width of the noise. Their shape is not a Gaussian's: most numbers
#   are near 0, and a few are large.
#
# ## 10. Exercise: pictures as whole numbers
#
# The third bottleneck lets through neither a point nor a cloud but a *choice*: each vector of the latent is replaced by
# the nearest of K learnt ones, the **codebook** (码本). That is **vector quantisation** (矢量量化, VQ; van den Oord et al.
# 2017). A picture is then a few whole numbers, and what writes words can write pictures (lesson 16).
#
# The choice has no slope: move z a little, and the nearest code is the same. The **straight-through** trick (直通估计):
# forwards the code e, backwards as if it were z itself, $z_q = z + \mathrm{stop}(e - z)$. What would make the decoder
# happier at e is probably good for z, which is near.
#
# **Write** `straight_through(z, codes)`: z is `b d`, codes is `K d`; the result is `b d`. In PyTorch, stop is
# `.detach()`. The check looks at three things: the values (item 0), the gradient at z (item 1), and that at the codes
# (item 2), which is 0: they have a loss of their own.

# %% tags=["ex-straight_through"]
def straight_through(z, codes):
    raise NotImplementedError


# %%
straight_through = check("straight_through", straight_through)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.cdist(z, codes)` is `b K`, all distances. `codes[ids]` is `b d`.
# </details>

# %% [markdown] tags=["solution-straight_through"]
# <details><summary>Solution</summary>
#
# ```python
# def straight_through(z, codes):
#     e = codes[torch.cdist(z, codes).argmin(dim=1)]
#     return z + (e - z).detach()
# ```
# </details>

# %% [markdown]
# The codes' own loss, with the encoder's beside it, is $|\mathrm{stop}(z) - e|^2 + \beta\, |z - \mathrm{stop}(e)|^2$:
# codes go to their vectors, and the encoder stays with its codes.
#
# First the codes alone, among points of the plane. All sixteen start in one corner. **Predict.** Where do they end? The
# second picture has a cure: every thirty steps, a code that was never the nearest is put on a random point (`revive`).

# %%
points = toy.circle_of_gaussians().sample(100, torch.Generator().manual_seed(0)).float()
books = {}
for name, reviving in {"trained": False, "trained, dead codes revived": True}.items():
    vq, generator = VectorQuantizer(16, 2), torch.Generator().manual_seed(0)
    vq.embedding.weight.data = 1.6 + 0.1 * torch.randn(16, 2, generator=generator)
    optimizer = torch.optim.Adam(vq.parameters(), 0.03)
    for step in range(300):
        optimizer.zero_grad()
        vq(points).loss.backward()
        optimizer.step()
        if reviving and step in range(30, 200, 30):
            vq.revive(points, generator)
    ids = vq.eval()(points).ids
    books[f"{name}:\n{usage(ids, 16):.0%} in use, perplexity {perplexity(ids, 16):.1f}"] = vq.embedding.weight.detach()
codebooks(points, books)

# %% [markdown]
# Only the nearest code moves. A few codes win the points and divide them; the others never win and stay where they are:
# **dead codes** (死码). **Perplexity** (困惑度) counts those in use fairly: it is K if all are equally frequent, 1 if one
# has everything.
#
# Now an encoder and a decoder with it: a digit becomes eight choices among sixteen codes, 32 bits in all. **Predict.**
# The error; and, as another **negative control**, the error without the straight-through gradient, when the decoder and
# the codes learn but nothing tells the encoder what the decoder needs.

# %%
class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = networks(32, 32)
        self.vq = VectorQuantizer(16, 4)

    def forward(self, x, through=True):
        z = self.encoder(x).view(-1, 4)  # eight vectors of four numbers
        z_q = straight_through(z, self.vq.embedding.weight)
        return self.decoder((z_q if through else z_q.detach()).view(-1, 32)), self.vq(z)


# %%
def quantised_error(through):
    def loss(model, x, _):
        x_hat, quantized = model(x, through)
        return (x_hat - x).square().mean() / (2 * sigma**2) + quantized.loss

    return loss


# %%
rows = [x_new[:10]]
for through in (True, False):
    x_hat, quantized = train(Quantised(), quantised_error(through))(x_new)
    rows.append(x_hat[:10])
    error, open_ = (x_hat - x_new).square().mean() / spread, perplexity(quantized.ids, 16)
    print(f"{'with' if through else 'without'} straight-through: error {error:.0%}, perplexity {open_:.1f} of 16")
print("the first digit is", quantized.ids.view(-1, 8)[0].tolist(), "without, and all others too:",
      len(quantized.ids.view(-1, 8).unique(dim=0)) == 1)  # fmt: skip
viz.grid([ink(row) for row in rows], ["new digits", "with", "without"], side=0.75)

# %% [markdown]
# A digit in four bytes. Without the gradient, the encoder hears of the codes only, not of the pictures, and it is
# nearest to its codes if it says the same of all digits. So it does.
#
# And the picture book: the latents of 300 pages, each of the 64 places one of K codes. (Encoder and decoder stay as
# they are; a VQ-VAE would train them too, and be better.) **Predict.** Which K makes a page recognisable? At 256: what
# is lost without revival?

# %%
def codebook(K, reviving=True):
    torch.manual_seed(0)
    vq, generator = VectorQuantizer(K, 16), torch.Generator().manual_seed(0)
    if reviving:
        vq.revive(u[:300], generator)  # unused as yet, all of them start among the data
    optimizer = torch.optim.Adam(vq.parameters(), 0.01, fused=True)
    for step in range(200):
        rows = u[torch.randint(300, (16,), generator=generator)]
        optimizer.zero_grad()
        vq(rows).loss.backward()
        optimizer.step()
        if reviving and step in (50, 100, 150):
            vq.revive(rows, generator)
    return vq.eval().requires_grad_(False)


# %%
rows = {"pages": pages[300:303]}
for K, reviving in ((16, True), (256, True), (256, False)):
    vq = codebook(K, reviving)
    quantized = vq(u[300:])
    error = (model.decode(quantized.z_q) - pages[300:]).square().mean()
    name = f"{K} codes{'' if reviving else ', not revived'}"
    print(f"{name:22} {64 * int(np.log2(K))} bits a page, PSNR {psnr(error):.1f} dB, "
          f"{usage(quantized.ids, K):.0%} in use, perplexity {perplexity(quantized.ids, K):.0f}")  # fmt: skip
    if reviving:
        rows[name] = model.decode(quantized.z_q[:3])
print("the first row of places of the first page:", quantized.ids[0, 0].tolist())
viz.grid([list(row) for row in rows.values()], list(rows), side=1.2)

# %% [markdown]
# A page of 98,304 bits in 512: hour, ground and colours are there, subjects are patchwork. Eight bits for a square of
# 8 x 8 pixels are few, and the codes were only asked to be near, not to be what the decoder needs. Without revival,
# half as many codes do the work: those that started outside the data were dead from the beginning.
#
# The code behind it. Its sum is in another order than yours, in which nothing is rounded.

# %%
viz.show_source(VectorQuantizer.forward)

# %% [markdown]
# ## Summary
#
# - Pictures lie on a thin, bent sheet. PCA holds a flat ruler against it; an autoencoder may bend.
# - A plain autoencoder's code has holes. A VAE trains clouds instead of points, and pays for each cloud's distance from
#   the prior; then draws from the prior are pictures.
# - z = mean + std eps lets the gradient through a draw. Where a number of the code saves less than it costs, it
#   collapses; free bits forbid it.
# - Stable Diffusion's autoencoder, and ours, are sharp and cannot be drawn from. The diffusion model is their prior,
#   and wants unit variance.
# - A spatial latent is a small picture: a straight way through it is a cross-fade. Walk through the noise, on the arc.
# - VQ: the nearest of K codes, straight-through backwards, and dead codes must be revived.
#
# ## Can you still say it?
#
# 1. Why does one component leave nine tenths of a disc whose pictures have one number?
# 2. What exactly goes wrong when you decode a random code of a plain autoencoder?
# 3. At which beta does a linear VAE lose its last number, and why?
# 4. Why do two draws from N(0, I) in 1,024 dimensions have the same length, and their mean another?
# 5. Which attributes of a page have a direction in its latent, and which cannot?
# 6. What do the codes of a codebook learn from, if the decoder's gradient passes them by?
#
# ## Go on
#
# - Next: lesson 13, CLIP (see the [map of the course](README.md)).
# - The VAE: D. Kingma and M. Welling, [Auto-Encoding Variational Bayes](https://arxiv.org/abs/1312.6114), 2014.
# - Vector quantisation: A. van den Oord, O. Vinyals and K. Kavukcuoglu, [Neural Discrete Representation
#   Learning](https://arxiv.org/abs/1711.00937), 2017.
