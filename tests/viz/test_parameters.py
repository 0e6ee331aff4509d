"""The map of parameters: areas, neighbours, colours."""

import itertools

import matplotlib
import pytest
import torch
from torch import nn

from minidiffusion.attention.block import CrossAttentionBlock
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.viz.parameters import KINDS, kind_of, layout, parameter_map, size, tree

matplotlib.use("agg")


@pytest.fixture(scope="module")
def networks():
    with torch.device("meta"):
        unet = UNet(UNetConfig(4, (8, 16), (False, True), heads=2, context_dim=6, groups=4))
        return {"U-Net": unet, "block": CrossAttentionBlock(8, 2, 6)}


def test_every_tensor_has_a_box_of_its_size_and_no_two_overlap(networks):
    numbers = {f"{t}.{n}": p.numel() for t, network in networks.items() for n, p in network.named_parameters()}
    boxes = dict(layout(tree(networks), (1.0, 2.0, 3.0, 2.0)))
    assert boxes.keys() == numbers.keys()
    for name, (x, y, w, h) in boxes.items():
        assert w * h == pytest.approx(6 * numbers[name] / sum(numbers.values()))
        assert x >= 1 - 1e-9 and x + w <= 4 + 1e-9 and y >= 2 - 1e-9 and y + h <= 4 + 1e-9
    for (ax, ay, aw, ah), (bx, by, bw, bh) in itertools.combinations(boxes.values(), 2):
        across, up = min(ax + aw, bx + bw) - max(ax, bx), min(ay + ah, by + bh) - max(ay, by)
        assert min(across, up) < 1e-9


def test_what_belongs_together_stays_together(networks):
    boxes = dict(layout(tree(networks), (0.0, 0.0, 1.0, 1.0)))
    for folder in ("U-Net.", "U-Net.mid_block.", "U-Net.up_blocks.0.resnets.1.", "block."):
        inside = [box for name, box in boxes.items() if name.startswith(folder)]
        width = max(x + w for x, _, w, _ in inside) - min(x for x, *_ in inside)
        height = max(y + h for _, y, _, h in inside) - min(y for _, y, _, _ in inside)
        assert width * height == pytest.approx(sum(w * h for _, _, w, h in inside))


@pytest.mark.parametrize(
    "name, kind",
    [
        ("U-Net.mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight", "feed-forward"),
        ("U-Net.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", "attention"),
        ("text encoder.blocks.3.mlp.0.weight", "feed-forward"),
        ("text encoder.blocks.3.attn.to_q.bias", "attention"),
        ("VAE.decoder.up_blocks.0.resnets.1.conv1.weight", "residual blocks"),
        ("text encoder.token_embedding.weight", "vocabulary"),
        ("U-Net.conv_in.weight", "everything else"),
    ],
)
def test_a_tensor_is_of_the_kind_that_its_name_says(name, kind):
    assert kind_of(name) == kind


def test_the_smaller_system_is_drawn_to_scale_beside_the_larger(networks):
    large, small = networks, {"linear": nn.Linear(9, 10)}
    figure = parameter_map({"large": large, "small": small})
    left, right = figure.axes
    (scale,) = (patch for patch in left.patches if not patch.get_clip_on())
    assert scale.get_width() == scale.get_height()
    assert scale.get_width() ** 2 == pytest.approx(100 / size(tree(large)))
    assert (
        all(patch.get_clip_on() for patch in right.patches)
        and left.get_title() == f"large: {size(tree(large)):,} parameters"
    )
    assert len(left.collections[0].get_paths()) == sum(1 for n in large.values() for _ in n.parameters())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*KINDS]
