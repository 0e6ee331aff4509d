r"""Latent space: pictures as short codes, and back (article 2.2, 3.2.1).

Everything is written for pictures or vectors of any size.

    vae           the KL autoencoder, Stable Diffusion's or the miniature
    linear        principal components of picture patches, the best linear code
    autoencoder   deterministic and variational autoencoders for vectors
    elbo          the evidence lower bound, and bounds that are tighter
    denoising     the denoising autoencoder, which learns the score
    vq            vector quantisation, a codebook
    interpolate   paths between codes, and directions of attributes
"""

from .autoencoder import Autoencoder, VariationalAutoencoder, perceptron
from .denoising import denoising_loss
from .elbo import active_units, elbo, free_bits, gaussian_log_likelihood, importance_bound
from .interpolate import attribute_direction, geodesic, length, lerp, manifold, slerp
from .linear import PrincipalComponents, principal_components
from .vae import AutoencoderKL, DiagonalGaussian, VAEConfig
from .vq import Quantized, VectorQuantizer, perplexity, usage

__all__ = [
    "Autoencoder", "AutoencoderKL", "DiagonalGaussian", "PrincipalComponents", "Quantized", "VAEConfig",
    "VariationalAutoencoder", "VectorQuantizer", "active_units", "attribute_direction", "denoising_loss", "elbo",
    "free_bits", "gaussian_log_likelihood", "geodesic", "importance_bound", "length", "lerp", "manifold", "perceptron",
    "perplexity", "principal_components", "slerp", "usage",
]  # fmt: skip
