# %% [markdown]
# # 15 · The studio: imagine, vary, upscale, blend, describe
#
# **After this lesson you can**
#
# - begin at a picture instead of at noise, and say what its "strength" decides;
# - draw a part of a picture anew so that it fits the rest, keep every other bit, and say what goes wrong otherwise;
# - make one noise of several, of the right size;
# - read how a picture was made from the picture itself, and change a word at the root of its tree.
#
# **Time** 60 minutes. **Article** sections 1.2 and 5. **Needs** no GPU, no download; lessons 00, 06 and 12 help.
# **Files** `minidiffusion/actions/`, a file for each; `minidiffusion/pipelines/latent_diffusion.py`, and `inpainting.py`
# beside it; `minidiffusion/images/record.py`, `minidiffusion/prompt/describe.py`, `minidiffusion/diffusion/inpaint.py`.

# %%
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from lessons.exercises.lesson_15 import check
from minidiffusion import viz
from minidiffusion.actions.blend import blend
from minidiffusion.actions.pan import pan
from minidiffusion.actions.registry import again
from minidiffusion.actions.repaint import repaint
from minidiffusion.actions.upscale import enlarge, upscale  # noqa: F401
from minidiffusion.actions.vary import vary
from minidiffusion.actions.zoom import zoom

# %%
from minidiffusion.diffusion import ideal
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.inpaint import inpaint, with_known_region
from minidiffusion.diffusion.prediction import denoiser
from minidiffusion.diffusion.sampler import SAMPLERS
from minidiffusion.diffusion.schedule import Times
from minidiffusion.evaluation.judge import load_judge, read_attributes
from minidiffusion.images.grid import grid
from minidiffusion.images.pixels import psnr, to_pixels, to_tensor

# %%
from minidiffusion.picturebook import captions
from minidiffusion.picturebook.draw import render
from minidiffusion.picturebook.scene import ATTRIBUTES, random_scene
from minidiffusion.pipelines.latent_diffusion import SeededNoise
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.describe import describe, nearest_scenes, shorten
from minidiffusion.viz.attention import captioned
from minidiffusion.viz.storyboard import Panel, storyboard

model = TextToImage.load("picturebook")
judge = load_judge()
QUICK = SamplingSettings(steps=12)
torch.set_grad_enabled(False)  # nothing is trained here

# %% [markdown]
# ## 1. What a button does
#
# A prompt is a beginning. What made Midjourney a tool are the buttons under its four pictures (article 1.2.3): choose
# one, make variations, make it larger, zoom out, move the frame. Nearly none needs a network of its own. A sampler has
# three openings, and every action puts something into one of them:
#
# | action | begins at | what the denoiser is told | afterwards |
# |---|---|---|---|
# | imagine | noise | the words | |
# | vary (变体) | a picture, noised part of the way | its words | |
# | remix | the same | other words | |
# | repaint (局部重绘), zoom, pan (扩图) | noise | the words, and what is known | known pixels are put back |
# | blend (融合) | the mean of pictures, noised nearly all the way | what CLIP says of each | |
# | upscale (放大) | | | another network, one pass |
# | describe (图生文) | | | CLIP alone, no diffusion |
#
# All but the last two are one function. Find the three openings: `start`, the denoiser, `known`.

# %%
viz.show_source(TextToImage.sample_latents)

# %% [markdown]
# ## 2. Exercise: begin at a picture
#
# **Image to image** (图生图; SDEdit, Meng et al. 2022): noise the picture part of the way, and let the sampler walk back
# from there. A sampler of n steps has n + 1 entries of $\alpha$ and $\sigma$, from the noisiest (0) to clean (n). The
# **strength** (重绘强度) is the share of the way that is walked: 1 begins at entry 0, in noise; 0 at entry n, and nothing
# is walked.
#
# $$i = \mathrm{round}((1 - \mathrm{strength})\, n), \qquad x = \alpha_i\, x_0 + \sigma_i\, \epsilon$$
#
# **Write** `start(x_0, eps, strength, alpha, sigma)`, which gives `(i, x)`. alpha and sigma are tensors `n+1`.

# %% tags=["ex-start"]
def start(x_0, eps, strength, alpha, sigma):
    raise NotImplementedError


# %%
start = check("start", start)

# %% [markdown]
# <details><summary>Help</summary>
#
# n is `len(alpha) - 1`. Python's `round` gives a whole number, which can be an index.
# </details>

# %% [markdown] tags=["solution-start"]
# <details><summary>Solution</summary>
#
# ```python
# def start(x_0, eps, strength, alpha, sigma):
#     n = len(alpha) - 1
#     i = round((1 - strength) * n)
#     return i, alpha[i] * x_0 + sigma[i] * eps
# ```
# </details>

# %% [markdown]
# Your function before a sampler, on latents. Is it what the library's `vary` does?

# %%
def guided(words):  # the denoiser of lesson 00, a prompt for each picture of the batch
    denoise = denoiser(model.unet, model.schedule, model.prediction)
    return classifier_free(denoise, model.context(words), model.context([""] * len(words)), model.guidance)


def varied(z, words, strength, seeds):  # z: latents `b c h w`
    times, noise, denoise = model.schedule.times(QUICK.steps), SeededNoise(seeds), guided(words)
    i, x = start(z, noise(z), strength, times.alpha, times.sigma)
    for step in SAMPLERS["dpm++"](denoise, x, Times(*(column[i:] for column in times)), noise=noise):
        x = step.x
    return model.decode(x)


# %%
rng = np.random.default_rng(0)
scenes = [random_scene(rng, "seen") for _ in range(10)]
pages = torch.stack([torch.from_numpy(render(scene)) for scene in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
z, truth = model.encode(pages), torch.tensor([scene.labels for scene in scenes])

words = "a blue house in a meadow by day, storybook"
[house] = model.imagine("a red house by the sea at night, watercolor", [1], QUICK)
[library] = vary(model, house, [5], words, QUICK, strength=0.7)
mine = to_pixels(varied(model.encode(to_tensor(house.image)), [words], 0.7, [5]))[0]
print("largest difference to the library's, of 255:", np.abs(mine.astype(int) - np.asarray(library.image)).max())

# %% [markdown]
# **Predict before you look.** A page of the picture book, at four strengths. In the upper row the sampler gets no
# words; in the lower one words for something quite different. At which strength does the subject change, at which the
# hour? Which goes first?

# %%
strengths = [0, 0.35, 0.7, 1]
told = {"no words": "", "a yellow boat,\nsea, night, ink": "a large yellow boat by the sea at night, ink drawing"}
rows = [[varied(z[3:4], [text], s, [0])[0] for s in strengths] for text in told.values()]
viz.grid(rows, [*told], [f"strength {s}" for s in strengths], side=1.2)

# %% [markdown]
# At 0 you see what the autoencoder makes of the page. Noise takes the small things first and the large ones last
# (lesson 01), so a small strength can change only small things, whatever the words say.
#
# How much stays? The judge (lesson 00) reads the seven attributes back, of ten pages. Three counts: what is kept of
# the page when there are no words; what is kept against the words of another page; and what is obeyed of these. For
# the last two only those attributes count in which the two pages differ.
#
# **Predict** the three curves, and where two of them cross.

# %%
other, texts = truth.roll(-1, 0), [captions.describe(scene) for scene in scenes]
differ, nothing, against = truth != other, [""] * 10, texts[1:] + texts[:1]
curves = {"kept, no words": [], "kept, against other words": [], "obeyed of the other words": []}
obeyed, strengths = [], torch.linspace(0, 1, 5)
for s in strengths.tolist():
    alone, pulled = (read_attributes(judge, varied(z, words, s, range(10))) for words in (nothing, against))
    obeyed.append(((pulled == other) & differ).sum(0) / differ.sum(0))
    found = (alone == truth).float().mean(), (pulled == truth)[differ].float().mean(), (pulled == other)[differ].float().mean()
    for curve, value in zip(curves.values(), found, strict=True):
        curve.append(value.item())
viz.lines(strengths, curves, "share of the attributes, by the judge (10 pages)", "strength")

# %%
chance = sum(1 / len(values) for values in ATTRIBUTES.values()) / len(ATTRIBUTES)
print(f"By guessing, one in {1 / chance:.0f} is right. Obeyed of the other words, where the pages differ:")
print(f"{'strength':10}", *(f"{name:>8}" for name in ATTRIBUTES))
for s, row in zip(strengths.tolist(), obeyed, strict=True):
    print(f"{s:<10}", *(f"{value:8.0%}" for value in row))

# %% [markdown]
# Without words a page stands fast far beyond the middle: what the noise has hidden is guessed from what it has not.
# With other words it loses ground from the beginning, and first what is small: in the table, see what obeys at low
# strength, and what only when nearly all of the way is walked. Where two curves cross, picture and words pull equally;
# there are the pictures that are neither. What Midjourney calls "subtle" and "strong" are 0.35 and 0.7 in our studio.
# (Ten pages: one page is a tenth. Read the curve, not its digits; `python benchmarks/studio.py vary` asks two
# hundred.)
#
# ## 3. Exercise: keep what is known
#
# Now a **mask** (蒙版): 1 where something new shall be drawn, 0 where the picture stays (**inpainting**, 图像修复). The
# denoiser was never trained for this. But what is known needs no drawing, and how it looks at a noise level is known
# as well. So: after each step, put there what is known, *as noisy as the rest is at that moment* (Lugmayr et al. 2022,
# RePaint).
#
# $$x \leftarrow m\, x + (1 - m)\,(\alpha\, \mathrm{known} + \sigma\, \epsilon)$$
#
# **Write** `keep(x, known, mask, alpha, sigma, eps)`. alpha and sigma are numbers, those of the level at which x is
# now.

# %% tags=["ex-keep"]
def keep(x, known, mask, alpha, sigma, eps):
    raise NotImplementedError


# %%
keep = check("keep", keep)

# %% [markdown]
# <details><summary>Help</summary>
#
# Where the mask is 1, `mask * x` is x and `(1 - mask) * ...` is 0; where it is 0, the other way round.
# </details>

# %% [markdown] tags=["solution-keep"]
# <details><summary>Solution</summary>
#
# ```python
# def keep(x, known, mask, alpha, sigma, eps):
#     return mask * x + (1 - mask) * (alpha * known + sigma * eps)
# ```
# </details>

# %% [markdown]
# Your function in a sampler, in three ways. The first is the **negative control**: draw freely, and paste what is
# known at the end.

# %%
WAYS = ["pasted at the end", "clean at each step", "noised to each step"]


def fill_in(denoise, schedule, noise, known, mask, way, n=12):
    times, x = schedule.times(n, dtype=noise.dtype), noise
    for i in range(n):
        x0_hat, eps_hat, _ = denoise(x, times.t[i])
        alpha, sigma = times.alpha[i + 1], times.sigma[i + 1]
        x = alpha * x0_hat + sigma * eps_hat  # a step of DDIM, lesson 06
        if way == "clean at each step":
            x = keep(x, known, mask, 1, 0, noise)
        if way == "noised to each step":
            x = keep(x, known, mask, alpha, sigma, noise)
    return keep(x, known, mask, 1, 0, noise)


# %% [markdown]
# Ten pages; their right side, where the subject stands, is to be drawn anew. The prompt names a lighthouse and its
# colour. It says nothing of place, hour and style: whoever draws must see them in what is kept.
#
# **Predict.** Where will you see a seam? Is it needed to noise what one knows?

# %%
before = [replace(scene, side="right") for scene in scenes]
known = torch.stack([torch.from_numpy(render(scene)) for scene in before]).permute(0, 3, 1, 2) / 127.5 - 1
mask = torch.zeros(1, 1, 8, 8)
mask[..., 3:] = 1
pixel_mask = mask.repeat_interleave(8, 2).repeat_interleave(8, 3)
prompt, noise = "a large blue lighthouse on the right", SeededNoise(range(10))(z)
latents = {way: fill_in(guided([prompt] * 10), model.schedule, noise, model.encode(known), mask, way) for way in WAYS}
filled = {"as it was": known} | {way: torch.where(pixel_mask > 0, model.decode(x), known) for way, x in latents.items()}
viz.grid([pictures[1:4] for pictures in filled.values()], [name.replace(" ", "\n", 1) for name in filled], side=1.2)

# %%
wanted = [replace(scene, subject="lighthouse", colour="blue", size="large").labels for scene in before]
for name, pictures in filled.items():
    jump = (pictures[..., 1:] - pictures[..., :-1]).abs().mean((1, 2))  # between neighbouring columns, `b 63`
    seam = (jump[:, 23] / jump[:, [7, 15, 31, 39, 47, 55]].mean(1)).median()  # there, beside other latents' edges
    right = (read_attributes(judge, pictures) == torch.tensor([s.labels for s in before] if name == "as it was" else wanted)).float()
    print(f"{name:20} step at the seam {seam:4.1f} times one elsewhere; the judge finds {right[:, [0, 1, 5, 6]].mean():4.0%} "
          f"of what was asked, and {right[:, 2:5].mean():4.0%} of place, sky and style")  # fmt: skip

# %% [markdown]
# **Pasted at the end**, the new part has a weather of its own: nobody told it. In the other two rows the sky goes on,
# the horizon meets, the paper has its edge, though the prompt speaks of none of them: the U-Net *sees* the known part
# at every step and draws what belongs beside it.
#
# And the row in between? By the book it is wrong: no training has ever shown this network a picture that is clean on
# the left and noisy on the right. Yet it may well do as well as the last, or better: compare the numbers. So look
# where the truth is known. Two numbers of which we know everything: each from N(0, 1), with correlation 0.8. Given
# that the first is 1, the second is from N(0.8, 0.6²). The best possible denoiser is a formula (lesson 02).
#
# **Predict.** Which way finds N(0.8, 0.6²)?

# %%
covariance = torch.tensor([[[1, 0.8], [0.8, 1]]], dtype=torch.float64)
best = ideal.mixture(torch.ones(1).double(), torch.zeros(1, 2).double(), covariance, model.schedule)
generator = torch.Generator().manual_seed(0)
eps, half = torch.randn(4000, 2, generator=generator, dtype=torch.float64), torch.tensor([0, 1], dtype=torch.float64)
ones = torch.ones_like(eps)
found = {way: fill_in(best, model.schedule, eps, ones, half, way, n=50) for way in WAYS}
for repeats in (1, 10):
    *_, last = inpaint(best, eps, model.schedule.times(50, dtype=torch.float64), ones, half, repeats=repeats,
                       noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype))  # fmt: skip
    found[f"DDPM, noised, each step {repeats} x"] = last.x
for name, x in found.items():
    print(f"{name:30} the known is {x[:, 0].mean():.2f}, the other {x[:, 1].mean():5.2f} +- {x[:, 1].std():.2f}; true 0.80 +- 0.60")

# %% [markdown]
# None of the simple ways does, not even with a perfect denoiser. Pasted at the end: 0 ± 1, as if nothing were known.
# Clean or noised, the second number is drawn to the first, but not far enough: at each step it had settled before it
# heard of its neighbour. The cure of Lugmayr et al.: noise the step back and take it again, several times, until the
# two agree. It costs as many times the calls. So neither way is exact, and noising is chosen because it shows the
# network only what it was trained on. Ours forgives the other, as far as one can see.
#
# With a deterministic sampler there is a shorter way to say the same: change the *denoiser*. Where the mask is 0 it is
# certain.

# %%
viz.show_source(with_known_region)

# %%
certain = with_known_region(guided([prompt] * 10), model.schedule, model.encode(known), mask)
*_, last = SAMPLERS["ddim"](certain, noise, model.schedule.times(12))
print(f"DDIM with `with_known_region` and your loop differ by at most {(last.x - latents['noised to each step']).abs().max():.1e}")

# %% [markdown]
# The same to rounding, and any other sampler can take it too, so that the studio needs no second set of them. What is
# left is the decoder, which rounds and smooths: therefore `repaint` puts the known *pixels* back at the end. Every bit
# of them:

# %%
region = Image.fromarray(pixel_mask[0, 0].numpy() > 0)
[repainted] = repaint(model, house, [3], "a large blue lighthouse on the right", QUICK, mask=region)
same = np.asarray(repainted.image) == np.asarray(house.image)
print(f"equal: {same[:, :24].mean():.0%} of the numbers in the part that is kept, {same[:, 24:].mean():.0%} in the other")

# %% [markdown]
# ## 4. Beyond the edge
#
# **Zoom** and **pan** are the same on a larger canvas: the picture is what is known, and around it is the mask.
# **Predict.** A house in a meadow; above, the new part is drawn with the picture's own words, below with "a meadow by
# day, storybook". What will stand in it?

# %%
[meadow] = model.imagine("a large red house in a meadow by day, storybook", [1], QUICK)
rows = []
for words in (None, "a meadow by day, storybook"):
    zooms = zoom(model, meadow, [5], words, QUICK, factor=1.6)
    pans = pan(model, meadow, [5], words, QUICK, direction="right")
    rows.append([(meadow.image, "as it was"), *((p.image, p.record.action) for p in zooms + pans)])
captioned(rows, ["its own words", "the place only"], side=1.2)

# %% [markdown]
# What does **not** work, and why:
#
# - **A second subject.** The words say "a house", and they speak to the whole canvas. Where there is room, the network
#   may set another, or a piece of one. Name what shall be in the *new* part, as in the lower row. Even so something may
#   appear: this network has never seen a page without a subject. (It has seen wide pages with one subject only, which
#   helps when panning.)
# - **A second sun**, or moon. The first steps lay out the whole canvas, when hardly anything of the known part can be
#   seen in its noise. Then the known sun comes out, beside the one that was planned.
# - **Seams.** The known part ends at whole latents, 8 pixels wide, and by section 3 the two parts agree only roughly.
#   (The studio redraws the outermost 4 pixels of the old picture, which hides the worst.) In a zoom the old part is
#   also sharper than the new: it was shrunk.
#
# So every action takes several seeds, as Midjourney's buttons make four pictures: draw a few, and choose.
#
# ## 5. Exercise: one noise of several
#
# There is a quieter way to vary than to noise a picture: take other *noise*, only a little. Lesson 12 walked from one
# noise to another on an arc, because the straight way is too short in the middle. For any number of independent
# noises, with any weights: variances add up,
#
# $$\epsilon = \frac{\sum_i w_i\, \epsilon_i}{\sqrt{\sum_i w_i^2}}$$
#
# is standard normal again. **Write** `mix(noises, weights)`: noises is `n *shape`, weights is `n`; the result is
# `*shape`.

# %% tags=["ex-mix"]
def mix(noises, weights):
    raise NotImplementedError


# %%
mix = check("mix", mix)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.tensordot(weights, noises, dims=1)` sums over i, whatever the rest of the shape is.
# </details>

# %% [markdown] tags=["solution-mix"]
# <details><summary>Solution</summary>
#
# ```python
# def mix(noises, weights):
#     return torch.tensordot(weights, noises, dims=1) / weights.square().sum().sqrt()
# ```
# </details>

# %% [markdown]
# **The negative controls** are the mean and the sum. **Predict.** Four noises, mixed in three ways, for four pictures
# each (one is shown). What does a network make of noise that is half as large as it should be, and what of noise that
# is twice as large?

# %%
noises = torch.stack([SeededNoise(range(4 * k, 4 * k + 4))(z[:4]) for k in range(4)])
equal = torch.ones(4)
mixtures = {"one of the four": noises[0], "your mix": mix(noises, equal), "mean": noises.mean(0), "sum": noises.sum(0)}
rows = {}
for name, x_T in mixtures.items():
    *_, last = SAMPLERS["dpm++"](guided(["a red house"] * 4), x_T, model.schedule.times(12), noise=torch.zeros_like)
    rows[name] = model.decode(last.x)
    detail = (rows[name].diff(dim=3).abs().mean() / 2).item()
    print(f"{name:16} std of the noise {x_T.std():.2f}; neighbouring pixels differ by {detail:.1%} of black to white")
viz.strip([pictures[0] for pictures in rows.values()], [*rows], side=1.3)

# %% [markdown]
# Too much noise is never removed: a sampler takes off as much as there should be, and the rest stays as speckles. Too
# little is forgiven to a surprising degree. It is the direction that decides (compare "your mix" and "mean"), and a
# network that asks again at every step recovers from a quiet beginning. Do not rely on it:
# no training asked for it.
#
# Cousins: the noise of one seed with more and more of another's (shares of the variance). **Predict.** How much may be
# mixed in until it is another picture?

# %%
pair, shares = noises[0, [1, 3]], [0, 0.1, 0.4, 1]
x_T = torch.stack([mix(pair, torch.tensor([1 - share, share]) ** 0.5) for share in shares])
*_, last = SAMPLERS["dpm++"](guided(["a red house"] * 4), x_T, model.schedule.times(12), noise=torch.zeros_like)
viz.strip(list(model.decode(last.x)), [f"{share:.0%}" for share in shares], side=1.05)

# %% [markdown]
# No picture goes in, so this varies only what the words leave open. Little things drift, and large ones leap: each
# stop is a picture, not a cross-fade.
#
# ## 6. Blend, and describe
#
# **Blend** has no words of its own. CLIP puts each picture into words, all of them guide at once (`guidance.composed`,
# lesson 14), and the sampler begins at the mean of the latents, noised to a strength of 0.9. **Predict**, beside the
# cross-fade of the pixels: what comes from which parent?

# %%
[castle] = model.imagine("a large pink castle in the snow by day, storybook", [2], QUICK)
blended = blend(model, [house, castle], [0], settings=QUICK)
fade = Image.blend(house.image, castle.image, 0.5)
viz.strip([house.image, castle.image, fade, *(picture.image for picture in blended)],
          ["one", "the other", "cross-fade", *(f"blend, seed {p.record.seed}" for p in blended)], side=1.2)  # fmt: skip

# %% [markdown]
# A blend is one picture, not two on top of each other. Go through the seven attributes: most are of one parent or of
# the other. Where the two contradict each other, the denoiser is pulled both ways at every step, which makes many
# blends pale. All it knows of the parents is what CLIP said, and the vague shadow of their mean.
#
# **Describe** is that first half alone: the caption that CLIP finds nearest to the picture. It is searched one
# attribute after the other, so CLIP is asked a few hundred captions and not all 86,400. How good is it? Of the ten
# pages we know what is there:

# %%
said = torch.tensor([nearest_scenes(model, Image.fromarray(pixels))[0].labels for pixels in to_pixels(pages)])
for name, right in zip(ATTRIBUTES, (said == truth).float().mean(0), strict=True):
    print(f"{name:8} named right {right:4.0%}, by guessing {1 / len(ATTRIBUTES[name]):4.0%}")
print("\n".join(describe(model, house.image)[:2]), describe(model, house.image, "zh")[0], sep="\n")
print("what each word weighs:", ", ".join(f"{word} {weight:.3f}" for word, weight in shorten(model, house.record.prompt)))

# %% [markdown]
# Of pages that the program drew, CLIP reads nearly all, for such pages it was trained on. A subject that the model drew
# is less clear, and is more often taken for another: see what it says in the story board below. What `describe` gets
# wrong, `blend` and pictures in prompts get wrong too. The last line is `shorten`: by how much CLIP's vector turns
# when a word is left out.
#
# ## 7. Upscale
#
# Twice the pixels. No diffusion here: a small network has seen pages drawn at both sizes and adds what belongs there
# in one pass. Of a page the truth exists: it can be drawn at twice the size. **Predict.** Where does the network beat
# Lanczos' interpolation (which knows nothing of pages), and where can it not?

# %%
large = [Image.fromarray(render(scene, scale=2)) for scene in scenes]
small = [Image.fromarray(render(scene)) for scene in scenes]
lanczos = [image.resize((128, 128), Image.Resampling.LANCZOS) for image in small]
learnt = [enlarge(model, image) for image in small]
for name, images in {"Lanczos": lanczos, "the network": learnt}.items():
    values = torch.cat([psnr(to_tensor(image), to_tensor(true)) for image, true in zip(images, large, strict=True)])
    print(f"{name:12} PSNR {values.mean():.1f} dB, worst {values.min():.1f}")
box = (32, 32, 112, 112)
crops = [images[1].crop(box) for images in (lanczos, learnt, large)]
viz.strip([small[1].crop([x // 2 for x in box]), *crops], ["64 pixels", "Lanczos", "network", "drawn large"], side=1.5)

# %% [markdown]
# Edges are its gain. What was smaller than a pixel is lost to both: the network draws what is likely there, not what
# was.
#
# ## 8. The story board
#
# One prompt through everything. Each line is what is run; `[x] = ...` takes the one picture out of a list of one.

# %%
STORY = {
    "imagine": "four = model.imagine('a small red house by the sea at night, watercolor', range(4))",
    "choose one": "chosen = four[1]",
    "vary, subtle": "[subtle] = vary(model, chosen, [5], strength=0.35)",
    "vary, strong": "[strong] = vary(model, chosen, [5], strength=0.7)",
    "remix": "[remix] = vary(model, chosen, [5], 'a small red house by the sea at sunset, watercolor', strength=0.8)",
    "repaint a region": "[painted] = repaint(model, remix, [7], 'a large white boat on the right by the sea at sunset, watercolor', mask=region)",
    "zoom": "[zoomed] = zoom(model, chosen, [5], 'the sea at night, watercolor', factor=1.5)",
    "pan": "[wider] = pan(model, chosen, [5], 'the sea at night, watercolor', direction='left')",
    "upscale": "[printed] = upscale(model, painted, [5])",
    "blend": "[both] = blend(model, [chosen, castle], [4])",
    "describe": "words = describe(model, painted.image)[0]",
    "and from the words": "[anew] = model.imagine(words, [5])",
}


# %%
def shown(made):  # a picture, words, or the grid of several pictures
    if isinstance(made, list):
        return grid([picture.image for picture in made])
    return made if isinstance(made, str) else made.image


panels = []
for title, line in STORY.items():
    exec(line)
    panels.append(Panel(title, line, shown(globals()[line.partition(" = ")[0].strip("[]")])))
storyboard(panels, side=1.4)

# %% [markdown]
# Panel 12 beside panel 6 is the round trip from picture to words to picture: there survives only what the grammar has
# a word for and CLIP sees. Panels 3 and 4 keep the words of panel 2, and in a world of seven attributes that leaves
# little to vary; panel 5 is what other words do.
#
# ## 9. A picture that knows how it was made
#
# A studio without a memory is a slot machine. Every picture here carries its **record** (生成记录): action, prompt, seed,
# settings, the hash of the weights, and the *records* of the pictures it was made from. That is a tree. It is stored
# in the PNG file itself. This is all that panel 9 knows:

# %%
def tree(record, indent=""):
    if isinstance(record, str):
        return print(indent + "a picture from elsewhere, SHA-256", record[:12])
    print(f"{indent}{record.action} {record.prompt!r}, seed {record.seed}, {', '.join(record.settings) or 'no'} settings")
    for source in record.sources:
        tree(source, indent + "    ")


tree(printed.record)

# %% [markdown]
# It is enough to make it again, from the first noise on. And for something that no paint box can: change a word
# *everywhere in the tree*, and let all that was done be done again, with the same seeds, the same strength, the same
# mask. **Predict** what stays.

# %%
def rewritten(record, old, new):
    sources = tuple(rewritten(source, old, new) for source in record.sources)
    return replace(record, prompt=record.prompt.replace(old, new), sources=sources)


repeated = again(model, printed.record)
difference = np.abs(np.asarray(repeated.image).astype(int) - np.asarray(printed.image)).max()
print("made again; largest difference, of 255:", difference)
changed = {}
for old, new in {"sunset": "night", "boat": "teapot"}.items():
    changed[f"{old} -> {new}"] = again(model, rewritten(printed.record, old, new))
viz.strip([picture.image for picture in changed.values()], [*changed], side=1.4)

# %%
wrongs = {"other weights": replace(printed.record, weights="0" * 64), "lost": replace(printed.record, sources=("0" * 64,))}
for what, wrong in wrongs.items():
    try:
        again(model, wrong)
    except ValueError as error:
        print(f"{what}: {error}")

# %% [markdown]
# Other weights would make another picture and call it the same, so they are refused; and so is a tree whose branch is
# missing.
#
# ## Summary
#
# - A sampler has three openings: where it begins, what its denoiser is told, and what is known. The actions are what
#   one puts there.
# - Strength is the share of the way that is walked. Small strengths change small things, whatever the words say.
# - What is known is put back at every step, as noisy as the rest. Pasted at the end it would have told nothing.
# - One pass makes the two parts agree only roughly, even with a perfect denoiser. Repeating helps, and costs.
# - Noises mix with the root of the sum of squares. Too much noise shows; too little is forgiven here.
# - A picture with the record of its whole tree can be made again, and made otherwise.
#
# ## Can you still say it?
#
# 1. At strength 0.35 of 25 steps, how often is the U-Net asked? (Twice a step, with guidance.)
# 2. Why can a subtle variation not move the sun?
# 3. What does the denoiser see at the known places if nothing is put there, and why is the seam then so hard?
# 4. Why does `repaint` put pixels back, if the latents are already exact there?
# 5. Why does a zoom draw a second house, and what do you write to prevent it?
# 6. Four independent noises, weights 1: how large are mean, sum and mix?
# 7. What would be missing from the record if it held only the prompt and the seed?
#
# ## Go on
#
# - Next: lesson 16, pictures as tokens (see the [map of the course](README.md)).
# - Beginning at a picture: C. Meng et al., [SDEdit: Guided Image Synthesis and Editing with Stochastic Differential
#   Equations](https://arxiv.org/abs/2108.01073), 2022.
# - Keeping what is known: A. Lugmayr et al., [RePaint: Inpainting using Denoising Diffusion Probabilistic
#   Models](https://arxiv.org/abs/2201.09865), 2022.
