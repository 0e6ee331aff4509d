r"""From a prompt to pictures: the whole way in one place (article 3.1.3; Rombach et al. 2022).

    prompt --tokenizer--> ids --CLIP--> context --+
                                                  v
    seed --> x_T ~ N(0, I) --> sampler: x_t -> U-Net, guided -> x_{t-1} -> ... -> x_0 --VAE--> picture

A picture is decided by its prompt, its seed and the settings, and by nothing else: each seed has random numbers of its
own, so picture 3 of a batch is the picture that its seed alone would have made.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import minidiffusion
from minidiffusion.checkpoint import (
    CheckpointError,
    check_hashes,
    file_hash,
    load_config,
    load_model,
    save_model,
    write_atomically,
)
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.diffusion.guidance import classifier_free
from minidiffusion.diffusion.prediction import Kind, denoiser
from minidiffusion.diffusion.sampler import SAMPLERS, Step
from minidiffusion.diffusion.schedule import Name, make_schedule
from minidiffusion.latent.vae import AutoencoderKL, VAEConfig
from minidiffusion.networks.unet import UNet, UNetConfig

SHIPPED = Path(__file__).parent.parent / "weights"
INDEX = "model.json"
NETWORKS = ("clip", "unet", "vae")
FILES = ("tokenizer.json", *(f"{name}.{ending}" for name in NETWORKS for ending in ("json", "safetensors")))
MAX_SEED = 2**32 - 1
MAX_GUIDANCE = 100.0


@dataclass(frozen=True)
class Index:
    r"""model.json: which noise the U-Net was trained against, and the files that belong together, with their hashes."""

    schedule: Name
    T: int
    prediction: Kind
    context_length: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Record:
    r"""All that is needed to make a picture again."""

    prompt: str
    negative: str
    seed: int
    steps: int
    guidance: float
    sampler: str
    size: int
    """Width and height in pixels."""
    weights: str
    """SHA-256 of model.json, which holds that of every other file; "" if the weights were never on disk."""
    version: str


class Picture(NamedTuple):
    r"""A picture and how it was made."""

    image: PIL.Image.Image
    record: Record


class SeededNoise:
    r"""Standard normal noise of which row i depends on seeds[i] alone. Drawn on the CPU: the same on every device."""

    def __init__(self, seeds: Sequence[int]):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        return torch.stack([torch.randn(like.shape[1:], generator=generator) for generator in self.generators]).to(like)


class TextToImage:
    r"""The trained parts, put together.

    Raises ValueError for parts that do not fit each other.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        clip: CLIP,
        unet: UNet,
        vae: AutoencoderKL,
        schedule: Name = "cosine",
        T: int = 1000,
        prediction: Kind = "v",
        weights: str = "",
    ):
        self.tokenizer, self.clip, self.unet, self.vae = tokenizer, clip.eval(), unet.eval(), vae.eval()
        self.schedule, self.prediction, self.weights = make_schedule(schedule, T), prediction, weights
        self.settings = {"schedule": schedule, "T": T, "prediction": prediction}
        self.size = clip.config.picture_size
        for what, a, b in (
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, clip.config.vocab_size),
            ("width of CLIP's text, and of the U-Net's context", clip.config.text_width, unet.config.context_dim),
            ("channels of the VAE's latents, and of the U-Net", vae.config.latent_channels, unet.config.in_channels),
        ):
            if a != b:
                raise ValueError(f"The networks do not fit each other ({what}: {a} and {b}).")
        if prediction == "eps" and self.schedule.alpha[-1] == 0:
            raise ValueError(f"Predicting 'eps' says nothing of x_0 in pure noise, where schedule {schedule!r} begins.")

    @classmethod
    def load(cls, weights: str | Path = "picturebook", device: str | torch.device = "cpu") -> "TextToImage":
        r"""The weights of that name that come with minidiffusion, or those in a folder.

        Every file is compared with its hash in model.json. Raises CheckpointError, with one sentence, for a missing
        folder and for files that are missing, damaged or from another training.
        """
        folder = find_weights(weights)
        index = load_config(folder / INDEX, Index)
        check_hashes(folder / INDEX, index.sha256, FILES)
        try:
            return cls(
                Tokenizer.load(folder / "tokenizer.json"),
                load_model(folder, "clip", CLIPConfig, CLIP).to(device),
                load_model(folder, "unet", UNetConfig, UNet).to(device),
                load_model(folder, "vae", VAEConfig, AutoencoderKL).to(device),
                index.schedule,
                index.T,
                index.prediction,
                file_hash(folder / INDEX),
            )
        except ValueError as error:
            raise CheckpointError(f"{folder}: {error}") from error

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        r"""Write all parts and model.json; torch.float16 halves the files. Raises CheckpointError."""
        for name in NETWORKS:
            network = getattr(self, name)
            save_model(folder, name, network, network.config, dtype)
        self.tokenizer.save(Path(folder, "tokenizer.json"))
        write_index(folder, **self.settings)

    # ------------------------------------------------------------------------------------------------------- sampling

    @torch.inference_mode()
    def context(self, prompts: Sequence[str]) -> Float[Tensor, "b n d"]:
        r"""What the U-Net reads of the prompts: CLIP's vector for each token. Of a long prompt, only the beginning."""
        ids = self.tokenizer(prompts, self.clip.config.context_length)
        return self.clip.text_model(ids.to(self.device))[0]

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
        guidance: float = 2.5,
        negative: str = "",
        sampler: str = "dpm++",
    ) -> Iterator[Step]:
        r"""The sampler's steps, in latents `b c h w`: from noise, which is not yielded, to the last, which is x_0.

        prompts: one for all seeds, or one for each. Raises ValueError for settings outside their range.
        """
        prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
        check(prompts, seeds, guidance, sampler)
        times = self.schedule.times(steps)
        side = self.size // self.vae.config.downsampling
        noise = SeededNoise(seeds)
        x_T = noise(torch.empty(len(seeds), self.unet.config.in_channels, side, side, device=self.device))
        x_T = self.schedule.spread_T * x_T
        denoise = denoiser(self.unet, self.schedule, self.prediction)
        denoise = classifier_free(denoise, self.context(prompts), self.context([negative] * len(seeds)), guidance)
        yield from SAMPLERS[sampler](torch.inference_mode()(denoise), x_T, times, noise=noise)

    def generate(
        self,
        prompts: str | Sequence[str],
        seeds: Sequence[int],
        steps: int = 25,
        guidance: float = 2.5,
        negative: str = "",
        sampler: str = "dpm++",
        on_step: Callable[[Step], None] | None = None,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed. `on_step` is called after each step; else as `trajectory`."""
        for step in self.trajectory(prompts, seeds, steps, guidance, negative, sampler):
            if on_step is not None:
                on_step(step)
        return self.decode(step.x)

    def imagine(
        self,
        prompt: str,
        seeds: Sequence[int] = (0, 1, 2, 3),
        steps: int = 25,
        guidance: float = 2.5,
        negative: str = "",
        sampler: str = "dpm++",
        on_step: Callable[[Step], None] | None = None,
    ) -> list[Picture]:
        r"""Pictures of the prompt, one a seed, and pushed away from what `negative` says.

        seeds: 0 to 2^32 - 1. steps: 1 to T. guidance: 0 (ignore the prompt), 1 (what the network learnt), more (what it
        learnt, exaggerated), up to 100. sampler: a name in SAMPLERS. Raises ValueError for anything else.
        """
        pixels = to_pixels(self.generate(prompt, seeds, steps, guidance, negative, sampler, on_step))
        settings = (steps, float(guidance), sampler, self.size, self.weights, minidiffusion.__version__)
        return [
            Picture(PIL.Image.fromarray(array), Record(prompt, negative, int(seed), *settings))
            for array, seed in zip(pixels, seeds, strict=True)
        ]


def find_weights(weights: str | Path) -> Path:
    r"""The folder of the weights that come with minidiffusion under this name, or else the folder itself.

    Write "./NAME" for a folder that has the name of shipped weights. Raises CheckpointError if there is neither.
    """
    shipped = [path.parent.name for path in sorted(SHIPPED.glob(f"*/{INDEX}"))]
    folder = SHIPPED / weights if weights in shipped else Path(weights)
    if not folder.is_dir():
        names = ", ".join(shipped) or "none"
        raise CheckpointError(f"There are no weights {str(weights)!r}: no such folder, and shipped are: {names}.")
    return folder


def check(prompts: Sequence[str], seeds: Sequence[int], guidance: float, sampler: str) -> None:
    r"""Raises ValueError, naming what is valid, for settings outside their range."""
    if not seeds or len(prompts) != len(seeds):
        raise ValueError(f"Each picture needs a prompt and a seed, not {len(prompts)} prompts and {len(seeds)} seeds.")
    for seed in seeds:
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"The seed is {seed}; valid are 0 to {MAX_SEED}.")
    if not 0 <= guidance <= MAX_GUIDANCE:  # NaN fails every comparison
        raise ValueError(f"The guidance is {guidance}; valid are 0 to {MAX_GUIDANCE:.0f}.")
    if sampler not in SAMPLERS:
        raise ValueError(f"The sampler is {sampler!r}; valid are {', '.join(SAMPLERS)}.")


def to_pixels(pictures: Float[Tensor, "b 3 h w"]) -> UInt8[np.ndarray, "b h w 3"]:
    r"""[-1, 1] to 0..255, rounded to the nearest."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def write_index(folder: str | Path, schedule: Name, T: int, prediction: Kind) -> None:
    r"""Write model.json for the trained networks in a folder: the last step, which makes them loadable.

    A judge is listed as well if there is one. Raises CheckpointError if another file is missing.
    """
    judge = [path.name for path in sorted(Path(folder).glob("judge.*"))]
    sha256 = {name: file_hash(Path(folder, name)) for name in [*FILES, *judge]}
    context_length = load_config(Path(folder, "clip.json"), CLIPConfig).context_length
    index = Index(schedule, T, prediction, context_length, sha256)
    write_atomically(Path(folder, INDEX), (json.dumps(asdict(index), indent=2) + "\n").encode())
