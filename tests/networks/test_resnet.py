import torch

from minidiffusion.networks.resnet import ResNet, ResNetConfig


def shaken(**changes) -> ResNet:
    """A network with random weights everywhere, also where a fresh one has zeros."""
    torch.manual_seed(0)
    network = ResNet(ResNetConfig(channels=8, groups=2, **changes))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def test_answers_start_at_zero_and_have_twice_the_channels_for_the_variance():
    answer = ResNet(ResNetConfig(in_channels=3, out_channels=6))(torch.randn(2, 3, 8, 8), torch.tensor([0, 99]))
    assert answer.shape == (2, 6, 8, 8) and answer.abs().max() == 0


def test_a_corner_hears_of_the_opposite_corner_and_of_the_time():
    network, x_t = shaken(), torch.randn(1, 1, 8, 8)
    x_t.requires_grad_()
    (gradient,) = torch.autograd.grad(network(x_t, torch.tensor([5]))[0, 0, 0, 0], x_t)
    assert gradient[0, 0, 7, 7] != 0
    assert (network(x_t, torch.tensor([5])) - network(x_t, torch.tensor([50]))).abs().max() > 1e-3


def test_the_depth_is_what_lets_it_see_that_far():
    x_t = torch.randn(1, 1, 8, 8, requires_grad=True)
    first = shaken(depth=1)
    for norm in (first.blocks[0].norm1, first.blocks[0].norm2, first.conv_norm_out):
        norm.forward = torch.nn.functional.silu  # a norm's mean and variance see every pixel
    (gradient,) = torch.autograd.grad(first(x_t, torch.tensor([5]))[0, 0, 0, 0], x_t)
    assert gradient[0, 0, :5, :5].ne(0).all() and gradient[0, 0, 7, 7] == 0  # four convolutions see four pixels far
