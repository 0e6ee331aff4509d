r"""How many pictures are drawn at once."""

import pytest

from minidiffusion.pipelines.batches import LARGEST_AT_ONCE, batches


@pytest.mark.parametrize(
    ("width", "height", "n"), [(64, 64, 1), (LARGEST_AT_ONCE, 64, 1), (64, LARGEST_AT_ONCE + 8, 3), (512, 512, 3)]
)
def test_small_pictures_are_drawn_together_and_large_ones_one_at_a_time(width, height, n):
    made = batches([3, 1, 2], width, height)
    assert len(made) == n and [seed for batch in made for seed in batch] == [3, 1, 2]
