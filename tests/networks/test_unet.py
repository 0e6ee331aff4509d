r"""The U-Net against diffusers' UNet2DConditionModel: same names, same shapes, same numbers."""

import pytest
import torch

from benchmarks.unet import Theirs
from minidiffusion.networks.unet import UNet, UNetConfig
from tests.shake import relative_error, shake

TINY = UNetConfig(
    in_channels=4,
    channels=(32, 64, 64),
    attention=(True, True, False),
    layers_per_block=2,
    heads=4,
    context_dim=24,
    groups=8,
)


def theirs(config: UNetConfig):
    pytest.importorskip("diffusers")
    return Theirs(config).unet


@pytest.mark.filterwarnings("ignore")  # what other libraries deprecate is theirs to mend
@pytest.mark.parametrize("config", [TINY, UNetConfig(layers_per_block=1)], ids=["SD's shape", "the miniature"])
def test_it_agrees_with_diffusers_strictly(config):
    reference = shake(theirs(config))
    ours = UNet(config).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, config.in_channels, 8, 12, generator=generator)
    context = torch.randn(2, 7, config.context_dim, generator=generator)
    t = torch.tensor([3, 871])
    with torch.no_grad():
        assert relative_error(ours(x, t, context), reference(x, t, context).sample) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_stable_diffusion_1_5_has_its_own_names_shapes_and_count():
    config = UNetConfig.stable_diffusion_1_5()
    with torch.device("meta"):
        ours, reference = UNet(config), theirs(config)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in reference.state_dict().items()}
    assert sum(p.numel() for p in ours.parameters()) == 859_520_964


def test_a_picture_does_not_depend_on_its_batch():
    unet = shake(UNet(TINY))
    x, context = torch.randn(3, 4, 8, 8), torch.randn(3, 5, 24)
    t = torch.tensor([1, 500, 999])
    with torch.no_grad():
        together = unet(x, t, context)
        alone = torch.cat([unet(x[i : i + 1], t[i : i + 1], context[i : i + 1]) for i in range(3)])
    assert relative_error(together, alone) < 1e-6


def test_the_prompt_and_the_time_reach_the_output():
    unet = shake(UNet(TINY))
    x, t, context = torch.randn(1, 4, 8, 8), torch.tensor([10]), torch.randn(1, 5, 24)
    with torch.no_grad():
        plain = unet(x, t, context)
        assert relative_error(unet(x, t + 500, context), plain) > 1e-2
        assert relative_error(unet(x, t, context.roll(1, dims=2)), plain) > 1e-2


def test_refusals_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"must be divisible by 4, got 9 x 8"):
        UNet(TINY)(torch.zeros(1, 4, 9, 8), torch.tensor([0]), torch.zeros(1, 5, 24))
    with pytest.raises(ValueError, match="divisible by 32 groups and 4 heads, got 60"):
        UNetConfig(channels=(60,), attention=(True,))
    with pytest.raises(ValueError, match="as many entries, got 2 and 1"):
        UNetConfig(attention=(True,))
