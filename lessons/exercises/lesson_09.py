r"""The exercises of lesson 09: merging a tile into a running softmax, the mask of a tile, and the bytes that move."""

import math

import torch

from lessons.check import Exercise, Exercises


def merge(peak, total, weighted, scores, values):
    r"""A running softmax, one tile of keys later. peak, total `m`, weighted `m d`, scores `m n`, values `n d`."""
    new_peak = torch.maximum(peak, scores.amax(dim=1))
    p = torch.exp(scores - new_peak[:, None])
    shrink = torch.exp(peak - new_peak)
    return new_peak, total * shrink + p.sum(dim=1), weighted * shrink[:, None] + p @ values


def visible(first_query, first_key, rows, columns, n, causal):
    r"""Which scores of a tile count: `rows columns`, True where there is a key and, if causal, not after the query."""
    query = first_query + torch.arange(rows)[:, None]
    key = first_key + torch.arange(columns)[None, :]
    return (key < n) & ((key <= query) if causal else torch.ones_like(query, dtype=torch.bool))


def bytes_moved(m, n, d, block, size):
    r"""Bytes that a fused kernel asks for, for one head: q, o and L once, k and v once for each tile of queries."""
    return 2 * m * d * size + 2 * n * d * size * math.ceil(m / block) + 4 * m


# ------------------------------------------------------------------------------------------------- cases


def tile_cases():
    generator = torch.Generator().manual_seed(0)
    for m, n, d, shift in ((3, 4, 2, 0.0), (3, 5, 2, 4.0), (2, 3, 4, -4.0), (2, 2, 3, 1000.0)):
        scores = torch.randn(m, n, generator=generator, dtype=torch.float64) + shift
        values = torch.randn(n, d, generator=generator, dtype=torch.float64)
        peak = torch.randn(m, generator=generator, dtype=torch.float64) + max(shift - 2, 0)
        total = 1 + torch.rand(m, generator=generator, dtype=torch.float64)
        yield peak, total, torch.randn(m, d, generator=generator, dtype=torch.float64), scores, values
    start = torch.full((m,), -math.inf, dtype=torch.float64)  # before the first tile: nothing has been seen
    yield start, torch.zeros_like(start), torch.zeros(m, d, dtype=torch.float64), scores, values


def mask_cases():
    yield 0, 32, 4, 8, 37, False
    yield 8, 0, 8, 8, 37, False
    yield 8, 8, 8, 8, 12, True
    yield 0, 4, 8, 4, 100, True
    yield 16, 4, 4, 8, 11, True


def byte_cases():
    yield 4096, 4096, 40, 128, 2
    yield 4096, 77, 40, 128, 2
    yield 100, 70, 16, 32, 4
    yield 33, 130, 64, 64, 4


# ------------------------------------------------------------------------------------------------- likely mistakes


def from_parts(wrong):
    r"""A wrong merge from wrong(old state, new peak, p, shrink, p @ values)."""

    def merge(peak, total, weighted, scores, values):
        new_peak = torch.maximum(peak, scores.amax(dim=1))
        p, shrink = torch.exp(scores - new_peak[:, None]), torch.exp(peak - new_peak)
        return wrong((peak, total, weighted), new_peak, p, shrink, p @ values)

    return merge


def of_this_tile(peak, total, weighted, scores, values):
    new_peak = scores.amax(dim=1)
    p, shrink = torch.exp(scores - new_peak[:, None]), torch.exp(peak - new_peak)
    return new_peak, total * shrink + p.sum(dim=1), weighted * shrink[:, None] + p @ values


def relative_to_the_old(peak, total, weighted, scores, values):
    new_peak = torch.maximum(peak, scores.amax(dim=1))
    p, shrink = torch.exp(scores - peak[:, None]), torch.exp(peak - new_peak)
    return new_peak, total * shrink + p.sum(dim=1), weighted * shrink[:, None] + p @ values


def to_nothing(peak, total, weighted, scores, values):
    new_peak = torch.maximum(peak, scores.amax(dim=1))
    p = torch.exp(scores)
    return new_peak, total + p.sum(dim=1), weighted + p @ values


def with_places(wrong):
    r"""A wrong mask from wrong(query, key, n, causal); query and key are the places that the tile covers."""

    def visible(first_query, first_key, rows, columns, n, causal):
        query, key = torch.broadcast_tensors(
            first_query + torch.arange(rows)[:, None], first_key + torch.arange(columns)[None, :]
        )
        return wrong(query, key, n, causal)

    return visible


check = Exercises(
    merge=Exercise(
        merge,
        tile_cases,
        mistakes={
            "the old total belongs to the old peak: it must shrink by exp(old peak - new peak)":
                from_parts(lambda old, peak, p, shrink, pv: (peak, old[1] + p.sum(1), old[2] * shrink[:, None] + pv)),
            "the old weighted sum belongs to the old peak: it must shrink, as the total does":
                from_parts(lambda old, peak, p, shrink, pv: (peak, old[1] * shrink + p.sum(1), old[2] + pv)),
            "nothing shrinks: what was summed before is relative to the old peak":
                from_parts(lambda old, peak, p, shrink, pv: (peak, old[1] + p.sum(1), old[2] + pv)),
            "the exponent has the wrong sign: sums shrink when the peak grows, by exp(old peak - new peak)":
                from_parts(lambda old, peak, p, shrink, pv:
                           (peak, old[1] / shrink + p.sum(1), old[2] / shrink[:, None] + pv)),
            "divide once, at the end: weighted is a sum, and the next tile will be added to it":
                from_parts(lambda old, peak, p, shrink, pv: (
                    peak, old[1] * shrink + p.sum(1),
                    (old[2] * shrink[:, None] + pv) / (old[1] * shrink + p.sum(1))[:, None])),
            "the peak is the largest score of all tiles so far, not of this one alone":
                of_this_tile,
            "the weights of the new tile are relative to the new peak, not to the old one":
                relative_to_the_old,
            "exp(score) alone overflows: take the new peak off first":
                to_nothing,
        },
    ),
    visible=Exercise(
        visible,
        mask_cases,
        mistakes={
            "there are n keys, 0 to n - 1; key n is not there":
                with_places(lambda query, key, n, causal: (key <= n) & ((key <= query) | (not causal))),
            "a query may see its own key: not after it, so <= and not <":
                with_places(lambda query, key, n, causal: (key < n) & ((key < query) | (not causal))),
            "this hides the past; causal hides keys after the query":
                with_places(lambda query, key, n, causal: (key < n) & ((key >= query) | (not causal))),
            "with causal, the last tile may be ragged as well: both conditions must hold":
                with_places(lambda query, key, n, causal: key <= query if causal else key < n),
            "causal is not looked at: without it a query may see all n keys":
                with_places(lambda query, key, n, causal: (key < n) & (key <= query)),
            "the future is not hidden: with causal, a key must not come after the query":
                with_places(lambda query, key, n, causal: key < n),
            "a tile counts its own rows and columns from 0; its places begin at first_query and first_key":
                lambda first_query, first_key, rows, columns, n, causal: visible(0, 0, rows, columns, n, causal),
        },
    ),
    bytes_moved=Exercise(
        bytes_moved,
        byte_cases,
        mistakes={
            "a last tile of queries that is not full reads all keys as well: round the number of tiles up":
                lambda m, n, d, block, size: 2 * m * d * size + 2 * n * d * size * m / block + 4 * m,
            "a last tile of queries that is not full is a tile as well: round up, not down":
                lambda m, n, d, block, size: 2 * m * d * size + 2 * n * d * size * (m // block) + 4 * m,
            "this is the least that any kernel must move; here each tile of queries asks for all keys and values":
                lambda m, n, d, block, size: 2 * m * d * size + 2 * n * d * size + 4 * m,
            "L is missing: one number of 4 bytes a query":
                lambda m, n, d, block, size: bytes_moved(m, n, d, block, size) - 4 * m,
            "L is float32 whatever q is: 4 bytes a query":
                lambda m, n, d, block, size: bytes_moved(m, n, d, block, size) + (size - 4) * m,
            "the output is missing: m rows are written as well":
                lambda m, n, d, block, size: bytes_moved(m, n, d, block, size) - m * d * size,
            "keys and values are read, both":
                lambda m, n, d, block, size: bytes_moved(m, n, d, block, size) - n * d * size * math.ceil(m / block),
            "there is no m x n matrix in memory any more":
                lambda m, n, d, block, size: bytes_moved(m, n, d, block, size) + m * n * size,
            "a program keeps its queries: q is read once, not once for each tile of keys":
                lambda m, n, d, block, size: (
                    m * d * size * (1 + math.ceil(n / block)) + 2 * n * d * size * math.ceil(m / block) + 4 * m),
            "these are numbers, not bytes: each takes `size` bytes":
                lambda m, n, d, block, size: 2 * m * d + 2 * n * d * math.ceil(m / block) + m,
        },
    ),
)  # fmt: skip
