import pytest
import torch

from minidiffusion.evaluation.metrics import diversity, frechet_distance, nearest_distance, wilson_interval


def with_moments(mean: list[float], covariance: list[list[float]], n: int = 50, seed: int = 0) -> torch.Tensor:
    r"""n vectors whose *sample* mean and covariance are exactly these: noise is whitened, then coloured."""
    noise = torch.randn(n, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    noise = noise - noise.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(noise.T)), noise.T, upper=False).T
    return torch.tensor(mean) + white @ torch.linalg.cholesky(torch.tensor(covariance, dtype=torch.float64)).T


class TestWilson:
    @pytest.mark.parametrize(
        ("right", "n", "low", "high"),
        [  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_published_values(self, right, n, low, high):
        assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)

    def test_right_and_wrong_are_mirror_images_and_nothing_tried_is_nothing_known(self):
        low, high = wilson_interval(29, 29)
        assert (1 - high, 1 - low) == pytest.approx(wilson_interval(0, 29))
        assert wilson_interval(0, 0) == (0.0, 1.0)

    def test_impossible_counts_are_refused(self):
        with pytest.raises(ValueError, match="between 0 and n, got 3 of 2"):
            wilson_interval(3, 2)


class TestFrechet:
    def test_gaussians_with_commuting_covariances(self):
        x = with_moments([1.0, 2.0, 3.0], [[4.0, 0, 0], [0, 9.0, 0], [0, 0, 1.0]])
        y = with_moments([1.0, 0.0, 0.0], [[1.0, 0, 0], [0, 16.0, 0], [0, 0, 1.0]], n=70, seed=1)
        assert frechet_distance(x, y) == pytest.approx(13 + (2 - 1) ** 2 + (3 - 4) ** 2, abs=1e-6)

    def test_gaussians_whose_covariances_do_not_commute(self):
        a, b = [[2.0, 1.2], [1.2, 1.0]], [[1.0, -0.5], [-0.5, 3.0]]
        product = torch.tensor(a, dtype=torch.float64) @ torch.tensor(b, dtype=torch.float64)
        root_trace = torch.sqrt(product.trace() + 2 * product.det().sqrt()).item()  # tr sqrt(M) of a 2x2 matrix
        x, y = with_moments([0.0, 0.0], a), with_moments([0.0, 0.0], b, seed=1)
        assert frechet_distance(x, y) == pytest.approx(2 + 1 + 1 + 3 - 2 * root_trace, abs=1e-6)
        assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), abs=1e-9)

    def test_a_set_is_at_distance_zero_from_itself_even_with_fewer_vectors_than_dimensions(self):
        x = torch.randn(20, 64, generator=torch.Generator().manual_seed(0)).clamp(min=0)
        x[:, 10:30] = 0  # features that never fire
        assert abs(frechet_distance(x, x.flip(0))) < 1e-6

    def test_one_vector_has_no_covariance(self):
        with pytest.raises(ValueError, match="at least two"):
            frechet_distance(torch.zeros(1, 4), torch.zeros(9, 4))


class TestNearestDistance:
    def test_is_the_smallest_rms_difference_over_all_chunks(self):
        x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        others = torch.randn(23, 3, 4, 4, generator=torch.Generator().manual_seed(1))
        expected = (x[:, None] - others[None]).square().flatten(2).mean(2).sqrt().amin(1)
        torch.testing.assert_close(nearest_distance(x, others.split(10)), expected)
        torch.testing.assert_close(nearest_distance(x, others.flip(0).split(4)), expected)

    def test_a_copy_is_found(self):
        x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        assert nearest_distance(x, [x.flip(0)]).max() < 1e-3


class TestDiversity:
    def test_is_the_mean_over_pairs_of_the_rms_difference(self):
        x = torch.tensor([0.0, 1.0, 3.0, 9.0, 9.0, 9.0])[:, None, None].expand(6, 2, 3)
        assert diversity(x, 3) == pytest.approx(((1 + 3 + 2) / 3 + 0) / 2)

    @pytest.mark.parametrize("group", [1, 3])
    def test_a_single_member_or_a_group_that_is_not_whole_is_refused(self, group):
        with pytest.raises(ValueError, match="whole groups of at least two members"):
            diversity(torch.zeros(4, 3, 8, 8), group)
