import io
import textwrap

import pytest
import torch
from PIL import Image, ImageFont

from minidiffusion.checkpoint import CheckpointError
from minidiffusion.evaluation.contact_sheet import FONT_SIZE, GAP, LETTERS, LINE, SIDE, STRIP, arrange, contact_sheet
from minidiffusion.evaluation.exam_prompts import draw_prompts, exam_rng


def flat(prompts: list[str], seeds: list[int]) -> torch.Tensor:
    r"""A model whose picture number i has the grey value i."""
    return (torch.tensor(seeds) / 127.5 - 1)[:, None, None, None].expand(-1, 3, 64, 64)


def place(i: int) -> tuple[int, int]:
    return GAP + i % 8 * (SIDE + GAP), GAP + i // 8 * (SIDE + STRIP)


def test_48_pictures_in_reading_order_each_enlarged_over_its_caption():
    sheet = arrange(flat([""] * 48, list(range(48))), ["words"] * 48)
    for i in (0, 7, 8, 47):
        x, y = place(i)
        assert sheet.crop((x, y, x + SIDE, y + SIDE)).getextrema() == ((i, i),) * 3
        below = sheet.crop((x, y + SIDE, x + SIDE, y + SIDE + STRIP)).convert("L")
        assert below.getextrema()[0] < 100  # there is ink


def test_enlarged_without_smoothing():
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = set(arrange(picture, [""]).crop((GAP, GAP, GAP + SIDE, GAP + SIDE)).get_flattened_data())
    assert len(pixels) <= 64 * 64


def test_every_caption_of_the_sheet_fits_under_its_picture():
    font = ImageFont.load_default(FONT_SIZE)
    for prompt in draw_prompts(500, exam_rng(0), language="en"):
        lines = textwrap.wrap(prompt.text, LETTERS)
        assert len(lines) * LINE <= STRIP - 2
        assert max(font.getlength(line) for line in lines) <= SIDE + GAP


def test_prompts_are_chosen_by_the_seed_alone_and_made_in_batches(tmp_path):
    batches, asked = [], []

    def generate(prompts, seeds):
        batches.append(len(prompts))
        asked.extend(zip(prompts, seeds, strict=True))
        return flat(prompts, seeds)

    contact_sheet(generate, tmp_path / "sheet.png", batch=20)
    assert batches == [20, 20, 8]
    assert asked == [(p.text, i) for i, p in enumerate(draw_prompts(48, exam_rng(0), language="en"))]
    x, y = place(47)
    image = Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes()))
    assert image.getpixel((x, y)) == (47, 47, 47)


def test_a_folder_that_is_not_there_is_a_sentence_and_leaves_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="Cannot write"):
        contact_sheet(flat, tmp_path / "nowhere" / "sheet.png")
    assert not list(tmp_path.iterdir())
