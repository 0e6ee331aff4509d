r"""Autoencoders: a picture as a code of k numbers, and back (article 2.2.1, 2.2.2).

    z = encode(x),   x_hat = decode(z),      z has k numbers, x many more

Pictures lie near a manifold of low dimension in the space of all pixel values, and the decoder maps k coordinates to
it. The code is one of three things:

    Autoencoder               a point: trained by the squared error alone. Without SiLU it finds what PCA finds: the k
                              directions of greatest variance (Baldi & Hornik 1989). Between its codes are regions that
                              decode to nothing sensible.
    VariationalAutoencoder    a Gaussian, pulled towards N(0, I), so that a draw from N(0, I) decodes to something
                              (Kingma & Welling 2014); trained by `elbo.py`
    VectorQuantizer           one of K vectors of a codebook (van den Oord et al. 2017); in `vq.py`
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .vae import DiagonalGaussian


def perceptron(*widths: int) -> nn.Sequential:
    r"""Linear layers from width to width, with SiLU between and nothing after the last. `b widths[0] -> b widths[-1]`.

    Raises ValueError for fewer than two widths.
    """
    if len(widths) < 2:
        raise ValueError(f"widths must be at least two numbers, of the input and of the output, got {widths}")
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    r"""The code is a point. The decoder takes what the encoder returns; otherwise both may be any module."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *code"]:
        return self.encoder(x)

    def decode(self, z: Float[Tensor, "b *code"]) -> Float[Tensor, "b *shape"]:
        return self.decoder(z)

    def forward(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        return self.decode(self.encode(x))


class VariationalAutoencoder(nn.Module):
    r"""The code is a Gaussian q(z | x), for vectors: the encoder maps `b d` to `b 2k`, k means and k log-variances.

    `vae.AutoencoderKL` is the same for pictures, with convolutions.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def posterior(self, x: Float[Tensor, "b d"]) -> DiagonalGaussian:
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        return DiagonalGaussian(mean, logvar)

    def decode(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        return self.decoder(z)

    def forward(
        self, x: Float[Tensor, "b d"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b d"], DiagonalGaussian]:
        r"""(x_hat of one draw from q(z | x), q itself), for the loss."""
        posterior = self.posterior(x)
        return self.decode(posterior.sample(generator)), posterior
