# %% [markdown]
# # 08 · Attention: Q, K, V
#
# **After this lesson you can**
#
# - write attention, with heads and without, and say what queries, keys and values are for;
# - say why the scores are divided by the root of d, and show what happens if they are not;
# - look up where a U-Net looks for each word of a prompt, and say what such a map proves and what it does not;
# - write a residual block with LayerNorm, and say where the norm must stand.
#
# **Time** 60 minutes. **Article** sections 2.3, 3.3 and 4.2. **Needs** no GPU, no download; lesson 02 for section 3.
# **Files** `minidiffusion/attention/scaled_dot_product.py`, and `multi_head.py`, `block.py`, `maps.py` beside it;
# `kernels/minidiffusion_kernels/attention/reference.py`.

# %%
import os

os.environ["TRITON_INTERPRET"] = "1"  # without a GPU our kernel is interpreted; must be said before it is imported

import math

import torch
from torch import nn

from lessons.exercises.lesson_08 import check
from minidiffusion import viz
from minidiffusion.attention.block import SelfAttentionBlock
from minidiffusion.attention.maps import attention_maps, on_square
from minidiffusion.attention.multi_head import MultiHeadAttention

# %%
from minidiffusion.attention.scaled_dot_product import attention as formula
from minidiffusion.attention.scaled_dot_product import gaussian
from minidiffusion.data.digits import digits
from minidiffusion.diffusion import guidance, ideal
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.diffusion.schedule import linear
from minidiffusion.images.fade import fade
from minidiffusion.pipelines.latent_diffusion import SeededNoise
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.viz.attention import captioned, framed, matrices
from minidiffusion_kernels.attention import attention as attend

# %% [markdown]
# ## 1. A soft dictionary
#
# A dictionary of Python compares what you ask for with its keys, finds the one that is equal, and hands you its value.
# **Attention** (注意力机制) is a dictionary that never says KeyError. A **query** (查询) is compared with *every* **key**
# (键), each gets a weight, the more alike the more, and the answer is the weighted mean of all **values** (值).
#
# The simplest likeness is nearness. Here are 40 keys on a line, each with a noisy value, and 400 queries between them. A
# key counts $\exp(-\text{distance}^2 / 2\,\text{reach}^2)$, divided by the sum over all keys: that is what **softmax** does.
#
# **Predict before you look.** How will the answers run over the line if reach is very small? If it is as wide as the line?

# %%
generator = torch.Generator().manual_seed(0)
keys = torch.rand(40, 1, generator=generator)
values = torch.sin(6 * keys) + 0.3 * torch.randn(40, 1, generator=generator)
queries = torch.linspace(0, 1, 400)[:, None]
answers = {f"reach {reach}": (gaussian(reach)(queries, keys).softmax(-1) @ values)[:, 0] for reach in (0.002, 0.05, 1.0)}
viz.lines(queries[:, 0], answers | {"the truth": torch.sin(6 * queries[:, 0])}, "what the dictionary answers", "query")

# %% [markdown]
# With a tiny reach one key wins, and the answer jumps from value to value: a hard dictionary, noise and all. With a huge one
# all keys count the same, and every query gets the mean. In between it learns from its neighbours: statisticians call it a
# kernel smoother and have used it since 1964.
#
# ## 2. Self-attention with any similarity
#
# In **self-attention** (自注意力) one sequence of vectors $x_1 \dots x_n$ is queries, keys and values at once. Article 4.2.3,
# for any similarity f:
#
# $$z_i = \sum_j \frac{\exp f(x_i, x_j)}{\sum_k \exp f(x_i, x_k)}\, x_j$$
#
# (The article's last x has no index. It must be $x_j$, or nothing would be mixed.) In the library the three may differ:

# %%
viz.show_source(formula)

# %% [markdown]
# ## 3. You know one already
#
# The best possible denoiser of lesson 02 was a weighted mean of all training data, with the weights
# $\mathrm{softmax}_i\left(-|x_t - \alpha_t x_i|^2 / 2\sigma_t^2\right)$. Divide inside by $\alpha_t$: the query is $x_t / \alpha_t$, the
# keys and the values are the data, the reach is $\sigma_t / \alpha_t$. **The ideal denoiser is attention over the data set.**
#
# **Predict.** A three that is not among the 1,500 digits of the data, at three noise levels. To how many of them will it
# listen? To which?

# %%
data, schedule = digits()[0].flatten(1).double(), linear()
times, rows = (100, 200, 300), []
x_0 = digits(held_out=True)[0].flatten(1).double()[6:7]
for t in times:
    alpha, sigma = schedule.alpha[t], schedule.sigma[t]
    x_t = alpha * x_0 + sigma * torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1), dtype=x_0.dtype)
    f = gaussian(sigma / alpha)
    weights, z = f(x_t / alpha, data).softmax(-1)[0], formula(x_t / alpha, data, data, f)
    top = weights.topk(5)
    difference = (z - ideal.finite_data(data, schedule)(x_t, torch.tensor(t)).x0).abs().max()
    print(f"t = {t}: it listens to {(-weights * weights.clamp(1e-30).log()).sum().exp():.1f} digits; "
          f"attention and ideal denoiser differ by {difference:.0e}")  # fmt: skip
    shown = [("query", x_t / alpha), *((f"{w:.2f}", data[i]) for w, i in zip(*top, strict=True)), ("answer", z)]
    rows.append([(-x.view(1, 8, 8).expand(3, -1, -1), caption) for caption, x in shown])

# %%
captioned(rows, [f"t = {t}" for t in times], side=0.95)

# %% [markdown]
# Little noise: one digit says it all, a hard dictionary. Much noise: a hundred are heard (among them sixes, which this
# noise happens to resemble), and the answer is their mean. The noise level *is* the reach. Nothing here was trained;
# attention is what a denoiser would do if it could keep all its data as keys. A network keeps weights instead, and
# makes its queries, keys and values itself.
#
# ## 4. Exercise: scaled dot product
#
# A transformer takes the cheapest likeness: the dot product, which one multiplication of matrices makes for all pairs at
# once. **Scaled dot-product attention** (缩放点积注意力, article 4.2.1):
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{Q K^T}{\sqrt{d_k}}\right) V$$
#
# **Write** `attention(q, k, v)`: q is `... m d`, k and v are `... n d` (any leading dimensions), the result is `... m d`.
# Each *query* distributes a weight of 1 over the keys. What the root is for comes in section 6.

# %% tags=["ex-attention"]
def attention(q, k, v):
    raise NotImplementedError


# %%
attention = check("attention", attention)

# %% [markdown]
# <details><summary>Help</summary>
#
# `k.mT` swaps the last two axes, so `q @ k.mT` is `... m n`. The softmax runs over the last axis: `.softmax(dim=-1)`.
# </details>

# %% [markdown] tags=["solution-attention"]
# <details><summary>Solution</summary>
#
# ```python
# def attention(q, k, v):
#     scores = q @ k.mT / q.shape[-1] ** 0.5
#     return scores.softmax(dim=-1) @ v
# ```
# </details>

# %% [markdown]
# ## 5. Why three projections?
#
# Why not Q = K = V = x? Take four words, *red house blue cat*, and let each have a feature for what it is: adjective, noun,
# red, blue, house, cat. The nouns would like to know their colours.
#
# **Predict.** With Q = K = V = x: at whom does *house* look most?
#
# With **projections** (投影) $Q = x W^Q$, $K = x W^K$, $V = x W^V$ a word can ask for something that it is not. Here, by hand: a
# noun asks "who is an adjective?", an adjective answers "I am", and what is handed over is the colour only.
#
# **Predict.** At whom does *house* look now?

# %%
words = ["red", "house", "blue", "cat"]
#                  adjective noun red blue house cat
x = torch.tensor([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1]]).float()
x = torch.cat([x, torch.eye(4)], dim=1)  # and four features that say which place the word has
W_Q, W_K, W_V = torch.zeros(3, 10, 10)
W_Q[1, 0], W_K[0, 0] = 12, 1  # noun asks for adjective; adjective answers
W_V[2, 2] = W_V[3, 3] = 1  # red and blue are passed on
V = torch.eye(4)  # with the identity as values, attention shows its weights
same, asked = attention(x, x, V), attention(x @ W_Q, x @ W_K, V)
for i in (1, 2, 3):
    W_Q[6 + i, 5 + i] = 12  # "who stands one place before me?"
for i in range(4):
    W_K[6 + i, 6 + i] = 1  # "I stand at place i"
placed = attention(x @ W_Q, x @ W_K, V)

# %%
matrices([same, asked, placed], ["Q = K = V = x", "nouns ask for adjectives", "... one place before"], words, words)

# %% [markdown]
# Left, everybody finds himself most alike, and the map is symmetric: $x_i \cdot x_j = x_j \cdot x_i$. In the middle the nouns look at
# adjectives, and these do not look back. That takes $W^Q \neq W^K$. But *house* looks at both colours alike, and would
# be handed half of each: attention **does not know the order of the words**. On the right it does, for the place has
# been written *into* the vectors, and the question asks for it. What is found by, and what is passed on, are again two
# things, hence $W^V$:

# %%
z = attention(x @ W_Q, x @ W_K, x @ W_V)
for word, (red, blue) in zip(words, z[:, 2:4].tolist(), strict=True):
    print(f"{word:6} is handed red {red:.2f}, blue {blue:.2f}")
torch.manual_seed(0)
layer, tokens, shuffled = MultiHeadAttention(32, 4), torch.randn(1, 6, 32), torch.randperm(6)
with torch.no_grad():
    gap = (layer(tokens[:, shuffled]) - layer(tokens)[:, shuffled]).abs().max()
print(f"shuffle first or attend first, the difference is {gap:.0e}")

# %% [markdown]
# The last line is the law behind it, for any weights: shuffle the tokens, and the outputs are shuffled likewise
# (**permutation equivariance**, 置换等变性). Our CLIP therefore adds a vector for the place to each token; our U-Net's
# convolutions know the places already, from the zeros around the edge.
#
# ## 6. Exercise: why the root of d
#
# At the beginning of training q and k are as good as random. Let their d numbers be independent, of mean 0 and standard
# deviation s. Then $q \cdot k$ is a sum of d products, of mean 0. How large is it?
#
# **Write** `score_variance(d, s)`: the variance of $q \cdot k$. Both are plain numbers, and so is the result.

# %% tags=["ex-score_variance"]
def score_variance(d, s):
    raise NotImplementedError


# %%
score_variance = check("score_variance", score_variance)

# %% [markdown]
# <details><summary>Help</summary>
#
# One product q_1 k_1 has the mean 0 and the variance E[q_1² k_1²] = E[q_1²] E[k_1²]. Variances of independent summands add up.
# </details>

# %% [markdown] tags=["solution-score_variance"]
# <details><summary>Solution</summary>
#
# ```python
# def score_variance(d, s):
#     return d * s**4
# ```
# </details>

# %% [markdown]
# So scores are as large as $\sqrt{d}$, and divided by it they have the variance 1 whatever d is. Does it matter? A softmax of large
# scores is a hard maximum. We measure how evenly a query looks at 64 keys (the **entropy** (熵) of its weights as a share of
# log 64: 1 = at all alike, 0 = at one only), and how much its weights would change if the scores did, which is what the
# gradient of everything below is multiplied by.
#
# **Predict.** Both for d = 1 to 1024: without the root, with it, and divided by d instead.

# %%
def evenness_and_gradient(d, scale, n=64):
    g = torch.Generator().manual_seed(0)
    q, k = torch.randn(1000, d, generator=g), torch.randn(n, d, generator=g)
    p = (q @ k.T * scale).softmax(-1)
    entropy = -(p * p.clamp(min=1e-30).log()).sum(-1)
    jacobian = torch.diag_embed(p) - p[:, :, None] * p[:, None]  # d weights / d scores
    return (entropy.mean() / math.log(n)).item(), jacobian.flatten(1).norm(dim=1).median().item()


# %%
widths = [4**i for i in range(6)]
scales = {"as it is": lambda d: 1.0, "divided by sqrt(d)": lambda d: d**-0.5, "divided by d": lambda d: 1 / d}
measured = {name: torch.tensor([evenness_and_gradient(d, f(d)) for d in widths]) for name, f in scales.items()}
x_axis = torch.tensor(widths).log2()
viz.panels(
    (x_axis, {name: m[:, 0] for name, m in measured.items()}, "entropy of the weights, share of log n", "log2 d", False),
    (x_axis, {name: m[:, 1] for name, m in measured.items()}, "|d weights / d scores|, median", "log2 d", True),
)

# %% [markdown]
# **The negative control** is the solid line. Without the root, at d = 1024, the typical query looks at a single key, chosen by
# chance, and the gradient that could correct it has all but vanished: the softmax is **saturated** (饱和). Divided by d
# every query sees everything alike, whatever it asks. With the root nothing depends on d.
#
# ## 7. Exercise: several heads
#
# One softmax can look at one thing at a time. **Multi-head attention** (多头注意力, article 4.2.2) cuts the c channels of Q, K
# and V into h pieces, lets each piece attend for itself, and puts the results side by side:
#
# $$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(head_1, \dots, head_h)\, W^O, \qquad head_i = \mathrm{Attention}(Q W_i^Q, K W_i^K, V W_i^V)$$
#
# The h matrices $W_i^Q$ are in practice one, of which head i owns columns $(i-1)\, c/h$ to $i\, c/h$.
#
# **Write** `multi_head(q, k, v, heads)`, the part between the projections and $W^O$: q is `b m c`, k and v are `b n c`, the
# result is `b m c`. The first head has the first c / heads channels. Use `attention`.

# %% tags=["ex-multi_head"]
def multi_head(q, k, v, heads):
    raise NotImplementedError


# %%
multi_head = check("multi_head", multi_head)

# %% [markdown]
# <details><summary>Help</summary>
#
# There and back: `b n c` to `b n h d` with `reshape`, to `b h n d` with `transpose(1, 2)`. A `reshape` from `b n c` to
# `b h n d` at once has the right shape and the wrong numbers.
# </details>

# %% [markdown] tags=["solution-multi_head"]
# <details><summary>Solution</summary>
#
# ```python
# def multi_head(q, k, v, heads):
#     q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
#     return attention(q, k, v).transpose(1, 2).flatten(2)
# ```
# </details>

# %% [markdown]
# The library's, with its projections. Cross-attention (**交叉注意力**) is the same with a context: the queries come from the
# picture, keys and values from the words. That is the only way by which a prompt gets into a U-Net.

# %%
viz.show_source(MultiHeadAttention.forward)

# %% [markdown]
# The formula is needed so often that it has three implementations: itself, PyTorch's fused operator, and our own kernel
# (lesson 09). The last two never make the whole `m n` map. They must not be told apart by their numbers:

# %%
q, k, v = torch.randn(3, 2, 4, 20, 32, generator=torch.Generator().manual_seed(0))
exact = attend(q.double(), k.double(), v.double(), backend="reference")
for backend in ("reference", "torch", "triton"):
    error = (attend(q, k, v, backend=backend) - exact).abs().max()
    print(f"{backend:9} differs from the formula in double precision by at most {error:.0e}")
print(f"yours     differs from it by at most {(attention(q, k, v) - exact).abs().max():.0e}")

# %% [markdown]
# ## 8. Where does it look?
#
# Our U-Net paints on latents of 8 x 8, and attends where they are 4 x 4: four layers of self-attention, four of
# cross-attention, with four heads each. `attention_maps` catches all their maps from outside. We take the last layer, nearest
# to the picture, and mean over heads and over all 25 steps. White is where nobody looks, clear where most is looked.
#
# **Predict.** Each of 16 places is a query. At what will a place of the sky look (self-attention)? At what one of the balloon?
# And which places will look at *red*, at *balloon*, at *night*, at *the*?

# %%
model, LAST = TextToImage.load("picturebook"), "up_blocks.0.attentions.1.transformer_blocks.0."
prompt = "a large red balloon on the right in the snow at night"


def watched(prompt, seeds):  # the steps, and two maps `steps b h m n`: self- and cross-attention, with the prompt
    caught = []
    with attention_maps(model.unet) as maps:
        for step in model.sample(prompt, seeds):
            caught.append((step, *(maps[LAST + name][len(seeds):] for name in ("attn1", "attn2"))))
    steps, self_, cross = zip(*caught, strict=True)
    return steps, torch.stack(self_), torch.stack(cross)


def tokens_of(prompt):
    return ["(start)", *(model.tokenizer.symbols[i].removesuffix("</w>") for i in model.tokenizer.encode(prompt)), "(end)"]


# %%
def seen(weights, caption, place=None):  # weights: one number for each of the 16 places
    image = fade(viz.pixels(picture), on_square(weights[None], 64)[0].numpy())
    return image if place is None else framed(image, place, 4), f"{caption} {weights.max():.2f}"


steps, self_, cross = watched(prompt, [0])
picture, tokens = model.decode(steps[-1].x)[0], tokens_of(prompt)
to_words, to_places = cross.mean((0, 1, 2)), self_.mean((0, 1, 2))  # `16 n`, `16 16`
places = {"sky": 1, "moon": 4, "snow": 12, "more snow": 14, "balloon": 7, "basket": 11}
above = [seen(to_places[i], name, i) for name, i in places.items()]
below = [seen(to_words[:, tokens.index(w)], w) for w in ("balloon", "red", "the", "night", "large", "(start)")]
captioned([above, below], ["self: the framed\nlooks at", "cross: who\nlooks at"], side=1.35)

# %% [markdown]
# The number is the largest weight in a picture. **Self-attention**: the sky looks at the sky; the snow looks at the lower left
# corner, which serves as an anchor for all of it; the balloon looks at the sky too, and its basket at everything alike.
# **Cross-attention**: the places of the balloon look at *balloon*, and some of them at *red*, five times less.
#
# Now the rest of the truth. Three quarters of this layer's attention, and nine tenths of that of all four, go to the start
# token, which says nothing. A softmax must look somewhere; this is its way of not looking (an **attention sink**, 注意力汇聚).
# *the* glows on the balloon, more than *red*. *night* lights up at the basket, though night is everywhere. *large* is
# hardly looked at by anybody.
#
# Is it chance that *balloon* sits on the balloon? Eight seeds, two sides, where is the middle of each map, in columns 0 to 3?
#
# **Predict.** For which of these words will left and right differ?

# %%
def middles(side, seeds=range(8)):  # of each word's map
    prompt = f"a small red house on the {side} in the snow by day"
    columns = watched(prompt, seeds)[2].mean((0, 1, 2)).view(4, 4, -1).sum(0)  # `columns n`
    return dict(zip(tokens_of(prompt), torch.arange(4.0) @ columns / columns.sum(0), strict=False))  # the rest is padding


left, right = middles("left"), middles("right")
for word in ("house", "red", "snow", "(start)", "(end)"):
    print(f"{word:8} asked for on the left {left[word]:.2f}, on the right {right[word]:.2f}")

# %% [markdown]
# *house* moves with the house, *red* less than half as much, for many places look at it a little. The end token belongs to no
# place and is the **negative control**: it stays in the middle, as the start token does.
#
# **Predict.** The four heads separately, after steps 1, 5, 12 and 25. When does the network know where the balloon will be?

# %%
chosen, rows = (0, 4, 11, 24), []
for i in chosen:
    picture = model.decode(steps[i].x0_hat)[0]
    heads = cross[i, 0, :, :, tokens.index("balloon")]  # `h 16`
    rows.append([(picture, "x0_hat"), *(seen(heads[j], f"head {j + 1}:") for j in range(4))])
captioned(rows, [f"step {i + 1}" for i in chosen], side=1.15)

# %% [markdown]
# From the first step. (This prompt says size and side; of a prompt that does not, the first x0_hat is a blur, see lesson 00.)
# Head 1 finds the lower half of the balloon and head 4 the upper, at first with all their attention, later with less: what
# is already there need not be asked for. Head 2 is unsure, and head 3 does not look at *balloon* at all. Its picture is
# scaled to a largest weight of 0.00, so **read the numbers**: fog shows shapes, even where there is next to nothing.
#
# Nor did we choose without looking. The other three layers' maps show far less, those of the first and the middle one
# almost nothing but the start token.
#
# ## 9. What did it read there?
#
# Why does *the* glow? The U-Net does not read words but the vectors that CLIP's text encoder makes of them, by
# self-attention with a **causal mask** (因果掩码): each token sees itself and those before it.

# %%
with attention_maps(model.clip.text_model) as maps:
    model.context([prompt])
n = len(tokens)
layers = [map_[0].mean(0)[:n, :n] for map_ in maps.values()]
matrices(layers, [f"text encoder, layer {i + 1}" for i in range(len(layers))], tokens, tokens, side=2.7)

# %% [markdown]
# The upper triangle is empty. So the vector under the name *the* also holds what it gathered from *red* and *balloon*
# before it. A map says *where* something was looked up, not *what* was found there.
#
# To find out what a vector is good for, take it away. We put the vector of the empty prompt in its place.
#
# **Predict.** What happens to the picture without *red*? Without *balloon*? With nothing after *balloon* but the **padding**
# (填充), more end tokens, which fill every prompt up to 32? Without these? Without any end token? And without the start
# token, which gets nine tenths of the attention?

# %%
@torch.inference_mode()
def without(hidden, seeds=(0, 1)):
    words, nothing = model.context([prompt] * len(seeds)).clone(), model.context([""] * len(seeds))
    words[:, hidden] = nothing[:, hidden]
    plain = denoiser(model.unet, model.schedule, model.prediction)
    x_T = SeededNoise(seeds)(torch.empty(len(seeds), 16, 8, 8))
    *_, last = SAMPLERS["dpm++"](guidance.classifier_free(plain, words, nothing, 2.5), x_T, model.schedule.times(25))
    return model.decode(last.x)


hidden = {"everything there": [], "no (start)": [0], "no red": [tokens.index("red")], "no balloon": [tokens.index("balloon")]}
hidden |= {"then only padding": list(range(5, n)), "no padding": list(range(n, 32)), "no (end) at all": list(range(n - 1, 32))}

# %%
drawn = {name: without(places) for name, places in hidden.items()}
print("without (start) the picture changes by", (drawn["no (start)"] - drawn["everything there"]).abs().max().item())
shown = {name: x for name, x in drawn.items() if name != "no (start)"}
captioned([[(x[i], name) for name, x in shown.items()] for i in range(2)], ["seed 0", "seed 1"], side=1.4)

# %% [markdown]
# Without the start token, not one pixel changes: its vector is the same in every prompt, since it comes first and sees
# nothing else. **Most of the attention went where nothing is said.** Without *red* the balloon stays red, for *balloon*
# stands behind it and holds the colour too. Without *balloon* something red stands there that is no balloon. With nothing
# but the padding after *balloon*, seed 0 forgets the side, but not the night. With everything but the padding the picture
# stays the same. Without both, there is a sunset, though *night* still stands in the prompt. So the time of day is
# read from end tokens, which have seen the whole sentence, and it does not matter from which. (Had we hidden only the
# padding, or only the end token, we would have thought that they do nothing.)
#
# So maps like those of section 8 find *objects*, and mislead about much else. Whoever concludes from a map what a network
# uses should take it away and see.
#
# ## 10. Exercise: residual and LayerNorm
#
# A transformer stacks such layers, twenty-four or more. Two things make that possible (article 3.3.3). A **residual
# connection** (残差连接): a layer *adds* to x, so that what is not changed passes. And **layer normalisation** (层归一化):
# each token, over its own c channels, minus their mean and divided by their standard deviation, so that every layer
# gets inputs of one size. (It also has a factor and a shift for each channel, to be learnt, which we leave out.)
#
# $$x \leftarrow x + \mathrm{layer}(\mathrm{LayerNorm}(x)), \qquad \mathrm{LayerNorm}(x) = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + 10^{-5}}}$$
#
# **Write** `pre_norm(x, layer, eps)`: x is `b n c`, the layer a function from `b n c` to `b n c`. The variance divides by c.

# %% tags=["ex-pre_norm"]
def pre_norm(x, layer, eps=1e-5):
    raise NotImplementedError


# %%
pre_norm = check("pre_norm", pre_norm)

# %% [markdown]
# <details><summary>Help</summary>
#
# `x.mean(-1, keepdim=True)` is `b n 1`, and so is `x.var(-1, correction=0, keepdim=True)`. The x that is added is not normalised.
# </details>

# %% [markdown] tags=["solution-pre_norm"]
# <details><summary>Solution</summary>
#
# ```python
# def pre_norm(x, layer, eps=1e-5):
#     mean, var = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
#     return x + layer((x - mean) / (var + eps).sqrt())
# ```
# </details>

# %% [markdown]
# The transformer of 2017 had it the other way round, **post-norm**: $x \leftarrow \mathrm{LayerNorm}(x + \mathrm{layer}(x))$. It
# looks like a matter of taste. The library's block can do both, with the same parameters:

# %%
viz.show_source(SelfAttentionBlock.forward)

# %% [markdown]
# Twenty-four of them, to give back a row of six letters in reverse, the smallest task that needs attention. **Predict.**
# Which of three learns it in 120 steps: pre-norm; post-norm; post-norm with a **warm-up** (学习率预热), a learning rate that
# rises to its value over the first 60 steps?

# %%
class Reverser(nn.Module):
    def __init__(self, norm, depth, dim=16):
        super().__init__()
        self.letters, self.places = nn.Embedding(6, dim), nn.Embedding(6, dim)
        self.blocks = nn.Sequential(*[SelfAttentionBlock(dim, 2, mlp_mult=2, norm=norm) for _ in range(depth)])
        self.out = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 6))

    def loss(self, generator):
        letters = torch.randint(6, (16, 6), generator=generator)
        logits = self.out(self.blocks(self.letters(letters) + self.places.weight))
        return nn.functional.cross_entropy(logits.flatten(0, 1), letters.flip(1).flatten())


# %%
def losses(norm, warm_up=1, steps=120):
    torch.manual_seed(0)
    network, generator = Reverser(norm, depth=24), torch.Generator().manual_seed(100)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / warm_up)
        loss = network.loss(generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


learnt = {"pre-norm": list(losses("pre"))}

# %%
learnt |= {"post-norm": list(losses("post")), "post-norm, warm-up": list(losses("post", 60))}


# %%
def first_gradients(norm, depth, seed):  # of the last matrix in each block; weights as large as Xiong et al. assume
    torch.manual_seed(seed)
    blocks = nn.Sequential(*[SelfAttentionBlock(32, 2, norm=norm) for _ in range(depth)])
    for matrix in filter(lambda parameter: parameter.ndim > 1, blocks.parameters()):
        nn.init.xavier_uniform_(matrix)
    x, wanted = torch.randn(2, 8, 16, 32)
    (nn.functional.layer_norm(blocks(x), (32,)) * wanted).sum().backward()
    return torch.tensor([block.mlp[2].weight.grad.norm() for block in blocks])


# %%
depths = [3, 6, 12, 24]
sizes = {f"{norm}-norm": torch.stack([torch.stack([first_gradients(norm, d, seed)[-1] for seed in range(4)]).mean()
                                      for d in depths]) for norm in ("pre", "post")}  # fmt: skip
sizes["1 / sqrt(blocks)"] = sizes["pre-norm"][0] * (depths[0] / torch.tensor(depths)) ** 0.5
viz.panels(
    (torch.arange(120), learnt, "loss of 24 blocks; guessing costs 1.79", "training step", False),
    (torch.tensor(depths), sizes, "gradient in the last block before step 1", "number of blocks", True),
)

# %% [markdown]
# Pre-norm learns, post-norm stays near guessing, and with a warm-up it begins to learn: its parts are not at fault, its first
# steps are. The right picture says why. Under pre-norm every block adds to the path, so the path grows, and what one block
# does counts less: its gradient shrinks like 1 / sqrt(blocks), and a step of Adam does less harm. Under post-norm each
# LayerNorm makes the path small again, the last blocks get the full gradient however many there are, and the first steps
# throw them about (Xiong et al. 2020). It is a matter of depth and learning rate: twelve blocks of either kind learn this task.
#
# Every block of this house is pre-norm: in CLIP, and in the U-Net, whose blocks have three steps, self-attention,
# cross-attention and a feed-forward layer.
#
# ## Summary
#
# - Attention is a soft dictionary: a query is compared with all keys, and gets the weighted mean of the values.
# - Its weights may come from any similarity. With nearness, over the data set, it is the ideal denoiser.
# - Three projections: what I ask, what I am found by, what I hand over. Heads ask several things at once.
# - Scores of random vectors grow like sqrt(d); divided by it the softmax stays soft and its gradient alive.
# - Attention knows no order; places must be written into the vectors.
# - A map shows where was looked, not what was found there. To know what matters, take it away.
# - Pre-norm leaves the residual path alone, and deep stacks train without ado.
#
# ## Can you still say it?
#
# 1. What are query, key and value when the ideal denoiser is read as attention? What is the reach?
# 2. Why is the map of Q = K = V = x symmetric before the softmax, and why is that a pity?
# 3. q and k have 128 numbers of standard deviation 2. What variance has q . k, and after dividing by sqrt(128)?
# 4. Why does `reshape(b, h, n, d)` of `b n c` not split heads, though its shape is right?
# 5. What happens to the outputs of self-attention if the tokens are shuffled? Of cross-attention, if the words are?
# 6. Why may *the* glow on a balloon? What did hiding *red* show?
# 7. Where does the LayerNorm stand in pre-norm, and what is on the path from the last block's output to the first's?
#
# ## Go on
#
# - Next: lesson 09, where the `m n` map disappears into a kernel (see the [map of the course](README.md)).
# - The source: A. Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762), 2017. Footnote 4 is our
#   section 6.
# - Before or after: R. Xiong et al., [On Layer Normalization in the Transformer
#   Architecture](https://arxiv.org/abs/2002.04745), 2020.
