r"""Do the studio's flags and actions do what they say? Each is asked on hundreds of pictures, and the judge answers.

    python benchmarks/studio.py            # all of them: the better part of an hour
    python benchmarks/studio.py no chaos   # some of the questions

    no         a prompt without a colour: how often is the subject red, without and with "--no red"?
    chaos      how different are the four pictures of a grid?
    vary       how many attributes of the picture are still there, when its prompt is forgotten?
    stylize    a prompt without a style: how often is it drawn in the house style?
    weird      how many of the attributes that the prompt states are drawn?
    tile       how steep is the seam, beside the boundaries of other latents?
    blend      how many attributes of the mixture are of one parent or the other, beside pictures of nothing special?
    describe   how many attributes are named right, of real pages and of generated pictures?
    upscale    how much nearer to a page drawn large than Lanczos' interpolation?
    ar         is there one subject in a wide or tall picture, as prompted, or are there two?

The rows go to results/studio.csv.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import PIL.Image
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.checkpoint import load_model
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.actions.registry import blend, enlarge, imagine, vary
from minidiffusion.images.pixels import to_tensor
from minidiffusion.prompt.describe import nearest_scenes
from minidiffusion.pipelines.inpainting import size_of
from minidiffusion.images.pixels import psnr
from minidiffusion.evaluation.metrics import spread, wilson_interval
from minidiffusion.prompt.parser import parse
from minidiffusion.evaluation.questions import exam_rng
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.evaluation.judge import Judge, JudgeConfig
from minidiffusion.picturebook import captions
from minidiffusion.picturebook.draw import X, render
from minidiffusion.picturebook.scene import ATTRIBUTES, COLOURS, SIDES, STYLES, SUBJECTS, Scene, random_scene

N = 200
NAMES = [*ATTRIBUTES]


class Studio:
    r"""A model, and the judge that looks at its pictures."""

    def __init__(self, weights: str):
        folder = find_weights(weights)
        self.model, self.judge = TextToImage.load(weights), load_model(folder, "judge", JudgeConfig, Judge)

    def draw(self, prompts: Sequence[str], first_seed: int = 0) -> list[Picture]:
        numbered = enumerate(tqdm(prompts, leave=False), start=first_seed)
        return [imagine(self.model, prompt, [seed])[0] for seed, prompt in numbered]

    @torch.inference_mode()
    def read(self, pictures: Sequence[Picture]) -> Int[Tensor, "n a"]:
        logits = self.judge(torch.cat([to_tensor(picture.image) for picture in pictures]))
        return torch.stack([logits[name].argmax(-1) for name in NAMES], dim=1)

    @torch.inference_mode()
    def features(self, pictures: Sequence[Picture]) -> Float[Tensor, "n d"]:
        return self.judge.features(torch.cat([to_tensor(picture.image) for picture in pictures]))


def scenes(n: int, seed: int) -> list[Scene]:
    rng = exam_rng(seed)
    return [random_scene(rng, "seen") for _ in range(n)]


def labels(some: Sequence[Scene]) -> Int[Tensor, "n a"]:
    return torch.tensor([scene.labels for scene in some])


def words(scene: Scene, *without: str) -> str:
    r"""The full caption, but for some attributes."""
    text = captions.describe(scene)
    for name in without:
        text = text.replace(captions.LEXICON[name][getattr(scene, name)]["en"][0], "")
    return " ".join(text.replace(" ,", ",").strip(", ").split())


def share(case: dict[str, object], metric: str, right: Tensor) -> Row:
    hits, n = int(right.sum()), right.numel()
    return Row("studio", case, metric, hits / n, "share", *wilson_interval(hits, n))


# ------------------------------------------------------------------------------------------------------ the questions


def no(studio: Studio) -> Iterator[Row]:
    prompts = [words(scene, "colour") for scene in scenes(N, 1)]
    for flag in ("", " --no red"):
        found = studio.read(studio.draw([prompt + flag for prompt in prompts]))
        red = found[:, NAMES.index("colour")] == COLOURS.index("red")
        yield share({"part": "no", "flag": flag.strip() or "none"}, "red", red)


def chaos(studio: Studio) -> Iterator[Row]:
    prompts = [words(scene) for scene in scenes(N // 4, 2)]
    for amount in (0, 25, 50, 75, 100):
        pictures = [p for text in tqdm(prompts) for p in imagine(studio.model, f"{text} --chaos {amount}", range(4))]
        distance = spread(studio.features(pictures), 4)
        yield Row("studio", {"part": "chaos", "flag": f"--chaos {amount}"}, "distance in a grid", distance, "features")


def stay(studio: Studio) -> Iterator[Row]:
    some = scenes(N, 3)
    originals = [Picture(PIL.Image.fromarray(render(scene)), None) for scene in some]
    for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
        numbered = enumerate(tqdm(originals, leave=False))
        varied = [vary(studio.model, picture, [seed], "", strength)[0] for seed, picture in numbered]
        kept = studio.read(varied) == labels(some)
        yield share({"part": "vary", "flag": f"strength {strength}"}, "attributes kept", kept)


def stylize(studio: Studio) -> Iterator[Row]:
    prompts = [words(scene, "style") for scene in scenes(N, 4)]
    for amount in (0, 100, 400, 700, 1000):
        found = studio.read(studio.draw([f"{prompt} --stylize {amount}" for prompt in prompts]))
        house = found[:, NAMES.index("style")] == STYLES.index("storybook")
        yield share({"part": "stylize", "flag": f"--stylize {amount}"}, "storybook", house)


def weird(studio: Studio) -> Iterator[Row]:
    some = scenes(N, 5)
    for amount in (0, 1000, 2000, 3000):
        found = studio.read(studio.draw([f"{words(scene)} --weird {amount}" for scene in some]))
        yield share({"part": "weird", "flag": f"--weird {amount}"}, "attributes as stated", found == labels(some))


def tile(studio: Studio) -> Iterator[Row]:
    r"""The seam is a boundary of latents, and at all of those the decoder steps a little: it is compared with them."""
    prompts, f = [words(scene) for scene in scenes(N, 6)], studio.model.vae.config.downsampling
    for flag in ("", "--tile"):
        ratios = []
        for picture in studio.draw([f"{prompt} {flag}" for prompt in prompts]):
            x = np.asarray(picture.image).astype(float)
            for axis in (0, 1):
                inside = np.abs(np.diff(x, axis=axis)).take(range(f - 1, x.shape[axis] - 1, f), axis).mean()
                seam = np.abs(x.take(0, axis) - x.take(-1, axis)).mean()
                ratios.append(seam / inside)
        steepness = float(np.median(ratios))
        yield Row(
            "studio", {"part": "tile", "flag": flag or "none"}, "step at the seam over steps inside", steepness, "ratio"
        )


def mix(studio: Studio) -> Iterator[Row]:
    pairs = list(zip(scenes(N, 7), scenes(N, 8), strict=True))
    drawn = [[Picture(PIL.Image.fromarray(render(scene)), None) for scene in pair] for pair in pairs]
    mixed = [blend(studio.model, pair, [seed])[0] for seed, pair in enumerate(tqdm(drawn, leave=False))]
    others = studio.draw([""] * N)
    first, second = (labels([pair[k] for pair in pairs]) for k in (0, 1))
    for what, pictures in (("blend", mixed), ("no prompt", others)):
        found = studio.read(pictures)
        yield share({"part": "blend", "flag": what}, "attributes of a parent", (found == first) | (found == second))


def name(studio: Studio) -> Iterator[Row]:
    some = scenes(N, 9)
    drawn = [Picture(PIL.Image.fromarray(render(scene)), None) for scene in some]
    generated = studio.draw([words(scene) for scene in some])
    for what, pictures, truth in (
        ("real pages", drawn, labels(some)),
        ("generated pictures", generated, studio.read(generated)),  # what is there, not what was asked for
    ):
        said = labels([nearest_scenes(studio.model, picture.image)[0] for picture in tqdm(pictures, leave=False)])
        for k, attribute in enumerate(NAMES):
            yield share({"part": "describe", "flag": what}, f"{attribute} named right", said[:, k] == truth[:, k])
        yield share({"part": "describe", "flag": what}, "attributes named right", said == truth)


def enlarged(studio: Studio) -> Iterator[Row]:
    gains: dict[str, list[float]] = {}
    for scene in scenes(N, 10):
        small = PIL.Image.fromarray(render(scene))
        large = to_tensor(PIL.Image.fromarray(render(scene, scale=2)))
        lanczos = small.resize((128, 128), PIL.Image.Resampling.LANCZOS)
        learnt, plain = (psnr(to_tensor(image), large).item() for image in (enlarge(studio.model, small), lanczos))
        gains.setdefault(scene.style, []).append(learnt - plain)
    for style, values in gains.items():
        yield Row("studio", {"part": "upscale", "flag": style}, "PSNR over Lanczos", float(np.mean(values)), "dB")
    everything = [value for values in gains.values() for value in values]
    yield Row("studio", {"part": "upscale", "flag": "all"}, "PSNR over Lanczos", float(np.mean(everything)), "dB")


def ratio(studio: Studio) -> Iterator[Row]:
    r"""The witness is examined first: on real pages, which have one subject, and on pages that were given two."""
    for ar in ("2:1", "3:2", "2:3", "1:2"):
        width, height = size_of(studio.model, parse(f"--ar {ar}").ar)
        some = scenes(N, 11)
        pages = [render(scene, width, height) for scene in some]
        if width > height:
            ends = [[render(replace(scene, side=side), width, height) for side in ("left", "right")] for scene in some]
            twice = [np.concatenate([a[:, : width // 2], b[:, width // 2 :]], axis=1) for a, b in ends]
        else:
            twice = [np.concatenate([render(scene)] * 2) for scene in some]
        drawn = [np.asarray(p.image) for p in studio.draw([f"{words(scene)} --ar {ar}" for scene in some])]
        for what, pictures in (("real pages", pages), ("two subjects", twice), ("generated", drawn)):
            spreads = [apart(studio, x, scene.subject) for x, scene in zip(pictures, some, strict=True)]
            found = torch.tensor([spread is not None for spread in spreads])
            two = torch.tensor([spread is not None and spread > 32 for spread in spreads])
            yield share({"part": "ar", "flag": f"--ar {ar}, {what}"}, "subject found", found)
            yield share({"part": "ar", "flag": f"--ar {ar}, {what}"}, "found in two places", two)


@torch.inference_mode()
def apart(studio: Studio, picture: np.ndarray, subject: str) -> float | None:
    r"""How far apart, in pixels, the judge finds the subject; None if it does not.

    It looks at a square every 4 pixels; with one every 8 it overlooks a third of the subjects of real pages of 2:3.
    """
    x, side = to_tensor(PIL.Image.fromarray(picture)), studio.model.size
    corners = [(v, h) for v in range(0, x.shape[2] - side + 1, 4) for h in range(0, x.shape[3] - side + 1, 4)]
    logits = studio.judge(torch.cat([x[:, :, v : v + side, h : h + side] for v, h in corners]))
    sure = logits["subject"].softmax(-1)[:, SUBJECTS.index(subject)] > 0.95
    places = logits["side"].argmax(-1)  # where in its square
    found = [(v, h + X[SIDES[k]]) for (v, h), k, yes in zip(corners, places.tolist(), sure, strict=True) if yes]
    return max(max(axis) - min(axis) for axis in zip(*found, strict=True)) if found else None


QUESTIONS: dict[str, Callable[[Studio], Iterator[Row]]] = {
    "no": no,
    "chaos": chaos,
    "vary": stay,
    "stylize": stylize,
    "weird": weird,
    "tile": tile,
    "blend": mix,
    "describe": name,
    "upscale": enlarged,
    "ar": ratio,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--weights", default="picturebook")
    options = parser.parse_args()
    studio = Studio(options.weights)
    rows = []
    if unknown := set(options.questions) - QUESTIONS.keys():
        parser.error(f"there are no questions {', '.join(sorted(unknown))}; valid are {', '.join(QUESTIONS)}")
    for question in options.questions or QUESTIONS:
        for row in QUESTIONS[question](studio):
            print(*row.case.values(), f"{row.metric} {row.value:.3f}", flush=True)
            rows.append(row)
        if not options.questions:  # after each, so that a run that is broken off leaves what it found
            write_csv(RESULTS / "studio.csv", rows)


if __name__ == "__main__":
    main()
