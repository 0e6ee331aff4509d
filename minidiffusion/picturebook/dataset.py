r"""The picture book as a data set: n random scenes, rendered once by all processor cores and cached on disk.

Page i depends on (seed, i, split) only, so a longer book begins with the pages of a shorter one. The pictures are uint8
in one memory-mapped .npy file; its name holds a hash of the source that draws them, so a cache of older drawing code is
never used.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from minidiffusion.errors import UserError
from minidiffusion.images.pixels import from_pixels

from . import captions
from .captions import caption
from .draw import render, render_pages
from .scene import SPLITS, Scene, Split, scene_of_page
from .viewport import SIDE, Viewport

CHUNK = 500  # pictures a task


class PictureBook:
    r"""n pictures of a split, with their scenes, labels and captions.

    `width`, `height` and `scale` are those of `render`: other shapes show the same scenes. With `cache` the pictures
    are rendered once and kept (in MINIDIFFUSION_CACHE, else ~/.cache/minidiffusion, 12 kB a picture of 64 x 64);
    without it they are rendered at each call. `workers` processes render, by default one a core.
    Raises UserError if n < 1, for a negative seed, an unknown split, or a shape that `Viewport` does not have.
    """

    def __init__(
        self,
        n: int,
        seed: int = 0,
        split: Split = "seen",
        cache: bool = True,
        workers: int | None = None,
        width: int = SIDE,
        height: int = SIDE,
        scale: int = 1,
    ):
        if n < 1:
            raise UserError(f"n must be at least 1, got {n}.")
        if seed < 0:
            raise UserError(f"seed must be at least 0, got {seed}.")
        if split not in SPLITS:
            raise UserError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        self.n, self.seed = n, seed
        self.split: Split = split
        self.view = Viewport(width, height, scale)
        self.labels: Int[Tensor, "n 7"] = torch.tensor([self.scene(i).labels for i in range(n)])
        self._rendered = np.load(self._cached(workers), mmap_mode="r") if cache else None

    def __len__(self) -> int:
        return self.n

    def scene(self, i: int) -> Scene:
        """The scene of page i. Raises IndexError outside 0..n-1."""
        if not 0 <= i < self.n:
            raise IndexError(f"page {i} is not in a picture book of {self.n} pages.")
        return scene_of_page(i, self.seed, self.split)

    def pictures(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
        """The pictures, float32 in [-1, 1]."""
        if self._rendered is None:
            pages = np.stack([render(self.scene(i), *astuple(self.view)) for i in indices.tolist()])
        else:
            pages = self._rendered[indices.numpy()]
        return from_pixels(pages)

    def captions(self, indices: Int[Tensor, " b"], generator: torch.Generator) -> list[str]:
        """One caption a picture, random at each call, in either language."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        return [caption(self.scene(i), rng).text for i in indices.tolist()]

    def _cached(self, workers: int | None) -> Path:
        """The file of rendered pictures; written under another name and renamed when complete."""
        folder = Path(os.environ.get("MINIDIFFUSION_CACHE") or Path.home() / ".cache" / "minidiffusion")
        shape = "" if self.view == Viewport() else "-{}x{}x{}".format(*astuple(self.view))
        path = folder / f"picturebook-{source_hash()}-{self.split}-{self.seed}-{self.n}{shape}.npy"
        if path.exists():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=folder, prefix=f"{path.stem}-", suffix=".part")
        os.close(handle)
        try:
            width, height = self.view.size(self.view.scale)
            pages = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=(self.n, height, width, 3))
            with tqdm(total=self.n, desc="rendering the picture book", unit=" pictures") as bar:
                for start, chunk in self._chunks(workers):
                    pages[start : start + len(chunk)] = chunk
                    bar.update(len(chunk))
            pages.flush()
            os.replace(draft, path)
        finally:
            Path(draft).unlink(missing_ok=True)
        return path

    def _chunks(self, workers: int | None) -> Iterator[tuple[int, np.ndarray]]:
        """Every chunk of pictures, in order, with the number of its first page."""
        starts = range(0, self.n, CHUNK)
        chunks = [range(start, min(start + CHUNK, self.n)) for start in starts]
        task = partial(render_pages, seed=self.seed, split=self.split, view=self.view)
        workers = min(workers or os.cpu_count() or 1, len(chunks))
        if workers == 1:
            yield from zip(starts, map(task, chunks), strict=True)
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from zip(starts, pool.map(task, chunks), strict=True)


def source_hash() -> str:
    """Twelve hex digits of the source of every file that affects the pictures."""
    digest = hashlib.sha256()
    for path in sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__), Path(captions.__file__)}):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
