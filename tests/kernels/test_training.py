r"""The kernels in the loop: a small U-Net trains as it does with PyTorch's operators, step by step."""

import pytest
import torch

pytest.importorskip("triton")

from minidiffusion.diffusion.forward import sample
from minidiffusion.diffusion.schedule import make_schedule
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion_kernels.backend import auto_is

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS = 32
# Groups of 12 channels, heads 24 wide, 9 places, 5 words: nothing is a power of two.
TINY = UNetConfig(in_channels=4, channels=(48,), attention=(True,), heads=2, context_dim=16, ff_mult=2, groups=4)


def train(backend: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses of all steps, and the parameters after the last."""
    torch.manual_seed(0)
    network = UNet(TINY).to(DEVICE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule, generator = make_schedule("cosine"), torch.Generator().manual_seed(0)
    losses = []
    for _ in range(STEPS):
        x_0, eps = torch.randn(2, 1, 4, 3, 3, generator=generator)
        context = torch.randn(1, 5, 16, generator=generator)
        t = torch.randint(1, schedule.T + 1, (1,), generator=generator)
        x_t = sample(schedule, x_0, t, eps)
        with auto_is(backend):
            answer = network(x_t.to(DEVICE), t.to(DEVICE), context.to(DEVICE))
        loss = (answer - eps.to(DEVICE)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), torch.nn.utils.parameters_to_vector(network.parameters()).detach()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_unet_trains_with_our_kernels_as_with_pytorch(monkeypatch):
    launched = []
    from minidiffusion_kernels.attention import op as attention
    from minidiffusion_kernels.group_norm import op as group_norm

    for module, name in ((attention, "fused_attention_backward"), (group_norm, "fused_group_norm_backward")):
        plain = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, plain=plain, name=name: (launched.append(name), plain(*a))[1])
    ours, ours_end = train("triton")
    launched_by_ours = len(launched)
    theirs, theirs_end = train("torch")
    # 5 residual blocks, 4 transformers: nothing has quietly gone another way, in either run
    assert launched_by_ours == len(launched) == STEPS * (2 * 5 + 4 + 1 + 2 * 4)
    assert theirs[-8:].mean() < theirs[:8].mean()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours_end, theirs_end, rtol=0, atol=5e-3)
