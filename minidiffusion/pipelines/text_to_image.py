r"""Latent diffusion, from a prompt to pictures (article 3.1.3; Rombach et al. 2022).

    prompt --parser--> words --tokenizer, CLIP--> context --+
                                                            v
    seed --> x_T ~ N(0, I) --> sampler: x_t -> U-Net, guided -> x_{t-1} -> ... -> x_0 --VAE--> picture

`TextToImage.sample` is the one guided sampling path. Everything that draws is an argument of it: image-to-image starts
from latents that are noised part of the way (`start`), inpainting knows a region (`known`), patterns without a seam and
pictures of any shape are flags of the prompt, an examination is many prompts at once.

A picture is decided by its prompt, its seed and the settings, and by nothing else: each seed has random numbers of its
own, so picture 3 of a batch is the picture that its seed alone would have made.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, save_model
from minidiffusion.clip.encoder import CLIP, TextEncoder
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.guidance import composed
from minidiffusion.diffusion.inpaint import with_known_region
from minidiffusion.diffusion.prediction import PredictionType, denoiser
from minidiffusion.diffusion.sampler import SAMPLERS, Step
from minidiffusion.diffusion.schedule import ScheduleName, Times, make_schedule
from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture, with_records
from minidiffusion.latent.vae import AutoencoderKL
from minidiffusion.networks.seamless import seamless
from minidiffusion.networks.unet import UNet
from minidiffusion.networks.upscaler import Upscaler
from minidiffusion.pretrained import stable_diffusion
from minidiffusion.pretrained.weights import NETWORKS, check_fit, find_weights, load_parts, write_index
from minidiffusion.prompt.conditions import Weighted, conditions
from minidiffusion.prompt.describe import picture_conditions
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.parser import parse, record_text

from .settings import DEFAULTS, SamplingSettings, Size, check_seeds, check_size


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
    for pictures with twice the pixels. weights_hash: goes into records. Raises UserError for parts that do not fit
    each other.
    """

    by_tokens = False
    """Which actions it can do (`actions/action.py`)."""

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
        self.schedule, self.prediction, self.weights_hash = make_schedule(schedule, T), prediction, weights_hash
        self.training_noise = {"schedule": schedule, "T": T, "prediction": prediction}
        words = self.text_model.token_embedding
        check_fit(
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, words.num_embeddings),
            ("width of CLIP's text, and of the U-Net's context", words.embedding_dim, unet.config.context_dim),
            ("channels of the VAE's latents, and of the U-Net", vae.config.latent_channels, unet.config.in_channels),
        )
        if prediction == "eps" and self.schedule.alpha[-1] == 0:
            raise UserError(f"Predicting 'eps' says nothing of x_0 in pure noise, where schedule {schedule!r} begins.")

    @classmethod
    def load(cls, weights: str | Path = "picturebook", device: str | torch.device = "cpu") -> "TextToImage":
        r"""The weights of that name that come with minidiffusion, or those in a folder, or Stable Diffusion 1.5.

        Of our own weights, every file is compared with its hash in model.json. Stable Diffusion is a folder of
        diffusers or a single .safetensors file (`pretrained/stable_diffusion.py`). Raises CheckpointError, with one
        sentence, for a missing folder and for files that are missing, damaged, from another training or for other
        networks.
        """
        path = find_weights(weights)
        load = stable_diffusion.load if stable_diffusion.is_stable_diffusion(path) else load_parts
        try:
            return cls(**load(path)._asdict()).to(device)
        except UserError as error:
            raise CheckpointError(f"{path}: {error}") from error

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
        write_index(folder, **self.training_noise)

    def to(self, device: str | torch.device) -> "TextToImage":
        r"""Move the networks."""
        for network in (self.clip or self.text_model, self.unet, self.vae, *filter(None, [self.upscaler])):
            network.to(device)
        return self

    # ------------------------------------------------------------------------------------------------------- the parts

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

    @torch.inference_mode()
    def context(self, texts: Sequence[str]) -> Float[Tensor, "b n d"]:
        r"""What the U-Net reads of the texts: CLIP's vector for each token. Of a long text, only the beginning."""
        ids = self.tokenizer(texts, self.context_length)
        return self.text_model(ids.to(self.device))[0]

    @torch.inference_mode()
    def encode(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        r"""Pictures in [-1, 1] to latents of about unit variance, as the sampler has them."""
        return self.vae.encode(x.to(self.device)).mode() * self.vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
        r"""Latents, as the sampler has them, to pictures in [-1, 1]. Shows an unfinished `step.x0_hat` as well."""
        return self.vae.decode(z / self.vae.config.scaling_factor).clamp(-1, 1)

    # -------------------------------------------------------------------------------------------------------- sampling

    def sample(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        seeds: Sequence[int],
        settings: SamplingSettings = DEFAULTS,
        *,
        size: Size | None = None,
        extra: Sequence[Weighted] = (),
        start: Float[Tensor, "b c h w"] | None = None,
        strength: float = 1.0,
        known: tuple[Tensor, Tensor] | None = None,
        **changes: Any,
    ) -> Iterator[Step]:
        r"""The sampler's steps, in latents `b c h w`: from noise, which is not yielded, to the last, which is x_0.

        prompts: one for all seeds, or one for each, in the prompt language or parsed. size: width and height in pixels,
        by default as the prompt's --ar says. extra: more weighted conditions, such as what other pictures show. start:
        latents to begin with, noised as far as `strength` says: 0 not at all, 1 is pure noise. known: latents, and a
        mask that is 0 where the result must equal them. changes: fields of `settings`, as in `steps=10`. Raises
        UserError for settings outside their range, and for prompts that differ in more than words.
        """
        settings = replace(settings, **changes)
        prompts = as_prompts(prompts, seeds)
        first = prompts[0]
        steps = settings.steps * first.quality
        if steps > self.schedule.T:
            raise UserError(f"steps must be between 1 and {self.schedule.T}, got {steps}.")

        each = [conditions(prompt, seed, extra) for prompt, seed in zip(prompts, seeds, strict=True)]
        weights = [weight for _, weight in each[0]]
        shared = [([weight for _, weight in parts], p.ar, p.tile, p.quality, p.stop) for parts, p in zip(each, prompts)]
        if any(other != shared[0] for other in shared):
            raise UserError("The prompts of one batch must have the same weights and flags.")
        contexts = [self.context([text for text, _ in parts]) for parts in zip(*each, strict=True)]
        negative = self.context([", ".join(prompt.no) for prompt in prompts])
        denoise = denoiser(self.unet, self.schedule, self.prediction)
        denoise = composed(denoise, contexts, weights, negative, self.scale(settings))
        if known is not None:
            denoise = with_known_region(denoise, self.schedule, *known)
        denoise = torch.inference_mode()(denoise)

        width, height = self.sides_of(first.ar) if size is None else self.sides(size)
        times, noise, f = self.schedule.times(steps), SeededNoise(seeds), self.vae.config.downsampling
        x = noise(torch.empty(len(seeds), self.unet.config.in_channels, height // f, width // f, device=self.device))
        if start is None:
            x = self.schedule.std_T * x
        else:
            times = Times(*(column[round((1 - strength) * steps) :] for column in times))
            x = times.alpha[0] * start + times.sigma[0] * x
        last = math.ceil(first.stop * (len(times.t) - 1) / 100)  # in this order: 14 / 100 * 50 is more than 7
        with seamless(self.unet, self.vae.decoder, on=first.tile):
            for step in islice(SAMPLERS[settings.sampler](denoise, x, times, noise=noise), last):
                if settings.on_step is not None:
                    settings.on_step(step)
                yield step if first.stop == 100 else step._replace(x=step.x0_hat)

    def generate(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        seeds: Sequence[int],
        settings: SamplingSettings = DEFAULTS,
        *,
        pictures: Sequence[Picture] = (),
        start: Float[Tensor, "b c h w"] | None = None,
        **arguments: Any,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed; arguments as of `sample`.

        pictures: the opened images of the prompt, and then that of its --sref.
        """
        prompts = as_prompts(prompts, seeds)
        extra = [*picture_conditions(self, prompts[0], pictures), *arguments.pop("extra", ())]
        x = start  # what is left of it if there is no step to take
        for step in self.sample(prompts, seeds, settings, extra=extra, start=start, **arguments):
            x = step.x
        assert x is not None
        with seamless(self.vae.decoder, on=prompts[0].tile):
            return self.decode(x)

    def imagine(
        self,
        prompt: str | Prompt,
        seeds: Sequence[int] = (0, 1, 2, 3),
        settings: SamplingSettings = DEFAULTS,
        *,
        size: Size | None = None,
        pictures: Sequence[Picture] = (),
        **changes: Any,
    ) -> list[Picture]:
        r"""Pictures of the prompt with their records, one a seed.

        prompt: words, and perhaps weights and flags (`prompt/parser.py`). seeds: 0 to 2^32 - 1. size: width and height
        in pixels, one number if they are the same; by default as the flag --ar says. pictures: as of `generate`.
        changes: fields of `settings`, as in `steps=10`. Raises UserError for anything outside its range.
        """
        settings = replace(settings, **changes)
        prompt = parse(prompt) if isinstance(prompt, str) else prompt
        x = self.generate(prompt, seeds, settings, size=size, pictures=pictures)
        options = {} if size is None else {"size": self.sides(size)}
        return self.with_records("imagine", x, prompt, seeds, settings, options, pictures)

    def scale(self, settings: SamplingSettings) -> float:
        r"""The guidance of the settings, or what suits the weights."""
        return self.guidance if settings.guidance is None else settings.guidance

    def with_records(
        self,
        action: str,
        x: Float[Tensor, "b 3 H W"],
        prompt: Prompt,
        seeds: Sequence[int],
        settings: SamplingSettings,
        options: Mapping[str, Any],
        sources: Sequence[Picture],
    ) -> list[Picture]:
        r"""The pictures of an action, each with the record that `actions.again` makes it from."""
        shared = {"action": action, "prompt": record_text(prompt), "weights": self.weights_hash}
        shared |= {"steps": settings.steps, "guidance": float(self.scale(settings)), "sampler": settings.sampler}
        return with_records(x, seeds, sources, options, **shared)


def as_prompts(prompts: str | Prompt | Sequence[str | Prompt], seeds: Sequence[int]) -> list[Prompt]:
    r"""One parsed prompt a seed. Raises UserError for seeds out of range or of another number."""
    if isinstance(prompts, str | Prompt):
        prompts = [parse(prompts) if isinstance(prompts, str) else prompts] * len(seeds)
    check_seeds(seeds, len(prompts))
    return [parse(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
