# %% [markdown]
# # 17 · From the miniature to Stable Diffusion 1.5
#
# **After this lesson you can**
#
# - say where the billion parameters of Stable Diffusion are, and count those of a transformer block by hand;
# - explain every shape in a checkpoint that looks strange at first;
# - load a checkpoint so that nothing can go wrong in silence, and say what still can;
# - find the one wrong detail in a network of a thousand tensors.
#
# **Time** 50 minutes. **Article** sections 2.2 and 6.1. **Needs** no GPU, no download; the real weights if you have them.
# Lessons 11, 12 and 13 help.
# **Files** `minidiffusion/pretrained/stable_diffusion.py`, and `compvis.py` beside it; `minidiffusion/networks/unet.py`.

# %%
import os
from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lessons.exercises.lesson_17 import check
from minidiffusion.attention.block import GEGLU, CrossAttentionBlock
from minidiffusion.attention.multi_head import MultiHeadAttention
from minidiffusion.clip.encoder import TextEncoder
from minidiffusion.latent.vae import AutoencoderKL

# %%
from minidiffusion.networks import unet as unet_module
from minidiffusion.networks.convolution import Downsample, GroupNorm
from minidiffusion.networks.unet import SpatialTransformer, UNet, UNetConfig
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained import compvis
from minidiffusion.pretrained.stable_diffusion import SHAPES_1_5, build
from minidiffusion.viz.parameters import parameter_map

# %% [markdown]
# ## 1. The same classes, twice
#
# The miniature and Stable Diffusion 1.5 are three networks each: a text encoder (lesson 13), a U-Net (lesson 11) and a VAE
# (lesson 12). They are the *same three classes*. A config says how wide and how deep. On the meta device a network has shapes but
# no numbers, so the large one costs nothing to build.
#
# **Predict before you look.** How many parameters has Stable Diffusion? Which of the three networks has most of them, and what inside
# it: the layers that attend, or the ones that do not?

# %%
text_shape, unet_shape, vae_shape = SHAPES_1_5
with torch.device("meta"):
    large = {"text encoder": TextEncoder(text_shape), "U-Net": UNet(unet_shape), "VAE": AutoencoderKL(vae_shape)}
model = TextToImage.load()
small = {"text encoder": model.text_model, "U-Net": model.unet, "VAE": model.vae}
parameter_map({"Stable Diffusion 1.5": large, "the miniature": small})

# %% [markdown]
# Every rectangle is a tensor, and its area the number of its parameters. The two maps look like relatives: residual blocks take
# most of both U-Nets; in a transformer the feed-forward layers (red) take more than attention. What is different: the large text
# encoder knows 49,408 pieces of words (green), and the VAE, which takes a quarter of the miniature, is hardly visible in the large system.
# Pictures of 512 x 512 are not harder to compress than those of 64 x 64. To understand a sentence about anything is harder.
#
# The small black square is the miniature, drawn to the scale of the other. All that differs is size, data and patience.
#
# ## 2. Exercise: count a transformer
#
# Where a parameter count comes from, you should be able to say with a pencil. A transformer in the U-Net, for c channels and prompt tokens
# of width d, has
#
# - a GroupNorm and a convolution of 1 x 1 (`proj_in`) before, another convolution of 1 x 1 (`proj_out`) behind;
# - self-attention: `to_q`, `to_k`, `to_v` without bias, `to_out` with;
# - cross-attention: the same, but keys and values are made of the prompt's tokens;
# - a feed-forward layer: c to 2 · mult · c (half of these are values and half are gates, lesson 08), then mult · c back to c, both with bias;
# - a LayerNorm before each of these three.
#
# **Write** `transformer_parameters(c, d, mult)`: how many numbers it holds.

# %% tags=["ex-transformer_parameters"]
def transformer_parameters(c, d, mult):
    raise NotImplementedError


# %%
transformer_parameters = check("transformer_parameters", transformer_parameters)

# %% [markdown]
# <details><summary>Help</summary>
#
# A linear layer from a to b has a b weights, and b more with a bias; so has a convolution of 1 x 1. A norm over c channels
# has 2 c.
# </details>

# %% [markdown] tags=["solution-transformer_parameters"]
# <details><summary>Solution</summary>
#
# ```python
# def transformer_parameters(c, d, mult):
#     norms = 4 * 2 * c
#     around = 2 * (c * c + c)
#     self_attention = 3 * c * c + (c * c + c)
#     cross_attention = c * c + 2 * c * d + (c * c + c)
#     feed_forward = c * (2 * mult * c) + 2 * mult * c + (mult * c) * c + c
#     return norms + around + self_attention + cross_attention + feed_forward
# ```
# </details>

# %%
for width in (320, 640, 1280):
    count = transformer_parameters(width, unet_shape.context_dim, unet_shape.ff_mult)
    print(f"{width:5} channels: {count:11,} parameters, {count / width**2:.1f} c^2")
in_them = sum(p.numel() for m in large["U-Net"].modules() if isinstance(m, SpatialTransformer) for p in m.parameters())
in_all = sum(p.numel() for p in large["U-Net"].parameters())
print(f"in all transformers of the large U-Net: {in_them:,} of {in_all:,}, {in_them / in_all:.0%}")

# %% [markdown]
# About 20 c²: twice the width is four times the parameters. **Predict.** How many times the *work* of the miniature is a picture of Stable
# Diffusion? It has about 170 times the parameters. But a convolution uses each of its parameters once for every place of the
# feature map, and there are 64 x 64 places instead of 8 x 8.

# %%
def work(networks, size, tokens):  # multiplications and additions, of one call of each
    unet, vae = networks["U-Net"].config, networks["VAE"].config
    latent = torch.zeros(1, unet.in_channels, size // vae.downsampling, size // vae.downsampling)
    inputs = {"text encoder": (torch.zeros(1, tokens, dtype=torch.long),),
              "U-Net": (latent, torch.tensor([1]), torch.zeros(1, tokens, unet.context_dim)), "VAE": (latent,)}  # fmt: skip
    result = {}
    for name, network in networks.items():
        counter, call = FlopCounterMode(display=False), network.decode if name == "VAE" else network
        device = next(network.parameters()).device
        with counter, torch.no_grad():
            call(*(x.to(device) for x in inputs[name]))
        result[name] = counter.get_total_flops()
    return result


# %%
tokens = model.text_model.position_embedding.num_embeddings
costs = work(large, 512, 77), work(small, 64, tokens)
print(f"{'one call':14} {'SD 1.5':>18} {'miniature':>16} {'times':>8}")
for name in large:
    print(f"{name:14} {costs[0][name]:18,} {costs[1][name]:16,} {costs[0][name] / costs[1][name]:8,.0f}")
pictures = [2 * 25 * cost["U-Net"] + cost["VAE"] + 2 * cost["text encoder"] for cost in costs]
print(f"{'a picture':14} {pictures[0]:18,} {pictures[1]:16,} {pictures[0] / pictures[1]:8,.0f}   (25 steps, with guidance)")

# %% [markdown]
# Thousands of times the work: a picture that takes the miniature tenths of a second takes the large one minutes on the same computer. That is what
# the latents of lesson 12 are good for: without them the U-Net would have 64 times as many places to work on, and its
# self-attention, which compares every place with every other, 4,096 times as many pairs.
#
# ## 3. Shapes that look strange
#
# Here are some tensors of the real checkpoint. **Predict** for each where its shape comes from, before you read on.

# %%
SURPRISES = """U-Net conv_in.weight
U-Net time_embedding.linear_1.weight
U-Net down_blocks.0.attentions.0.proj_in.weight
U-Net down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight
U-Net down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight
U-Net up_blocks.0.resnets.0.conv1.weight
U-Net up_blocks.2.resnets.0.conv1.weight
VAE encoder.conv_out.weight
VAE decoder.conv_in.weight
text encoder token_embedding.weight"""
for line in SURPRISES.splitlines():
    network, name = line.rsplit(" ", 1)
    print(f"{network:13} {name:72} {list(large[network].get_parameter(name).shape)}")

# %% [markdown]
# - `conv_in`: 4 channels come in, because the network never sees a picture, only latents of 4 numbers a place.
# - `time_embedding.linear_1`: 160 clocks, each with its cosine and its sine (lesson 11), mixed into a vector of 4 · 320.
# - `proj_in` has 1 x 1 at its end: a linear layer at every place can be stored as a convolution.
# - `attn2.to_k`: from 768, the width of the text encoder, to 320. A cross-attention can be told from a self-attention by its shape.
# - `ff.net.0.proj`: 2560 = 2 · 4 · 320. One matrix makes the values and the gates.
# - `up_blocks.0.resnets.0.conv1`: 2560 = 1280 from below and 1280 over a skip connection. `up_blocks.2.resnets.0`: 1920 = 1280 from below
#   (that level was wider) and 640 over the skip.
# - The encoder of the VAE ends with 8 channels, but its decoder begins with 4: a mean and a log-variance of each (lesson 12).
# - `token_embedding`: 256 bytes, 256 bytes at the end of a word, 48,894 merges, start and end.
#
# Do not believe it: two of these in numbers, with small random weights. Both differences should be zero, up to rounding.

# %%
torch.manual_seed(0)
x, weight = torch.randn(2, 6, 5, 5), torch.randn(8, 6, 1, 1)
as_linear = F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
print(f"a 1 x 1 convolution is a linear layer at every place: {(F.conv2d(x, weight) - as_linear).abs().max():.0e}")
below, skip, weight = torch.randn(1, 4, 5, 5), torch.randn(1, 3, 5, 5), torch.randn(8, 7, 3, 3)
joined = F.conv2d(torch.cat([below, skip], dim=1), weight, padding=1)
apart = F.conv2d(below, weight[:, :4], padding=1) + F.conv2d(skip, weight[:, 4:], padding=1)
print(f"a convolution of what is joined is the sum of two:    {(joined - apart).abs().max():.0e}")

# %% [markdown]
# ## 4. Names
#
# The weights are published in two layouts. That of the diffusers library is a folder, and its names are ours: `down_blocks.1.resnets.0.conv1`
# says where a tensor is. That of the authors (CompVis) is one file; their modules are numbered in the order in which they run, and the
# numbers say little. Someone has to make the map, once, and a mistake in it must not pass unseen.

# %%
tiny_shape = UNetConfig(4, (32, 64), (True, False), layers_per_block=2, heads=8, context_dim=24)


def random_unet(seed=1):  # every tensor random; section 6 says why
    torch.manual_seed(seed)
    network = UNet(tiny_shape).eval().requires_grad_(False)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2 if parameter.ndim == 1 else 0.1)
    return network


truth = random_unet()
file = {compvis.UNET + compvis.unet_name(name, truth): tensor for name, tensor in truth.state_dict().items()}
for name in [*truth.state_dict()][8::45]:
    print(f"{name:62} {compvis.unet_name(name, truth)}")

# %% [markdown]
# **The negative control.** PyTorch loads a file with `load_state_dict`. With `strict=False` it takes what fits, and says nothing about the rest.
# We give it the file in the authors' names, without the map. **Predict.** How many tensors will fit?

# %%
def distance(a, b):  # relative
    return ((a - b).norm() / b.norm()).item()


inputs = (torch.randn(2, 4, 8, 8), torch.tensor([500, 40]), torch.randn(2, 7, 24))
careless = random_unet(seed=2)
answer = careless.load_state_dict(file, strict=False)
print(f"no error; {len(answer.missing_keys)} of {len(truth.state_dict())} tensors missing, {len(answer.unexpected_keys)} unknown")
print(f"the output differs from the truth by {distance(careless(*inputs), truth(*inputs)):.0%}")

# %% [markdown]
# None at all, and no error. What comes out is that of random weights. The only trace is in a return value that few people read.
#
# ## 5. Exercise: load strictly
#
# **Write** `complaints(ours, stored)`. Both are dictionaries from a name to a shape (a tuple). Return three lists of names, each in alphabetical order:
# what we have and the file lacks; what the file has and we do not know; and what both have in different shapes.

# %% tags=["ex-complaints"]
def complaints(ours, stored):
    raise NotImplementedError


# %%
complaints = check("complaints", complaints)

# %% [markdown]
# <details><summary>Help</summary>
#
# The keys of a dictionary behave as a set: `ours.keys() - stored.keys()`, `ours.keys() & stored.keys()`. `sorted` makes a list.
# </details>

# %% [markdown] tags=["solution-complaints"]
# <details><summary>Solution</summary>
#
# ```python
# def complaints(ours, stored):
#     missing = sorted(ours.keys() - stored.keys())
#     unknown = sorted(stored.keys() - ours.keys())
#     misshapen = sorted(name for name in ours.keys() & stored.keys() if ours[name] != stored[name])
#     return missing, unknown, misshapen
# ```
# </details>

# %%
def shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


ours = shapes(truth.state_dict())
mapped = compvis.unet_tensors(file, truth)
for what, tensors in (("without the map", file), ("with the map", mapped)):
    print(f"{what:16} missing, unknown, misshapen:", *map(len, complaints(ours, shapes(tensors))))
loaded = build(UNet, tiny_shape, file, "the file", compvis.unet_tensors)  # how the library does it
print(f"loaded with the map, the output differs by {distance(loaded(*inputs), truth(*inputs)):.0e}")

# %% [markdown]
# So much a strict loader can promise: every tensor has found its place, and no tensor is left. It is what `TextToImage.load` does
# for the real files, and anything else is an error with a sentence.
#
# ## 6. What strict loading cannot see
#
# A network is more than its tensors. How many heads share a width? Which half of a GEGLU is the gate? In which order stand sines and cosines?
# Where is a picture padded, and what is the epsilon in a norm? No shape tells. Here is the same network eight times, loaded
# strictly, with **one detail wrong** in each. (Such mistakes are made: the config file of Stable Diffusion says `attention_head_dim: 8`, and
# means 8 heads.)
#
# **Predict.** Which of these does most harm, which least? Would you see it in a picture?

# %%
def set_all(kind, **values):  # in all modules of a kind
    def change(network):
        for module in network.modules():
            if isinstance(module, kind):
                for name, value in values.items():
                    setattr(module, name, value)
    return change


def swap_gates(network):  # the first half of the rows makes the values, the second the gates
    for module in network.modules():
        if isinstance(module, GEGLU):
            half = len(module.proj.weight) // 2
            module.proj.weight.data, module.proj.bias.data = module.proj.weight.roll(half, 0), module.proj.bias.roll(half, 0)


# %%
def gelu_by_tanh(network):
    def forward(x, proj):
        value, gate = proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate, approximate="tanh")
    for module in network.modules():
        if isinstance(module, GEGLU):
            module.forward = partial(forward, proj=module.proj)


# %%
def exchange_norms(network):  # as a wrong line in the map of names would
    for block in (module for module in network.modules() if isinstance(module, CrossAttentionBlock)):
        block.norm1, block.norm3 = block.norm3, block.norm1


def sines_first(network):
    network.time_embedding.linear_1.register_forward_pre_hook(lambda _, args: args[0].roll(args[0].shape[1] // 2, 1))


# %%
CHANGES = {
    "sines before cosines": sines_first,
    "4 heads instead of 8": set_all(MultiHeadAttention, heads=4),
    "gates and values exchanged": swap_gates,
    "two norms exchanged": exchange_norms,
    "padding at two sides only": set_all(Downsample, padding=(0, 1, 0, 1)),
    "every GroupNorm with epsilon 1e-6": set_all(GroupNorm, eps=1e-6),
    "every LayerNorm with epsilon 1e-6": set_all(nn.LayerNorm, eps=1e-6),
    "GELU by its approximation": gelu_by_tanh,
}


# %%
def harm(network, change):  # how far the output is from the true one
    wrong = deepcopy(network)
    change(wrong)
    with torch.no_grad():
        return distance(wrong(*inputs), network(*inputs))


# %%
torch.manual_seed(3)
fresh = UNet(tiny_shape).eval()  # as PyTorch makes it: norms with weight 1 and bias 0, ...
print(f"{'change of the output':36} {'all tensors random':>20} {'fresh network':>16}")
for name, change in CHANGES.items():
    print(f"{name:36} {harm(truth, change):20.1e} {harm(fresh, change):16.1e}")

# %% [markdown]
# Look at the left column first. Padding ruins everything, and you would look for it at once. Time, gates, norms and heads are worse: a few
# percent, so a picture comes out, and it is a little bad. The epsilons and the approximate GELU change less than a ten-thousandth; nobody would
# ever see them. They matter all the same: if two programs differ by 1e-5 and nobody knows why, the next mistake of that size goes unnoticed
# too, and it may be another.
#
# Then the right column. In a fresh network all norms have weight 1 and bias 0, so exchanging them does *nothing*: the mistake in the
# map is there, and no comparison of fresh networks will ever show it. Two rules for comparing a network with a reference: **random numbers in every tensor**, and
# **a tolerance below the smallest detail**. In single precision 1e-6 is possible, and the tests of this house use it.
#
# ## 7. Exercise: find it
#
# The output is wrong; where in a thousand tensors is the mistake? Run both networks on the same input, and look into every module.
# Of those whose output differs, the one that **finishes first** is where it begins. If it had got the same input, the mistake is
# inside it; if not, in the code of the module around it.
#
# **Write** `first_wrong(ours, theirs, *inputs)`: return the name of that module and whether its inputs were the same, or `("", True)` if the networks
# agree. Take for the same what has one shape and differs by at most 1e-6, relative to its norm. Modules may get several inputs, all tensors.

# %% tags=["ex-first_wrong"]
def first_wrong(ours, theirs, *inputs):
    raise NotImplementedError


# %%
first_wrong = check("first_wrong", first_wrong)

# %% [markdown]
# <details><summary>Help</summary>
#
# `network.named_modules()` gives names and modules (the whole network has the name ""; leave it out).
# `module.register_forward_hook(f)` calls `f(module, inputs, output)` when the module has finished; the handle that it returns
# has `remove()`. A dictionary keeps the order in which it was filled. In a loop, bind the name: `lambda _, given, out, name=name: ...`.
# </details>

# %% [markdown] tags=["solution-first_wrong"]
# <details><summary>Solution</summary>
#
# ```python
# def first_wrong(ours, theirs, *inputs):
#     def run(network):
#         seen, hooks = {}, []
#         for name, module in network.named_modules():
#             if name:
#                 note = lambda _, given, out, name=name: seen.update({name: (*given, out)})
#                 hooks.append(module.register_forward_hook(note))
#         with torch.no_grad():
#             network(*inputs)
#         for hook in hooks:
#             hook.remove()
#         return seen
#
#     def near(x, y):
#         return x.shape == y.shape and bool((x - y).norm() <= 1e-6 * y.norm())
#
#     a, b = run(ours), run(theirs)
#     for name in a:
#         same = [near(x, y) for x, y in zip(a[name], b[name], strict=True)]
#         if not same[-1]:
#             return name, all(same[:-1])
#     return "", True
# ```
# </details>

# %% [markdown]
# A U-Net has modules that give a list of feature maps, so we look into one residual block, one transformer, and the time. **Predict** for each of
# the changes which module will be named.

# %%
class Part(nn.Module):  # the way of the time, then the first block that looks at the words
    def __init__(self, network):
        super().__init__()
        self.time_embedding, level = network.time_embedding, network.down_blocks[0]
        self.resnet, self.transformer, self.down = level.resnets[0], level.attentions[0], level.downsamplers[0]

    def forward(self, x, t, context):
        time = self.time_embedding(unet_module.sinusoidal_embedding(t, x.shape[1]))
        return self.down(self.transformer(self.resnet(x, time), context))


# %%
part_inputs = (torch.randn(2, 32, 8, 8), *inputs[1:])
for name, change in CHANGES.items():
    wrong = deepcopy(truth)
    change(wrong)
    module, same = first_wrong(Part(wrong), Part(truth), *part_inputs)
    print(f"{name:36} {module:48} {'inside it' if same else 'before it'}")

# %% [markdown]
# All of them, in a second, the invisible ones too. "Before it" is the code around: what `linear_1` was given had been made by a function, not by a
# module; between `to_v` and `to_out` the heads are split; in front of its `conv` a `Downsample` pads. It is the quickest way from "the outputs
# differ" to a line of code: do not read, ask where two networks part.
#
# ## 8. The real one
#
# If you have the files of Stable Diffusion 1.5 (a folder of the diffusers library, or one `.safetensors` file, 2 to 4 GB), say where, and the same `TextToImage` that draws
# the miniature's pictures will load them. A picture of 512 x 512 takes minutes on two cores and about 5 GB of memory:
#
# ```
# minidiffusion imagine --weights FOLDER --size 512 --steps 20 "an astronaut riding a horse, watercolor"
# ```
#
# Set the variable `STABLE_DIFFUSION` to the folder before you start Jupyter, and the next cell compares your checkpoint with our classes.

# %%
if folder := os.environ.get("STABLE_DIFFUSION"):
    real = TextToImage.load(folder)  # strict: an error with a sentence if anything does not fit
    for name, network in {"text encoder": real.text_model, "U-Net": real.unet, "VAE": real.vae}.items():
        print(name, "fits:", complaints(shapes(large[name].state_dict()), shapes(network.state_dict())))
else:
    print("STABLE_DIFFUSION is not set; you need not have the files to finish this lesson.")

# %% [markdown]
# What separates the two is not in the code. The authors of Stable Diffusion report 150,000 hours of A100 GPUs and some two billion captioned
# pictures from the web for version 1; the miniature had an afternoon of two CPU cores and 60,000 pages that a program drew. And Midjourney? Its
# code and its weights are not published. What it does (prompt, grid, variations, upscaling) you have seen in lesson 15, made of
# the parts that are in your hands.
#
# ## Summary
#
# - One class, two configs. A width twice as large is four times the parameters; places cost work, not parameters.
# - Every strange shape has a reason: latents, clocks, joined skips, gates, mean and log-variance, the width of the prompt.
# - `strict=False` says nothing. Strict loading promises that every tensor found its place, and no more.
# - Heads, halves, epsilons, paddings have no shape. Compare outputs, with random numbers in every tensor, to 1e-6.
# - The first module to finish with another output is where to look.
#
# ## Can you still say it?
#
# 1. Which layers of a transformer grow with the width of the prompt's tokens?
# 2. Why does a picture of 512 x 512 cost thousands of times the work of one of 64 x 64, with 170 times the parameters?
# 3. Why has `up_blocks.2.resnets.0.conv1` 1920 input channels?
# 4. Name three mistakes that strict loading cannot see, and what shows them.
# 5. Why must every tensor be random in such a comparison?
# 6. A module's output differs and its inputs do too, but no module inside or before it differs. Where is the mistake?
#
# ## Go on
#
# - The paper: R. Rombach et al., [High-Resolution Image Synthesis with Latent Diffusion Models](https://arxiv.org/abs/2112.10752), 2022.
# - What came after, in the same shape but three times as large: D. Podell et al., [SDXL](https://arxiv.org/abs/2307.01952), 2023.
# - And without a U: W. Peebles and S. Xie, [Scalable Diffusion Models with Transformers](https://arxiv.org/abs/2212.09748), 2023.
