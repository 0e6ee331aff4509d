import numpy as np
import torch

from minidiffusion.evaluation.exam_prompts import companion, draw_prompts, exam_rng, renders
from minidiffusion.picturebook.scene import HELD_OUT, SPLITS, scene_of_page


def test_languages_alternate_or_not():
    assert [p.language for p in draw_prompts(4, exam_rng(0))] == ["en", "zh", "en", "zh"]
    english = draw_prompts(20, exam_rng(0), language="en")
    assert all(p.text.isascii() for p in english)
    assert not any(p.text.isascii() for p in draw_prompts(20, exam_rng(0), language="zh"))


def test_the_same_seed_draws_the_same_prompts():
    assert draw_prompts(10, exam_rng(3)) == draw_prompts(10, exam_rng(3))
    assert draw_prompts(10, exam_rng(3)) != draw_prompts(10, exam_rng(4))


def test_held_out_prompts_state_their_combination_and_seen_ones_have_none():
    held_out = draw_prompts(100, exam_rng(0), "held_out")
    assert all(p.scene.held_out and {"subject", "colour"} <= p.mentioned for p in held_out)
    seen = draw_prompts(100, exam_rng(0), "seen")
    assert not any(p.scene.held_out for p in seen)
    assert any("colour" not in p.mentioned for p in seen)


def test_a_companion_keeps_what_the_prompt_states_and_redraws_the_rest():
    rng = np.random.default_rng(0)
    changed = set()
    for prompt in draw_prompts(200, exam_rng(0)):
        other = companion(prompt, rng)
        assert all(getattr(other, name) == getattr(prompt.scene, name) for name in prompt.mentioned)
        assert (other.subject, other.colour) not in HELD_OUT
        assert other.seed != prompt.scene.seed
        changed |= {name for name in ("colour", "place", "size") if getattr(other, name) != getattr(prompt.scene, name)}
    assert changed == {"colour", "place", "size"}


def test_a_held_out_prompt_has_companions_too():
    prompt = draw_prompts(1, exam_rng(0), "held_out")[0]
    assert companion(prompt, np.random.default_rng(0)).held_out


def test_no_prompt_is_about_a_page_of_a_picture_book():
    drawn = {p.scene for split in SPLITS for p in draw_prompts(50, exam_rng(0), split)}
    assert not drawn & {scene_of_page(i, seed, split) for i in range(50) for seed in (0, 1) for split in SPLITS}


def test_renders_are_pictures_for_networks():
    x = renders([p.scene for p in draw_prompts(3, exam_rng(0))])
    assert (x.shape, x.dtype) == ((3, 3, 64, 64), torch.float32)
    assert x.min() >= -1 and x.max() <= 1 and x.max() - x.min() > 1
