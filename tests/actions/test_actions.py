r"""The actions of the studio, with a tiny random model: what they keep and change, and that they can be repeated."""

import json
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from minidiffusion.actions.blend import blend
from minidiffusion.actions.pan import pan
from minidiffusion.actions.registry import again, find, names
from minidiffusion.actions.repaint import repaint
from minidiffusion.actions.upscale import upscale
from minidiffusion.actions.vary import vary
from minidiffusion.actions.zoom import zoom
from minidiffusion.images.pixels import to_pixels, to_tensor
from minidiffusion.images.record import Picture, Record
from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig
from minidiffusion.pipelines import inpainting
from minidiffusion.pipelines.settings import SamplingSettings
from minidiffusion.pipelines.text_to_image import TextToImage
from tests.tiny import tiny_model

PROMPT = "a red house by the sea"
QUICK = SamplingSettings(steps=4, guidance=30.0)  # so strong that every word shows in a network that has learnt nothing


@pytest.fixture(scope="module")
def model() -> TextToImage:
    return tiny_model()


@pytest.fixture(scope="module")
def picture(model) -> Picture:
    return model.imagine(PROMPT, [3], QUICK)[0]


@pytest.fixture(scope="module")
def photo() -> Picture:
    r"""A picture from elsewhere."""
    values = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    return Picture(PIL.Image.fromarray(values), None)


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(picture.image).astype(int)


def distance(a: Picture, b: Picture) -> float:
    return float(np.abs(pixels(a) - pixels(b)).mean())


def half_mask(image: PIL.Image.Image) -> PIL.Image.Image:
    mask = PIL.Image.new("1", image.size, 0)
    mask.paste(1, (0, 0, image.width // 2, image.height))
    return mask


# ------------------------------------------------------------------------------------------------------------- imagine


def test_a_plain_prompt_is_what_the_pipeline_makes_of_it(model):
    pictures = model.imagine(f"{PROMPT} --no snow", [3, 4], QUICK)
    plain = to_pixels(model.generate(f"{PROMPT} --no snow", [3, 4], steps=4, guidance=30.0))
    assert [p.image.tobytes() for p in pictures] == [array.tobytes() for array in plain]
    assert [p.record.seed for p in pictures] == [3, 4]


@pytest.mark.parametrize(
    "flags",
    ["--chaos 100", "--weird 3000", "--stylize 1000", "--tile", "--stop 40", "--quality 2", "--ar 2:1", "--no sea"],
)
def test_every_flag_changes_the_picture(model, picture, flags):
    (other,) = model.imagine(f"{PROMPT} {flags}", [3], QUICK)
    assert other.image.size == ((32, 16) if "ar" in flags else (16, 16))
    assert other.image.size != picture.image.size or distance(other, picture) > 0.1


def test_each_picture_of_a_grid_is_what_its_seed_alone_would_have_made(model):
    prompt = f"{PROMPT} --chaos 100 --weird 2000"
    grid = model.imagine(prompt, [3, 4], QUICK)
    alone = [model.imagine(prompt, [seed], QUICK)[0] for seed in (3, 4)]
    assert max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(grid, alone, strict=True)) <= 1
    assert [a.record for a in grid] == [b.record for b in alone]


def test_a_picture_that_stops_early_is_the_one_it_was_heading_for(model):
    (early,) = model.imagine(f"{PROMPT} --stop 30", [3], SamplingSettings(steps=10))
    way = list(model.sample(PROMPT, [3], steps=10))
    assert early.image.tobytes() == to_pixels(model.decode(way[2].x0_hat)).tobytes()


def test_weights_are_weighed(model):
    alone, half, more = (
        model.imagine(text, [3], QUICK)[0] for text in ("red::1 snow::0.001", "red::1 snow::1", "red::1 snow::9")
    )
    assert 0.05 < distance(alone, half) < distance(alone, more)


def test_sizes_follow_the_aspect_ratio(model):
    for ar, size in [
        ((1, 1), (16, 16)),
        ((2, 1), (32, 16)),
        ((1, 2), (16, 32)),
        ((3, 2), (32, 16)),
        ((10, 9), (16, 16)),
    ]:
        assert model.sides_of(ar) == size


def test_a_picture_in_the_prompt_counts_as_much_as_it_is_told_to(model, picture, photo):
    (one,) = model.imagine(f"x.png {PROMPT} --iw 3", [3], QUICK, pictures=[photo])
    (none,) = model.imagine(f"x.png {PROMPT} --iw 0", [3], QUICK, pictures=[photo])
    assert distance(none, picture) < 0.05 < 0.5 < distance(one, picture)  # a batch of two prompts rounds differently
    (style,) = model.imagine(f"{PROMPT} --sref x.png --sw 1000", [3], QUICK, pictures=[photo])
    assert distance(style, picture) > 0.3
    with pytest.raises(ValueError, match="names 1 pictures, got 0"):
        model.imagine("x.png", [3], QUICK)


# ---------------------------------------------------------------------------------------------------------------- vary


def test_strength_goes_from_the_picture_to_anything(model, picture):
    kept, *others = (vary(model, picture, [9], strength=s, settings=QUICK)[0] for s in (0.0, 0.3, 0.6, 1.0))
    rebuilt = to_pixels(model.decode(model.encode(to_tensor(picture.image))))
    assert np.abs(pixels(kept) - rebuilt[0]).max() <= 1
    steps = [distance(kept, other) for other in others]
    assert 0 < steps[0] < steps[1] < steps[2]
    (fresh,) = model.imagine(PROMPT, [9], QUICK)
    assert distance(others[-1], fresh) < 1  # at 1 nothing of the picture is left: alpha_T is 0


def test_a_variation_can_have_another_prompt_and_else_has_the_old(model, picture):
    (same,), (remixed,) = vary(model, picture, [9], settings=QUICK), vary(model, picture, [9], "a cat", settings=QUICK)
    assert same.record.prompt == PROMPT and remixed.record.prompt == "a cat" and distance(same, remixed) > 0.1
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must be between 0 and 1, got"):
            vary(model, picture, [9], strength=strength)


# ------------------------------------------------------------------------------------------------- regions and canvases


def test_outside_the_mask_every_bit_is_kept_and_inside_there_is_something_new(model, picture):
    mask = half_mask(picture.image)
    one, two = repaint(model, picture, [1, 2], "a cat", QUICK, mask=mask)
    for each in (one, two):
        assert (pixels(each)[:, 8:] == pixels(picture)[:, 8:]).all()
        assert np.abs(pixels(each)[:, :8] - pixels(picture)[:, :8]).mean() > 1
    assert distance(one, two) > 0.5


def test_a_region_smaller_than_a_latent_is_drawn_anew_too(model, picture):
    mask = PIL.Image.new("1", (16, 16), 0)
    mask.paste(1, (3, 3, 6, 6))
    one, two = (pixels(p)[3:6, 3:6] for p in repaint(model, picture, [1, 2], "a cat", QUICK, mask=mask))
    assert np.abs(one - two).max() > 1


def test_what_is_under_the_mask_is_never_looked_at(model, picture):
    hidden = picture.image.copy()
    hidden.paste((255, 0, 255), (0, 0, 8, 16))
    mask = half_mask(picture.image)
    one, two = (repaint(model, p, [1], "a cat", QUICK, mask=mask)[0] for p in (picture, Picture(hidden, None)))
    assert distance(one, two) < 12


def test_a_step_is_counted_exactly(model):
    (early,) = model.imagine(f"{PROMPT} --stop 14", [3], SamplingSettings(steps=50))  # 0.14 * 50 is 7.000000000000001
    way = list(model.sample(PROMPT, [3], steps=50))
    assert early.image.tobytes() == to_pixels(model.decode(way[6].x0_hat)).tobytes()


def test_what_is_done_with_a_picture_looks_at_no_others(model, picture):
    for prompt in ("x.png a cat", "a cat --sref x.png"):
        for act in (vary, zoom, upscale):
            with pytest.raises(ValueError, match="Only a new picture can look at others"):
                act(model, picture, [1], prompt=prompt)
        with pytest.raises(ValueError, match="Only a new picture can look at others"):
            blend(model, [picture, picture], [1], prompt)


def test_a_prompt_that_looked_at_pictures_is_taken_over_without_them(model, photo):
    (looked,) = model.imagine(f"x.png {PROMPT} --sref y.png", [5], QUICK, pictures=[photo, photo])
    assert vary(model, looked, [6], settings=QUICK)[0].record.prompt == PROMPT


def test_masks_that_mask_nothing_are_refused(model, picture):
    for mask in (PIL.Image.new("1", (16, 16), 0), PIL.Image.new("1", (8, 16), 1)):
        with pytest.raises(ValueError, match="as large as the picture, and white where"):
            repaint(model, picture, [1], settings=QUICK, mask=mask)


def test_zooming_out_keeps_the_picture_in_the_middle(model, picture):
    (far,) = zoom(model, picture, [1], settings=QUICK, factor=4 / 3)
    small = np.asarray(picture.image.resize((12, 12), PIL.Image.Resampling.LANCZOS))
    assert far.image.size == (16, 16) and (pixels(far)[6:10, 6:10] == small[4:8, 4:8]).all()
    assert (pixels(far)[2:14, 2:14] != small).any()  # at its edge, four pixels are drawn anew
    for factor in (1.0, 4.1, float("nan")):
        with pytest.raises(ValueError, match=r"between 1\.1 and 4"):
            zoom(model, picture, [1], factor=factor)


@pytest.mark.parametrize(
    ("act", "options", "row", "column"), [(pan, {"direction": "right"}, 0, 12), (zoom, {"factor": 4 / 3}, 6, 6)]
)
def test_where_the_picture_ends_nothing_shows_it(model, picture, monkeypatch, act, options, row, column):
    def step():
        made = pixels(act(model, picture, [1], settings=QUICK, **options)[0])
        return np.abs(made[row : row + 4, column] - made[row : row + 4, column - 1]).mean()

    mended = step()
    monkeypatch.setattr(inpainting, "mend", lambda drawn, known, unknown: torch.where(unknown > 0, drawn, known))
    assert mended < 0.75 * step()  # what a random network draws is rough on its own


@pytest.mark.parametrize(("direction", "at"), [("right", (0, 0)), ("left", (16, 0)), ("down", (0, 0)), ("up", (0, 16))])
def test_panning_grows_the_picture_and_then_moves_the_window(model, picture, direction, at):
    (wider,) = pan(model, picture, [1], settings=QUICK, direction=direction)
    across = direction in ("left", "right")
    assert wider.image.size == ((32, 16) if across else (16, 32))
    x, y = at
    same = (pixels(wider)[y : y + 16, x : x + 16] == pixels(picture)).all(axis=2)
    seam = {"right": same[:, 12:], "left": same[:, :4], "down": same[12:], "up": same[:4]}[direction]
    assert same.sum() - seam.sum() == 16 * 12 and not seam.all()  # only four pixels at the seam are drawn anew
    (moved,) = pan(model, wider, [1], settings=QUICK, direction=direction)
    assert moved.image.size == wider.image.size  # 2:1 already: what is new pushes out what is old
    old, new = pixels(wider), pixels(moved)
    kept = {"right": (old[:, 16:28], new[:, :12]), "left": (old[:, 4:16], new[:, 20:]),
            "down": (old[16:28], new[:12]), "up": (old[4:16], new[20:])}[direction]  # fmt: skip
    assert (kept[0] == kept[1]).all()
    with pytest.raises(ValueError, match="must be one of left, right, up, down"):
        pan(model, picture, [1], direction="north")


# --------------------------------------------------------------------------------------------------------------- blend


def test_a_blend_depends_on_all_its_pictures(model, picture, photo):
    how = SamplingSettings(steps=10, guidance=30.0)
    (one,) = blend(model, [picture, photo], [1], settings=how)
    (two,) = blend(model, [photo, picture], [1], settings=how)
    assert one.image.size == (16, 16) and two.image.size == (16, 32)
    (three,) = blend(model, [picture, picture], [1], settings=how)
    assert distance(one, three) > 0.1
    for wrong in ([picture], [picture] * 6):
        with pytest.raises(ValueError, match="applied to 2 to 5 pictures, got"):
            blend(model, wrong, [1])


# ------------------------------------------------------------------------------------------------------------- upscale


def test_twice_the_pixels_by_lanczos_or_by_what_was_learnt(model, photo):
    (plain,) = upscale(model, photo, [0])
    assert plain.image.tobytes() == photo.image.resize((32, 64), PIL.Image.Resampling.LANCZOS).tobytes()
    torch.manual_seed(0)
    network = Upscaler(UpscalerConfig(8, 1)).eval()
    torch.nn.init.normal_(network.conv_out.weight, std=0.1)
    parts = (model.tokenizer, model.clip, model.unet, model.vae)
    (learnt,) = upscale(TextToImage(*parts, **model.training_noise, upscaler=network), photo, [0])
    x = to_tensor(photo.image)
    assert (pixels(learnt) == to_pixels(network(x).detach())[0]).all() and learnt.record.width == 32


def test_a_strength_outside_its_range_is_refused(model, picture):
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must be between 0 and 1, got"):
            upscale(model, picture, [1], strength=strength)


def test_a_creative_one_is_drawn_anew_before(model, picture):
    one, two = upscale(model, picture, [1, 2], strength=0.5, settings=QUICK)
    (varied,) = vary(model, picture, [2], strength=0.5, settings=QUICK)
    assert distance(one, two) > 0.5
    assert np.abs(pixels(two) - pixels(upscale(model, varied, [0])[0])).max() <= 2  # alone and in a batch of two


# --------------------------------------------------------------------------------------------------------------- again


def every_action(model, picture, photo) -> dict[str, Picture]:
    r"""A result of each action but write, which has another model (test_token_to_image.py)."""
    results = {
        "imagine": model.imagine(f"x.png {PROMPT}::2 fog:: --chaos 40 --ar 2:1", [5], QUICK, pictures=[photo])[0],
        "vary": vary(model, picture, [6], strength=0.5, settings=QUICK)[0],
        "repaint": repaint(model, photo, [7], "a cat", QUICK, mask=half_mask(photo.image))[0],
        "zoom": zoom(model, picture, [8], settings=QUICK, factor=1.5)[0],
        "pan": pan(model, picture, [9], settings=QUICK, direction="up")[0],
        "blend": blend(model, [picture, photo], [10], settings=QUICK)[0],
        "upscale": upscale(model, picture, [11], strength=0.5, settings=QUICK)[0],
    }
    for name in {*names()} - {"write", *results}:  # a new action, with the defaults of its options
        action = find(name)
        (results[name],) = action(model, [picture] * action.pictures[0], [12], settings=QUICK)
    return results


def test_every_result_can_be_made_again_from_its_record_alone(model, picture, photo):
    results = every_action(model, picture, photo)
    for action, result in results.items():
        record = Record.from_dict(result.record.to_dict())
        assert record.action == action and record == result.record
        assert again(model, record, [photo.image]).image.tobytes() == result.image.tobytes(), action
    (grandchild,) = vary(model, results["zoom"], [11], "a cat", QUICK, strength=0.4)
    assert again(model, grandchild.record).image.tobytes() == grandchild.image.tobytes()


def test_a_picture_of_another_size_is_made_again_in_that_size(model):
    (wide,) = model.imagine(PROMPT, [3], QUICK, size=(48, 32))
    record = Record.from_dict(json.loads(json.dumps(wide.record.to_dict())))
    assert again(model, record).image.tobytes() == wide.image.tobytes()
    for size in ("ab", 3, [48], [48, 33]):
        with pytest.raises(ValueError):
            again(model, replace(record, settings={"size": size}))


def test_what_cannot_be_made_again_says_why(model, picture, photo):
    (varied,) = vary(model, photo, [6], PROMPT, settings=QUICK)
    with pytest.raises(ValueError, match="from elsewhere, which is missing"):
        again(model, varied.record)
    with pytest.raises(ValueError, match="other weights"):
        again(model, replace(picture.record, weights="other"))
    with pytest.raises(ValueError, match="no action 'sing'"):
        again(model, replace(picture.record, action="sing"))
    for settings in ({"strength": "much"}, {"colour": 1}, {"strength": [1]}):
        with pytest.raises(ValueError):
            again(model, replace(varied.record, sources=(picture.record,), settings=settings))
    for sources in ((), (picture.record, picture.record)):
        with pytest.raises(ValueError):
            again(model, replace(varied.record, sources=sources))
