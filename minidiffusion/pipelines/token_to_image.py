r"""The other road from a prompt to pictures: a transformer writes them (article 6.1; Dayma et al. 2021).

    prompt --tokenizer--> words --+
                                  v
    seed --> id_1 -> transformer -> id_2 -> ... -> id_64 --codebook--> a draft --+
    seed' --> ...                                                      a draft --+--> CLIP takes the best

Diffusion draws all of a picture at once, from coarse to fine; a transformer writes it row by row, and never goes back.
So it can go on with a picture whose first rows are given, and there is no step to stop at. What a draft lost in its
first rows, the others cannot repair; that is why DALL-E Mini drew many, and let CLIP choose (Ramesh et al. 2021,
section 2.6).

As on the first road, a picture is decided by its prompt, its seed and the settings, and not by its neighbours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

import PIL.Image
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

import minidiffusion
from minidiffusion.checkpoint import CheckpointError, load_model
from minidiffusion.clip.encoder import CLIP, CLIPConfig
from minidiffusion.clip.tokenizer import Tokenizer
from minidiffusion.tokens.codebook import PictureTokenizer, PictureTokenizerConfig
from minidiffusion.tokens.sampling import Token
from minidiffusion.tokens.sampling import write as write_tokens
from minidiffusion.tokens.seq2seq import Seq2Seq, Seq2SeqConfig

from minidiffusion.images.pixels import to_tensor
from minidiffusion.images.pixels import to_pixels
from minidiffusion.prompt.parser import Prompt, format, given, parse
from minidiffusion.images.record import Picture, Record
from minidiffusion.pipelines.settings import check
from minidiffusion.pretrained.stable_diffusion import hash_of
from minidiffusion.prompt.conditions import forget
from minidiffusion.pretrained.weights import find_weights

MOST_DRAFTS = 64
OBEYED = ("chaos", "no", "seed", "repeat")
MADE_BY = {"clip": "clip", "tokenizer": "clip", "codebook": "codebook", "tokens": "tokens"}
"""Which training makes a file."""


@dataclass(frozen=True)
class TokenSamplingSettings:
    r"""How tokens are drawn (`tokens/sampling.py`), and how often. Raises ValueError for drafts outside their range."""

    guidance: float | None = None
    """The s of super-conditioning: 0 ignores the prompt, 1 adds nothing to what the transformer learnt. None is what
    suits the weights."""
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 0.95
    drafts: int = 1
    """1 to 64: so many are written for each picture, and the one is shown that CLIP finds nearest to the prompt."""
    on_token: Callable[[Token], None] | None = None
    """Called after each token, to show it."""

    def __post_init__(self) -> None:
        if not 1 <= self.drafts <= MOST_DRAFTS:
            raise ValueError(f"The drafts are {self.drafts}; valid are 1 to {MOST_DRAFTS}.")


DEFAULTS = TokenSamplingSettings()


class TokenPipeline:
    r"""The trained parts, put together. Raises ValueError for parts that do not fit each other."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        clip: CLIP,
        codebook: PictureTokenizer,
        transformer: Seq2Seq,
        weights: str = "",
        guidance: float = 1.5,
    ):
        self.tokenizer, self.weights, self.guidance = tokenizer, weights, guidance
        self.clip, self.codebook, self.transformer = clip.eval(), codebook.eval(), transformer.eval()
        self.rows = isqrt(transformer.config.places)
        self.size = self.rows * codebook.config.vae.downsampling
        for what, a, b in (
            ("words of the tokenizer, and of the transformer", tokenizer.vocab_size, transformer.config.text_vocab),
            ("the end of a text, to both", tokenizer.end, transformer.config.text_end),
            ("tokens of the tokenizer, and of CLIP", tokenizer.vocab_size, clip.config.vocab_size),
            ("codes of the codebook, and of the transformer", codebook.config.codes, transformer.config.codes),
            ("places of a picture, and the next square", transformer.config.places, self.rows**2),
            ("pixels of a picture, and of what CLIP sees", self.size, clip.config.picture_size),
        ):
            if a != b:
                raise ValueError(f"The networks do not fit each other ({what}: {a} and {b}).")

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
                hash_of([*files]),
            ).to(device)
        except ValueError as error:
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
        r"""The tokens of the first rows of a picture. Raises ValueError for another size, and if nothing is left."""
        if image.size != (self.size, self.size) or not 0 < rows < self.rows:
            raise ValueError(
                f"To go on with a picture, it must be {self.size} x {self.size} (it is {image.width} x {image.height}) "
                f"and 1 to {self.rows - 1} of its rows of tokens given, not {rows}."
            )
        return self.codebook.encode(to_tensor(image).to(self.device))[:, :rows].flatten(1)

    # ------------------------------------------------------------------------------------------------------- sampling

    def scale(self, how: TokenSamplingSettings) -> float:
        return self.guidance if how.guidance is None else how.guidance

    def tokens(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        how: TokenSamplingSettings = DEFAULTS,
        negative: str = "",
        begin: Int[Tensor, "1 g"] | None = None,
    ) -> Iterator[Token]:
        r"""The tokens of one draft a seed, place by place; the last has all ids."""
        yield from write_tokens(
            self.transformer,
            self.words(prompts),
            self.words([negative] * len(seeds)),
            [torch.Generator().manual_seed(seed) for seed in seeds],
            scale=self.scale(how),
            temperature=how.temperature,
            top_k=how.top_k,
            top_p=how.top_p,
            given=None if begin is None else begin.expand(len(seeds), -1),
        )

    @torch.inference_mode()
    def generate(
        self,
        prompts: str | Sequence[str],
        seeds: Sequence[int],
        how: TokenSamplingSettings = DEFAULTS,
        negative: str = "",
        begin: Int[Tensor, "1 g"] | None = None,
    ) -> Float[Tensor, "b 3 H W"]:
        r"""Pictures as numbers in [-1, 1], one a seed.

        prompts: one for all seeds, or one for each. negative: takes the place of the empty prompt, which guidance leads
        away from. begin: tokens of the first rows (`first_rows`), if they are known. Raises ValueError for settings
        outside their range.
        """
        prompts = [prompts] * len(seeds) if isinstance(prompts, str) else list(prompts)
        check(prompts, seeds, self.scale(how))
        n = how.drafts
        texts = [text for text in prompts for _ in range(n)]
        for token in self.tokens(texts, [s for seed in seeds for s in drafts_of(seed, n)], how, negative, begin):
            if how.on_token is not None:
                how.on_token(token)
        x = self.decode(token.ids)
        if n == 1:
            return x
        best = rearrange(self.agreement(x, texts), "(b n) -> b n", n=n).argmax(dim=1)
        return rearrange(x, "(b n) c h w -> b n c h w", n=n)[torch.arange(len(best)), best]

    @torch.inference_mode()
    def agreement(self, x: Float[Tensor, "b 3 H W"], prompts: Sequence[str]) -> Float[Tensor, "b"]:
        r"""The cosine between CLIP's vectors of each picture and its prompt."""
        ids = self.tokenizer(prompts, self.clip.config.context_length).to(self.device)
        return (self.clip.encode_image(x) * self.clip.encode_text(ids)).sum(dim=1)


def drafts_of(seed: int, n: int) -> list[int]:
    r"""The seeds of a picture's drafts: its own, and n - 1 that it decides. More drafts begin with the same ones."""
    others = torch.randint(2**32, (n - 1,), generator=torch.Generator().manual_seed(seed))
    return [seed, *others.tolist()]


# --------------------------------------------------------------------------------------------- an action of the studio


def write(
    writer: TokenPipeline,
    prompt: str | Prompt,
    seeds: Sequence[int],
    how: TokenSamplingSettings = DEFAULTS,
    begin: Picture | None = None,
    rows: int = 0,
) -> list[Picture]:
    r"""Pictures of the prompt, one a seed. begin: a picture whose first so many rows of tokens are kept.

    Kept are its tokens: of its pixels, only what the codebook can tell. Raises ValueError for settings outside their
    range, and as `sentence` does.
    """
    prompt = parse(prompt) if isinstance(prompt, str) else prompt
    text = sentence(prompt)
    known = None if begin is None else writer.first_rows(begin.image, rows)
    x = writer.generate([forget(text, prompt.chaos, seed) for seed in seeds], seeds, how, ", ".join(prompt.no), known)

    settings = {name: getattr(how, name) for name in ("temperature", "top_k", "top_p", "drafts")}
    settings |= {} if begin is None else {"rows": rows}
    places = writer.transformer.config.places
    of_all = (places, float(writer.scale(how)), "tokens", writer.size, writer.size, writer.weights)
    sources = () if begin is None else (begin.source,)
    own = format(replace(prompt, seed=None, repeat=1))  # each picture has its own
    return [
        Picture(
            PIL.Image.fromarray(pixels),
            Record("write", own, int(seed), *of_all, minidiffusion.__version__, settings, sources),
        )
        for pixels, seed in zip(to_pixels(x), seeds, strict=True)
    ]


def sentence(prompt: Prompt) -> str:
    r"""The words of a prompt. Raises ValueError, naming it, for anything that a transformer cannot be told."""
    if prompt.images:
        raise ValueError("Pictures that are written as tokens cannot look at others; the prompt may name none.")
    if len(prompt.parts) > 1:
        raise ValueError("Pictures that are written as tokens have one prompt; :: makes several of it.")
    for name, *_ in given(prompt):
        if name not in OBEYED:
            raise ValueError(
                f"--{name} says nothing to pictures that are written as tokens; valid are --{', --'.join(OBEYED)}."
            )
    return prompt.parts[0].text if prompt.parts else ""
