# %% [markdown]
# # 10 · A fused GroupNorm + SiLU kernel
#
# **After this lesson you can**
#
# - say why normalising is bound by memory and not by arithmetic, and count the bytes that it moves;
# - merge variances without losing digits, and say why $E[x^2] - E[x]^2$ loses them all;
# - cut groups of ten channels into tiles without touching the neighbour's;
# - write GroupNorm's backward pass with two sums a channel, without atomics.
#
# **Time** 55 minutes. **Article** section 3.3.3. **Needs** no GPU and no download, but Triton, and so Linux:
# `pip install triton`. Lesson 09 is of help; section 3 says what you need of it.
# **Files** in `kernels/minidiffusion_kernels/`: `group_norm/forward.py`, and `backward.py`, `reference.py`, `layout.py` beside
# it; `traffic.py`.

# %%
import os

os.environ["TRITON_INTERPRET"] = "1"  # before the first kernel is imported: from then on this process interprets

import subprocess
import sys
from functools import reduce
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

_ = torch.manual_seed(0)

# %%
from benchmarks.bytes import operators
from lessons.exercises.lesson_10 import check
from minidiffusion import viz
from minidiffusion.networks.convolution import GroupNorm
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.viz import norms
from minidiffusion_kernels.group_norm import backward as backwards
from minidiffusion_kernels.group_norm import forward as forwards
from minidiffusion_kernels.group_norm import group_norm, reference
from minidiffusion_kernels.group_norm.layout import Layout
from minidiffusion_kernels.traffic import traffic

# %% [markdown]
# ## 1. Where it stands
#
# A deep network trains well only if the numbers inside keep their size. **Layer normalisation** (层归一化), the article's
# section 3.3.3, takes each token's vector, subtracts its mean and divides by its standard deviation. The convolutions of a
# U-Net are followed by its sister, **group normalisation** (组归一化): the channels of one picture are shared among groups,
# and each group, with all its pixels, is normalised by its own mean and variance. (One group and one pixel: that is layer
# normalisation.) Then every channel gets a weight and a bias of its own. In a residual block, the nonlinearity **SiLU**
# (Swish 激活函数) comes next: $\mathrm{SiLU}(z) = z \cdot \mathrm{sigmoid}(z)$. This is all of it:

# %%
viz.show_source(reference.group_norm)

# %% [markdown]
# **Predict.** How many of these are in our miniature? How many in the U-Net of Stable Diffusion 1.5, and what share of
# them is followed by SiLU? (On PyTorch's "meta" device tensors have a shape and no memory, so the large one costs nothing.)

# %%
def norms_of(config, side):
    """(x, silu) of each GroupNorm that runs in one call of the U-Net, for two latents of side x side."""
    met = []
    with torch.device("meta"):
        net = UNet(config)
        for module in net.modules():
            if isinstance(module, GroupNorm):
                module.register_forward_hook(lambda module, given, y: met.append((given[0], module.silu)))
        net(torch.empty(2, config.in_channels, side, side), torch.empty(2), torch.empty(2, 77, config.context_dim))
    return met


# %%
small, large = norms_of(UNetConfig(), 8), norms_of(UNetConfig.stable_diffusion_1_5(), 64)
for name, met in {"miniature": small, "SD 1.5": large}.items():
    print(f"{name:9} {len(met)} GroupNorms, {sum(silu for _, silu in met)} with SiLU, "
          f"{sum(x.numel() for x, _ in met) / 1e6:.2f} million numbers normalised for two pictures")  # fmt: skip

# %% [markdown]
# Two pictures, since guidance asks the network twice (lesson 00). The GroupNorms without SiLU stand before the transformers.
#
# ## 2. Exercise: the bill is in bytes
#
# A GPU's **kernel** (核函数) is a function that thousands of threads run. Its numbers live in the card's memory, must be read
# from there and written back. NVIDIA says of an A100 (40 GB) that its memory delivers 1,555 GB a second, which is 0.78
# million million half-precision numbers; and that it does 19.5 million million ordinary operations in the same
# second: 25 for each number that arrives. GroupNorm and SiLU need about a dozen. The arithmetic units wait, the operation is
# **memory-bound** (访存受限), and it is as fast as its bytes are few.
#
# So let us count bytes. Let x have N of them; weights and statistics are so few that we leave them out.
#
# - **eager** (PyTorch, one operator after the other). GroupNorm cannot normalise the first number before it has seen the last:
#   it reads x for the mean and variance, reads x again, writes z. SiLU reads z, writes y. Backwards, SiLU reads dy and z,
#   writes dz; GroupNorm reads dz and x to sum something up, reads both again, writes dx.
# - **fused** (融合), groups **large**: one kernel does both, so z and dz never see the memory; z is computed from x once more.
# - fused, groups **small**: a group fits into the **registers** (寄存器) of one program and stays there between the sums
#   and their use.
#
# **Write** `moved(N, how)`: for how = "eager", "large" or "small" the pair (bytes forwards, bytes backwards).

# %% tags=["ex-moved"]
def moved(N, how):
    raise NotImplementedError


# %%
moved = check("moved", moved)

# %% [markdown]
# <details><summary>Help</summary>
#
# Count tensors as large as x, read or written. Eager forwards: x, x, z; z, y. Fused backwards, large: dy and x for the sums,
# dy and x again, dx.
# </details>

# %% [markdown] tags=["solution-moved"]
# <details><summary>Solution</summary>
#
# ```python
# def moved(N, how):
#     if how == "eager":
#         return 5 * N, 8 * N
#     return (3 * N, 5 * N) if how == "large" else (2 * N, 3 * N)
# ```
# </details>

# %% [markdown]
# Does it hold? The first line watches which operators PyTorch really runs, and counts what they take and give (GroupNorm's
# arguments twice, for the two readings). The others run our kernels in Triton's interpreter, which is Python on the CPU:
# slow, but every single load and store can be counted.

# %%
def measured(side):
    """Bytes of our kernel, forwards and backwards, per byte of x: two groups of 10 channels."""
    x, dy = torch.randn(1, 20, side, side, requires_grad=True), torch.randn(1, 20, side, side)
    with traffic() as there:
        y = group_norm(x, 2, weight, bias, silu=True, backend="triton")
    with traffic() as back:
        y.backward(dy)
    return [(counted.loads + counted.stores).total() / (4 * x.numel()) for counted in (there, back)]


# %%
weight, bias = torch.randn(2, 20)
eager = operators(lambda x: F.silu(F.group_norm(x, 2, weight, bias)), torch.randn(1, 20, 64, 64))
rows = {"eager": [eager[way] / (4 * 20 * 64 * 64) for way in ("forward", "backward")]}
rows |= {"large": measured(64), "small": measured(16)}
for how, (there, back) in rows.items():
    print(f"{how}: counted {there:.2f} N and {back:.2f} N, by your formula {moved(1, how)}")

# %% [markdown]
# What is above the whole numbers are weights, biases and statistics. Now all of Stable Diffusion's GroupNorms, in half
# precision (two bytes a number). One without SiLU moves 3N in eager mode.
#
# **Predict.** Which share of the bytes does the fused kernel save?

# %%
bills = {"eager": 0, "ours": 0}
for x, silu in large:
    N = 2 * x.numel()
    bills["eager"] += moved(N, "eager")[0] if silu else 3 * N
    bills["ours"] += moved(N, "small" if Layout.of(x, 32).small else "large")[0]
for name, N in bills.items():
    print(f"{name}: {N / 1e6:.0f} MB in one call, at 1,555 GB/s at least {N / 1555e6:.2f} ms (a model, not a measurement)")

# %% [markdown]
# A third. It is worth having and no wonder: the rest of the U-Net, convolutions and attention, has far more to do. Backwards,
# in training, 5N remain of 8N, and one tensor less must be kept (section 7).
#
# ## 3. Small groups, large groups
#
# Triton cuts the work into **programs** (程序实例). Each has a number, works on one rectangular tile of x, and knows nothing
# of the others. For a small group the program holds the whole group:

# %%
viz.show_source(forwards.normalize_small.fn)

# %% [markdown]
# `tl.load` takes a tile of addresses and a **mask** (掩码): what is masked off is not read. The sides of a tile are powers of
# two. Between loading x and storing y, nothing as large as x goes to memory.
#
# A group of 10 channels and 64 x 64 pixels does not fit. Three kernels share the work: many programs compute mean and sum of
# squares of their part of a channel, a second kernel merges these few numbers for each group, a third normalises.
# Kernels run one after the other, so the second sees all that the first has written.
#
# **Predict.** In NCHW, PyTorch's usual order, the *pixels* of a channel are neighbours in memory; in **channels_last**
# (通道在后) the *channels* of a pixel are. A card reads neighbours together. Which shape will the tiles have in either?

# %%
usual, last = torch.contiguous_format, torch.channels_last
panels = {}
for title, side, memory in ("small", 16, usual), ("large", 64, usual), ("large, channels_last", 64, last):
    x = torch.randn(1, 20, side, side).contiguous(memory_format=memory)
    with traffic(stream=True) as counted:
        group_norm(x, 2, weight, bias, silu=True, backend="triton")
    loads = [a for a in counted.stream if (a.tensor, a.kind) == ("x", "load")]
    panels[title] = [a for a in loads if a.kernel == loads[0].kernel]  # those of the first kernel
norms.element_access(panels, groups=2)

# %% [markdown]
# Each shade is one program; the black line parts the two groups. A small group belongs to one program. Of a large one in NCHW
# each program takes a piece of a row; in channels_last it takes some pixels of all channels, *across* the groups. The 10
# channels of one group would be 20 bytes here and 20 bytes there, and memory comes in pieces of 32. It can cross, as
# `partial_moments` keeps its sums channel by channel and leaves the groups to the kernel that merges. Normalising is cut alike.
#
# ## 4. Ten is no power of two
#
# Stable Diffusion's 320 channels make 32 groups of 10. The tile has 16 rows, and six of them are not ours. The mask must end
# where the *group* ends. **The planted mistake**: let it end where the *channels* end. Nothing is out of bounds,
# nothing crashes.
#
# **Predict.** Three groups of ten. Which of them come out wrong? And which test would never notice?

# %%
right_tile = forwards.tile


def careless_tile(channel, end, *more):
    return right_tile(channel, 30, *more)  # all channels, in place of the end of the group


x, panels = torch.randn(1, 30, 8, 8), {}
for title, tile in {"the mask ends with the group": right_tile, "the mask ends with all channels": careless_tile}.items():
    with traffic(stream=True) as counted, mock.patch.object(forwards, "tile", tile):
        y = group_norm(x, 3, backend="triton")
    panels[title] = [a for a in counted.stream if a.tensor == "x"]
    off = (y - F.group_norm(x, 3)).abs().reshape(3, -1).amax(1)
    print(f"{title}: x {counted.loads['x']} bytes read, y {counted.stores['y']} written; off by {off.numpy().round(7)}")
norms.channel_access(panels, groups=3)

# %% [markdown]
# Each program but the last mixes six of its neighbour's channels into its mean, *and writes over them*. Here programs run one
# after the other, and the neighbour repairs what was written; on a GPU both write at once, and nobody knows who wins.
# With one group, or groups of 8 or 16, all is well, and that is how a test misses it. The mistake is real: it was found
# in an open library of kernels in 2026 ([FlagGems, issue 4984](https://github.com/flagos-ai/FlagGems/issues/4984)). Our tests
# have groups of 1, 3, 10 and 32 channels.
#
# ## 5. Exercise: merging variances
#
# Every textbook has $\mathrm{Var}[x] = E[x^2] - E[x]^2$, and it is tempting: one pass, two sums. Try it by hand with seven
# digits, which is what float32 has, on two numbers, 9999 and 10001, of mean 10,000 and variance 1. Their squares are
# 99,980,001 and 100,020,001; rounded to seven digits 9.998000e7 and 1.000200e8. The mean of these is 1.000000e8,
# and so is the square of the mean. The difference is 0. Two large numbers that agree in all digits were subtracted
# (**catastrophic cancellation**, 灾难性抵消).
#
# The cure is to subtract the mean *first*, and sum squares after that. But the mean of the group is known only when all of it
# has been read. So each part of it subtracts its *own* mean, and gives three numbers: how many, their mean, and
# $M = \sum (x - \mathrm{mean})^2$. Can two such triples be merged?
#
# The sum of squares about any point p is $M + n\,(\mathrm{mean} - p)^2$. Take the common mean for p. With
# $n = n_a + n_b$ and $\delta = \mathrm{mean}_b - \mathrm{mean}_a$ it is $\mathrm{mean}_a + \delta\, n_b / n$. It lies
# $\delta\, n_b / n$ from one mean and $\delta\, n_a / n$ from the other, and so
#
# $$M = M_a + M_b + n_a \Big(\delta\,\frac{n_b}{n}\Big)^2 + n_b \Big(\delta\,\frac{n_a}{n}\Big)^2$$
#
# **Write** `merge(a, b)`: a, b and the result are triples (n, mean, M); mean and M may be tensors. Make the two last summands
# one (Chan, Golub and LeVeque, 1983). a may be empty, n = 0: that is how a loop begins.

# %% tags=["ex-merge"]
def merge(a, b):
    raise NotImplementedError


# %%
merge = check("merge", merge)

# %% [markdown]
# <details><summary>Help</summary>
#
# n_a n_b² / n² + n_b n_a² / n² = n_a n_b (n_b + n_a) / n², and n_a + n_b is n.
# </details>

# %% [markdown] tags=["solution-merge"]
# <details><summary>Solution</summary>
#
# ```python
# def merge(a, b):
#     (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
#     n, delta = n_a + n_b, mean_b - mean_a
#     return n, mean_a + delta * n_b / n, m2_a + m2_b + delta**2 * n_a * n_b / n
# ```
# </details>

# %% [markdown]
# Now the race. Four pictures, each with standard deviation 1, are moved up: mean 1, 10, ... 10,000. Five ways to their variance,
# all in float32, each against float64 on the same float32 numbers.

# %%
def textbook(x):
    return x.square().mean(1) - x.mean(1) ** 2


def by_merging(x):
    tiles = ((t.shape[1], t.mean(1), (t - t.mean(1, keepdim=True)).square().sum(1)) for t in x.split(512, dim=1))
    n, _, m2 = reduce(merge, tiles)
    return m2 / n


# %%
def two_passes(x):
    return (x - x.mean(1, keepdim=True)).square().mean(1)


def by_kernel(x):
    _, _, rstd = forwards.forward(x.view(-1, 3, 64, 64), None, None, groups=1, eps=0.0, silu=False)
    return rstd[:, 0] ** -2


def by_torch(x):
    return torch.native_group_norm(x, None, None, len(x), 3, 64 * 64, 1, 0.0)[2][:, 0] ** -2


# %% [markdown]
# **Predict before you look.** At a mean of 1,000 standard deviations, how many digits has the textbook's variance? How many has
# that of merged tiles? What will a picture look like that was normalised with it? And what is the standard deviation if
# rounding makes the variance *negative*?

# %%
rng = np.random.default_rng(0)
pages = torch.stack([torch.from_numpy(render(random_scene(rng, "seen"))) for _ in range(4)]).permute(0, 3, 1, 2).double()
pages = (pages - pages.mean((1, 2, 3), keepdim=True)) / pages.std((1, 2, 3), keepdim=True, correction=0)
ways = {"E[x²] - E[x]²": textbook, "tiles, merged": by_merging, "our kernel": by_kernel, "PyTorch": by_torch,
        "two passes": two_passes}  # fmt: skip
means, errors, pictures = np.logspace(0, 4, 9).tolist(), {name: [] for name in ways}, {name: {} for name in [*ways][:2]}
for mean in means:
    x = (pages + mean).float().flatten(1)
    true = x.double().var(1, correction=0)
    for name, variance in ways.items():
        errors[name].append(((variance(x) - true) / true).abs().max().item())
        if name in pictures and mean in (means[4], *means[6:]):
            y = (x - x.mean(1, keepdim=True)) / (variance(x)[:, None] + 1e-5).sqrt()
            pictures[name][mean] = y[1].view(3, 64, 64) / 2.5
norms.cancellation(means, errors, pictures)

# %% [markdown]
# The textbook's error grows with the *square* of the mean: $E[x^2]$ is about mean², and what is rounded off is
# $6 \cdot 10^{-8}$ of it. At 1,000 hardly a digit is left. Merged tiles lose one digit for each factor of ten, since
# $\delta$ is the difference of two large means, each rounded; PyTorch merges too. Two passes over the whole group lose least, as
# an error of the mean counts only squared, but that is one more reading of x. So large groups are merged, by your formula;
# in registers a second pass costs no byte, and `normalize_small` takes it.
#
# **The negative control**, in numbers:

# %%
for mean in means[4:]:
    x = (pages + mean).float().flatten(1)
    print(f"mean {mean:6.0f}: the textbook's variances {textbook(x).tolist()}, 1/std {(textbook(x) + 1e-5).rsqrt().numpy().round(3)}")

# %% [markdown]
# All are multiples of the distance between two float32 numbers near mean². A negative one makes 1/std **NaN**, and the next
# convolution carries it to its neighbours; a zero makes it $1/\sqrt{eps} = 316$, and the picture burns out.
#
# Does it matter in our network? Be honest, and look:

# %%
model, ratios = TextToImage.load("picturebook"), []


def look(module, given, _):
    x = given[0].reshape(len(given[0]), module.num_groups, -1)
    ratios.append((x.mean(-1).abs() / x.std(-1)).flatten())


for module in (*model.unet.modules(), *model.vae.modules()):
    if isinstance(module, GroupNorm):
        module.register_forward_hook(look)
model.generate("a red house by the sea", seeds=[0])
ratios = torch.cat(ratios)
print(f"|mean| / std of {len(ratios):,} groups while one picture is drawn: median {ratios.median():.2f}, largest {ratios.max():.1f}")

# %% [markdown]
# With such numbers the textbook's formula would lose one digit at most. We have looked at one small network only. The safe way
# costs no byte more, so there is nothing to gain from the other.
#
# Now read how the kernel merges. Every lane (one of the places of a tile) keeps a triple of its own and merges one number after
# the other, with n = 1 and M = 0: Welford's algorithm of 1962. At the end the lanes are merged, and then, by
# `merge_moments`, what the programs have found.

# %%
viz.show_source(forwards.merge.fn)

# %%
viz.show_source(forwards.partial_moments.fn)

# %% [markdown]
# ## 6. Exercise: the way back
#
# With $\hat x = (x - \mathrm{mean}) \cdot \mathrm{rstd}$, where rstd = 1/std, and $z = w \hat x + b$, y = SiLU(z). Backwards we are
# given dy, the gradient of the loss with respect to y.
#
# **SiLU first.** $dz = dy \cdot s\,(1 + z\,(1 - s))$ with $s = \mathrm{sigmoid}(z)$. It needs z. Could we keep y and find z from it?
#
# **Predict.** How many z belong to y = -0.2?

# %%
z = torch.linspace(-6, 4, 201)
s = torch.sigmoid(z)
viz.lines(z, {"SiLU(z)": z * s, "its slope s (1 + z (1 - s))": s * (1 + z * (1 - s))}, "SiLU and its slope", xlabel="z")

# %% [markdown]
# Two: SiLU falls before it rises, so y does not tell z. z itself could be kept, at the price of N bytes. Or computed again
# from x, which must be kept anyway: a few operations for a number that has been read already. Arithmetic is free here.
#
# **Then the weights**: $z = w \hat x + b$, so for each channel $db = \sum dz$ and $dw = \sum dz\, \hat x$ over its pixels (and over
# all pictures).
#
# **Then x.** Let $g = w\, dz$, the gradient with respect to $\hat x$. If mean and std were constants, dx would be rstd · g. But
# each x of the group moves both. Moving one x by a little moves the mean by 1/n of that and the variance by
# $2\,(x - \mathrm{mean})/n$; put together,
#
# $$\frac{\partial \hat x_i}{\partial x_j} = \mathrm{rstd}\,\Big([i = j] - \frac1n - \frac{\hat x_i \hat x_j}{n}\Big)
# \quad\Longrightarrow\quad
# dx = \mathrm{rstd}\,(g - c_1 - c_2\, \hat x),\qquad c_1 = \frac1n \sum g,\quad c_2 = \frac1n \sum g\, \hat x$$
#
# The sums run over the whole group. Now see: $\sum g = \sum_c w_c\, db_c$ and $\sum g\,\hat x = \sum_c w_c\, dw_c$. **Two sums a
# channel serve all four results.**
#
# **Write** `group_gradients(dz, xhat, weight, rstd)` for one group of one picture: dz and xhat `c s` (c channels of s pixels),
# weight `c`, rstd a number. Return dx `c s`, dweight `c`, dbias `c`.

# %% tags=["ex-group_gradients"]
def group_gradients(dz, xhat, weight, rstd):
    raise NotImplementedError


# %%
group_gradients = check("group_gradients", group_gradients)

# %% [markdown]
# <details><summary>Help</summary>
#
# `dz.sum(dim=1)` has one number a channel. n is `dz.numel()`. A weight `c` times something `c s` needs `weight[:, None]`.
# </details>

# %% [markdown] tags=["solution-group_gradients"]
# <details><summary>Solution</summary>
#
# ```python
# def group_gradients(dz, xhat, weight, rstd):
#     dbias, dweight = dz.sum(dim=1), (dz * xhat).sum(dim=1)
#     c1 = (weight * dbias).sum() / dz.numel()
#     c2 = (weight * dweight).sum() / dz.numel()
#     return rstd * (weight[:, None] * dz - c1 - c2 * xhat), dweight, dbias
# ```
# </details>

# %% [markdown]
# **Predict.** dx sums to what over the group? And dx times xhat?

# %%
x, dy = torch.randn(2, 1, 10, 8, 8, dtype=torch.float64)
weight, bias = torch.randn(2, 10, dtype=torch.float64)
leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
F.group_norm(leaves[0], 1, *leaves[1:]).backward(dy)
mean, rstd = x.mean().view(1, 1), 1 / (x.var(correction=0) + 1e-5).sqrt().view(1, 1)
xhat = (x - mean) * rstd
yours = group_gradients(dy.view(10, 64), xhat.view(10, 64), weight, rstd.item())
kernels = backwards.backward(dy, x, weight, bias, mean, rstd, groups=1, silu=False)
for name, leaf, mine, theirs in zip(("dx", "dweight", "dbias"), leaves, yours, kernels, strict=True):
    off = [(leaf.grad - found.view(leaf.shape)).abs().max().item() for found in (mine, theirs)]
    print(f"{name:7} against autograd: yours off by {off[0]:.0e}, the kernel by {off[1]:.0e}")
print(f"sum of dx {yours[0].sum():.0e}, of dx times xhat {(yours[0] * xhat.view(10, 64)).sum():.0e}")

# %% [markdown]
# Both sums vanish (the second but for eps). They must: adding a constant to a group, or stretching it, changes nothing
# after GroupNorm, so no gradient points there. This is what c1 and c2 take off.
#
# ## 7. What is kept, and the same bits twice
#
# **Predict.** Training keeps tensors from the forward pass for the backward pass. How many as large as x does eager
# PyTorch keep, and how many the kernel?

# %%
def kept(f):
    """Tensors as large as x that wait for the backward pass."""
    waiting = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: waiting.append(t) or t, lambda t: t):
        f(x.requires_grad_())
    return len({t.data_ptr() for t in waiting if t.numel() == x.numel()})


x = torch.randn(1, 10, 8, 8)
print("eager", kept(lambda x: F.silu(F.group_norm(x, 1))))
print("fused", kept(lambda x: group_norm(x, 1, silu=True, backend="triton")))

# %% [markdown]
# Then the sums over all pixels of all pictures. Many programs add to one number; the usual tool is an **atomic operation**
# (原子操作), by which each adds its part whenever it is ready. Addition of floats depends on the order:

# %%
terms = torch.randn(10_000)
results = {terms[torch.randperm(len(terms))].sum().item() for _ in range(1000)}
print("one sum in a thousand orders:", len(results), "different results")
x, dy = torch.randn(2, 2, 20, 64, 64)
mean, rstd = torch.zeros(2, 2), torch.ones(2, 2)
with traffic(stream=True) as counted:
    backwards.backward(dy, x, None, None, mean, rstd, groups=2, silu=True)
print("atomics in our backward pass:", counted.atomics)
for name in counted.stores:
    stored = np.concatenate([a.offsets for a in counted.stream if (a.tensor, a.kind) == (name, "store")])
    print(f"{name:14} {stored.size:6} numbers stored, in {np.unique(stored).size:6} places")

# %% [markdown]
# Our kernels have no atomics and store no number twice: each partial sum belongs to one program, and the few partial sums are
# added in a fixed order. So a training run gives the same bits twice. The interpreter runs programs one after the other and
# would hide a race; this count does not.
#
# ## 8. What the compiler says
#
# Interpreting shows that a kernel is right. Whether it is any good shows in the machine code, and the compiler needs no GPU
# to write it. It needs another process, since this one interprets. **Registers** are few: at most 255 a thread. What does
# not fit is **spilled** (寄存器溢出) to memory, which is what we wanted to avoid.
#
# **Predict, a negative control.** We tell `layout.py` that every group is small: a group of 10 x 4096 in the registers of one
# program, 2N bytes instead of 3N. The program gets 32 warps of 32 threads, the most that there can be. What happens?

# %%
script = """
import torch
from minidiffusion_kernels.codegen.cases import Case, group_norm
from minidiffusion_kernels.codegen.measure import rows
from minidiffusion_kernels.group_norm import layout

options = layout.options
layout.options = lambda c, s: options(c, s) | {"num_warps": min(c * s // 256, 32)}
for layout.SMALL in (layout.SMALL, 10**9):
    for row in rows({"": Case(group_norm((320, 64, 64), 32, torch.float16, False), 75)}, [80]):
        print(f"{row.kernel:16} {row.registers:3} registers a thread, {row.spills * 32 * row.warps // 1000:4} kB spilled")
"""

# %%
outside = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
root = Path(forwards.__file__).parents[2]
print(subprocess.run([sys.executable, "-c", script], env=outside, cwd=root, capture_output=True, text=True, check=True).stdout)

# %% [markdown]
# The first five are the kernels as shipped, forwards and backwards: nothing is spilled. The last two hold the whole group. Its
# tile, padded to 16 x 4096, has 65,536 elements, and a multiprocessor of this card has 65,536 registers: none is left to
# work with. The program writes and reads more than a million bytes for want of registers, and all that it was to save is
# another reading of the group, 82 kB. Compiled for an A100; `python -m minidiffusion_kernels.codegen group_norm` prints all
# shapes and generations.
#
# **What nobody has measured: time.** These kernels have not run on a GPU. Bytes are counted, registers are the compiler's, and
# the milliseconds of section 2 are bytes divided by a data sheet. Whether it is faster, and by how much, is yours to find out:
# `python benchmarks/group_norm.py` on a machine with a card.
#
# ## Summary
#
# - GroupNorm + SiLU is bound by memory. Eager moves 5N bytes forwards and 8N backwards, fused 3N and 5N, in registers 2N and 3N.
# - Subtract the mean first; merge parts by $M = M_a + M_b + \delta^2 n_a n_b / n$. $E[x^2] - E[x]^2$ loses two digits for each
#   factor of ten in the mean.
# - Tiles are powers of two, groups are not: the mask ends with the group.
# - Two sums a channel, $\sum dz$ and $\sum dz\,\hat x$, give dbias, dweight, c1 and c2. x is all that is kept.
#
# ## Can you still say it?
#
# 1. Why does GroupNorm read x twice, and when need it not?
# 2. Which of the two terms of the textbook's variance is wrong, if each is rounded rightly?
# 3. Why did the last group survive the careless mask?
# 4. Why may a tile in channels_last cross groups in `partial_moments`, but not in `normalize_small`?
# 5. Why can the fused kernel not keep y instead of x?
# 6. What makes dx orthogonal to a constant and to xhat?
# 7. The interpreter gave the same bits twice. Why is that no proof, and what is?
#
# ## Go on
#
# - Next: lesson 11, the U-Net in which all this happens (see the [map of the course](README.md)).
# - The operation: Y. Wu and K. He, [Group Normalization](https://arxiv.org/abs/1803.08494), 2018.
# - The variance: T. Chan, G. Golub and R. LeVeque, [Algorithms for Computing the Sample Variance: Analysis and
#   Recommendations](https://doi.org/10.1080/00031305.1983.10483115), 1983.
