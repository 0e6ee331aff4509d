r"""A picture under a map of weights."""

import numpy as np

from minidiffusion.images.fade import fade


def test_a_weight_fades_its_rectangle_to_white_and_the_largest_leaves_it_as_it_is():
    picture = np.full((4, 9, 3), 55, dtype=np.uint8)
    faded = fade(picture, np.array([[0.4, 0.0, 0.2], [0.1, 0.4, 0.4]]))
    assert faded.dtype == np.uint8 and (picture == 55).all()
    for row, greys in enumerate([[55, 255, 155], [205, 55, 55]]):
        for column, grey in enumerate(greys):
            assert (faded[2 * row : 2 * row + 2, 3 * column : 3 * column + 3] == grey).all()
