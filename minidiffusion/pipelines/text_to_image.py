r"""From a prompt to pictures: the whole way in one place (article 3.1.3; Rombach et al. 2022).

    prompt --tokenizer--> ids --CLIP--> context --+
                                                  v
    seed --> x_T ~ N(0, I) --> sampler: x_t -> U-Net, guided -> x_{t-1} -> ... -> x_0 --VAE--> picture

A picture is decided by its prompt, its seed and the settings, and by nothing else: each seed has random numbers of its
own, so picture 3 of a batch is the picture that its seed alone would have made.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, check_hashes, file_hash, load_config, load_model, save_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig, TextEncoder
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import PredictionType, denoiser
from minidiffusion.diffusion.sampler import SAMPLERS, Step
from minidiffusion.diffusion.schedule import ScheduleName, make_schedule
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig
from minidiffusion.networks.upscaler import Upscaler, UpscalerConfig

from minidiffusion.pretrained import stable_diffusion
from minidiffusion.images.record import Picture
from minidiffusion.pipelines.settings import Size, check, check_size
from minidiffusion.pretrained.weights import FILES, INDEX, NETWORKS, Index, find_weights, write_index


class SeededNoise:
    r"""Standard normal noise of which row i depends on seeds[i] alone. Drawn on the CPU: the same on every device."""

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        return torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in self.generators]).to(like)


class TextToImage:
    r"""The trained parts, put together.

    clip: a whole CLIP, or only the text encoder of one, which is all that a picture needs. size: width and height of a
    picture unless another is asked for; by default those that CLIP sees. guidance: what suits these weights. upscaler:
    for pictures with twice the pixels. Raises ValueError for parts that do not fit each other.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        clip: CLIP | TextEncoder,
        unet: UNet,
        vae: AutoencoderKL,
        schedule: ScheduleName = "cosine",
        T: int = 1000,
        prediction: PredictionType = "v",
        weights: str = "",
        size: int | None = None,
        guidance: float = 2.5,
        upscaler: Upscaler | None = None,
    ):
        if isinstance(clip, CLIP):
            self.clip, self.text_model, size = clip.eval(), clip.text_model, size or clip.config.picture_size
        else:
            self.clip, self.text_model = None, clip.eval()
        if size is None:
            raise ValueError("A text encoder alone does not say how large a picture is: size is missing.")
        self.size, self.guidance, self.upscaler = size, guidance, upscaler.eval() if upscaler else None
        self.tokenizer, self.unet, self.vae = tokenizer, unet.eval(), vae.eval()
        self.schedule, self.prediction, self.weights = make_schedule(schedule, T), prediction, weights
        self.settings = {"schedule": schedule, "T": T, "prediction": prediction}
        words = self.text_model.token_embedding
        for what, a, b in (
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, words.num_embeddings),
            ("width of CLIP's text, and of the U-Net's context", words.embedding_dim, unet.config.context_dim),
            ("channels of the VAE's latents, and of the U-Net", vae.config.latent_channels, unet.config.in_channels),
        ):
            if a != b:
                raise ValueError(f"The networks do not fit each other ({what}: {a} and {b}).")
        if prediction == "eps" and self.schedule.alpha[-1] == 0:
            raise ValueError(f"Predicting 'eps' says nothing of x_0 in pure noise, where schedule {schedule!r} begins.")

    @classmethod
    def load(cls, weights: str | Path = "picturebook", device: str | torch.device = "cpu") -> "TextToImage":
        r"""The weights of that name that come with minidiffusion, or those in a folder, or Stable Diffusion 1.5.

        Of our own weights, every file is compared with its hash in model.json. Stable Diffusion is a folder of
        diffusers or a single .safetensors file (`stable_diffusion.py`). Raises CheckpointError, with one sentence, for
        a missing folder and for files that are missing, damaged, from another training or for other networks.
        """
        folder = find_weights(weights)
        if stable_diffusion.is_stable_diffusion(folder):
            try:
                return cls(**stable_diffusion.load(folder)._asdict()).to(device)
            except ValueError as error:
                raise CheckpointError(f"{folder}: {error}") from error
        index = load_config(folder / INDEX, Index)
        upscaler = None
        if (folder / "upscaler.safetensors").exists():
            check_hashes(folder / INDEX, index.sha256, ["upscaler.json", "upscaler.safetensors"])
            upscaler = load_model(folder, "upscaler", UpscalerConfig, Upscaler)
        check_hashes(folder / INDEX, index.sha256, FILES)
        try:
            return cls(
                Tokenizer.load(folder / "tokenizer.json"),
                load_model(folder, "clip", CLIPConfig, CLIP),
                load_model(folder, "unet", UNetConfig, UNet),
                load_model(folder, "vae", VAEConfig, AutoencoderKL),
                index.schedule,
                index.T,
                index.prediction,
                file_hash(folder / INDEX),
                upscaler=upscaler,
            ).to(device)
        except ValueError as error:
            raise CheckpointError(f"{folder}: {error}") from error

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        r"""Write all parts and model.json; torch.float16 halves the files.

        Raises CheckpointError, also for Stable Diffusion, of whose CLIP only the text encoder is here.
        """
        if self.clip is None:
            raise CheckpointError(
                f"Nothing is written to {folder}: of this model's CLIP only the text encoder is here."
            )
        for name in NETWORKS:
            network = getattr(self, name)
            save_model(folder, name, network, network.config, dtype)
        if self.upscaler is not None:
            save_model(folder, "upscaler", self.upscaler, self.upscaler.config, dtype)
        self.tokenizer.save(Path(folder, "tokenizer.json"))
        write_index(folder, **self.settings)

    def to(self, device: str | torch.device) -> "TextToImage":
        r"""Move the networks."""
        for network in (self.clip or self.text_model, self.unet, self.vae, *filter(None, [self.upscaler])):
            network.to(device)
        return self

    # ------------------------------------------------------------------------------------------------------- sampling

    @property
    def context_length(self) -> int:
        r"""How many tokens of a prompt are read, start and end of text among them."""
        return self.text_model.position_embedding.num_embeddings

    @property
    def size_step(self) -> int:
        r"""Every size is a multiple of this: 2^(levels - 1) latent positions, since each level of the U-Net halves."""
        return self.vae.config.downsampling * 2 ** (len(self.unet.config.channels) - 1)

    @torch.inference_mode()
    def context(self, prompts: Sequence[str]) -> Float[Tensor, "b n d"]:
        r"""What the U-Net reads of the prompts: CLIP's vector for each token. Of a long prompt, only the beginning."""
        ids = self.tokenizer(prompts, self.context_length)
        return self.text_model(ids.to(self.device))[0]

    @torch.inference_mode()
    def encode(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        r"""Pictures in [-1, 1] to latents of about unit variance, as the sampler has them."""
        return self.vae.encode(x.to(self.device)).mode() * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        r"""Latents, as the sampler has them, to pictures in [-1, 1]. Shows an unfinished `step.x0_hat` as well."""
        return self.vae.decode(z / self.vae.config.scaling_factor).clamp(-1, 1)

    @property
    def device(self) -> torch.device:
        r"""Where the networks are."""
        return self.unet.conv_in.weight.device

    def trajectory(
        self,
        prompts: str | Sequence[str],
        seeds: Sequence[int],
        steps: int = 25,
        guidance: float | None = None,
        negative: str = "",
        sampler: str = "dpm++",
        size: Size | None = None,
    ) -> Iterator[Step]:
        r"""The sampler's steps, in latents `b c h w`: from noise, which is not yielded, to the last, which is x_0.

        prompts: one for all seeds, or one for each. guidance: None is what suits the weights, `self.guidance`. size:
        width and height in pixels, one number if they are the same, and None for `self.size`. Raises ValueError for
        settings outside their range.
        """
        guidance = self.guidance if guidance is None else guidance
        prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
        check(prompts, seeds, guidance, sampler)
        width, height = self.sides(size)
        times, noise, f = self.schedule.times(steps), SeededNoise(seeds), self.vae.config.downsampling
        x_T = noise(torch.empty(len(seeds), self.unet.config.in_channels, height // f, width // f, device=self.device))
        denoise = denoiser(self.unet, self.schedule, self.prediction)
        denoise = classifier_free(denoise, self.context(prompts), self.context([negative] * len(seeds)), guidance)
        yield from SAMPLERS[sampler](torch.inference_mode()(denoise), self.schedule.spread_T * x_T, times, noise=noise)

    def sides(self, size: Size | None) -> tuple[int, int]:
        r"""(width, height) in pixels. Raises ValueError, naming the nearest valid number, for what cannot be drawn."""
        size = self.size if size is None else size
        width, height = (size, size) if isinstance(size, int) else size
        check_size(width, self.size_step)
        check_size(height, self.size_step)
        return width, height

    def generate(
        self,
        prompts: str | Sequence[str],
        seeds: Sequence[int],
        steps: int = 25,
        guidance: float | None = None,
        negative: str = "",
        sampler: str = "dpm++",
        on_step: Callable[[Step], None] | None = None,
        size: Size | None = None,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed. `on_step` is called after each step; else as `trajectory`."""
        for step in self.trajectory(prompts, seeds, steps, guidance, negative, sampler, size):
            if on_step is not None:
                on_step(step)
        return self.decode(step.x)

    def imagine(
        self,
        prompt: str,
        seeds: Sequence[int] = (0, 1, 2, 3),
        steps: int = 25,
        guidance: float | None = None,
        sampler: str = "dpm++",
        on_step: Callable[[Step], None] | None = None,
        size: Size | None = None,
    ) -> list[Picture]:
        r"""Pictures of the prompt, one a seed.

        prompt: words, and perhaps weights and flags (`prompt.py`). seeds: 0 to 2^32 - 1. steps: 1 to T. guidance: 0
        (ignore the prompt), 1 (what the network learnt), more (what it learnt, exaggerated), up to 100; None is what
        suits the weights. sampler: a name in SAMPLERS. size: width and height in pixels, one number if they are the
        same; by default as the flag --ar says, or `self.size`. Raises ValueError for anything else.
        """
        from minidiffusion.actions.registry import imagine  # which is built on this class
        from minidiffusion.pipelines.settings import SamplingSettings

        how = SamplingSettings(steps, guidance, sampler, on_step)
        return imagine(self, prompt, seeds, how, None if size is None else self.sides(size))


def to_pixels(pictures: Float[Tensor, "b 3 h w"]) -> UInt8[np.ndarray, "b h w 3"]:
    r"""[-1, 1] to 0..255, rounded to the nearest."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
