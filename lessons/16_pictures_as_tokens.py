# %% [markdown]
# # 16 · Pictures as tokens: the DALL-E Mini road
#
# **After this lesson you can**
#
# - write a picture as 64 whole numbers, and say what each of them looks like;
# - measure in bits what a network knows of the next number, where a picture is hard to guess, and how much its caption
#   tells;
# - write the three pieces of such a system: a quantiser, a cache for attention, and the choice of the next token;
# - say what a picture that is written can never do, and one that is diffused can.
#
# **Time** 75 minutes. **Article** section 6.1 (DALL·E Mini). **Needs** no GPU, no download; lessons 08, 12 and 14 help.
# **Files** `minidiffusion/tokens/codebook.py`, and `seq2seq.py`, `sampling.py` beside it; `minidiffusion/latent/vq.py`,
# `minidiffusion/pipelines/token_to_image.py`.

# %%
import math
import time

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from lessons.exercises.lesson_16 import check
from minidiffusion import viz
from minidiffusion.attention.scaled_dot_product import scaled_dot_product
from minidiffusion.evaluation.evaluate import prompt_accuracy
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng
from minidiffusion.evaluation.judge import load_judge, read_attributes

# %%
from minidiffusion.images.pixels import psnr, to_pixels
from minidiffusion.latent.vq import perplexity, usage
from minidiffusion.picturebook.captions import describe
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import ATTRIBUTES, random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pipelines.token_to_image import TokenPipeline, TokenSamplingSettings, draft_seeds
from minidiffusion.tokens.sampling import draw_token
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig
from minidiffusion.training.tokens import TokensTask

# %%
from minidiffusion.viz.attention import captioned
from minidiffusion.viz.tokens import token_by_token, token_maps

writer = TokenPipeline.load("picturebook")
codebook, transformer = writer.codebook.requires_grad_(False), writer.transformer.requires_grad_(False)
rng = np.random.default_rng(0)
scenes = [random_scene(rng, "seen") for _ in range(300)]
pages = torch.stack([torch.from_numpy(render(scene)) for scene in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
captions = [describe(scene) for scene in scenes]

# %% [markdown]
# ## 1. What 96 bytes can say
#
# Lesson 12 ended with pictures as whole numbers, and with patchwork: a codebook in the latents of a VAE that was not
# made for it. Here is one whose encoder and decoder were trained *with* the codes. Every 8 x 8 pixels become one
# **token** (图像词元), one of K = 4096. That is 12 bits a token, and 64 tokens, or 96 bytes, a page.
#
# **Predict before you look.** The pixels have 12,288 bytes. What will be lost: colours, places, edges, texture? And
# beside it the VAE of lesson 12, with 1,024 numbers that are not rounded: how many decibels better?

# %%
model = TextToImage.load("picturebook")
ids = codebook.encode(pages)  # `300 8 8`
told, by_vae = writer.decode(ids.flatten(1)), model.decode(model.encode(pages))
print("the first page in 64 words:", *(" ".join(f"{k:4}" for k in row) for row in ids[0].tolist()), sep="\n")
for name, x in {"64 tokens": told, "the VAE's 1,024 numbers": by_vae}.items():
    print(f"{name}: PSNR {psnr(x, pages).mean():.1f} dB")
viz.grid([list(pages[:4]), list(told[:4]), list(by_vae[:4])], ["pages", "64 tokens", "the VAE"], side=1.2)

# %% [markdown]
# Hour, weather, ground, style and the thing itself are there, and each at its place. Thin lines are lost, and whatever
# two neighbouring tokens would have to agree on exactly. These words were made for picture books; a photograph they
# would tell badly.
#
# What are these words? A code is a vector of 32 numbers; its own picture is the linear part of the decoder
# (`synthesis`). Here are the 192 most frequent of them. **Predict.** What do they show? How many of the 4096 occur on
# 300 pages?

# %%
numbers, counts = ids.unique(return_counts=True)
frequent = numbers[counts.argsort(descending=True)][:192]
patches = codebook.synthesis(codebook.quantizer.lookup(frequent[:, None, None])).clamp(-1, 1)
sheet = rearrange(torch.nn.functional.pad(patches, (1, 1, 1, 1), value=1.0), "(i j) c h w -> c (i h) (j w)", j=24)
open_ = perplexity(ids, 4096)
print(f"in use: {usage(ids, 4096):.0%}; the most frequent makes {counts.max() / ids.numel():.2%} of all tokens;",
      f"perplexity {open_:.0f}, {math.log2(open_):.1f} of 12 bits")  # fmt: skip
viz.strip([sheet], side=7)

# %% [markdown]
# Skies of every hour, ground, edges of hills, corners of roofs, stars. No word is much more frequent than the others,
# since a word that were would be split by the training: half of its patches could be told better. So counting words
# alone saves next to nothing of the 12 bits. What there is to know about pictures is in which words stand *together*.
#
# And a word sounds different in company: the decoder is a network that looks at the neighbours. **Predict.** One token
# of a page is replaced. Which pixels change?

# %%
changed = ids[3:4].clone()
changed[0, 4, 1] = frequent[15]
before, after = (writer.decode(x.flatten(1))[0] for x in (ids[3:4], changed))
difference = (after - before).abs().mean(0) / 2
own, near = (difference[area, columns].sum() / difference.sum() for area, columns in
             ((slice(32, 40), slice(8, 16)), (slice(24, 48), slice(0, 24))))  # fmt: skip
print(f"of all change, {own:.0%} is in the token's own square, {near:.0%} in it and the eight around it")
viz.compare(before, after, difference.numpy(), ("64 tokens", "one of them replaced"))

# %% [markdown]
# Not its own square alone: a good part of the change falls on the neighbours, for the network draws every square from
# all the words that it sees around it. So a word is not a tile. It is more like a letter, which sounds as its
# neighbours let it. And whoever writes a wrong one spoils more than one square.
#
# ## 2. Exercise: the quantiser
#
# In lesson 12 you passed a gradient straight through for a list of vectors. Now the whole layer, as it stands in a
# network. The latent z is `b d h w`, the codes $e_k$ are `K d`. At every place the **nearest code** (最近邻编码), with the
# straight-through gradient (直通估计), and the loss that moves the codes to the vectors, and holds the encoder to its
# codes:
#
# $$z_q = z + \mathrm{sg}[e - z], \qquad \mathrm{loss} = \mathrm{mean}\,|\mathrm{sg}[z] - e|^2 + \beta\,\mathrm{mean}\,|z - \mathrm{sg}[e]|^2$$
#
# sg, stop the gradient, is `.detach()`. The means are over all numbers of z.
#
# **Write** `quantise(z, codes, beta)`, which gives `(z_q, ids, loss)`: z_q is `b d h w`, ids are `b h w`, loss is a
# number. The check looks at these (items 0 to 2), at the gradients of z_q at z and at the codes (3 and 4), and at
# those of the loss (5 and 6).

# %% tags=["ex-quantise"]
def quantise(z, codes, beta):
    raise NotImplementedError


# %%
quantise = check("quantise", quantise)

# %% [markdown]
# <details><summary>Help</summary>
#
# A vector is what stands at one place: `z.movedim(1, -1).reshape(-1, d)` is a list of them.
# `torch.cdist(vectors, codes)` has all distances. `codes[ids]` is `b h w d`.
# </details>

# %% [markdown] tags=["solution-quantise"]
# <details><summary>Solution</summary>
#
# ```python
# def quantise(z, codes, beta):
#     b, d, h, w = z.shape
#     vectors = z.movedim(1, -1).reshape(-1, d)
#     ids = torch.cdist(vectors, codes).argmin(dim=1).view(b, h, w)
#     e = codes[ids].movedim(-1, 1)
#     loss = (e - z.detach()).square().mean() + beta * (z - e.detach()).square().mean()
#     return z + (e - z).detach(), ids, loss
# ```
# </details>

# %% [markdown]
# Your layer between the real encoder and the real decoder. **Predict.** Rounding to one of 4096 vectors moves each
# vector by a third of its length or so. What does the decoder make of the latents *before* they are rounded: how many
# decibels better?

# %%
z, codes = codebook.latent(pages), codebook.quantizer.embedding.weight
z_q, yours, _ = quantise(z, codes, 0.25)
print(f"as the library has it: {(yours == ids).float().mean():.1%} of all tokens")
moved, length = (v.square().sum(1).mean().sqrt() for v in (z_q - z, z - z.mean((0, 2, 3), keepdim=True)))
print(f"a vector is moved by {moved:.2f}; it is {length:.2f} from the mean of all")
for name, latent in {"rounded": z_q, "not rounded": z}.items():
    print(f"{name:12} PSNR {psnr(codebook.picture(latent).clamp(-1, 1), pages).mean():.1f} dB")

# %% [markdown]
# Hardly any. The decoder has never seen anything but codes. It knows what each of them usually stands for, and has no
# use for the finer message: it never learnt to read what lies between. (In the patchwork of lesson 12 the decoder was
# of the other kind, made for latents that are not rounded.) Codes are a language, and here both sides have learnt it.
#
# (There is a way without a codebook, too: round each number of z to one of a few levels, and every combination is a
# word. It is `FSQ` in the same file; Mentzer et al. 2023. In a short training of 500 steps, `minidiffusion train codebook
# --recipe.steps 500`, the log ends with 25.1 dB, and with FSQ, `--model.dim 4 --model.levels 8 8 8 8`, with 23.7: it
# begins with a grid in four numbers, and the codebook with k-means in thirty-two.)
#
# ## 3. What comes next?
#
# A page is now a sentence of 64 words, and what writes sentences can write pages. By the chain rule of probability,
# and with nothing left out,
#
# $$p(\mathrm{picture} \mid \mathrm{prompt}) = \prod_{i=1}^{64} p(\mathrm{id}_i \mid \mathrm{id}_1 \ldots \mathrm{id}_{i-1}, \mathrm{prompt}).$$
#
# So all that must be learnt is to guess the **next token** (下一个词元). An **encoder-decoder** (编码器-解码器) does it: the
# encoder reads the words of the prompt, each looking at all the others; the decoder looks at the tokens before (causal
# self-attention, 因果自注意力, lesson 08) and, by cross-attention, at the words. In front of all stands BOS, which says
# "nothing yet". This is the whole training:

# %%
viz.show_source(TokensTask.loss)

# %% [markdown]
# In training the tokens before are those of the real page (**teacher forcing**, 教师强制), so all 64 questions are asked
# at once. The loss is the mean of $-\log p(\mathrm{id}_i)$, in nats; divided by log 2 it is in **bits** (比特). A tenth
# of the captions is empty. And the real DALL-E Mini? The same class, larger:

# %%
with torch.device("meta"):  # shapes without numbers
    large = Seq2Seq(Seq2SeqConfig.dalle_mini())
print(f"{'':12} {'parameters':>12} {'text tokens':>12} {'picture tokens':>15} {'codes':>7} {'bytes a picture':>16}")
for name, network in {"miniature": transformer, "DALL-E Mini": large}.items():
    c, count = network.config, sum(p.numel() for p in network.parameters())
    size = c.places * math.log2(c.codes) / 8
    print(f"{name:12} {count:12,} {c.text_length:12} {c.places:15} {c.codes:7,} {size:16.0f}")

# %% [markdown]
# What does the network know? **Surprise** (惊异度) is $-\log_2 p$ of what really came: 0 bits if it was certain, 12 if it
# was one of 4096 and nothing was known. A hundred pages that no training has seen, and two **negative controls**: each
# page with the caption of another, and each with its own tokens in shuffled order.
#
# **Predict.** Put in order, and give bits a token: nothing known; the frequencies of words; the network with "", with
# the caption, with the wrong caption, with shuffled tokens. Can one of them be *above* 12?

# %%
@torch.inference_mode()
def surprise(texts, tokens):  # -log2 p of each token, given the text and the tokens before it: `b 64`
    log_p = transformer(writer.words(texts), tokens).log_softmax(dim=2)
    return -log_p.gather(2, tokens[:, :, None])[:, :, 0] / math.log(2)


tokens, texts = ids.flatten(1)[:100], captions[:100]
order = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i)) for i in range(100)])
bits = {"no caption": surprise([""] * 100, tokens), "its caption": surprise(texts, tokens),
        "the caption of the next page": surprise(texts[1:] + texts[:1], tokens),
        "its caption, tokens shuffled": surprise(texts, tokens.gather(1, order))}  # fmt: skip

# %%
print(f"{'':32} {'bits a token':>12} {'nats a token':>12} {'bytes a page':>12}")
for name, mean in {"nothing is known": 12.0, "frequencies of these very pages": math.log2(open_),
                   **{name: table.mean().item() for name, table in bits.items()}}.items():  # fmt: skip
    print(f"{name:32} {mean:12.2f} {mean * math.log(2):12.2f} {64 * mean / 8:12.0f}")

# %% [markdown]
# Bits are also a length: a network and an arithmetic coder (算术编码) together write a page in as many bytes as the last
# column says. Knowing pictures and compressing them is the same thing. A wrong caption costs more than none: the
# network *believes* what it is told, and is surprised. Shuffled, the same 64 words are no sentence of this language,
# and whoever is sure of something false pays for it.
#
# ### Where is a page hard to guess?
#
# **Predict.** The first token has nothing before it. And then: sky, ground, outline of the thing, its inside: where
# does a page cost most?

# %%
shown = [*pages[:5], pages[:100].mean(0)]
own = torch.cat([bits["its caption"][:5], bits["its caption"].mean(0, keepdim=True)]).view(-1, 8, 8)
token_maps(shown, {"its caption": own}, "surprise, bits")

# %% [markdown]
# (At the right the mean of a hundred pages, and of their maps.) Smooth sky is cheap: it goes on as it began. Expensive
# is what nothing before it could tell: where exactly a star, a cloud, a hill begins, and above all the thing itself.
# Once a row has met its roof, what is below it is half known. The raster order (光栅顺序) is arbitrary, and so is the
# blame: a token is dear because it comes *first*, not because it is odd.
#
# ### How much does the prompt tell?
#
# The same pages without a caption, minus with. A caption names seven attributes, drawn independently, and from the
# page one can read all of them. A page and its caption then share exactly as much information as the caption has:
# $\log_2$ of the number of different captions. That is called **mutual information** (互信息), and an ideal network would
# save just that, on the mean.
#
# **Predict.** How many bits a page, if this network were ideal? More or fewer, if it is not? And *where*?

# %%
saved = bits["no caption"] - bits["its caption"]
kinds = math.prod(map(len, ATTRIBUTES.values())) * 84 / 96  # 12 of 96 pairs of subject and colour are held out
print(f"saved by the caption: {saved.sum(1).mean():.1f} bits a page ({saved.sum(1).std() / 10:.1f} standard error);",
      f"all there is to know of it: {math.log2(kinds):.1f} bits")  # fmt: skip
difference = torch.cat([saved[:5], saved.mean(0, keepdim=True)]).view(-1, 8, 8)
token_maps(shown, {"saved": difference}, "bits saved by the caption")

# %%
curves = {"saved so far": saved.mean(0).cumsum(0), "all that the caption has": torch.full((64,), math.log2(kinds))}
viz.lines(torch.arange(1, 65), curves, "bits of a page that its caption saves, mean of 100", "places read")

# %% [markdown]
# More than twice what the caption knows, and no ideal network could save that. So it is not the caption that is worth
# so much: it is the network without a caption that is poor. It has met "" in one case of ten only. The first token it
# guesses as well as can be (the curve begins with the five or so bits of sky and style), but where the thing begins, in
# the middle rows, it should read off the tokens before *what* thing this is, and has not learnt to. With a caption it
# need not: the words say it. A quantity whose truth is known, measured where it is broken, has shown a weakness that no
# picture would have.
#
# Super-conditioning, in section 5, leads away from just this network.
#
# ## 4. Exercise: do not read it all again
#
# Now write. A place gets its token, and the next place asks, with its query, for keys and values of all places before
# it. They have not changed: in causal attention no place sees what comes after. So keep them, and compute of each new
# place only its own. This is the **cache** (KV 缓存).
#
# **Write** `attend(q, k, v, cache)`. q, k, v are `h 1 d`, of the new place, for each of h heads. cache is a pair, keys
# and values `h n d` of the n places before (n may be 0). Return `(found, cache)`: what the new place finds, `h 1 d`,
# which is $\mathrm{softmax}(q K^T / \sqrt d)\, V$ over the old places **and itself**; and the pair for the next place,
# `h n+1 d`.

# %% tags=["ex-attend"]
def attend(q, k, v, cache):
    raise NotImplementedError


# %%
attend = check("attend", attend)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.cat([old, new], dim=1)`; `k.transpose(1, 2)` is `h d n`. No mask is needed: what is not yet written cannot be
# looked at.
# </details>

# %% [markdown] tags=["solution-attend"]
# <details><summary>Solution</summary>
#
# ```python
# def attend(q, k, v, cache):
#     k, v = torch.cat([cache[0], k], dim=1), torch.cat([cache[1], v], dim=1)
#     weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
#     return weights @ v, (k, v)
# ```
# </details>

# %% [markdown]
# Cached equals uncached? First your function, place by place, in the first layer of the real decoder, against all 64
# places at once under the causal mask. Then the whole network, and the clock. **Predict.** How many places are worked
# on without a cache, and with one? How many times faster is it?

# %%
layer = transformer.decoder.layers[0]
h = layer.norm1(transformer.decoder.embed(tokens[:1]))
q, (k, v) = layer.attn1.split_heads(layer.attn1.to_q(h)), layer.attn1.keys_values(h)
at_once, cache, found = scaled_dot_product(q, k, v, causal=True)[0], (k[0, :, :0], v[0, :, :0]), []
for i in range(64):
    new, cache = attend(*(x[0, :, i : i + 1] for x in (q, k, v)), cache)
    found.append(new)
print(f"one layer, place by place and at once: {(torch.cat(found, dim=1) - at_once).abs().max():.0e} apart")

# %%
def logits_of(way):  # for the tokens of the first page; and the seconds
    start = time.perf_counter()
    with torch.inference_mode():
        logits = torch.cat([*way(writer.words(captions[:1]), tokens[:1])], dim=1)
    return logits, time.perf_counter() - start


def again(words, ids):  # all that is written is read once more for each token
    return (transformer(words, ids[:, : i + 1])[:, -1:] for i in range(64))


# %%
def cached(words, ids):
    shifted, cache = torch.cat([ids.new_full((1, 1), transformer.bos), ids], dim=1), transformer.start(words)
    for i in range(64):
        logits, cache = transformer.step(shifted[:, i : i + 1], cache)
        yield logits


# %%
(slow, slow_s), (fast, fast_s) = logits_of(again), logits_of(cached)
print(f"logits differ by at most {(slow - fast).abs().max():.0e}, of a largest of {slow.abs().max():.0f}")
print(f"places worked on: {64 * 65 // 2:,} and 64; seconds {slow_s:.2f} and {fast_s:.2f}")

# %% [markdown]
# The same to the last digits, for a thirtieth of the work; the time goes down less, because a call of a network costs
# something however little it does. The price is memory: keys and values of every layer, for every token. With the 256
# places of DALL-E Mini it is 128 times less work.
#
# ## 5. Exercise: the next token
#
# The network gives 4096 logits. To always take the likeliest token is dull: skies without a star. To draw with the
# probabilities as they are is dangerous. **Predict.** If at each place the likeliest tokens that have 95 % together
# are good and the rest, the tail, are slips: what is the chance that a page of 64 has no slip? And how many tokens are
# those 95 %?

# %%
with torch.inference_mode():
    p = transformer(writer.words(captions[:30]), tokens[:30]).softmax(dim=2).sort(dim=2, descending=True).values
many = ((p.cumsum(dim=2) - p) < 0.95).sum(dim=2).float()
print(f"no slip in 64: {0.95**64:.0%}")
print("95 % are in", ", ".join(f"{many.quantile(q):.0f} tokens or fewer at {q:.0%} of places" for q in (0.1, 0.5, 0.9)))

# %% [markdown]
# So the tail is cut: **top-p** (核采样; Holtzman et al. 2020) keeps the fewest tokens that together have at least p, and
# no more than the place needs: few in a clear sky, many where a thing begins. A **temperature** (温度) below 1 sharpens
# all probabilities instead, `softmax(logits / temperature)`.
#
# And the prompt is made louder, by the guidance of lesson 14, but of *logits*: c with the prompt, u without one. Its
# authors call it **super-conditioning** (超条件引导):
#
# $$\mathrm{logits} = u + s\,(c - u), \qquad \text{in probabilities: } p_u \left( p_c / p_u \right)^s$$
#
# **Write** `next_token(c, u, s, p)`: c and u are `K`, logits. Return `K` probabilities: of the guided logits, those of
# the likeliest tokens that together reach p (the token that reaches it stays; at least one does), with sum 1, and 0
# for all others.

# %% tags=["ex-next_token"]
def next_token(c, u, s, p):
    raise NotImplementedError


# %%
next_token = check("next_token", next_token)

# %% [markdown]
# <details><summary>Help</summary>
#
# `odds, order = probabilities.sort(descending=True)`. A token stays if what comes before it, `odds.cumsum(0) - odds`,
# is below p. `torch.zeros_like(odds).scatter(0, order, kept)` brings them back to their places.
# </details>

# %% [markdown] tags=["solution-next_token"]
# <details><summary>Solution</summary>
#
# ```python
# def next_token(c, u, s, p):
#     odds, order = (u + s * (c - u)).softmax(dim=0).sort(descending=True)
#     kept = torch.where(odds.cumsum(dim=0) - odds < p, odds, 0)
#     return torch.zeros_like(odds).scatter(0, order, kept / kept.sum())
# ```
# </details>

# %% [markdown]
# With that a picture can be written, in ten lines, from a prompt and a seed. Is it the library's?

# %%
@torch.inference_mode()
def written(prompt, seed, s=1.5, p=0.95):
    generator, ids = torch.Generator().manual_seed(seed), []
    cache, new = transformer.start(writer.words([prompt, ""])), torch.tensor([[transformer.bos]])
    for _ in range(64):
        logits, cache = transformer.step(new.repeat(2, 1), cache)
        c, u = logits[:, -1]
        new = draw_token(next_token(c, u, s, p)[None], [generator])[:, None]
        ids.append(new)
    return torch.cat(ids, dim=1)


# %%
prompt = "a large red house on the left in a meadow by day, storybook illustration"
*_, last = writer.sample([prompt], [0], TokenSamplingSettings(guidance=1.5))
mine = written(prompt, 0)
print(f"of 64 tokens, {(mine == last.ids).sum()} are the library's")
viz.strip([writer.decode(mine)[0], writer.decode(last.ids)[0]], ["yours", "the library's"], side=1.4)

# %% [markdown]
# **Predict.** The same prompt and three seeds, without super-conditioning: cold (temperature 0.1), as learnt with all
# of the tail, with top-p, and hot (1.5). Which row is right but dull, which is wild?

# %%
hows = {"temperature 0.1": TokenSamplingSettings(1.0, 0.1, top_p=1.0), "as learnt": TokenSamplingSettings(1.0, top_p=1.0),
        "top-p 0.95": TokenSamplingSettings(1.0, top_p=0.95), "temperature 1.5": TokenSamplingSettings(1.0, 1.5, top_p=1.0)}  # fmt: skip
rows = [list(writer.generate(prompt, range(3), how)) for how in hows.values()]
viz.grid(rows, list(hows), [f"seed {i}" for i in range(3)], side=0.9)

# %% [markdown]
# Cold, it is three times nearly the same page. As learnt, sun, clouds and house differ. Hot, it begins well and ends as a
# mosaic: with 4096 tokens the improbable ones are, all together, probable, and after one of them the network stands
# before a page like none that it has seen.
#
# Now the scale s. **Predict.** 16 prompts, and the judge of lesson 14 counts how many of the attributes in them it
# finds in the pictures. At s = 0, another **negative control**, the transformer hears no word; 1 is what it learnt.
# Does more always help?

# %%
judge = load_judge()
prompts = draw_prompts(16, exam_rng(16), "seen", "en")


def obeyed(pictures):
    with torch.inference_mode():
        return prompt_accuracy(prompts, read_attributes(judge, pictures))["seen"]["every single"]


rows, sayings = [], [each.text for each in prompts]
for s in (0.0, 1.0, 1.5, 3.0, 8.0):
    pictures = writer.generate(sayings, range(16), TokenSamplingSettings(guidance=s))
    print(f"s = {s:g}: attributes found {obeyed(pictures)} %")
    rows.append(list(writer.generate(prompt, range(3), TokenSamplingSettings(guidance=s))))
viz.grid(rows, ["s = 0", "s = 1", "s = 1.5", "s = 3", "s = 8"], [f"seed {i}" for i in range(3)], side=0.9)

# %% [markdown]
# (In brackets the 95 % confidence interval, as in lesson 14; sixteen prompts tell little about small differences. By
# `minidiffusion evaluate --model tokens --guidance S`, with 512, s = 1.5 and 3 obey alike, 88 % of all prompts in every
# attribute, but at 3 the pictures are farther from real pages, at a Fréchet distance of 137 and not 108. So the library
# takes 1.5.) At 0 it is a page about anything, and the judge finds what chance gives. Then the words are
# heard. Too much, and the page falls to pieces: $p_u (p_c / p_u)^s$ loves tokens for being *rare* without the prompt,
# not for being good.
#
# ## 6. A picture is written
#
# Here it is, token by token, row by row: what there is after each row, and how surprising each token was *to the
# network that wrote it* (of the probabilities it was drawn from: guided, with the tail cut). The grey part is not yet
# written; it is not hidden, it does not exist.
#
# **Predict.** Which bars will be high: the first, those of the sky, of the house? Is it the same as in the map of
# section 3?

# %%
how = TokenSamplingSettings(guidance=1.5)
steps = [*writer.sample([prompt], [2], how)]
chances = torch.cat([step.probability for step in steps])
frames = []
for row in range(1, 9):  # the decoder wants whole pictures; the figure covers what is not written
    known = steps[8 * row - 1].ids
    frames.append(writer.decode(torch.cat([known, known[:, -8:].repeat(1, 8 - row)], dim=1))[0])
token_by_token(frames, -chances.log2())

# %% [markdown]
# Most of a page is decided in a few tokens, those with high bars: there, many things were possible. What is between
# follows, with low bars and little choice. A wrong turn at a high bar is what all later tokens will faithfully
# continue.
#
# ## 7. Going on, and choosing
#
# A transformer that writes from top to bottom can go on with *any* beginning, without having been trained for it. The
# first two, four, six rows of tokens of a real page are given, and the rest is written, with its caption. **Predict.**
# What is decided by how many rows? What differs between seeds?

# %%
page = Image.fromarray(to_pixels(pages[3:4])[0])
rows, how = [], TokenSamplingSettings(guidance=1.5)
for given in (2, 4, 6):
    pictures = writer.generate(captions[3], range(2), how, known=writer.first_rows(page, given)).clone()
    pictures[:, :, 8 * given - 1] = 1.0  # a line below what was given
    rows.append([pages[3], *pictures])
print(captions[3])
viz.grid(rows, ["2 rows given", "4 rows", "6 rows"], ["the page", "seed 0", "seed 1"], side=1.0)

# %% [markdown]
# Above the white line nothing differs, except where the decoder looks across it. Hour and style are read off two rows.
# A thing that has begun before the line is finished; one that has not is invented, from the words.
#
# What a draft (草稿) has lost in its first rows, the others cannot repair. DALL-E's answer is to write several, and to
# let CLIP choose the one that agrees best with the prompt (**re-ranking**, 重排序; section 2.6 of its paper, with 512
# drafts). **Predict.** Eight drafts: how different are they? And over all 16 prompts, how much does the best of eight
# gain over the first?

# %%
eight = writer.generate(prompt, draft_seeds(2, 8), how)
liking = writer.similarity(eight, [prompt] * 8)
captioned([[(eight[i], f"CLIP: {liking[i]:.2f}") for i in liking.argsort(descending=True)]], side=0.9)

# %%
for n in (1, 4, 8):
    pictures = writer.generate(sayings, range(16), TokenSamplingSettings(1.0, 1.4, top_p=1.0, drafts=n))
    print(f"the best of {n}: attributes found {obeyed(pictures)} %, {64 * n} tokens a picture")

# %% [markdown]
# (These drafts are drawn hot, at temperature 1.4 and with all of the tail. Drawn as usual, a single one is right too often
# for sixteen prompts to show a gain; `benchmarks/roads.py` asks hundreds.)
#
# Choosing costs n times the work, and can only choose what is there. (Drafts and judge are different networks; if CLIP
# chose, and CLIP counted, it would always find itself right.)
#
# ## 8. What this road cannot do
#
# It never goes back. The **negative control** of the whole lesson: spoil one token in the sky of a page, with a word
# that the network thinks very improbable there, and let it go on from the next place. Beside it, diffusion gets the
# same spoilt page, noised most of the way, and draws it anew (lesson 15, `vary`). **Predict.** Who repairs the sky?

# %%
spoilt, place = tokens[3:4].clone(), 17
with torch.inference_mode():
    spoilt[0, place] = transformer(writer.words(captions[3:4]), spoilt)[0, place].argmin()
begin = writer.decode(spoilt)
going_on = writer.generate(captions[3], range(2), how, known=spoilt[:, : place + 1])
start = model.encode(begin).expand(2, -1, -1, -1)
anew = model.generate(captions[3], range(2), steps=12, start=start, strength=0.7)

# %%
def patch_error(pictures):  # of the spoilt square, against the real page, as a share of black to white
    i, j = 8 * (place // 8), 8 * (place % 8)
    return ((pictures - pages[3])[..., i : i + 8, j : j + 8].abs().mean() / 2).item()


shown = {"the page in tokens": told[3:4], "spoilt": begin, "written on": going_on, "diffused anew": anew}
for name, pictures in shown.items():
    print(f"{name:18} the square differs from the real one by {patch_error(pictures):.0%}")
rows = [[pages[3], begin[0], *pictures] for pictures in (going_on, anew)]
viz.grid(rows, ["written on", "diffused anew"], ["the page", "spoilt", "seed 0", "seed 1"], side=1.0)

# %% [markdown]
# What is written stays, and all that follows has to live with it. Diffusion knows no order: every step looks at all
# places at once, and each may still change. That has a price too: it may change what was good.
#
# | | written as tokens | diffused |
# |---|---|---|
# | how often the network is asked | once for each token, no fewer | as often as you like (lesson 06) |
# | order | from top left to bottom right | from coarse to fine, everywhere |
# | a mistake | stays | is repaired while there is noise |
# | a part is given | only the beginning | any part (lesson 15) |
# | how probable is a picture? | exactly, in bits (section 3) | a bound, or an integral (lesson 04) |
# | what the network must be able to do | guess a word: the same for text and pictures | remove noise |
#
# Which is *better* is a question for measurements. `benchmarks/roads.py` asks both roads the same prompts and lets the
# same judge look; read it, and run it.
#
# ## Summary
#
# - A codebook whose decoder has learnt its language tells a page in 64 whole numbers. The words are patches; their
#   meaning is in their company.
# - Nearest code forwards, straight through backwards, and a loss of its own for the codes.
# - The chain rule makes a picture a row of guesses. Their surprise in bits says where a picture is hard, and what a
#   caption is worth: to an ideal network, at most as much as it says.
# - The cache keeps keys and values: the same result, for one place's work a token.
# - The tail must be cut, for slips add up. Super-conditioning is guidance of logits.
# - A writer can go on with any beginning, and repair nothing. Many drafts and a critic make up for some of it.
#
# ## Can you still say it?
#
# 1. Why is the decoder no better at latents that have not been rounded?
# 2. Why do the frequencies of the codes save hardly any bits?
# 3. How can shuffled tokens cost more than 12 bits each?
# 4. A caption saves bits on the first tokens and hardly any on the last. Why?
# 5. Why may keys and values of earlier places be kept, and in which kind of attention may they not?
# 6. s c instead of u + s (c - u): what would that be?
#
# ## Go on
#
# - Next: lesson 17, from the miniature to Stable Diffusion 1.5 (see the [map of the course](README.md)).
# - DALL-E: A. Ramesh et al., [Zero-Shot Text-to-Image Generation](https://arxiv.org/abs/2102.12092), 2021. Its open
#   relative is the article's [DALL·E Mini](https://github.com/borisdayma/dalle-mini).
# - Why the likeliest sentence is dull, and the tail dangerous: A. Holtzman et al., [The Curious Case of Neural Text
#   Degeneration](https://arxiv.org/abs/1904.09751), 2020.
