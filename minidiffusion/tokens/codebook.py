r"""Picture tokenizers: a picture as 64 integers, and back (article 6.1; van den Oord et al. 2017; Mentzer et al. 2023).

    x  --encoder-->  z  --nearest code-->  ids  --codes-->  z_q  --decoder-->  x_hat
    3 64 64          d 8 8                 8 8              d 8 8              3 64 64

A picture of n positions with K codes has n log2 K bits: 64 positions and 4096 codes make 96 bytes, where the pixels
take 12,288. One code has to represent an 8 x 8 patch, so codes must be chosen well and all be used. Two codebooks:

    VectorQuantizer    K vectors are learnt (latent/vq.py). A code that is far from all patches gets no gradient.
    FSQ                each of d numbers is rounded to one of L levels. Nothing is learnt, and all K = prod L exist.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minidiffusion.latent.linear import principal_components, start_from
from minidiffusion.latent.vae import Decoder, Encoder, VAEConfig
from minidiffusion.latent.vq import Quantized, VectorQuantizer


class FSQ(nn.Module):
    r"""Finite scalar quantisation: a fixed grid in place of a codebook (Mentzer et al. 2023, section 3).

        digit_i = round((L_i - 1) / 2 (1 + tanh z_i))           in 0..L_i - 1
        z_q_i   = 2 digit_i / (L_i - 1) - 1                     in [-1, 1]
        id      = digit_1 + L_1 digit_2 + L_1 L_2 digit_3 + ...

    tanh keeps z inside the grid, and the gradient passes the rounding unchanged (straight-through estimator). No loss
    is needed, as the grid does not move, and z cannot leave it. (The paper shifts an even number of levels so that
    z = 0 is one of them; here 0 is the middle of every grid.) Raises ValueError for no levels, and for one below 2.
    """

    levels: Int[Tensor, "d"]
    base: Int[Tensor, "d"]

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        if not levels or min(levels) < 2:
            raise ValueError(f"levels must be at least one number, each at least 2, got {levels}")
        base = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("base", torch.tensor(base), persistent=False)

    def forward(self, z: Float[Tensor, "b d *space"]) -> Quantized:
        bounded, ids = z.tanh(), self.nearest(z)
        return Quantized(self.lookup(ids).to(z) + (bounded - bounded.detach()), ids, z.new_zeros(()))

    @torch.no_grad()
    def nearest(self, z: Float[Tensor, "b d *space"]) -> Int[Tensor, "b *space"]:
        r"""The id of the grid point nearest to tanh z."""
        digits = ((self.levels - 1) / 2 * (1 + z.movedim(1, -1).tanh())).round().long()
        return (digits * self.base).sum(dim=-1)

    def lookup(self, ids: Int[Tensor, "b *space"]) -> Float[Tensor, "b d *space"]:
        r"""The grid points with these ids, channels second."""
        digits = ids[..., None] // self.base % self.levels
        return (2 * digits / (self.levels - 1) - 1).movedim(-1, 1)


@dataclass(frozen=True)
class PictureTokenizerConfig:
    r"""The shape of a picture tokenizer. Levels, channels, groups and patch are as in `VAEConfig`."""

    codes: int = 4096
    dim: int = 32
    """Numbers in a code: codes differ in as many principal components of a patch."""
    levels: tuple[int, ...] = ()
    """If not empty: FSQ with these levels, whose product must be `codes`, and whose number `dim`."""
    beta: float = 0.25
    """Weight of the commitment loss, which keeps the encoder close to its codes."""
    channels: tuple[int, ...] = (48, 64)
    layers_per_block: int = 1
    groups: int = 16
    patch: int = 4

    def __post_init__(self) -> None:
        if self.levels and (math.prod(self.levels), len(self.levels)) != (self.codes, self.dim):
            raise ValueError(
                f"levels must make {self.codes} codes of {self.dim} numbers, "
                f"got {math.prod(self.levels)} of {len(self.levels)}"
            )

    @property
    def vae(self) -> VAEConfig:
        r"""The shape of encoder and decoder."""
        return VAEConfig(self.dim, self.channels, self.layers_per_block, self.groups, self.patch)


class PictureTokenizer(nn.Module):
    r"""Pictures in [-1, 1] to ids, and back.

    Encoder and decoder are those of the VAE; their outputs, zero at first, are added to those of a linear code of the
    patches (latent/linear.py). After `start`, that code is the PCA, and the codebook the k-means, of some pictures.
    """

    def __init__(self, config: PictureTokenizerConfig):
        super().__init__()
        self.config = config
        d, f = config.dim, config.vae.downsampling
        self.encoder, self.decoder = Encoder(config.vae), Decoder(config.vae)
        self.quant_conv = nn.Conv2d(2 * d, d, 1)  # the VAE's encoder ends in mean and log-variance: twice d channels
        self.analysis, self.synthesis = nn.Conv2d(3, d, f, stride=f), nn.ConvTranspose2d(d, 3, f, stride=f)
        self.quantizer = FSQ(config.levels) if config.levels else VectorQuantizer(config.codes, d, config.beta)
        for conv in (self.encoder.conv_out, self.quant_conv, self.decoder.conv_out):
            conv.bias.data.zero_()
        self.encoder.conv_out.weight.data.zero_()
        self.decoder.conv_out.weight.data.zero_()

    @torch.no_grad()
    def start(self, x: Float[Tensor, "b 3 H W"], generator: torch.Generator | None = None, rounds: int = 10) -> None:
        r"""Set the linear code to the principal components of pictures x, the codebook to k-means of their latents.

        Latents have the units of pixels, in which the nearest code is that with the smallest squared error. FSQ has no
        codes to set: its coordinates get unit variance, which fills the grid.
        """
        components = principal_components(x, self.config.vae.downsampling, self.config.dim)
        scale = components.std if self.config.levels else torch.ones_like(components.std)
        start_from(components._replace(std=scale.square()), self.analysis, self.synthesis)  # whose scale is sqrt(std)
        if isinstance(self.quantizer, VectorQuantizer):
            z = torch.cat([self.latent(part) for part in x.split(64)]).movedim(1, -1).flatten(0, 2)
            self.quantizer.revive(z, generator)
            for _ in range(rounds):  # Lloyd's algorithm: each code moves to the mean of the vectors nearest to it
                ids = torch.cat([self.quantizer.nearest(part) for part in z.split(4096)])
                codes = self.quantizer.embedding.weight
                total = torch.zeros_like(codes).index_add(0, ids, z)
                count = ids.bincount(minlength=len(codes))[:, None]
                codes.copy_(torch.where(count > 0, total / count, codes))

    def latent(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        r"""The latent to be quantised. Raises ValueError unless `config.vae.downsampling` divides both sides of x."""
        f = self.config.vae.downsampling
        if x.shape[2] % f or x.shape[3] % f:
            raise ValueError(f"the sides of a picture must be divisible by {f}, got {x.shape[2]} x {x.shape[3]}")
        return self.analysis(x) + self.quant_conv(self.encoder(x))

    def picture(self, z_q: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 3 H W"]:
        return self.synthesis(z_q) + self.decoder(z_q)

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b 3 H W"], Quantized]:
        r"""(x_hat, its codes with their loss), for training."""
        quantized = self.quantizer(self.latent(x))
        return self.picture(quantized.z_q), quantized

    def encode(self, x: Float[Tensor, "b 3 H W"]) -> Int[Tensor, "b h w"]:
        return self.quantizer.nearest(self.latent(x))

    def decode(self, ids: Int[Tensor, "b h w"]) -> Float[Tensor, "b 3 H W"]:
        r"""The picture of these ids, in 0..codes - 1; values may leave [-1, 1] a little."""
        return self.picture(self.quantizer.lookup(ids))
