r"""How good is a codebook of 12 bits for 8 x 8 pixels, and what do more bits, or other quantizers, change?

    python benchmarks/codebooks.py                   # all of them; half an hour on one core
    python benchmarks/codebooks.py --only "codes"    # those whose name contains this

Each codebook is trained briefly: but for what its name says, with the shipped recipe (encoder and decoder, seed,
pictures), and `--steps` in place of its 3,000. New pages, which were part of no training, are encoded and decoded. How
near to the page is the reconstruction (PSNR), and does the judge still find all seven attributes? For comparison there
are the shipped codebook, and the VAE of the diffusion model, whose latents have 16 numbers for a patch. The rows go to
results/codebooks.csv, the plot beside it.
"""

import argparse
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.harness import RESULTS, Row, write_csv
from minidiffusion.checkpoint import load_model
from minidiffusion.evaluation.exam_prompts import exam_rng, renders
from minidiffusion.evaluation.judge import Judge, load_judge, read_attributes
from minidiffusion.evaluation.metrics import wilson_interval
from minidiffusion.images.pixels import psnr
from minidiffusion.picturebook.dataset import PictureBook
from minidiffusion.picturebook.scene import Scene, random_scene
from minidiffusion.pipelines.text_to_image import TextToImage
from minidiffusion.pretrained.weights import find_weights
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.training.codebook import CodebookTask, CodebookTraining
from minidiffusion.training.loop import train
from minidiffusion.viz.base import BLUE, VERMILION

Pictures = Float[Tensor, "b 3 64 64"]
SHIPPED = PictureTokenizerConfig()
VARIANTS: dict[str, CodebookTraining] = {
    **{f"{2**bits} codes": CodebookTraining(model=replace(SHIPPED, codes=2**bits)) for bits in (6, 8, 10, 12, 14)},
    "FSQ, 4 numbers of 8": CodebookTraining(model=replace(SHIPPED, dim=4, levels=(8,) * 4)),
    "FSQ, 6 numbers of 4": CodebookTraining(model=replace(SHIPPED, dim=6, levels=(4,) * 6)),
    "without CLIP": CodebookTraining(perception=0.0),
    "five times CLIP": CodebookTraining(perception=0.1),
    "colour channels shuffled": CodebookTraining(shuffled=0.25),
}
PSNR, ALL, USED = "PSNR", "all attributes right", "codes used"
SPLITS = ("seen", "held_out")


def trained(training: CodebookTraining, steps: int, pages: PictureBook) -> PictureTokenizer:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("clip.json", "clip.safetensors"):
            shutil.copy(find_weights("picturebook") / name, folder)
        recipe = replace(training.recipe, steps=steps, warmup=min(100, steps), ema=0.99, sheet_every=0)
        for _ in train(CodebookTask(training, pages, folder), recipe, folder / "training"):
            pass
        return load_model(folder, "codebook", PictureTokenizerConfig, PictureTokenizer)


class Exam:
    r"""The new pages, the same for all codebooks: n of seen and n of held-out pairs of subject and colour."""

    def __init__(self, judge: Judge, n: int):
        rng, self.judge = exam_rng(8), judge
        scenes: dict[str, list[Scene]] = {split: [random_scene(rng, split) for _ in range(n)] for split in SPLITS}
        self.pages: dict[str, Pictures] = {split: renders(some) for split, some in scenes.items()}
        self.labels: dict[str, Int[Tensor, "n a"]] = {
            split: torch.tensor([scene.labels for scene in some]) for split, some in scenes.items()
        }

    @torch.inference_mode()
    def examine(self, case: dict[str, object], rebuild: Callable[[Pictures], Pictures]) -> Iterator[Row]:
        for split in SPLITS:
            pages = self.pages[split]
            rebuilt = torch.cat([rebuild(part).clamp(-1, 1) for part in pages.split(64)])
            found = torch.cat([read_attributes(self.judge, part) for part in rebuilt.split(64)])
            right = (found == self.labels[split]).all(dim=1)
            hits, n = int(right.sum()), len(right)
            yield Row("codebooks", case, f"{PSNR}, {split}", psnr(rebuilt, pages).mean().item(), "dB")
            yield Row("codebooks", case, f"{ALL}, {split}", hits / n, "share", *wilson_interval(hits, n))


def examined(exam: Exam, name: str, codebook: PictureTokenizer) -> Iterator[Row]:
    case: dict[str, object] = {"codebook": name, "bits": round(math.log2(codebook.config.codes))}
    ids: list[Int[Tensor, "n 8 8"]] = []

    def rebuild(x: Pictures) -> Pictures:
        ids.append(codebook.encode(x))
        return codebook.decode(ids[-1])

    yield from exam.examine(case, rebuild)
    yield Row("codebooks", case, USED, len(torch.cat(ids).unique()) / codebook.config.codes, "share")


# ------------------------------------------------------------------------------------------------------------- the plot


def plot(rows: list[Row], path: Path) -> None:
    r"""Left: PSNR over bits. Right: share of reconstructions in which the judge finds all attributes."""
    found = {(row.case["codebook"], row.metric): row for row in rows}
    names = [*dict.fromkeys(row.case["codebook"] for row in rows)]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name in names:
        bits = found[name, f"{PSNR}, seen"].case["bits"]
        if name != "VAE":
            y = found[name, f"{PSNR}, seen"].value
            plain = name in VARIANTS and "codes" in str(name)
            left.plot(bits, y, "o" if plain else "x", color=VERMILION if plain else "#444444")
            if not plain:
                aside = {"xytext": (6, -3)} if len(left.texts) % 2 else {"xytext": (-6, -3), "ha": "right"}
                left.annotate(str(name), (bits, y), textcoords="offset points", fontsize=7, **aside)
    left.axhline(found["VAE", f"{PSNR}, seen"].value, color=BLUE, linestyle=":", label="VAE")
    left.set(xlabel="bits for 8 x 8 pixels", ylabel="PSNR of new pages (dB)", xlim=(5.5, 15.5))
    for i, split in enumerate(SPLITS):
        shares = [found[name, f"{ALL}, {split}"] for name in names]
        y = [k + 0.38 * i for k in range(len(names))]
        right.barh(y, [row.value for row in shares], 0.36, color=(BLUE, VERMILION)[i], label=split.replace("_", " "))
        right.hlines(y, [row.low for row in shares], [row.high for row in shares], color="#444444", linewidth=1)
    right.set_yticks([k + 0.19 for k in range(len(names))], [str(name) for name in names], fontsize=8)
    right.set(xlabel="share of pages with all attributes right", xlim=(0, 1))
    right.invert_yaxis()
    left.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.95))
    right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those codebooks whose name contains this")
    parser.add_argument("--steps", type=int, default=500, help="of 32 pictures each")
    parser.add_argument("--pages", type=int, default=6000, help="of the picture book to train on")
    parser.add_argument("--new", type=int, default=1024, help="new pages of each split")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    shipped, diffusion = find_weights("picturebook"), TextToImage.load("picturebook")
    exam = Exam(load_judge(), options.new)
    rows = [*exam.examine({"codebook": "VAE", "bits": "none"}, lambda x: diffusion.decode(diffusion.encode(x)))]
    rows += examined(exam, "shipped", load_model(shipped, "codebook", PictureTokenizerConfig, PictureTokenizer))
    pages = PictureBook(options.pages)
    for name in [name for name in VARIANTS if options.only in name]:
        codebook = trained(VARIANTS[name], options.steps, pages)
        rows += examined(exam, name, codebook)
        print(f"{name:26}", *(f"{row.metric} {row.value:.4g};" for row in rows[-5:]), flush=True)
        write_csv(options.out / "codebooks.csv", rows)
    plot(rows, options.out / "codebooks.png")


if __name__ == "__main__":
    main()
