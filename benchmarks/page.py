r"""How long does a user of the studio wait? From Enter to the first preview, and to the finished grid, in Chromium.

    python benchmarks/page.py                                 # a minute; writes results/page.csv
    python benchmarks/page.py --screenshot docs/studio.png    # and a picture of the page for the README

It needs the extras app and dev, and Chromium. The studio is a process of its own, with the shipped weights and an empty
folder. The first prompt, a warm-up, is not timed.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.harness import RESULTS, Row, write_csv

PROMPTS = (
    "a green teapot in the forest --seed 3",
    "a small blue cat in the snow --seed 1",
    "a purple castle in the desert at sunset, paper cut --seed 4",
    "a white lighthouse by the sea, pixel art --seed 2",
    "a yellow balloon in a meadow, storybook --seed 5",
    "a red house by the sea at night, watercolor --seed 7",
)


@contextmanager
def studio(folder: Path, threads: int) -> Iterator[str]:
    r"""Starts a studio and yields its address."""
    command = [sys.executable, "-m", "minidiffusion.cli", "app", "--port", "0", "--folder", str(folder)]
    process = subprocess.Popen([*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\d.:]+", process.stdout.readline())
        if found is None:
            raise SystemExit("The studio did not start.")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def waits(page: Page, prompt: str) -> tuple[float, float]:
    r"""Seconds from Enter to the first preview, and to the grid."""
    box = page.locator("#prompt textarea, #prompt input")
    box.fill(prompt)
    start = time.perf_counter()
    box.press("Enter")
    page.wait_for_selector("#gallery span.picture")
    preview = time.perf_counter() - start
    page.wait_for_selector("#gallery button.picture")
    return preview, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--screenshot", type=Path)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        tempfile.TemporaryDirectory() as folder,
        studio(Path(folder, "pictures"), options.threads) as address,
        sync_playwright() as play,
        play.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(viewport={"width": 1240, "height": 1010})
        page.set_default_timeout(600_000)
        page.goto(address)
        page.wait_for_selector("#gallery .gallery")
        _, *timed = [waits(page, prompt) for prompt in PROMPTS]
        if options.screenshot:
            page.wait_for_selector("#history button >> nth=5")
            page.mouse.move(0, 0)
            page.wait_for_timeout(1000)
            page.screenshot(path=options.screenshot, timeout=120_000)
    rows = []
    metrics = ("Enter to the first preview", "Enter to the grid")
    for metric, seconds in zip(metrics, zip(*timed, strict=True), strict=True):
        median = statistics.median(seconds)
        case = {"threads": options.threads, "pictures": 4}
        rows.append(Row("page", case, metric, median, "s", min(seconds), max(seconds)))
        print(f"{metric}: {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), {len(seconds)} prompts")
    write_csv(RESULTS / "page.csv", rows)


if __name__ == "__main__":
    main()
