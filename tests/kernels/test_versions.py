r"""The numbered versions: right to rounding, in bounds, and as cheap as their headers say."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from minidiffusion_kernels.attention.versions import VERSIONS, version
from tests.kernels.measures import error, hold_to

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
interpreted = pytest.mark.skipif(DEVICE == "cuda", reason="counted in the interpreter only")
compilable = pytest.mark.skipif(sys.platform != "linux", reason="needs Triton's compiler")

MATRIX = ("v0_formula", "v1_softmax")  # these round the scores to the dtype of q, and hold them in memory
FUSED = ("v2_online", "v3_masks", "v4_tuned")
MASKED = ("v3_masks", "v4_tuned")
WHOLE, RAGGED = [(32, 32), (64, 96), (160, 64)], [(1, 1), (45, 77), (100, 33)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def inputs(m, n, d, dtype=torch.float32, b=2, h=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    lengths = (m, n, n)
    return [torch.randn(b, h, x, d, generator=g, dtype=torch.float64).to(DEVICE, dtype) for x in lengths]


def formula(q, k, v, causal=False):
    """In float64, written out once more: the versions share no line with it."""
    scores = torch.einsum("bhmd,bhnd->bhmn", q.double(), k.double()) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.where(torch.ones_like(scores[0, 0]).tril() == 1, -math.inf)
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    return torch.einsum("bhmn,bhnd->bhmd", weights / weights.sum(-1, keepdim=True), v.double())


def run(name, *qkv, **options):
    """The result of a version; nothing that it does may go astray."""
    if DEVICE == "cuda":
        return version(name).attention(*qkv, **options)
    from minidiffusion_kernels.traffic import traffic

    with traffic() as moved:
        o = version(name).attention(*qkv, **options)
    assert moved.strays == [] and moved.atomics == 0
    return o


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("m, n", WHOLE)
@pytest.mark.parametrize("name", VERSIONS)
def test_every_version_computes_the_formula(name, m, n, dtype):
    qkv = inputs(m, n, 16 if m > 100 else 32, dtype)
    o, exact = run(name, *qkv), formula(*qkv)
    assert o.shape == exact.shape and o.dtype == dtype
    if name in MATRIX:  # scores, weights and result are rounded, half a unit each
        assert error(o, exact) <= {torch.float32: 5e-7, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    else:
        hold_to({"o": o}, {"o": version("v0_formula").attention(*qkv)}, {"o": exact}, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [16, 40])
@pytest.mark.parametrize("m, n, causal", [(*lengths, False) for lengths in RAGGED] + [(1, 1, True), (77, 77, True)])
@pytest.mark.parametrize("name", MASKED)
def test_from_version_3_on_any_lengths_and_causal(name, m, n, causal, d, dtype):
    qkv = inputs(m, n, d, dtype)
    exact = formula(*qkv, causal)
    from minidiffusion_kernels.attention.reference import attention as eager

    hold_to({"o": run(name, *qkv, causal=causal)}, {"o": eager(*qkv, causal=causal)}, {"o": exact}, dtype)


@pytest.mark.parametrize("size, highest", [(4, -64), (512, -1.04e6)])
@pytest.mark.parametrize("name", MASKED)
def test_scores_far_below_zero_leave_nothing_to_keys_that_are_not_there(name, size, highest):
    r"""Where there is no key, a score of 0 would win; and if all real scores are lower still, so would one of -1e6."""
    q, k, v = inputs(20, 45, 16)
    q, k = size * q.abs().ceil(), -size * k.abs().ceil()  # whole numbers: no score is rounded
    assert (q @ k.mT / 4).max() <= highest
    assert error(run(name, q, k, v), formula(q, k, v)) < 5e-7


@pytest.mark.parametrize("name", FUSED)
def test_scores_that_overflow_an_exponential(name):
    q, k, v = inputs(32, 64, 16)
    q, k = (10 * q).round(), (10 * k).round()  # whole numbers: no score is rounded, and they reach hundreds
    assert (q @ k.mT / 4).max() > 100
    assert error(run(name, q, k, v), formula(q, k, v)) < 5e-7


@pytest.mark.parametrize("causal", [False, True])
def test_version_3_keeps_the_logarithm_of_the_denominator(causal):
    q, k, v = inputs(45, 45, 16)
    _, L = version("v3_masks").forward(q, k, v, causal)
    scores = q.double() @ k.double().mT / 4
    scores = scores.masked_fill(torch.ones_like(scores).triu(1) * causal > 0, -math.inf)
    torch.testing.assert_close(L.double(), scores.logsumexp(-1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["v1_softmax", "v2_online"])
@pytest.mark.parametrize(
    "m, n, d, words",
    [
        (45, 64, 16, "45 queries: this version has no masks; there must be a multiple of 32"),
        (64, 77, 16, "77 keys: this version has no masks; there must be a multiple of 32"),
        (0, 64, 16, "0 queries"),
        (64, 64, 40, "heads are 40 wide; without masks, they must be powers of two"),
        (64, 64, 8, "heads are 8 wide"),
    ],
)
def test_versions_without_masks_refuse_tiles_that_are_not_whole(name, m, n, d, words):
    with pytest.raises(ValueError, match=words):
        version(name).attention(*inputs(m, n, d))


def test_causal_needs_as_many_keys_as_queries():
    with pytest.raises(ValueError, match="4 queries over 5 keys"):
        version("v3_masks").attention(*inputs(4, 5, 16), causal=True)


def test_a_version_that_is_not_there():
    with pytest.raises(ValueError, match=r"no version 'v5'; there are: v0_formula, v1_softmax"):
        version("v5")


# What the headers promise: numbers a head, from memory and to it.


def least(name, m, n, d):
    """If every kernel or operator reads what it needs once and writes its result once."""
    matrix = {"v0_formula": 6, "v1_softmax": 4}.get(name, 0) * m * n
    return matrix + 2 * m * d + 2 * n * d


def asked(name, m, n, d, block):
    """What the programs ask for: a row of K once for each tile of queries, and in v1 a row of Q for each of keys."""
    tiles = math.ceil(m / block)
    if name == "v1_softmax":
        return 4 * m * n + m * d * (n // block + 1) + 2 * n * d * tiles
    return 2 * m * d + 2 * n * d * tiles


def kept(name, m):
    """Bytes for the backward pass, float32 whatever the dtype: L, or peak and share."""
    return {"v3_masks": 4, "v4_tuned": 8}.get(name, 0) * m


@interpreted
@pytest.mark.parametrize("m, n, d", [(64, 96, 32), (128, 32, 16), (100, 77, 40)])
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_moves_the_bytes_that_its_header_says(name, m, n, d, dtype):
    from minidiffusion_kernels.attention.versions.cost import cost

    if m % 32 and name in ("v1_softmax", "v2_online"):
        m, n, d = 96, 64, 32
    heads, size = 6, dtype.itemsize
    paid = cost(version(name).attention, *inputs(m, n, d, dtype, b=2, h=3))
    assert paid.least == heads * (size * least(name, m, n, d) + kept(name, m))
    if name == "v0_formula":
        assert paid.asked is None
    else:
        assert paid.asked == heads * (size * asked(name, m, n, d, 32) + kept(name, m))
    assert paid.largest == heads * size * (m * n if name in MATRIX else m * d)


@interpreted
@pytest.mark.parametrize("name", ["v1_softmax", "v2_online", "v3_masks"])
def test_a_larger_tile_asks_for_less(name):
    from minidiffusion_kernels.attention.versions.cost import cost

    qkv = inputs(128, 64, 16)
    for block in (16, 64):
        paid = cost(version(name).attention, *qkv, block=block)
        assert paid.asked == 4 * (4 * asked(name, 128, 64, 16, block) + kept(name, 128))


@interpreted
@pytest.mark.parametrize("name", MASKED)
def test_causal_does_not_load_what_no_query_may_see(name):
    from minidiffusion_kernels.traffic import traffic

    qkv = inputs(100, 100, 16, torch.float16, b=1, h=1)
    with traffic() as moved:
        version(name).attention(*qkv, causal=True)
    assert moved.loads["k"] == moved.loads["v"] == (32 + 64 + 96 + 100) * 16 * 2


def test_the_formula_at_the_size_of_stable_diffusion():
    from minidiffusion_kernels.attention.versions.cost import cost

    x = torch.empty(1, 8, 4096, 40, dtype=torch.float16, device="meta")
    paid = cost(version("v0_formula").attention, x, x, x)
    assert paid.largest == 268_435_456
    assert round(paid.least / (4 * x.nbytes)) == 155  # as its header says


ROOT = Path(__file__).parents[2]


def fresh(*words, **environment):
    """What a new Python process prints, one that does not interpret."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | environment
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_table_of_versions_and_the_formula_load_no_triton():
    table = "from minidiffusion_kernels.attention.versions import version"
    code = f"import sys; {table}; version('v0_formula'); print(*sys.modules)"
    assert "triton" not in fresh("-c", code).split()


@pytest.mark.slow
@compilable
def test_each_step_costs_or_saves_the_instructions_that_version_4_tells_of(tmp_path):
    lines = fresh("-m", "minidiffusion_kernels.attention.versions", TRITON_CACHE_DIR=str(tmp_path)).splitlines()
    for card in ("sm_80", "sm_90"):
        rows = [line for line in lines if line.startswith(card)]
        assert all(" spills 0 " in row for row in rows)
        loop = {row.split(" registers")[0][6:].strip(): int(row.split("loop ")[1].split(":")[0]) for row in rows}
        assert 100 < loop["v2"] < loop["v3"] < loop["v3 causal"]
        assert max(loop["v4"], loop["v4 causal"]) < 0.75 * loop["v2"]
        assert abs(loop["v4"] - loop["v4 causal"]) < 10  # the first loop has no masks, causal or not
