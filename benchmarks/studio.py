r"""Do the flags of the prompt and the actions work? Each on hundreds of pictures, classified by the judge.

    python benchmarks/studio.py            # all of them: the better part of an hour
    python benchmarks/studio.py no chaos   # some of them

    no         a prompt without a colour: how often is the subject red, without and with "--no red"?
    chaos      how different are the four pictures of a grid?
    vary       how many attributes of the picture are kept, when the prompt is empty?
    stylize    a prompt without a style: how often is it drawn in the house style?
    weird      how many of the attributes that the prompt mentions are drawn?
    tile       how large is the step at the seam, compared with steps at the boundaries of other latents?
    blend      how many attributes of the blend are those of a parent, compared with pictures of an empty prompt?
    describe   how many attributes are described correctly, of real pages and of generated pictures?
    upscale    how much nearer to a page drawn large than Lanczos interpolation?
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
from minidiffusion.actions.blend import blend
from minidiffusion.actions.upscale import enlarge
from minidiffusion.actions.vary import vary
from minidiffusion.evaluation.exam_prompts import exam_rng
from minidiffusion.evaluation.judge import load_judge, read_attributes
from minidiffusion.evaluation.metrics import diversity, wilson_interval
from minidiffusion.images.pixels import psnr, to_tensor
from minidiffusion.images.record import Picture
from minidiffusion.picturebook import captions
from minidiffusion.picturebook.draw import X, render
from minidiffusion.picturebook.scene import ATTRIBUTES, COLOURS, SIDES, STYLES, SUBJECTS, Scene, random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.prompt.describe import nearest_scenes
from minidiffusion.prompt.parser import parse

N = 200
NAMES = [*ATTRIBUTES]


class Studio:
    r"""A model, and the judge that classifies its pictures."""

    def __init__(self, weights: str):
        self.model, self.judge = TextToImage.load(weights), load_judge(weights)

    def draw(self, prompts: Sequence[str], first_seed: int = 0) -> list[Picture]:
        numbered = enumerate(tqdm(prompts, leave=False), start=first_seed)
        return [self.model.imagine(prompt, [seed])[0] for seed, prompt in numbered]

    @torch.inference_mode()
    def read(self, pictures: Sequence[Picture]) -> Int[Tensor, "n a"]:
        return read_attributes(self.judge, torch.cat([to_tensor(picture.image) for picture in pictures]))

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


# ------------------------------------------------------------------------------------------------------ the parts


def no(studio: Studio) -> Iterator[Row]:
    prompts = [words(scene, "colour") for scene in scenes(N, 1)]
    for flag in ("", " --no red"):
        found = studio.read(studio.draw([prompt + flag for prompt in prompts]))
        red = found[:, NAMES.index("colour")] == COLOURS.index("red")
        yield share({"part": "no", "flag": flag.strip() or "none"}, "red", red)


def chaos(studio: Studio) -> Iterator[Row]:
    prompts = [words(scene) for scene in scenes(N // 4, 2)]
    for amount in (0, 25, 50, 75, 100):
        pictures = [p for text in tqdm(prompts) for p in studio.model.imagine(f"{text} --chaos {amount}", range(4))]
        distance = diversity(studio.features(pictures), 4)
        yield Row("studio", {"part": "chaos", "flag": f"--chaos {amount}"}, "distance in a grid", distance, "features")


def stay(studio: Studio) -> Iterator[Row]:
    some = scenes(N, 3)
    originals = [Picture(PIL.Image.fromarray(render(scene)), None) for scene in some]
    for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
        numbered = enumerate(tqdm(originals, leave=False))
        varied = [vary(studio.model, picture, [seed], "", strength=strength)[0] for seed, picture in numbered]
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
    r"""The decoder makes a small step at every boundary of latents; the seam, which is one, is compared with them."""
    prompts, f = [words(scene) for scene in scenes(N, 6)], studio.model.vae.config.downsampling
    for flag in ("", "--tile"):
        ratios = []
        for picture in studio.draw([f"{prompt} {flag}" for prompt in prompts]):
            x = np.asarray(picture.image).astype(float)
            for axis in (0, 1):
                inside = np.abs(np.diff(x, axis=axis)).take(range(f - 1, x.shape[axis] - 1, f), axis).mean()
                seam = np.abs(x.take(0, axis) - x.take(-1, axis)).mean()
                ratios.append(seam / inside)
        case, metric = {"part": "tile", "flag": flag or "none"}, "step at the seam over steps inside"
        yield Row("studio", case, metric, float(np.median(ratios)), "ratio")


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
        ("generated pictures", generated, studio.read(generated)),  # what is there, not what the prompt says
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
    r"""The measure is tested first: on real pages, which have one subject, and on pages composed with two."""
    for ar in ("2:1", "3:2", "2:3", "1:2"):
        width, height = studio.model.sides_of(parse(f"--ar {ar}").ar)
        some = scenes(N, 11)
        pages = [render(scene, width, height) for scene in some]
        if width > height:
            ends = [[render(replace(scene, side=side), width, height) for side in ("left", "right")] for scene in some]
            twice = [np.concatenate([a[:, : width // 2], b[:, width // 2 :]], axis=1) for a, b in ends]
        else:
            twice = [np.concatenate([render(scene)] * 2) for scene in some]
        drawn = [np.asarray(p.image) for p in studio.draw([f"{words(scene)} --ar {ar}" for scene in some])]
        for what, pictures in (("real pages", pages), ("two subjects", twice), ("generated", drawn)):
            distances = [apart(studio, x, scene.subject) for x, scene in zip(pictures, some, strict=True)]
            found = torch.tensor([distance is not None for distance in distances])
            two = torch.tensor([distance is not None and distance > 32 for distance in distances])
            yield share({"part": "ar", "flag": f"--ar {ar}, {what}"}, "subject found", found)
            yield share({"part": "ar", "flag": f"--ar {ar}, {what}"}, "found in two places", two)


@torch.inference_mode()
def apart(studio: Studio, picture: np.ndarray, subject: str) -> float | None:
    r"""How far apart, in pixels, the judge finds the subject; None if it does not.

    It classifies a square every 4 pixels; with one every 8 it misses a third of the subjects of real pages of 2:3.
    """
    x, side = to_tensor(PIL.Image.fromarray(picture)), studio.model.size
    corners = [(v, h) for v in range(0, x.shape[2] - side + 1, 4) for h in range(0, x.shape[3] - side + 1, 4)]
    logits = studio.judge(torch.cat([x[:, :, v : v + side, h : h + side] for v, h in corners]))
    sure = logits["subject"].softmax(-1)[:, SUBJECTS.index(subject)] > 0.95
    places = logits["side"].argmax(-1)  # where in its square
    found = [(v, h + X[SIDES[k]]) for (v, h), k, yes in zip(corners, places.tolist(), sure, strict=True) if yes]
    return max(max(axis) - min(axis) for axis in zip(*found, strict=True)) if found else None


PARTS: dict[str, Callable[[Studio], Iterator[Row]]] = {
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
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--weights", default="picturebook")
    options = parser.parse_args()
    studio = Studio(options.weights)
    rows = []
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"there are no parts {', '.join(sorted(unknown))}; the parts: {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        for row in PARTS[part](studio):
            print(*row.case.values(), f"{row.metric} {row.value:.3f}", flush=True)
            rows.append(row)
        if not options.parts:  # after each, so that a run that is stopped leaves what it found
            write_csv(RESULTS / "studio.csv", rows)


if __name__ == "__main__":
    main()
