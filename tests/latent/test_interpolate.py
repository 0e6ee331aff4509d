"""Ways between codes against closed forms: circles, great circles, quantiles."""

import math

import pytest
import torch
from torch import nn

from minidiffusion.latent.interpolate import attribute_direction, geodesic, length, lerp, manifold, slerp


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("way", [lerp, slerp])
def test_ways_have_exact_ends_and_take_one_weight_or_one_for_each(way):
    a, b = random(2, 3, 2, 4, 4)
    assert torch.equal(way(a, b, 0.0), a) and torch.equal(way(a, b, 1.0), b)
    w = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    together = way(a, b, w)
    path = way(a[:1], b[:1], w)
    for i in range(3):
        torch.testing.assert_close(together[i], way(a, b, w[i].item())[i])
        torch.testing.assert_close(path[i], way(a[:1], b[:1], w[i].item())[0])


def test_slerp_goes_around_a_circle_at_constant_speed():
    for angle in (1e-4, 1.0, 2.0, 3.1):
        a = torch.tensor([[5.0, 0.0]], dtype=torch.float64)
        b = 5 * torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        for w in (0.25, 0.5, 0.9):
            expected = 5 * torch.tensor([[math.cos(w * angle), math.sin(w * angle)]], dtype=torch.float64)
            torch.testing.assert_close(slerp(a, b, w), expected, rtol=0, atol=1e-10)


def test_slerp_of_one_direction_is_lerp_and_opposite_ones_are_refused():
    a = random(3, 8)
    torch.testing.assert_close(slerp(a, 2 * a, 0.25), 1.25 * a)
    for dtype in (torch.float32, torch.float64):
        opposite = torch.cat([a[:2], -3 * a[2:]]).to(dtype)
        with pytest.raises(ValueError, match="opposite"):
            slerp(a.to(dtype), opposite, 0.5)
    with pytest.raises(ValueError, match="zero"):
        slerp(a, torch.zeros_like(a), 0.5)


def test_gaussian_codes_keep_their_norm_on_the_arc_and_lose_it_on_the_line():
    # In d dimensions norms are sqrt(d) to one part in sqrt(2 d), and cosines between two draws 0 to 1 / sqrt(d).
    a, b = random(2, 50, 4, 32, 32)
    for w in (0.2, 0.5):
        arc, line = (way(a, b, w).flatten(1).norm(dim=1) / 4096**0.5 for way in (slerp, lerp))
        assert (arc - 1).abs().max() < 4 / 8192**0.5
        assert (line / math.hypot(w, 1 - w) - 1).abs().max() < 4 * (1 / 8192 + 1 / (4 * 4096)) ** 0.5


# ------------------------------------------------------------------------------------------------ geodesics


def sphere(z):
    """Longitude and latitude to a point in space: a plane, lifted onto a sphere."""
    longitude, latitude = z.unbind(dim=1)
    return torch.stack([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], dim=1)


def test_the_geodesic_of_a_sphere_is_a_great_circle():
    a, b = torch.tensor([[-1.0, 0.6], [1.2, 0.8]], dtype=torch.float64)
    path = geodesic(sphere, a, b, points=12)
    assert torch.equal(path[0], a) and torch.equal(path[-1], b)
    start, end = sphere(torch.stack([a, b]))
    angle = torch.acos(start @ end)
    weights = torch.arange(12, dtype=torch.float64)[:, None] / 11
    great_circle = (((1 - weights) * angle).sin() * start + (weights * angle).sin() * end) / angle.sin()
    torch.testing.assert_close(sphere(path), great_circle, rtol=0, atol=1e-5)
    torch.testing.assert_close(length(sphere, path), 11 * 2 * (angle / 22).sin(), rtol=1e-8, atol=0)
    straight = length(sphere, lerp(a[None], b[None], weights.flatten()))
    assert straight > 1.1 * length(sphere, path)


def test_a_flat_decoder_leaves_the_straight_line_and_gets_no_gradient():
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 20)).double()
    a, b = random(2, 1, 2, 2)
    with torch.no_grad():
        path = geodesic(decoder, a, b, points=5)
    torch.testing.assert_close(path, lerp(a[None], b[None], torch.linspace(0, 1, 5)))
    assert decoder[1].weight.grad is None and not path.requires_grad
    torch.testing.assert_close(length(decoder, path), (decoder(a[None]) - decoder(b[None])).norm())
    with pytest.raises(ValueError, match="points must be at least 3, got 2"):
        geodesic(decoder, a, b, points=2)


# ------------------------------------------------------------------------------------------------ meaning


def test_an_attributes_direction_is_found_again():
    planted = random(2, 3, 3, seed=1)
    has = torch.rand(4000, generator=torch.Generator().manual_seed(2)) < 0.3
    z = random(4000, 2, 3, 3) + has[:, None, None, None] * planted
    error = (1 / has.sum() + 1 / (~has).sum()).sqrt()
    direction = attribute_direction(z, has)
    assert ((direction - planted).abs() < 4 * error).all() and planted.abs().max() > 10 * error
    torch.testing.assert_close(attribute_direction(z, ~has), -direction)
    for none in (torch.zeros(4000, dtype=torch.bool), torch.ones(4000, dtype=torch.bool)):
        with pytest.raises(ValueError, match=f"got {none.sum()} of 4000"):
            attribute_direction(z, none)


def test_the_manifolds_grid_has_equal_probability_between_its_lines():
    z = manifold(7, reach=0.9)
    right, up = z[..., 0], z[..., 1]
    u = torch.distributions.Normal(0.0, 1.0).cdf(right[0])
    torch.testing.assert_close(u, torch.linspace(0.05, 0.95, 7))
    assert torch.equal(right, right[:1].expand(7, 7)) and torch.equal(up, right.T.flip(0))
    with pytest.raises(ValueError, match="reach must be above 0 and below 1, got 1"):
        manifold(7, reach=1.0)
