r"""The denoisers, from the smallest to Stable Diffusion's, and the upscaler.

A network knows no schedule; its time counts from 0, the least noise, to T - 1.

    mlp           a multi-layer perceptron, for points and tiny pictures
    resnet        a small convolutional network, for tiny pictures
    unet          the U-Net with cross-attention to the prompt (article 2.1.2, 2.3.2)
    upscaler      a network that doubles the resolution of a picture
    embedding     sinusoidal embeddings of the time
    convolution   residual block, down-sampling and up-sampling, which the VAE has as well
    seamless      circular padding, for patterns that repeat
"""

from .convolution import Downsample, GroupNorm, ResnetBlock, Upsample
from .embedding import TimestepEmbedding, sinusoidal_embedding
from .mlp import MLP, MLPConfig
from .resnet import ResNet, ResNetConfig
from .seamless import seamless
from .unet import SpatialTransformer, UNet, UNetConfig
from .upscaler import Upscaler, UpscalerConfig

__all__ = [
    "MLP", "Downsample", "GroupNorm", "MLPConfig", "ResNet", "ResNetConfig", "ResnetBlock", "SpatialTransformer",
    "TimestepEmbedding", "UNet", "UNetConfig", "Upsample", "Upscaler", "UpscalerConfig", "seamless",
    "sinusoidal_embedding",
]  # fmt: skip
