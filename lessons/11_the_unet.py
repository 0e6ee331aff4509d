# %% [markdown]
# # 11 · The denoiser: a U-Net, piece by piece
#
# **After this lesson you can**
#
# - say why a denoiser must look far and near at once, and measure how far a network looks;
# - write the time embedding, and show what goes wrong with simpler ones;
# - write the residual block, and plan which feature map is carried where by the skip connections;
# - read the U-Net of Stable Diffusion as the one of this house, only wider.
#
# **Time** 60 minutes. **Article** section 2.1.2. **Needs** no GPU, no download; lessons 02, 08 and 10 help.
# **Files** `minidiffusion/networks/unet.py`, and `embedding.py` beside it; `minidiffusion/networks/convolution.py`;
# `minidiffusion/attention/block.py`.

# %%
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from lessons.exercises.lesson_11 import check
from minidiffusion import viz
from minidiffusion.diffusion.schedule import cosine
from minidiffusion.networks.convolution import Downsample, GroupNorm, ResnetBlock, Upsample

# %%
from minidiffusion.networks.embedding import TimestepEmbedding
from minidiffusion.networks.unet import UNet, UNetConfig, UNetLevel
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.viz.attention import captioned
from minidiffusion.viz.unet import skip_connections, trace, u_shape


def ink(weights):  # a picture `3 h w` in which the largest weight is black; the root makes small ones visible
    shade = weights.abs().sqrt()
    return (1 - 2 * shade / shade.max()).float().expand(3, -1, -1)


# %% [markdown]
# ## 1. Far and near
#
# A denoiser gets $x_t = \alpha_t x_0 + \sigma_t \epsilon$ and says what $x_0$ was. How many of the pixels around a place must it look
# at? For the best *linear* denoiser this can be computed. Pictures have a **power spectrum** (功率谱), which says how strong each
# spatial frequency is; the best thing to do is to keep of each the share power / (power + noise²), where noise is
# $\sigma_t / \alpha_t$. (It is called **Wiener's filter**, 维纳滤波, and is the ideal denoiser of lesson 02 if the data are Gaussian
# and the same everywhere.) Transformed back it is a weight for each neighbour.
#
# **Predict before you look.** For little noise, for some, and for much: how far do the weights reach?

# %%
rng = np.random.default_rng(0)
pages = torch.stack([torch.from_numpy(render(random_scene(rng, "seen"))) for _ in range(100)])
grey = (pages.permute(0, 3, 1, 2) / 127.5 - 1).mean(1)  # `b 64 64`
power = torch.fft.fft2(grey - grey.mean()).abs().square().mean(0) / 64**2
away = torch.minimum(torch.arange(64), 64 - torch.arange(64))
away = torch.maximum(away[:, None], away[None])  # from the pixel at [0, 0], around the edge as the transform has it
shown = []
for noise in (0.03, 0.3, 3.0, 10.0):
    weights = torch.fft.ifft2(power / (power + noise**2)).real
    near = (weights[away <= 2].square().sum() / weights.square().sum()).item()
    shown.append((ink(torch.fft.fftshift(weights)), f"noise = {noise}\n{near:.0%} within 2 pixels"))
captioned([shown], side=1.9)

# %% [markdown]
# With little noise each pixel knows itself best, and its neighbours help. With much noise no pixel is worth anything, and
# only the mean over wide areas says something. **One network must do both**: look far and coarsely, to find out what there is,
# and near and finely, to say where its edge runs.
#
# A convolution of 3 x 3 sees one pixel further. A stack of them sees far only if it is deep. The way out: halve the resolution,
# and a step is twice as long, at a quarter of the price. What an output can see is its **receptive field** (感受野). We measure
# it: the gradient of one output pixel with respect to each input pixel. Three networks of six residual blocks each; they
# differ only in how often they go down and up again.
#
# **Predict.** What share of the (squared) gradient comes from within two pixels? Which network has least to multiply?

# %%
def network(levels, c=32, blocks=6):
    down = [m for _ in range(levels - 1) for m in (ResnetBlock(c, c, 8, 1e-5), Downsample(c))]
    up = [m for _ in range(levels - 1) for m in (Upsample(c), ResnetBlock(c, c, 8, 1e-5))]
    return nn.Sequential(*down, *[ResnetBlock(c, c, 8, 1e-5) for _ in range(blocks - 2 * (levels - 1))], *up)


def looked_at(levels, seed):  # how strongly the output in the middle depends on each input
    torch.manual_seed(seed)
    x = torch.randn(1, 32, 32, 32, requires_grad=True)
    network(levels)(x)[0, :, 16, 16].backward(torch.randn(32))
    return x.grad.square().sum((0, 1))


# %%
def multiplications(levels):  # of the convolutions, for a feature map of 32 x 32
    counts, counted = [], network(levels)
    for conv in (module for module in counted.modules() if isinstance(module, nn.Conv2d)):
        conv.register_forward_hook(lambda conv, _, y: counts.append(conv.weight.numel() * y[0, 0].numel()))
    counted(torch.zeros(1, 32, 32, 32))
    return sum(counts)


# %%
shown, i = [], (torch.arange(32) - 16).abs()
for levels in (1, 2, 3):
    field = torch.stack([looked_at(levels, seed) for seed in range(8)]).mean(0)
    near = (field[torch.maximum(i[:, None], i) <= 2].sum() / field.sum()).item()
    shown.append((ink(field.sqrt()), f"{levels} level{'s' * (levels > 1)}: {near:.0%} within 2 pixels,\n"
                                     f"{multiplications(levels) / 1e6:.0f} million products"))  # fmt: skip
captioned([shown], side=2.2)

# %% [markdown]
# On one level the twelve convolutions *could* see twelve pixels far; in fact nearly everything comes from the next two. With
# three levels nearly everything comes from further away, for little more than half of the products. (Outside the square nothing
# is quite white: a GroupNorm takes mean and variance of the whole picture, so everything depends a little on everything.) What
# is lost on the way down is *where* exactly. The **skip connections** (跳跃连接) bring it back: section 6.
#
# Down, up, and across: the network has the shape of a **U** (U-Net, U 形网络; Ronneberger et al. 2015). Now the pieces.
#
# ## 2. Exercise: what time is it?
#
# How far to look depends on the noise, so the denoiser must know t. A **time embedding** (时间嵌入) makes of the number t
# a vector of d numbers, like the hands of d/2 clocks, each slower than the one before:
#
# $$e(t) = [\cos(t w_0), \dots, \cos(t w_{d/2-1}),\ \sin(t w_0), \dots, \sin(t w_{d/2-1})], \qquad w_i = 10000^{-i / (d/2)}$$
#
# **Write** `time_embedding(t, dim)`: t is `b`, whole or fractional numbers, dim is even; the result is `b dim`.

# %% tags=["ex-time_embedding"]
def time_embedding(t, dim):
    raise NotImplementedError


# %%
time_embedding = check("time_embedding", time_embedding)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.arange(dim // 2)` is i. `t[:, None] * w` is `b dim/2`. `torch.cat([...], dim=-1)` puts two such side by side.
# </details>

# %% [markdown] tags=["solution-time_embedding"]
# <details><summary>Solution</summary>
#
# ```python
# def time_embedding(t, dim):
#     w = 10_000 ** (-torch.arange(dim // 2) / (dim // 2))
#     angle = t[:, None] * w
#     return torch.cat([angle.cos(), angle.sin()], dim=-1)
# ```
# </details>

# %% [markdown]
# **Predict.** The likeness of two embeddings is $e(t) \cdot e(t') / (d/2)$, which is 1 for t = t'. How does it run over t' for t = 100,
# and for t = 500? Will the second curve be wider, narrower, or the same?

# %%
t = torch.arange(1000)
e = time_embedding(t, 64)
viz.lines(t, {f"with t = {k}": e @ e[k] / 32 for k in (100, 500)}, "likeness of two embeddings", "t'")

# %% [markdown]
# The same, only shifted: $\cos a \cos b + \sin a \sin b = \cos(a - b)$, so the likeness is the mean of $\cos((t - t') w_i)$, which
# depends on the distance alone. Near times are alike, far ones less, and no two are the same.
#
# Is the effort needed? **Negative controls.** What must a denoiser get out of t? Above all how much of $x_t$ to keep: for data
# of standard deviation std, the share $\alpha_t^2\, \mathrm{std}^2 / (\alpha_t^2\, \mathrm{std}^2 + \sigma_t^2)$, which is Wiener's again.
# Details of pictures have a small std, large areas a large one. So: six values of std, and a small network (two linear layers, as in the U-Net, and one more) shall
# learn all six shares from (1) the raw number t; (2) t / 1000; (3) a single clock, $[\cos t, \sin t]$; (4) the embedding.
#
# **Predict.** Who fails worst? Where along t?

# %%
schedule, std = cosine(1000), torch.tensor([0.01, 0.03, 0.1, 0.3, 1.0, 3.0])
t = torch.arange(1, 1000)
alpha, sigma = (table[t].float()[:, None] for table in (schedule.alpha, schedule.sigma))
share = (alpha * std) ** 2 / ((alpha * std) ** 2 + sigma**2)  # `999 6`


# %%
def learnt(e, seed, steps=500):
    torch.manual_seed(seed)
    net = nn.Sequential(TimestepEmbedding(e.shape[1], 64), nn.SiLU(), nn.Linear(64, 6))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = torch.randint(999, (128,))
        optimizer.zero_grad()
        (net(e[rows]) - share[rows]).square().mean().backward()
        optimizer.step()
    return net(e).detach()


# %%
told = {"t": t[:, None].float(), "t / 1000": t[:, None] / 1000}
told |= {"one clock": torch.stack([t.cos(), t.sin()], 1), "embedding": time_embedding(t, 64)}
answers = {name: torch.stack([learnt(e, seed) for seed in range(3)]) for name, e in told.items()}  # `3 999 6`
for name, answer in answers.items():
    typical, worst = (answer - share).square().mean((1, 2)).sqrt(), (answer - share).abs().amax((1, 2))
    print(f"{name:10} typical error", *(f"{x:.3f}" for x in typical), "worst", *(f"{x:.2f}" for x in worst), "(3 trainings)")
curves = [{name: answer[0, :, k] for name, answer in answers.items()} | {"the truth": share[:, k]} for k in (1, 5)]
viz.panels((t.log10(), curves[0], "share to keep of details, std = 0.03", "log10 t", False),
           (t, curves[1], "share to keep of large areas, std = 3", "t", False))  # fmt: skip

# %% [markdown]
# The single clock is blind: after 44 steps, seven rounds, its hand stands nearly where it stood, and all it can do is answer
# the mean. t / 1000 is smooth, and so is what is learnt from it: between t = 1 and t = 50 hardly anything changes in the input,
# while the details come and go. The raw t has numbers up to 1000, for which no layer is made: sometimes it is learnt, sometimes
# not (compare the three trainings). With the embedding the typical error is several times smaller, however the training begins: the
# fast clocks tell 1 from 2, the slow ones 500 from 900. (In the U-Net, too, two linear layers follow, `TimestepEmbedding`.)
#
# ## 3. Exercise: the residual block
#
# The U-Net's workhorse. Two convolutions, before each of them GroupNorm and SiLU (lesson 10), and around both a path on which the
# input passes unchanged (a **residual block**, 残差块). In between the block is told the time: one number for each channel,
# the same for all pixels.
#
# $$h = \mathrm{conv}_1(\mathrm{silu}(\mathrm{norm}_1(x))) + W\,\mathrm{silu}(time), \qquad y = \mathrm{shortcut}(x) + \mathrm{conv}_2(\mathrm{silu}(\mathrm{norm}_2(h)))$$
#
# **Write** `residual_block(x, time, block)` with the parts of the library's: `block.norm1` and `block.norm2` **have their SiLU in
# them**; `block.conv1`, `block.conv2`; `block.time_emb_proj` is W, from `b d` to `b c_out`; `block.conv_shortcut` is a convolution
# of 1 x 1 if c_in and c_out differ, and None otherwise: then the shortcut is x itself. x is `b c_in h w`, time is `b d`.

# %% tags=["ex-residual_block"]
def residual_block(x, time, block):
    raise NotImplementedError


# %%
residual_block = check("residual_block", residual_block)

# %% [markdown]
# <details><summary>Help</summary>
#
# The time's own SiLU is `torch.nn.functional.silu(time)`. From `b c` to `b c 1 1`: `[:, :, None, None]`.
# </details>

# %% [markdown] tags=["solution-residual_block"]
# <details><summary>Solution</summary>
#
# ```python
# def residual_block(x, time, block):
#     h = block.conv1(block.norm1(x))
#     h = h + block.time_emb_proj(nn.functional.silu(time))[:, :, None, None]
#     h = block.conv2(block.norm2(h))
#     return h + (x if block.conv_shortcut is None else block.conv_shortcut(x))
# ```
# </details>

# %% [markdown]
# What is the path good for? Forty blocks before any training. **Predict.** How does the gradient change from the last block to the
# first: with the path; without; and with it, if all conv2 begin at zero?

# %%
def gradients(path=True, zero=False, depth=40):
    torch.manual_seed(0)
    xs = [torch.randn(4, 16, 8, 8, requires_grad=True)]
    for _ in range(depth):
        block, x = ResnetBlock(16, 16, 4, 1e-5), xs[-1]
        if zero:
            nn.init.zeros_(block.conv2.weight)
            nn.init.zeros_(block.conv2.bias)
        xs.append(block(x) if path else block(x) - x)
        xs[-1].retain_grad()
    xs[-1].backward(torch.randn(xs[-1].shape))
    change = ((xs[1] - xs[0]).norm() / xs[0].norm()).item()
    return torch.stack([x.grad.norm() for x in xs]), change


# %%
kinds = {"with the path": {}, "without": {"path": False}, "conv2 = 0 at first": {"zero": True}}
norms = {name: gradients(**kind) for name, kind in kinds.items()}
for name in ("with the path", "conv2 = 0 at first"):
    print(f"{name:18} the first block changes its input by {norms[name][1]:.0%}")
viz.panels((torch.arange(41), {name: g / g[-1] for name, (g, _) in norms.items()},
            "gradient, in units of that at the end", "after block", True))  # fmt: skip

# %% [markdown]
# Without the path the gradient grows several hundredfold on its way: the first blocks and the last cannot do with one learning
# rate. With it, it grows threefold over forty blocks. And if conv2 is zero at first, each block is exactly the **identity**
# (恒等映射), and the gradient arrives as it left: the network begins as if it had no depth, and grows it while it learns. (The
# price: where conv2 is zero, conv1 gets no gradient before the first step.) Our `ResnetBlock` keeps PyTorch's usual random
# beginning, which changes its input by a third; the eight of them in the miniature can live with that.
#
# And GroupNorm? It holds the size of what a convolution gets, whatever came before, and it looks at one picture only.
# **Predict.** Which of the two norms notices that the other pictures of the batch have changed?

# %%
x = torch.randn(4, 32, 8, 8, generator=torch.Generator().manual_seed(0))
others = torch.cat([x[:1], 5 + 3 * x[1:]])
for norm in (GroupNorm(8, 32, 1e-5), nn.BatchNorm2d(32)):
    with torch.no_grad():
        louder, company = (norm(100 * x) - norm(x)).abs().max(), (norm(others)[0] - norm(x)[0]).abs().max()
    print(f"{type(norm).__name__:12} x 100 times as large: {louder:.4f}; other company: {company:.4f}")

# %% [markdown]
# That matters here: a batch holds pictures at all noise levels, and when sampling all of one. A **batch norm** (批归一化)
# would see two worlds.
#
# ## 4. Down and up
#
# **Down-sampling** (下采样) is a convolution that moves in steps of two. For **up-sampling** (上采样) its mirror image seems
# natural, the **transposed convolution** (转置卷积): each input paints its kernel, at steps of two. Or one can repeat each
# pixel four times and smooth with an ordinary convolution. Random positive kernels, so that one recognises the picture:
#
# **Predict.** What does each of them make of an even surface?

# %%
def positive(module):  # random kernels >= 0 that keep the brightness, no bias
    with torch.no_grad():
        module.weight.abs_()
        module.weight *= (4 if isinstance(module, nn.ConvTranspose2d) else 1) / module.weight.sum()
        module.bias.zero_()
    return module


torch.manual_seed(0)
up = Upsample(1)
positive(up.conv)
ways = {"transposed, 3 x 3": positive(nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)),
        "transposed, 4 x 4": positive(nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)),
        "repeat, then 3 x 3": up}  # fmt: skip

# %%
page = nn.functional.avg_pool2d(grey[None, 7:8], 2)  # `1 1 32 32`
even = torch.zeros(1, 1, 12, 12) - 0.2


def shown_as(x, crop=2):
    return x.detach()[0, :, crop:-crop, crop:-crop].expand(3, -1, -1)


rows = []
for x in (even, page):
    outputs = {name: 2 * way((x + 1) / 2) - 1 for name, way in ways.items()}
    ripple = {name: y[0, 0, 4:-4, 4:-4].std().item() for name, y in outputs.items()}
    captions = [f"{name}\nripple {ripple[name]:.2f}" if x is even else name for name in outputs]
    rows.append([(shown_as(x), "input"), *zip(map(shown_as, outputs.values()), captions, strict=True)])
captioned(rows, ["even", "a page"], side=1.9)

# %% [markdown]
# The **checkerboard** (棋盘效应). With a 3 x 3 kernel at steps of two, some output pixels are painted by one input, some by two, some
# by four. With 4 x 4 all are painted by four, but by different numbers of the kernel, whose sums are equal only if training
# makes them so. After repeating, every pixel of an even surface sees the same nine numbers times the same value: it stays even,
# whatever the kernel. Therefore `Upsample` repeats first. (The gradient of a strided convolution is a transposed one: it is the
# pattern that you saw in the receptive fields of section 1. There it only means that some pixels are looked at more often.)
#
# ## 5. Words come in at one place
#
# After the residual blocks of the lower resolutions stands a transformer block (lesson 08): self-attention among the places,
# cross-attention to the words, and a feed-forward layer. The convolutions never see a word.

# %%
viz.show_source(UNetLevel.layer)

# %% [markdown]
# **Predict.** The shipped U-Net gets the same noise at the same time with two prompts, which differ in the subject only, in the hour
# only, or in the style only. After which modules do its feature maps differ?

# %%
model = TextToImage.load("picturebook")
unet = model.unet
x_t = torch.randn(16, 16, 8, 8, generator=torch.Generator().manual_seed(0))
stops = trace(unet, x_t[:1], torch.tensor([700]), model.context([""]))
modules = dict(unet.named_modules())


def feature_maps(prompt, t=700):  # the output of each module, name -> `b c h w`
    caught = {}
    with ExitStack() as hooks, torch.no_grad():
        for stop in stops:
            hook = modules[stop.name].register_forward_hook(lambda _, __, y, name=stop.name: caught.update({name: y}))
            hooks.callback(hook.remove)
        unet(x_t, torch.full((16,), t), model.context([prompt] * 16))
    return caught


# %%
before = feature_maps("a red house by the sea at night, watercolor")
others = {"subject": "a red boat by the sea at night, watercolor", "hour": "a red house by the sea at noon, watercolor",
          "style": "a red house by the sea at night, ink"}  # fmt: skip
after = {what: feature_maps(prompt) for what, prompt in others.items()}
print(f"{'what comes out differs by':30}", *(f"{what:>8}" for what in others))
for name, y in before.items():
    print(f"{name:30}", *(f"{(maps[name] - y).norm() / y.norm():8.1%}" for maps in after.values()))

# %% [markdown]
# Nothing differs before the first transformer, and everything after it. What was not to be foreseen: this network reads the style on
# its way *down*, and the hour and the subject in the transformers on its way up, mostly in the last one. The middle one adds next to
# nothing of its own. (One prompt, one time: change them, and see whether it stays so.)
#
# ## 6. Exercise: the skip plan
#
# On the way down every feature map (特征图) is put on a **stack** (栈): what `conv_in` makes, what each of the
# `layers_per_block` blocks of a level makes, and what the Downsample at the level's end makes. The lowest level has no
# Downsample. On the way up each residual block takes one off, the last first, and gets it beside its input, as more channels.
# Each level has there `layers_per_block + 1` residual blocks, so that nothing is left over.
#
# **Write** `skip_plan(channels, layers_per_block)`: channels is a list, from the highest resolution to the lowest. The
# result is a list: how many channels each residual block on the way up takes off the stack, in the order in which they run.

# %% tags=["ex-skip_plan"]
def skip_plan(channels, layers_per_block):
    raise NotImplementedError


# %%
skip_plan = check("skip_plan", skip_plan)

# %% [markdown]
# <details><summary>Help</summary>
#
# Begin with `stack = [channels[0]]`. For (64, 128) and 1 layer, four are put on it: conv_in's 64, a block's 64, the Downsample's
# 64, a block's 128.
# </details>

# %% [markdown] tags=["solution-skip_plan"]
# <details><summary>Solution</summary>
#
# ```python
# def skip_plan(channels, layers_per_block):
#     stack = [channels[0]]
#     for i, c in enumerate(channels):
#         stack += [c] * layers_per_block
#         if i < len(channels) - 1:
#             stack.append(c)
#     return stack[::-1]
# ```
# </details>

# %% [markdown]
# **The negative control.** With your plan we know which channels of each block on the way up came over a skip connection: the last ones.
# We set them to zero, in the trained model, at every step of sampling. And, in the last column, the other way round: the
# skips of the upper level stay, and what comes up from the lower one is zero.
#
# **Predict.** What will be missing without the first skip, from the bottom? Without the last, which carries what conv_in made?
# Without what comes from below?

# %%
blocks = [block for level in unet.up_blocks for block in level.resnets]
skipped = skip_plan(list(unet.config.channels), unet.config.layers_per_block)


def without(channels, width):  # a hook that sets some channels of what a block gets to zero
    mask = torch.ones(1, width, 1, 1)
    mask[:, channels] = 0
    return lambda _, args: (args[0] * mask, *args[1:])


# %%
def silenced(zeros):  # zeros: block -> which channels of its input
    prompts = ["a red house by the sea at night, watercolor", "a yellow boat on a lake at sunset, ink"]
    with ExitStack() as hooks:
        for i, channels in zeros.items():
            hook = without(channels, blocks[i].conv1.in_channels)
            hooks.callback(blocks[i].register_forward_pre_hook(hook).remove)
        return model.generate(prompts, seeds=[0, 1])


# %%
cases = {"all there": {}} | {f"no skip {i + 1}": {i: slice(-c, None)} for i, c in enumerate(skipped)}
cases |= {"no skips": {i: slice(-c, None) for i, c in enumerate(skipped)}, "nothing from below": {2: slice(0, -skipped[2])}}
pictures = {name: silenced(zeros) for name, zeros in cases.items()}
for name, x in pictures.items():
    print(f"{name:18} changes a pixel by {(x - pictures['all there']).abs().mean() / 2:.1%} of black to white")
captioned([[(x[i], name) for name, x in pictures.items()] for i in range(2)], side=1.4)

# %% [markdown]
# - **Without skip 4**, the noisy latents themselves as conv_in saw them, everything is in its place, and the picture is in shreds.
#   To take off the noise one must know what it is, at each place; the last block has that from this skip and from nowhere else.
# - **Without skip 2**, which carries the finer map into the coarse level, the subjects are blobs. **Without skip 1**, which
#   carries the style (section 5), a frame or the colours are lost, and things move.
# - **Without skip 3** hardly anything happens. It does not follow that its channels say nothing: they may say what skip 4 says
#   too. It follows only that *this* network can do without them.
# - The numbers alone would mislead: skip 1 changes more than skip 4, because things move. Look at the pictures.
# - **Without what comes from below** a grey fog is left. The skips alone know where, but not *what*: no word came through.
#
# (The network was not trained without its skips. Trained so from the beginning, another network would have made the best of it.)
#
# ## 7. The whole U
#
# All pieces, from a forward pass of the shipped U-Net: a box for each module, as high as its feature map and as wide as its
# channels. Beside it the other input, which all residual blocks get: your embedding of t. And the code that does it; `skips` is
# the stack.

# %%
viz.show_source(UNet.forward)

# %%
u_shape(stops, "the U-Net of the miniature, 16 x 8 x 8 in and out", time_embedding(torch.arange(1000), 64))

# %% [markdown]
# Left, down: half the height, then twice the width. Right, up: a residual block gets beside its input what the arrow brings, which
# is why there is one more of them a level than on the way down. All transformers are at the bottom, where 16 places look at each other;
# at the top it would be 64. On the right, a column is what the network hears at one t. The upper rows run fast: they tell
# neighbours apart. The lower ones hardly move: they tell early from late.
#
# ## 8. The same class, two hundred times as large
#
# `UNet` does not know how large it is; that is in its config. On PyTorch's **meta device** (元设备) tensors have shapes and no
# numbers, so we can build the U-Net of Stable Diffusion 1.5 in no memory, and send noise and a prompt through it that are shapes only.
#
# **Predict.** How many parameters? Which part has most of them: convolutions, attention, feed-forward? And in the miniature?

# %%
with torch.device("meta"):
    large = UNet(UNetConfig.stable_diffusion_1_5())
    large_stops = trace(large, torch.empty(1, 4, 64, 64), torch.tensor([1]), torch.empty(1, 77, 768))
u_shape(large_stops, "the U-Net of Stable Diffusion 1.5, 4 x 64 x 64 in and out")

# %%
PARTS = {"time": "time_emb", "self-attention": "attn1", "cross-attention": "attn2", "feed-forward": ".ff.", "norms": "norm",
         "1 x 1 around transformers": ".proj_", "down, up": "samplers", "residual blocks": "resnets", "in and out": "conv_"}  # fmt: skip


def parameters(network):  # the first part whose mark is in the name
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in network.named_parameters():
        counts[next(part for part, mark in PARTS.items() if mark in name)] += parameter.numel()
    return counts


# %%
small_counts, large_counts = parameters(unet), parameters(large)
small_total, large_total = sum(small_counts.values()), sum(large_counts.values())
print(f"{'':26} {'miniature':>12} {'':6} {'SD 1.5':>12}")
for part in sorted(PARTS, key=large_counts.get, reverse=True):
    small, many = small_counts[part], large_counts[part]
    print(f"{part:26} {small:12,} {small / small_total:6.1%} {many:12,} {many / large_total:6.1%}")
print(f"{'together':26} {small_total:12,} {'':6} {large_total:12,}")
plan = skip_plan([320, 640, 1280, 1280], 2)
print("your plan:", *plan, "as it ran" if plan == [large_stops[i].channels for i, _ in skip_connections(large_stops)] else "not as it ran")

# %% [markdown]
# Four levels instead of two, two blocks a level instead of one, up to ten times the width, hence 215 times the parameters. The
# shares are similar: more than half are in the residual blocks, a fifth in the feed-forward layers. Attention itself,
# of both kinds, has a ninth (in the miniature an eighth). The lowest level of the large one has no transformer in its
# blocks (its config says so), only one in the middle. Nothing in the code had to change; lesson 17 loads the real weights.
#
# ## Summary
#
# - With little noise the best denoiser looks near, with much noise far. A U does both, and cheaply.
# - A receptive field can be measured: it is where the gradient of an output comes from.
# - The time embedding is a set of clocks. Its likeness depends on the distance of two times alone.
# - A residual block adds to what passes. The gradient reaches the first block by the path around all of them.
# - Repeat and smooth: an even surface stays even. A transposed convolution has to learn it.
# - Words come in by cross-attention only. Skips carry where and how much noise; the bottom knows what.
# - One class, two configs: the miniature, and Stable Diffusion 1.5.
#
# ## Can you still say it?
#
# 1. Why does a denoiser need a wide view at large t and a narrow one at small t?
# 2. What does halving the resolution do to the reach of a convolution, and what to its price?
# 3. Why is one clock not enough, whatever its speed?
# 4. Where in a residual block is the time added, and why before a SiLU?
# 5. Why does nearest-neighbour and a convolution keep an even surface even, and a transposed convolution not?
# 6. A U-Net has channels (32, 64, 96) and two layers a block. How many skips, and with which channels?
# 7. A skip was cut and nothing changed. What may you conclude, and what not?
#
# ## Go on
#
# - Next: lesson 12, the latents that this U-Net denoises (see the [map of the course](README.md)).
# - The shape: O. Ronneberger et al., [U-Net: Convolutional Networks for Biomedical Image
#   Segmentation](https://arxiv.org/abs/1505.04597), 2015.
# - The checkerboard, with pictures to play with: A. Odena et al., [Deconvolution and Checkerboard
#   Artifacts](https://distill.pub/2016/deconv-checkerboard/), 2016.
