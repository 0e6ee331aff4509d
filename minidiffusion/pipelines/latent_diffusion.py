r"""Latent diffusion: the networks, and the one guided sampling path (Rombach et al. 2022; article 3.1.3).

    texts --tokenizer, CLIP--> context --+
                                         v
    seed --> x_T ~ N(0, I) --> sampler: x_t -> U-Net, guided -> x_{t-1} -> ... -> x_0 --VAE--> picture

Everything that draws is an argument of `sample_latents`: image-to-image starts from latents that are noised part of the
way (`start`), inpainting knows a region (`known`), a picture of any shape has a `size`, an examination is a batch of
many texts. Prompts are read before (`prompt/`): what arrives here are `Conditions`.

A picture is decided by its conditions, its seed and the settings: each seed has random numbers of its own. (In a batch
of another size sums are rounded differently, and a few pixels can differ by 1 of 255.)
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.clip.encoder import CLIP, TextEncoder
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.guidance import composed
from minidiffusion.diffusion.inpaint import with_known_region
from minidiffusion.diffusion.prediction import PredictionType, denoiser
from minidiffusion.diffusion.sampler import SAMPLERS, Step
from minidiffusion.diffusion.schedule import ScheduleName, Times, make_schedule
from minidiffusion.errors import UserError
from minidiffusion.latent.vae import AutoencoderKL
from minidiffusion.networks.seamless import seamless
from minidiffusion.networks.unet import UNet
from minidiffusion.networks.upscaler import Upscaler
from minidiffusion.pretrained.weights import check_fit
from minidiffusion.prompt.conditions import Conditions

from .settings import DEFAULTS, SamplingSettings, Size, check_seeds, check_size


class SeededNoise:
    r"""Standard normal noise of which row i depends on seeds[i] alone. Drawn on the CPU: the same on every device."""

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        return torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in self.generators]).to(like)


class LatentDiffusion:
    r"""The trained parts, put together.

    clip: a whole CLIP, or only the text encoder of one, which is all that a picture needs. size: width and height of a
    picture unless another is asked for; by default those that CLIP sees. guidance: what suits these weights. upscaler:
    for pictures with twice the pixels. weights_hash: goes into records. Raises UserError for parts that do not fit
    each other.
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
        weights_hash: str = "",
        size: int | None = None,
        guidance: float = 2.5,
        upscaler: Upscaler | None = None,
    ):
        if isinstance(clip, CLIP):
            self.clip, self.text_model, size = clip.eval(), clip.text_model, size or clip.config.picture_size
        else:
            self.clip, self.text_model = None, clip.eval()
        if size is None:
            raise UserError("A text encoder alone does not say how large a picture is: size is missing.")
        self.size, self.guidance, self.upscaler = size, guidance, upscaler.eval() if upscaler else None
        self.tokenizer, self.unet, self.vae = tokenizer, unet.eval(), vae.eval()
        self.schedule, self.weights_hash = make_schedule(schedule, T), weights_hash
        self.prediction: PredictionType = prediction
        self.training_noise = {"schedule": schedule, "T": T, "prediction": prediction}
        words = self.text_model.token_embedding
        check_fit(
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, words.num_embeddings),
            ("width of CLIP's text, and of the U-Net's context", words.embedding_dim, unet.config.context_dim),
            ("channels of the VAE's latents, and of the U-Net", vae.config.latent_channels, unet.config.in_channels),
        )
        if prediction == "eps" and self.schedule.alpha[-1] == 0:
            raise UserError(f"Predicting 'eps' says nothing of x_0 in pure noise, where schedule {schedule!r} begins.")

    def to(self, device: str | torch.device) -> "LatentDiffusion":
        r"""Move the networks."""
        for network in (self.clip or self.text_model, self.unet, self.vae, *filter(None, [self.upscaler])):
            network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        r"""Where the networks are."""
        return self.unet.conv_in.weight.device

    @property
    def context_length(self) -> int:
        r"""How many tokens of a prompt are read, start and end of text among them."""
        return self.text_model.position_embedding.num_embeddings

    @property
    def size_step(self) -> int:
        r"""Every size is a multiple of this: 2^(levels - 1) latent positions, since each level of the U-Net halves."""
        return self.vae.config.downsampling * 2 ** (len(self.unet.config.channels) - 1)

    def sides(self, size: Size | None) -> tuple[int, int]:
        r"""(width, height) in pixels. Raises UserError, naming the nearest valid number, for what cannot be drawn."""
        size = self.size if size is None else size
        width, height = (size, size) if isinstance(size, int) else size
        check_size(width, self.size_step)
        check_size(height, self.size_step)
        return width, height

    def sides_of(self, ar: tuple[int, int]) -> tuple[int, int]:
        r"""(width, height) in pixels: the shorter is the model's own, the longer the nearest that it can draw."""
        longer = self.size_step * round(self.size * max(ar) / min(ar) / self.size_step)
        return (longer, self.size) if ar[0] >= ar[1] else (self.size, longer)

    @torch.no_grad()
    def context(self, texts: Sequence[str]) -> Float[Tensor, "b n d"]:
        r"""What the U-Net reads of the texts: CLIP's vector for each token. Of a long text, only the beginning."""
        ids = self.tokenizer(texts, self.context_length)
        return self.text_model(ids.to(self.device))[0]

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        r"""Pictures in [-1, 1] to latents of about unit variance, as the sampler has them."""
        return self.vae.encode(x.to(self.device)).mode() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        r"""Latents, as the sampler has them, to pictures in [-1, 1]. Shows an unfinished `step.x0_hat` as well."""
        return self.vae.decode(z / self.vae.config.scaling_factor).clamp(-1, 1)

    # -------------------------------------------------------------------------------------------------------- sampling

    def scale(self, settings: SamplingSettings) -> float:
        r"""The guidance of the settings, or what suits the weights."""
        return self.guidance if settings.guidance is None else settings.guidance

    def sample_latents(
        self,
        conditions: Conditions,
        seeds: Sequence[int],
        settings: SamplingSettings = DEFAULTS,
        *,
        size: Size | None = None,
        start: Float[Tensor, "b c h w"] | None = None,
        strength: float = 1.0,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Step]:
        r"""The sampler's steps, in latents `b c h w`: from noise, which is not yielded, to the last, which is x_0.

        size: width and height in pixels, by default as the flag --ar says. start: latents to begin with, noised as far
        as `strength` says: 0 not at all, 1 is pure noise. known: latents, and a mask that is 0 where the result must
        equal them. Raises UserError for what is outside its range.
        """
        check_seeds(seeds)
        if not 0 <= strength <= 1:
            raise UserError(f"strength must be between 0 and 1, got {strength}.")
        steps = settings.steps * conditions.quality
        if steps > self.schedule.T:
            raise UserError(f"steps must be between 1 and {self.schedule.T}, got {steps}.")
        width, height = self.sides_of(conditions.ar) if size is None else self.sides(size)

        contexts = [self.context(texts) for texts in zip(*conditions.texts, strict=True)]
        denoise = denoiser(self.unet, self.schedule, self.prediction)
        negative = self.context(conditions.negative)
        denoise = composed(denoise, contexts, conditions.weights, negative, self.scale(settings))
        if known is not None:
            denoise = with_known_region(denoise, self.schedule, *known)
        denoise = torch.inference_mode()(denoise)

        times, noise, f = self.schedule.times(steps), SeededNoise(seeds), self.vae.config.downsampling
        x = noise(torch.empty(len(seeds), self.unet.config.in_channels, height // f, width // f, device=self.device))
        if start is None:
            x = self.schedule.std_T * x
        else:
            times = Times(*(column[round((1 - strength) * steps) :] for column in times))
            x = times.alpha[0] * start + times.sigma[0] * x
        last = math.ceil(conditions.stop * (len(times.t) - 1) / 100)  # in this order: 14 / 100 * 50 is more than 7
        with seamless(self.unet, self.vae.decoder, on=conditions.tile):
            for step in islice(SAMPLERS[settings.sampler](denoise, x, times, noise=noise), last):
                if settings.on_step is not None:
                    settings.on_step(step)
                yield step if conditions.stop == 100 else step._replace(x=step.x0_hat)

    def draw(
        self,
        conditions: Conditions,
        seeds: Sequence[int],
        settings: SamplingSettings = DEFAULTS,
        *,
        size: Size | None = None,
        start: Float[Tensor, "b c h w"] | None = None,
        strength: float = 1.0,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures in [-1, 1], one a seed: the last of `sample_latents`, decoded. Arguments as there."""
        x = start  # the answer if there is no step to take
        for step in self.sample_latents(
            conditions, seeds, settings, size=size, start=start, strength=strength, known=known
        ):
            x = step.x
        assert x is not None
        with seamless(self.vae.decoder, on=conditions.tile):
            return self.decode(x)
