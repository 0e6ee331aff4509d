r"""minidiffusion: a whole text-to-image system, small enough to read in a weekend and to train on a laptop.

    from minidiffusion import TextToImage

    model = TextToImage.load()
    for i, picture in enumerate(model.imagine("a red house by the sea at night, watercolor")):
        picture.image.save(f"house-{i}.png")

The packages, from the top down; an import only goes down (`tests/test_architecture.py`)::

    cli                                                  the command line
    app                                                  the studio, a web page
    training  evaluation  applications                   from recipes to model cards; a book, icons, patterns
    actions                                              vary, zoom, pan, repaint, blend, upscale: made of pipelines
    pipelines                                            text to image, by diffusion or by tokens
    prompt  pretrained  tokens                           the prompt language; loaders; the token transformer
    networks  latent  clip  viz                          U-Net and others, autoencoders, CLIP; figures of the lessons
    attention                                            scaled dot-product attention and transformer blocks
    diffusion  mcmc  data  picturebook  images           the mathematics, and the data
    checkpoint  errors  version

The names below are imported when they are first used, so ``import minidiffusion`` loads nothing but this file.
"""

TYPE_CHECKING = False  # what type checkers take for typing.TYPE_CHECKING, without the time to import typing
if TYPE_CHECKING:
    from minidiffusion_kernels.group_norm import group_norm

    from .attention import MultiHeadAttention, scaled_dot_product
    from .checkpoint import CheckpointError, load_model, save_model
    from .clip import CLIP, CLIPConfig, Tokenizer
    from .data import PictureFolder
    from .diffusion import (
        SAMPLERS,
        Prediction,
        Schedule,
        Step,
        classifier_free,
        ddim,
        ddpm,
        denoiser,
        dpm_solver_pp,
        euler,
        euler_maruyama,
        heun,
        make_schedule,
        plms,
        predictor_corrector,
    )
    from .errors import UserError
    from .images.record import Picture, Record
    from .latent import AutoencoderKL, VAEConfig
    from .networks import MLP, MLPConfig, ResNet, ResNetConfig, UNet, UNetConfig
    from .picturebook import PictureBook, Scene, render
    from .pipelines.settings import SamplingSettings
    from .pipelines.text_to_image import TextToImage
    from .pipelines.token_to_image import TokenPipeline, TokenSamplingSettings
    from .tokens import PictureTokenizer, Seq2Seq
    from .version import __version__

__all__ = [
    "CLIP", "MLP", "SAMPLERS", "AutoencoderKL", "CLIPConfig", "CheckpointError", "MLPConfig", "MultiHeadAttention",
    "Picture", "PictureBook", "PictureFolder", "PictureTokenizer", "Prediction", "Record", "ResNet", "ResNetConfig",
    "SamplingSettings", "Scene", "Schedule", "Seq2Seq", "Step", "TextToImage", "TokenPipeline", "TokenSamplingSettings",
    "Tokenizer", "UNet", "UNetConfig", "UserError", "VAEConfig", "__version__", "classifier_free", "ddim", "ddpm",
    "denoiser", "dpm_solver_pp", "euler", "euler_maruyama", "group_norm", "heun", "load_model", "make_schedule", "plms",
    "predictor_corrector", "render", "save_model", "scaled_dot_product",
]  # fmt: skip

_MODULES = {
    "minidiffusion_kernels.group_norm": ("group_norm",),
    "minidiffusion.attention": ("MultiHeadAttention", "scaled_dot_product"),
    "minidiffusion.checkpoint": ("CheckpointError", "load_model", "save_model"),
    "minidiffusion.clip": ("CLIP", "CLIPConfig", "Tokenizer"),
    "minidiffusion.data": ("PictureFolder",),
    "minidiffusion.diffusion": (
        *("Schedule", "make_schedule", "Prediction", "denoiser", "classifier_free", "Step", "SAMPLERS"),
        *("ddpm", "ddim", "euler", "heun", "plms", "dpm_solver_pp", "euler_maruyama", "predictor_corrector"),
    ),
    "minidiffusion.errors": ("UserError",),
    "minidiffusion.images.record": ("Picture", "Record"),
    "minidiffusion.latent": ("AutoencoderKL", "VAEConfig"),
    "minidiffusion.networks": ("MLP", "MLPConfig", "ResNet", "ResNetConfig", "UNet", "UNetConfig"),
    "minidiffusion.picturebook": ("PictureBook", "Scene", "render"),
    "minidiffusion.pipelines.settings": ("SamplingSettings",),
    "minidiffusion.pipelines.text_to_image": ("TextToImage",),
    "minidiffusion.pipelines.token_to_image": ("TokenPipeline", "TokenSamplingSettings"),
    "minidiffusion.tokens": ("PictureTokenizer", "Seq2Seq"),
    "minidiffusion.version": ("__version__",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            from importlib import import_module

            globals()[name] = value = getattr(import_module(module), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
