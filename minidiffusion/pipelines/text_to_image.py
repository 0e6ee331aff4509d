r"""Text to image: the prompt language in front of latent diffusion, records behind it.

    prompt --parser--> Prompt --conditions--> texts and weights --latent diffusion--> pictures --> with their records
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, save_model
from minidiffusion.diffusion.sampler import Step
from minidiffusion.errors import UserError
from minidiffusion.images.record import Picture, with_records
from minidiffusion.pretrained import stable_diffusion
from minidiffusion.pretrained.weights import NETWORKS, find_weights, load_parts, write_index
from minidiffusion.prompt.conditions import Weighted, conditions
from minidiffusion.prompt.describe import picture_conditions
from minidiffusion.prompt.flags import Prompt
from minidiffusion.prompt.format import record_text
from minidiffusion.prompt.parser import parse, parse_each

from .latent_diffusion import LatentDiffusion
from .settings import DEFAULTS, SamplingSettings, Size

Prompts = str | Prompt | Sequence[str | Prompt]
"""One for all pictures, or one for each; in the prompt language, or parsed."""


class TextToImage(LatentDiffusion):
    r"""A latent diffusion model that reads prompts, and whose pictures can be made again from their records."""

    by_tokens = False
    """It can do the actions whose `by_tokens` is the same (`actions/action.py`)."""

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
            model = cls(**load(path)._asdict())
        except UserError as error:
            raise CheckpointError(f"{path}: {error}") from error
        model.to(device)
        return model

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

    # --------------------------------------------------------------------------------------------------------- drawing

    def sample(
        self,
        prompts: Prompts,
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
        r"""The sampler's steps, in latents `b c h w`, of one picture a seed; the last is x_0.

        extra: more weighted texts for all pictures. size, start, strength, known: as of
        `LatentDiffusion.sample_latents`. changes: fields of `settings`, as in `steps=10`. Raises UserError for settings
        outside their range, and for prompts that differ in more than words.
        """
        read = conditions(parse_each(prompts, len(seeds)), seeds, extra)
        settings = replace(settings, **changes)
        return self.sample_latents(read, seeds, settings, size=size, start=start, strength=strength, known=known)

    def generate(
        self,
        prompts: Prompts,
        seeds: Sequence[int],
        settings: SamplingSettings = DEFAULTS,
        *,
        size: Size | None = None,
        extra: Sequence[Weighted] = (),
        start: Float[Tensor, "b c h w"] | None = None,
        strength: float = 1.0,
        known: tuple[Tensor, Tensor] | None = None,
        **changes: Any,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed. Arguments as of `sample`."""
        read = conditions(parse_each(prompts, len(seeds)), seeds, extra)
        settings = replace(settings, **changes)
        return self.draw(read, seeds, settings, size=size, start=start, strength=strength, known=known)

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
        in pixels, one number if they are the same; by default as the flag --ar says. pictures: the opened images of the
        prompt, and then that of its --sref. changes: fields of `settings`, as in `steps=10`. Raises UserError for
        anything outside its range.
        """
        settings = replace(settings, **changes)
        prompt = parse(prompt) if isinstance(prompt, str) else prompt
        read = conditions(parse_each(prompt, len(seeds)), seeds, picture_conditions(self, prompt, pictures))
        x = self.draw(read, seeds, settings, size=size)
        options = {} if size is None else {"size": self.sides(size)}
        return self.with_records("imagine", x, prompt, seeds, settings, options, pictures)

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
        r"""The pictures of an action, each with the record from which `actions.registry.again` makes it again."""
        shared = {"action": action, "prompt": record_text(prompt), "weights": self.weights_hash}
        shared |= {"steps": settings.steps, "guidance": float(self.scale(settings)), "sampler": settings.sampler}
        return with_records(x, seeds, sources, options, **shared)
