import math

import pytest
import torch

from minidiffusion.networks.embedding import sinusoidal_embedding


def test_hand_values():
    embedding = sinusoidal_embedding(torch.tensor([0, 3]), 4, max_period=100.0)
    w = 100**-0.5  # the second of two frequencies
    expected = [[1, 1, 0, 0], [math.cos(3), math.cos(3 * w), math.sin(3), math.sin(3 * w)]]
    torch.testing.assert_close(embedding, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.filterwarnings("ignore")
def test_it_is_stable_diffusions():
    embeddings = pytest.importorskip("diffusers.models.embeddings")
    t = torch.tensor([0, 1, 500, 999])
    theirs = embeddings.get_timestep_embedding(t, 320, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(sinusoidal_embedding(t, 320), theirs, rtol=0, atol=2e-5)  # angles near 1000 in float32
