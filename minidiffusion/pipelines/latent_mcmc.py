r"""Text to image without diffusion: MCMC in the VAE's latent space (article 3.2).

    p(u | prompt)  ∝  N(u; 0, I) exp( strength * sim(CLIP(picture(u)), CLIP(prompt)) )
    picture(u) = decode(mean + L u),      L L^T = covariance of the latents of real pictures

A picture is probable if its latent is, and if CLIP finds that it fits the prompt. This is a density up to a constant,
with a gradient, so every sampler of `mcmc` can sample it. Three ways of the article: draw u from the Gaussian and let
CLIP choose; walk by Metropolis-Hastings; walk by Langevin. How far it gets beside diffusion: lesson 07.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .text_to_image import TextToImage


class LatentPrior(NamedTuple):
    r"""The Gaussian with the mean and covariance of real latents, as z = mean + root u for u ~ N(0, I).

    In u the density is round, so one step size fits all directions. In z it would not be: real latents vary a
    thousand times more in one direction (how bright is the picture?) than in another.
    """

    mean: Float[Tensor, "d"]
    root: Float[Tensor, "d d"]
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, latents: Float[Tensor, "n c h w"], ridge: float = 0.01) -> "LatentPrior":
        r"""ridge: a variance added in all directions, without which those of n < d latents would have none."""
        z = latents.flatten(1).double()
        covariance = torch.cov(z.T) + ridge * torch.eye(z.shape[1], dtype=z.dtype)
        return cls(z.mean(dim=0).float(), torch.linalg.cholesky(covariance).float(), tuple(latents.shape[1:]))

    def latents(self, u: Float[Tensor, "c d"]) -> Float[Tensor, "c c2 h w"]:
        return (self.mean + u @ self.root.T).reshape(len(u), *self.shape)


class PromptDensity:
    r"""The target: log p(u | prompt), up to a constant, for states u `c d`.

    strength: how many nats a similarity of 1 is worth; 0 forgets the prompt.
    """

    def __init__(self, model: TextToImage, prior: LatentPrior, prompt: str, strength: float = 200.0):
        self.model, self.prior, self.strength = model, prior, strength
        with torch.no_grad():
            ids = model.tokenizer([prompt], model.clip.config.context_length)
            self.text = model.clip.encode_text(ids.to(model.device))[0]

    def log_prob(self, u: Float[Tensor, "c d"]) -> Float[Tensor, "c"]:
        return -0.5 * u.square().sum(dim=1) + self.strength * self.similarity(self.pictures(u))

    def pictures(self, u: Float[Tensor, "c d"]) -> Float[Tensor, "c 3 h w"]:
        r"""In [-1, 1]; a gradient passes through, where a pixel is neither black nor white."""
        return self.model.vae.decode(self.prior.latents(u) / self.model.vae.config.scaling_factor).clamp(-1, 1)

    def similarity(self, pictures: Float[Tensor, "c 3 h w"]) -> Float[Tensor, "c"]:
        r"""The cosine between CLIP's vectors of picture and prompt."""
        return self.model.clip.encode_image(pictures) @ self.text

    @torch.no_grad()
    def best_of(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "1 d"]:
        r"""The first way: of n draws from the Gaussian, the one that CLIP likes best."""
        u = torch.randn(n, len(self.prior.mean), generator=generator)
        similarities = torch.cat([self.similarity(self.pictures(part)) for part in u.split(64)])
        return u[similarities.argmax()][None]
