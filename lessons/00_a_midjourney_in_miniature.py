# %% [markdown]
# # 00 · A Midjourney in miniature: type a prompt, get a grid
#
# **After this lesson you can**
#
# - make pictures from a prompt, in English or in Chinese, and name the five stations on the way;
# - say which part of a picture the words decide and which part the seed decides;
# - write classifier-free guidance, the one line that makes pictures obey;
# - measure what changing one word does to a picture.
#
# **Time** 30 minutes. **Article** sections 1.1 to 1.3 and 6.1. **Needs** no GPU, no download.
# **Files** `minidiffusion/pipelines/text_to_image.py`, and `latent_diffusion.py` beside it;
# `minidiffusion/diffusion/guidance.py`, `minidiffusion/clip/tokenizer.py`, `minidiffusion/picturebook/scene.py`.

# %%
import numpy as np
import torch
from PIL import Image

from lessons.exercises.lesson_00 import check
from minidiffusion import viz
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import Prediction, denoiser
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.pipelines.latent_diffusion import SeededNoise
from minidiffusion.pipelines.text_to_image import TextToImage

# %% [markdown]
# ## 1. Type a prompt
#
# A **prompt** (提示词) is a sentence that says what you want to see. Midjourney answers with a grid of four pictures; so
# do we. Each of the four has its own **seed** (随机种子), the number that starts its random numbers.
#
# **Predict before you look.** Same words, four seeds. What will be the same in all four pictures, and what will
# differ?

# %%
model = TextToImage.load("picturebook")
prompt = "a red house by the sea at night, watercolor"
pictures = model.imagine(prompt, seeds=[0, 1, 2, 3])
viz.strip([picture.image for picture in pictures], [f"seed {picture.record.seed}" for picture in pictures], side=1.9)

# %% [markdown]
# What the prompt says is the same everywhere: a house, red, the sea, night, watercolour. What it does not say, chance
# decides: how large the house is and on which side it stands, the clouds, the waves, the stars. Say "small" or "on
# the left" and these are fixed too.
#
# This world has seven attributes (subject, colour, place, sky, style, size, side), and its words have a Chinese name
# each:

# %%
chinese = "夜晚海边的红房子，水彩画"
pictures = model.imagine(chinese, seeds=[0, 1, 2, 3])
viz.strip([picture.image for picture in pictures], [f"seed {picture.record.seed}" for picture in pictures], side=1.9)

# %% [markdown]
# ## 2. What is inside
#
# Midjourney opened to everybody in the summer of 2022 (article 1.1). How it works inside has never been published.
# What has been published are the parts that the article names (section 1.3) and a system built from them that anybody
# may read: Stable Diffusion, in August of the same year (section 6.1). Ours has the same parts, only narrower, so a
# laptop can train them.
#
# | station | what it does | file | lesson |
# |---|---|---|---|
# | **tokenizer** (分词器) | text to a few small integers, the **tokens** (词元) | `clip/tokenizer.py` | 13 |
# | **CLIP** text encoder (文本编码器) | a vector for each token, which knows what it means in a picture | `clip/encoder.py` | 13 |
# | noise (噪声) | a seed to a field of random numbers, x_T | `pipelines/latent_diffusion.py` | 01 |
# | **sampler** (采样器) + **U-Net** | noise to a small clean field, x_0, in 25 steps | `diffusion/sampler.py`, `networks/unet.py` | 03, 06, 11 |
# | **VAE** decoder (变分自编码器的解码器) | that field, the **latent** (潜在变量), to a picture | `latent/vae.py` | 12 |
#
# **Predict.** Stable Diffusion 1.5 has a U-Net of 860 million parameters. How many has one that fits on this laptop?

# %%
for name, network in {"CLIP": model.clip, "U-Net": model.unet, "VAE": model.vae}.items():
    print(f"{name:6} {sum(parameter.numel() for parameter in network.parameters()) / 1e6:6.2f} million parameters")

# %% [markdown]
# ## 3. The way of a prompt
#
# Station by station. First the tokens: the U-Net never sees letters, only what becomes of these numbers.

# %%
length = model.clip.config.context_length
ids = [model.tokenizer.start, *model.tokenizer.encode(prompt), model.tokenizer.end]
tokens = [(model.tokenizer.symbols[i].removesuffix("</w>"), i) for i in ids]
print(f"{len(tokens)} tokens of at most {length}: {tokens}")
print("CLIP makes of them an array of the shape (batch, tokens, width):", tuple(model.context([prompt]).shape))

# %% [markdown]
# Now the sampler. It begins with pure noise and walks, in 25 steps, to a clean latent. At every step the U-Net is
# asked one question: *given this noisy thing, and these words, what is the clean picture?* Its answer is called
# **x0_hat** (x̂₀). The sampler goes a little way towards it and asks again.
#
# The library's samplers are generators: they hand over every step, so we can look at all of them.
#
# **Predict.** After how many of the 25 steps can you tell that it is a house? Its colour? The windows?

# %%
steps = list(model.sample(prompt, seeds=[0], steps=25))
chosen = [steps[i] for i in (0, 2, 5, 9, 15, 24)]
viz.denoising_steps(
    tokens,
    states=[model.decode(step.x)[0] for step in chosen],
    guesses=[model.decode(step.x0_hat)[0] for step in chosen],
    titles=[f"after step {step.i + 1}" for step in chosen],
)

# %% [markdown]
# The lower row is where the sampler is heading. Asked about pure noise, the U-Net can only name the average of all
# pictures that fit the words: a smooth blur with the right colours. As the noise goes, the answer sharpens, and it
# does so from large to small: first sky and ground, then the house, last the windows. Lesson 02 shows that this
# average is the best possible answer.

# %% [markdown]
# ## 4. Exercise: make it obey
#
# The U-Net answers two questions at each step: what noise is in x_t if the picture fits *these words*, `eps_c` (c:
# conditional), and what noise if it may be *any* picture, `eps_u` (u: unconditional). The difference of the two is
# what the words add. **Classifier-free guidance** (无分类器引导) starts from `eps_u` and goes along that difference,
# `scale` times its length:
#
# $$\hat\epsilon = \epsilon_u + s \, (\epsilon_c - \epsilon_u)$$
#
# With s = 0 the words do not count, with s = 1 they count as the network learnt it, with more they are exaggerated.
#
# **Write** `guide(eps_u, eps_c, scale)`. Both fields have the same shape, any shape; the result has it too.

# %% tags=["ex-guide"]
def guide(eps_u, eps_c, scale):
    raise NotImplementedError


# %%
guide = check("guide", guide)

# %% [markdown]
# <details><summary>Help</summary>
#
# Try numbers. With `eps_u = 1`, `eps_c = 3`: scale 0 must give 1, scale 1 must give 3, scale 2 must give 5.
# </details>

# %% [markdown] tags=["solution-guide"]
# <details><summary>Solution</summary>
#
# ```python
# def guide(eps_u, eps_c, scale):
#     return eps_u + scale * (eps_c - eps_u)
# ```
# </details>

# %% [markdown]
# Your function, in a sampler. `Prediction` holds the same answer twice, as clean picture and as noise, because some
# samplers want one and some the other; both are guided alike.

# %%
@torch.inference_mode()
def picture_at(scale, prompt, seed=0):
    denoise = denoiser(model.unet, model.schedule, model.prediction)
    words, nothing = model.context([prompt]), model.context([""])

    def guided(x_t, t):
        u, c = denoise(x_t, t, nothing), denoise(x_t, t, words)
        return Prediction(x0=guide(u.x0, c.x0, scale), eps=guide(u.eps, c.eps, scale))

    x_T = SeededNoise([seed])(torch.empty_like(steps[0].x))
    *_, last = SAMPLERS["dpm++"](guided, x_T, model.schedule.times(25))
    return model.decode(last.x)[0]


# %% [markdown]
# **Predict.** Two prompts, four scales, one seed. In which column do the rows differ least? Which column would you
# hang on a wall?

# %%
scales, prompts = [0, 1, 4, 12], ["a red house at night", "a yellow boat by day"]
rows = [[picture_at(scale, prompt) for scale in scales] for prompt in prompts]
viz.grid(rows, ["red house\nat night", "yellow boat\nby day"], [f"scale {scale}" for scale in scales])

# %% [markdown]
# **The negative control** is the first column. With scale 0 the words are multiplied by nothing, so they *must not*
# matter: if the two pictures there were different, our claim that the words act through this one line would be false.

# %%
for scale, above, below in zip(scales, *rows, strict=True):
    print(f"scale {scale:2}: the two pictures differ by at most {(above - below).abs().max():.4f} (range 0 to 2)")

# %% [markdown]
# At scale 0 they are the same picture, and nobody asked for it. At 12 the colours are driven to their limits: more
# obedience than is good for a picture. This is the library's version of your line; it asks both questions in one
# batch:

# %%
viz.show_source(classifier_free)

# %% [markdown]
# ## 5. Exercise: change one word
#
# If the seed stays and one word changes, which pixels change? To see it we need a map of the difference.
#
# **Write** `difference_map(a, b)`. `a` and `b` are pictures as they come from a file: arrays `h w 3` of `uint8`, 0 to
# 255. The result is `h w`: at each pixel the absolute difference, averaged over the three colours, so that 0 means
# the same and 1 means black against white.

# %% tags=["ex-difference_map"]
def difference_map(a, b):
    raise NotImplementedError


# %%
difference_map = check("difference_map", difference_map)

# %% [markdown]
# <details><summary>Help</summary>
#
# `uint8` knows no negative numbers. `a.astype(float)` gives numbers that do. The colours are the last axis:
# `axis=-1`.
# </details>

# %% [markdown] tags=["solution-difference_map"]
# <details><summary>Solution</summary>
#
# ```python
# def difference_map(a, b):
#     return np.abs(a.astype(float) - b.astype(float)).mean(axis=-1) / 255
# ```
# </details>

# %% [markdown]
# **Predict**, for each of these three changes, which part of the map will be bright and whether the mean will be
# large or small: another colour, another time of day, and, as a control, the same words with another seed.

# %%
def show_change(before, after, seeds=(0, 0)):
    a, b = (model.imagine(text, [seed])[0].image for text, seed in zip((before, after), seeds, strict=True))
    titles = (f"{before}\nseed {seeds[0]}", f"{after}\nseed {seeds[1]}")
    return viz.compare(a, b, difference_map(np.asarray(a), np.asarray(b)), titles)


show_change("a large red house by the sea by day", "a large blue house by the sea by day")

# %%
show_change("a large red house by the sea by day", "a large red house by the sea at night")

# %%
show_change("a large red house by the sea by day", "a large red house by the sea by day", seeds=(0, 1))

# %% [markdown]
# The colour word changes the house and leaves most of the rest alone, though nobody ever told the network which
# pixels a word is about: it has learnt that "red" concerns the house. The time of day changes the light, and light is
# everywhere. The control shows why the seed must be held fixed: with another seed everything moves, and the effect of
# a word would drown in it.

# %% [markdown]
# ## 6. Exercise: lay out the grid
#
# Midjourney's grid: picture 0 at the upper left, 1 to its right, then the next row. Every picture is a square of
# `side` pixels; there are `gap` pixels between neighbours, and none along the edges of the sheet.
#
# **Write** `corner(i, columns, side, gap)`, which gives `(x, y)`, the left and the upper edge of picture i.

# %% tags=["ex-corner"]
def corner(i, columns, side, gap):
    raise NotImplementedError


# %%
corner = check("corner", corner)

# %% [markdown]
# <details><summary>Help</summary>
#
# Row and column are the quotient and the remainder of `i / columns`: `divmod(i, columns)`. x belongs to the column.
# </details>

# %% [markdown] tags=["solution-corner"]
# <details><summary>Solution</summary>
#
# ```python
# def corner(i, columns, side, gap):
#     row, column = divmod(i, columns)
#     return column * (side + gap), row * (side + gap)
# ```
# </details>

# %%
sheet = Image.new("RGB", (2 * 192 + 8, 2 * 192 + 8), "white")
for i, picture in enumerate(model.imagine("a pink castle in the snow at sunset, storybook", seeds=[0, 1, 2, 3])):
    large = picture.image.resize((192, 192), Image.Resampling.NEAREST)
    sheet.paste(large, corner(i, columns=2, side=192, gap=8))
sheet

# %% [markdown]
# ## 7. What it has never seen
#
# Twelve pairs of subject and colour were withheld from every training (`minidiffusion/picturebook/scene.py` lists
# them). The networks have seen red things and they have seen cats, but never a red cat.
#
# **Predict.** Will they draw one? Or an orange cat, or a red something else?

# %%
held_out = model.imagine("a red cat in the forest by day, storybook", seeds=range(4))
seen = model.imagine("a yellow cat in the forest by day, storybook", seeds=range(4))
rows = [[picture.image for picture in row] for row in (held_out, seen)]
viz.grid(rows, ["red cat\n(never seen)", "yellow cat\n(seen)"], [f"seed {seed}" for seed in range(4)])

# %% [markdown]
# Four pictures prove nothing. `minidiffusion evaluate` asks for hundreds of such pairs, lets a separate network, the
# judge, read the attributes back, and reports the share with its uncertainty; the README has the figures.
#
# ## Summary
#
# - A prompt becomes tokens, the tokens become vectors, and these steer a U-Net that turns noise into a latent, which
#   a VAE turns into a picture.
# - The words decide what they name; the seed decides the rest. Same words, same seed, same picture.
# - The sampler asks again and again for the clean picture, and the answers sharpen from large to small.
# - Guidance, eps_u + s (eps_c - eps_u), is where the words get their force. At s = 0 they have none.
#
# ## Can you still say it?
#
# 1. What are the five stations between prompt and picture?
# 2. Why is x0_hat blurred after the first step?
# 3. What would change in the second row of section 4 if both prompts had been the same?
# 4. What does s = 1 mean? What does s = 12 do to a picture, and why does nobody use s = 100?
# 5. How often is the U-Net asked for one guided picture in 25 steps?
# 6. Why does the control in section 5 use the same words?
# 7. `np.uint8(3) - np.uint8(5)` is 254. Where in this lesson would that have hurt?
# 8. What do four pictures of a red cat prove? What would prove more?
#
# ## Go on
#
# - Next: lesson 01, forward diffusion, where a picture is destroyed on purpose (see the [map of the
#   course](README.md)).
# - The idea of guidance: J. Ho, T. Salimans, [Classifier-Free Diffusion Guidance](https://arxiv.org/abs/2207.12598),
#   2022.
# - The system we imitate: R. Rombach et al., [High-Resolution Image Synthesis with Latent Diffusion
#   Models](https://arxiv.org/abs/2112.10752), 2022.
