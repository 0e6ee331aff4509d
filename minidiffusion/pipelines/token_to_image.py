r"""Text to image by tokens: a transformer writes the picture, CLIP chooses (article 6.1; Dayma et al. 2021).

    prompt --tokenizer--> words --+
                                  v
    seed --> id_1 -> transformer -> id_2 -> ... -> id_64 --codebook--> a draft --+
    seed' --> ...                                                      a draft --+--> the one nearest to the prompt

Diffusion draws all of a picture at once, from coarse to fine; a transformer writes it row by row, and never goes back.
So it can continue a picture whose first rows are given, and there is no step to stop at. An error in the first rows
cannot be corrected in later ones; that is why DALL-E Mini drew many drafts, and let CLIP choose (Ramesh et al. 2021,
section 2.6).

As with diffusion, a picture is decided by its prompt, its seed and the settings, and not by the rest of its batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from minidiffusion.checkpoint import CheckpointError, load_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.errors import UserError
from minidiffusion.images.pixels import to_tensor
from minidiffusion.images.record import Picture, with_records
from minidiffusion.pretrained.weights import check_fit, files_hash, find_weights
from minidiffusion.prompt.conditions import forget
from minidiffusion.prompt.flags import Prompt, given
from minidiffusion.prompt.format import record_text
from minidiffusion.prompt.parser import parse_each
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.tokens.sampling import Token, sample_tokens
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig

from .settings import SamplingSettings, check_guidance, check_seeds

MOST_DRAFTS = 64
FLAGS = ("chaos", "no", "seed", "repeat")
"""The flags that mean something to it."""
MADE_BY = {"clip": "clip", "tokenizer": "clip", "codebook": "codebook", "tokens": "tokens"}
"""Which training makes a file."""


@dataclass(frozen=True)
class TokenSamplingSettings:
    r"""How tokens are drawn (`tokens/sampling.py`), and how often. Raises UserError for a value out of range."""

    guidance: float | None = None
    """The s of super-conditioning: 0 ignores the prompt, 1 adds nothing to what the transformer learnt. None is what
    suits the weights."""
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 0.95
    drafts: int = 1
    """1 to 64 for each picture; the result is the draft that CLIP finds nearest to the prompt."""
    on_token: Callable[[Token], None] | None = None
    """Called after each token, to show it."""

    def __post_init__(self) -> None:
        if self.guidance is not None:
            check_guidance(self.guidance)
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"temperature must be above 0, got {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k must be at least 1, got {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, got {self.top_p}.")
        if not 1 <= self.drafts <= MOST_DRAFTS:
            raise UserError(f"drafts must be between 1 and {MOST_DRAFTS}, got {self.drafts}.")


DEFAULTS = TokenSamplingSettings()


class TokenPipeline:
    r"""The trained parts, put together. Raises UserError for parts that do not fit each other."""

    by_tokens = True
    """It can do the actions whose `by_tokens` is the same (`actions/action.py`)."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        clip: CLIP,
        codebook: PictureTokenizer,
        transformer: Seq2Seq,
        weights_hash: str = "",
        guidance: float = 1.5,
    ):
        self.tokenizer, self.weights_hash, self.guidance = tokenizer, weights_hash, guidance
        self.clip, self.codebook, self.transformer = clip.eval(), codebook.eval(), transformer.eval()
        self.rows = isqrt(transformer.config.places)
        self.size = self.rows * codebook.config.vae.downsampling
        check_fit(
            ("words of the tokenizer, and of the transformer", tokenizer.vocab_size, transformer.config.text_vocab),
            ("the end of a text, to both", tokenizer.end, transformer.config.text_end),
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, clip.config.vocab_size),
            ("codes of the codebook, and of the transformer", codebook.config.codes, transformer.config.codes),
            ("places of a picture, and the next square", transformer.config.places, self.rows**2),
            ("pixels of a picture, and of what CLIP sees", self.size, clip.config.picture_size),
        )

    @classmethod
    def load(cls, weights: str | Path = "picturebook", device: str | torch.device = "cpu") -> "TokenPipeline":
        r"""The weights of that name that come with minidiffusion, or those in a folder.

        Raises CheckpointError, with one sentence, for files that are damaged or of other networks; for one that is
        missing, it says which training makes it.
        """
        folder = find_weights(weights)
        endings = {name: (".json",) if name == "tokenizer" else (".json", ".safetensors") for name in MADE_BY}
        files = {folder / f"{name}{ending}": name for name in MADE_BY for ending in endings[name]}
        for path, name in files.items():
            if not path.is_file():
                command = f"minidiffusion train {MADE_BY[name]} --out {folder}"
                raise CheckpointError(f"{folder} lacks {path.name}, which this command makes: {command}.")
        try:
            return cls(
                Tokenizer.load(folder / "tokenizer.json"),
                load_model(folder, "clip", CLIPConfig, CLIP),
                load_model(folder, "codebook", PictureTokenizerConfig, PictureTokenizer),
                load_model(folder, "tokens", Seq2SeqConfig, Seq2Seq),
                files_hash([*files]),
            ).to(device)
        except UserError as error:
            raise CheckpointError(f"{folder}: {error}") from error

    def to(self, device: str | torch.device) -> "TokenPipeline":
        r"""Move the networks."""
        for network in (self.clip, self.codebook, self.transformer):
            network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        r"""Where the networks are."""
        return self.transformer.head.weight.device

    @property
    def context_length(self) -> int:
        r"""How many tokens of a prompt are read, start and end of text among them."""
        return self.transformer.config.text_length

    def words(self, prompts: Sequence[str]) -> Int[Tensor, "b m"]:
        r"""What the transformer reads of the prompts. Of a long prompt, only the beginning."""
        return self.tokenizer(prompts, self.context_length).to(self.device)

    @torch.inference_mode()
    def decode(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b 3 H W"]:
        r"""Whole pictures of tokens to pictures in [-1, 1]."""
        return self.codebook.decode(rearrange(ids, "b (h w) -> b h w", h=self.rows)).clamp(-1, 1)

    @torch.inference_mode()
    def first_rows(self, image: PIL.Image.Image, rows: int) -> Int[Tensor, "1 g"]:
        r"""The tokens of the first rows of a picture. Raises UserError for another size, and if nothing is left."""
        if image.size != (self.size, self.size) or not 0 < rows < self.rows:
            raise UserError(
                f"To continue a picture, it must be {self.size} x {self.size}, got {image.width} x {image.height}, "
                f"and rows must be between 1 and {self.rows - 1}, got {rows}."
            )
        return self.codebook.encode(to_tensor(image).to(self.device))[:, :rows].flatten(1)

    # ------------------------------------------------------------------------------------------------------- sampling

    def scale(self, settings: TokenSamplingSettings | SamplingSettings) -> float:
        r"""The guidance of the settings, or what suits the weights."""
        return self.guidance if settings.guidance is None else settings.guidance

    def sample(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        seeds: Sequence[int],
        settings: TokenSamplingSettings = DEFAULTS,
        known: Int[Tensor, "1 g"] | None = None,
    ) -> Iterator[Token]:
        r"""The tokens of `settings.drafts` drafts a seed, place by place; the last has all ids, `b * drafts` rows.

        prompts: one for all seeds, or one for each, in the prompt language or parsed. known: tokens of the first rows
        (`first_rows`). Raises UserError for settings outside their range, and as `words_of` does.
        """
        check_seeds(seeds)
        prompts = parse_each(prompts, len(seeds))
        codes = self.transformer.config.codes
        if settings.top_k is not None and settings.top_k > codes:
            raise UserError(f"top_k must be between 1 and {codes}, got {settings.top_k}.")
        n, own = settings.drafts, [draft for seed in seeds for draft in draft_seeds(seed, settings.drafts)]
        texts = [words_of(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True) for _ in range(n)]
        for token in sample_tokens(
            self.transformer,
            self.words(texts),
            self.words([", ".join(prompt.no) for prompt in prompts for _ in range(n)]),
            [torch.Generator().manual_seed(seed) for seed in own],
            scale=self.scale(settings),
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            given=None if known is None else known.expand(len(own), -1),
        ):
            if settings.on_token is not None:
                settings.on_token(token)
            yield token

    @torch.inference_mode()
    def generate(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        seeds: Sequence[int],
        settings: TokenSamplingSettings = DEFAULTS,
        known: Int[Tensor, "1 g"] | None = None,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed: of its drafts, the one that CLIP finds nearest to the prompt.

        Arguments as of `sample`.
        """
        prompts, n = parse_each(prompts, len(seeds)), settings.drafts
        *_, last = self.sample(prompts, seeds, settings, known)
        x = self.decode(last.ids)
        if n == 1:
            return x
        texts = [words_of(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True) for _ in range(n)]
        best = rearrange(self.similarity(x, texts), "(b n) -> b n", n=n).argmax(dim=1)
        return rearrange(x, "(b n) c h w -> b n c h w", n=n)[torch.arange(len(best)), best]

    @torch.inference_mode()
    def similarity(self, x: Float[Tensor, "b 3 H W"], texts: Sequence[str]) -> Float[Tensor, "b"]:
        r"""The cosine between CLIP's vectors of each picture and its text."""
        ids = self.tokenizer(texts, self.clip.config.context_length).to(self.device)
        return (self.clip.encode_image(x) * self.clip.encode_text(ids)).sum(dim=1)

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
        r"""The pictures of an action with their records; a step is a token, and the "sampler" says so."""
        shared = {"action": action, "prompt": record_text(prompt), "weights": self.weights_hash, "sampler": "tokens"}
        shared |= {"steps": self.transformer.config.places, "guidance": float(self.scale(settings))}
        return with_records(x, seeds, sources, options, **shared)


def draft_seeds(seed: int, n: int) -> list[int]:
    r"""The seeds of a picture's drafts: its own, and n - 1 that it decides. More drafts begin with the same ones."""
    others = torch.randint(2**32, (n - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *others.tolist()]


def words_of(prompt: Prompt, seed: int = 0) -> str:
    r"""The words of a prompt, without those that --chaos makes the picture of this seed forget.

    Raises UserError, naming it, for anything that the transformer was not trained for.
    """
    if prompt.images:
        raise UserError("The token pipeline cannot look at pictures; the prompt may name none.")
    if len(prompt.parts) > 1:
        raise UserError("The token pipeline takes one text; :: makes several of it.")
    for name, *_ in given(prompt):
        if name not in FLAGS:
            raise UserError(f"--{name} is not for the token pipeline; its flags: --{', --'.join(FLAGS)}.")
    return forget(prompt.parts[0].text if prompt.parts else "", prompt.chaos, seed)
