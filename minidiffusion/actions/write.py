r"""Pictures of a prompt by the token pipeline: a transformer writes them row by row (article 6.1)."""

from typing import Annotated

from minidiffusion.pipelines.token_to_image import MOST_DRAFTS, TokenSamplingSettings

from .action import Option, action


@action(pictures=(0, 1), buttons={}, by_tokens=True)
def write(
    model, pictures, prompt, seeds, settings, *,
    temperature: Annotated[float, Option("above 0; below 1 probable tokens become more probable")] = 1.0,
    top_k: Annotated[int | None, Option("only the k most probable tokens are drawn; by default all")] = None,
    top_p: Annotated[float, Option("only the most probable tokens that together have this probability")] = 0.95,
    drafts: Annotated[int, Option("drafts of each picture, of which CLIP chooses one", 1, MOST_DRAFTS)] = 1,
    rows: Annotated[int | None, Option("how many rows of tokens of the picture are kept")] = None,
):  # fmt: skip
    r"""Pictures of the prompt, written token by token. pictures: perhaps one, whose first rows of tokens are kept.

    Kept are its tokens: of its pixels, only what the codebook can represent.
    """
    chosen = TokenSamplingSettings(settings.guidance, temperature, top_k, top_p, drafts, settings.on_step)
    known = model.first_rows(pictures[0].image, rows or 0) if pictures else None
    return model.generate(prompt, seeds, chosen, known)
