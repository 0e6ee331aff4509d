"""The drawing of a U-Net: every box from a forward pass, every arrow where the numbers really go."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.viz.unet import Stop, skips, u_shape, walk

matplotlib.use("agg")

TINY = UNetConfig(
    in_channels=3,
    channels=(8, 16, 24),
    attention=(False, True, False),
    layers_per_block=2,
    heads=2,
    context_dim=6,
    groups=4,
)


def inputs(device="cpu"):
    torch.manual_seed(0)
    x, context = torch.randn(1, 3, 8, 8), torch.randn(1, 5, 6)
    return x.to(device), torch.tensor([3], device=device), context.to(device)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(TINY)


def test_walk_records_what_came_out_of_each_module_and_leaves_no_hook(unet):
    stops = walk(unet, *inputs())
    assert stops[:3] == [
        Stop("conv_in", 8, 8),
        Stop("down_blocks.0.resnets.0", 8, 8),
        Stop("down_blocks.0.resnets.1", 8, 8),
    ]
    assert stops[-1] == Stop("conv_out", 3, 8)
    assert Stop("down_blocks.1.downsamplers.0", 16, 2) in stops and Stop("up_blocks.1.upsamplers.0", 16, 8) in stops
    assert [stop.part for stop in stops if stop.name.startswith("mid_block")] == ["resnets", "attentions", "resnets"]
    assert not any(module._forward_hooks for module in unet.modules())


def test_walk_needs_no_numbers(unet):
    with torch.device("meta"):
        shadow = UNet(TINY)
    assert walk(shadow, *inputs("meta")) == walk(unet, *inputs())


def test_skips_go_where_the_numbers_go(unet):
    stops, came_in, came_out = walk(unet, *inputs()), {}, {}
    modules, handles = dict(unet.named_modules()), []
    for stop in stops:

        def keep(_, args, y, name=stop.name):
            came_in[name], came_out[name] = args[0], y

        handles.append(modules[stop.name].register_forward_hook(keep))
    with torch.no_grad():
        unet(*inputs())
    for handle in handles:
        handle.remove()
    pairs = skips(stops)
    assert len(pairs) == 9
    for start, end in pairs:
        torch.testing.assert_close(
            came_in[stops[end].name][:, -stops[start].channels :], came_out[stops[start].name], rtol=0, atol=0
        )


def test_boxes_are_to_scale_and_each_skip_has_an_arrow_with_its_channels(unet):
    stops = walk(unet, *inputs())
    ax = u_shape(stops, "a U").axes[0]
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(box.get_width(), box.get_height()) for box in boxes] == [(stop.channels, stop.side) for stop in stops]
    lefts = np.array([box.get_x() for box in boxes])
    assert (lefts[1:] > lefts[:-1] + [stop.channels for stop in stops[:-1]]).all()
    texts = [text.get_text() for text in ax.texts if text.get_bbox_patch()]
    assert texts == [str(stops[start].channels) for start, _ in skips(stops)]
    bottoms = {stop.side: box.get_y() for stop, box in zip(stops, boxes, strict=True)}
    assert bottoms[8] > bottoms[4] + 4 and bottoms[4] > bottoms[2] + 2  # no row touches the next


def test_the_longer_arrow_of_a_row_bridges_the_shorter(unet):
    stops = walk(unet, *inputs())
    bridges = [line.get_ydata()[1] for line in u_shape(stops, "a U").axes[0].lines[1:]]
    for row in (8, 4, 2):
        heights = [y for y, (start, _) in zip(bridges, skips(stops), strict=True) if stops[start].side == row]
        assert len(heights) == 3 and (np.diff(heights) > 0.5).all()


def test_the_heat_map_has_a_column_for_each_time(unet):
    embedding = torch.linspace(-0.5, 0.7, 12).view(4, 3)
    _, heat, _ = u_shape(walk(unet, *inputs()), "a U", embedding).axes
    assert heat.images[0].get_array().shape == (3, 4)
    assert heat.images[0].get_clim() == (-1, 1)
    np.testing.assert_array_equal(heat.images[0].get_array()[:, 0], embedding[0].numpy())


def test_no_figure_stays_open(unet):
    u_shape(walk(unet, *inputs()), "a U")
    u_shape(walk(unet, *inputs()), "a U", torch.zeros(4, 3))
    assert plt.get_fignums() == []
