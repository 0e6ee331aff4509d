"""The drawing of a U-Net: every box from a forward pass, every arrow where the numbers really go."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.viz.unet import FeatureMap, skip_connections, trace, u_shape

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


def test_a_trace_records_what_came_out_of_each_module_and_leaves_no_hook(unet):
    maps = trace(unet, *inputs())
    assert maps[:3] == [
        FeatureMap("conv_in", 8, 8),
        FeatureMap("down_blocks.0.resnets.0", 8, 8),
        FeatureMap("down_blocks.0.resnets.1", 8, 8),
    ]
    assert maps[-1] == FeatureMap("conv_out", 3, 8)
    assert (
        FeatureMap("down_blocks.1.downsamplers.0", 16, 2) in maps
        and FeatureMap("up_blocks.1.upsamplers.0", 16, 8) in maps
    )
    assert [map_.part for map_ in maps if map_.name.startswith("mid_block")] == ["resnets", "attentions", "resnets"]
    assert not any(module._forward_hooks for module in unet.modules())


def test_a_trace_needs_no_numbers(unet):
    with torch.device("meta"):
        shadow = UNet(TINY)
    assert trace(shadow, *inputs("meta")) == trace(unet, *inputs())


def test_skips_go_where_the_numbers_go(unet):
    maps, came_in, came_out = trace(unet, *inputs()), {}, {}
    modules, handles = dict(unet.named_modules()), []
    for map_ in maps:

        def keep(_, args, y, name=map_.name):
            came_in[name], came_out[name] = args[0], y

        handles.append(modules[map_.name].register_forward_hook(keep))
    with torch.no_grad():
        unet(*inputs())
    for handle in handles:
        handle.remove()
    pairs = skip_connections(maps)
    assert len(pairs) == 9
    for start, end in pairs:
        torch.testing.assert_close(
            came_in[maps[end].name][:, -maps[start].channels :], came_out[maps[start].name], rtol=0, atol=0
        )


def test_boxes_are_to_scale_and_each_skip_has_an_arrow_with_its_channels(unet):
    maps = trace(unet, *inputs())
    ax = u_shape(maps, "a U").axes[0]
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(box.get_width(), box.get_height()) for box in boxes] == [(map_.channels, map_.side) for map_ in maps]
    lefts = np.array([box.get_x() for box in boxes])
    assert (lefts[1:] > lefts[:-1] + [map_.channels for map_ in maps[:-1]]).all()
    texts = [text.get_text() for text in ax.texts if text.get_bbox_patch()]
    assert texts == [str(maps[start].channels) for start, _ in skip_connections(maps)]
    bottoms = {map_.side: box.get_y() for map_, box in zip(maps, boxes, strict=True)}
    assert bottoms[8] > bottoms[4] + 4 and bottoms[4] > bottoms[2] + 2  # no row touches the next


def test_the_longer_arrow_of_a_row_bridges_the_shorter(unet):
    maps = trace(unet, *inputs())
    bridges = [line.get_ydata()[1] for line in u_shape(maps, "a U").axes[0].lines[1:]]
    for row in (8, 4, 2):
        heights = [y for y, (start, _) in zip(bridges, skip_connections(maps), strict=True) if maps[start].side == row]
        assert len(heights) == 3 and (np.diff(heights) > 0.5).all()


def test_the_heat_map_has_a_column_for_each_time(unet):
    embedding = torch.linspace(-0.5, 0.7, 12).view(4, 3)
    _, heat, _ = u_shape(trace(unet, *inputs()), "a U", embedding).axes
    assert heat.images[0].get_array().shape == (3, 4)
    assert heat.images[0].get_clim() == (-1, 1)
    np.testing.assert_array_equal(heat.images[0].get_array()[:, 0], embedding[0].numpy())


def test_no_figure_stays_open(unet):
    u_shape(trace(unet, *inputs()), "a U")
    u_shape(trace(unet, *inputs()), "a U", torch.zeros(4, 3))
    assert plt.get_fignums() == []
