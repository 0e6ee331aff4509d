# %% [markdown]
# # 09 · A fused attention kernel
#
# **After this lesson you can**
#
# - say how many bytes attention moves, and why the m x n matrix of scores is what makes it slow;
# - compute a softmax over keys that come in pieces, in one pass, without overflow;
# - read a Triton kernel: programs, tiles, masks; and say what a mask must be and what it must not;
# - count the bytes of a kernel, and state a bound on its speed without calling it a measurement.
#
# **Time** 60 minutes. **Article** section 4.2.1. **Needs** lesson 08; no GPU, no download; Linux (Triton runs nowhere else).
# **Files** in `kernels/minidiffusion_kernels/`: `attention/versions/` (v0 to v4), `attention/forward.py`,
# `attention/backward.py`, `traffic.py`.

# %%
import os

os.environ["TRITON_INTERPRET"] = "1"  # no GPU: kernels run as Python. Must be said before the first kernel is imported

import math

import torch
import torch.nn.functional as F
from IPython.display import Image

# %%
from lessons.exercises.lesson_09 import check
from minidiffusion import viz
from minidiffusion.viz import tiles
from minidiffusion_kernels.attention import attention, backward, forward
from minidiffusion_kernels.attention.versions import VERSIONS, v0_formula, v1_softmax, v2_online, v3_masks, version
from minidiffusion_kernels.attention.versions.cost import cost
from minidiffusion_kernels.traffic import traffic

# %% [markdown]
# ## 1. The matrix
#
# Lesson 08 computed attention with three lines. They are version 0 of this lesson:

# %%
viz.show_source(v0_formula.attention)

# %% [markdown]
# Stable Diffusion 1.5 does this on latents of 64 x 64 places, so with m = 4,096 queries and n = 4,096 keys, in 8 heads of
# d = 40 numbers, in half precision (2 bytes a number).
#
# **Predict before you look.** Q, K, V and the output are 2.6 MB each. How large is the matrix of scores? And how many bytes
# move between the memory and the processor, in the four operators: product, division, softmax, product?
#
# We need no memory to find out: tensors on PyTorch's "meta" device have a shape and nothing else.

# %%
x = torch.empty(1, 8, 4096, 40, dtype=torch.float16, device="meta")
paid = cost(v0_formula.attention, x, x, x)
print(f"one of q, k, v, o    {x.nbytes / 1e6:7.1f} MB")
print(f"the matrix of scores {paid.largest / 1e6:7.1f} MB")
print(f"moved in all         {paid.least / 1e6:7.1f} MB, {paid.least / (4 * x.nbytes):.0f} times what goes in and comes out")

# %% [markdown]
# A **kernel** (核函数) is a function that runs on the GPU, and its results leave the chip when it ends. So a chain of four
# kernels takes the matrix to memory and back: written, read, written, read, written, read. A number arrives, is divided once,
# and goes again. By their data sheets, GPUs could do some hundred operations in that time; here it is the moving that counts,
# and the **memory bandwidth** (显存带宽), the bytes that memory can deliver in a second.
#
# To **fuse** (融合) is to do all of it in one kernel, on small pieces that never leave the chip.
#
# ## 2. Programs and tiles
#
# First the same thing in Triton, still as a chain: three kernels, with the matrix between them. A kernel is started as many
# **programs** (程序实例) at once; each asks for its number and takes its **tile** (分块), a rectangle that fits in the
# registers. Here a program takes a row of scores, and needs nothing but that row:

# %%
viz.show_source(v1_softmax.softmax_kernel.fn)

# %% [markdown]
# `s_ptr` is an address; `tl.load` takes a whole array of addresses. Arrays have sizes that are powers of two, so for n = 96
# keys a row of 128 addresses is made, and a **mask** (掩码) says which of them are really to be loaded. Why is the largest
# score taken off?
#
# **Predict.** The softmax of the scores 1, 90 and 100 in float32, without taking it off?

# %%
s = torch.tensor([1.0, 90.0, 100.0])
print("exp(s) / sum:              ", s.exp() / s.exp().sum())
print("exp(s - max) / sum of them:", (s - s.max()).exp() / (s - s.max()).exp().sum())

# %% [markdown]
# exp(89) is more than float32 can hold. That is why softmax goes over a row *three times*: for the largest score, for the sum,
# for the division. It seems to need the whole row at hand, and this is what stood in the way of fusing.
#
# ## 3. Exercise: a softmax in pieces
#
# The keys come tile by tile. What do we have to remember of those that we have seen? Say A is what was seen. Its part of
# the result is
#
# $$\mathrm{peak} = \max_{j \in A} s_j, \qquad \mathrm{total} = \sum_{j \in A} e^{s_j - \mathrm{peak}}, \qquad
# \mathrm{weighted} = \sum_{j \in A} e^{s_j - \mathrm{peak}}\, v_j$$
#
# and if there were no other keys, the output would be weighted / total. Now a new tile B comes, with a larger score in it. All
# that we summed is relative to a peak that is none any more. But exp(s - new peak) = exp(s - peak) exp(peak - new peak), and
# the second factor is *the same for all keys of A*. So both sums are repaired by one multiplication:
#
# $$\mathrm{total} \leftarrow \mathrm{total} \cdot e^{\mathrm{peak} - \mathrm{peak}'} + \sum_{j \in B} e^{s_j - \mathrm{peak}'}$$
#
# and weighted likewise. This is **online softmax** (在线 softmax; Milakov & Gimelshein 2018).
#
# **Write** `merge(peak, total, weighted, scores, values)` for m queries at once: peak and total `m`, weighted `m d`, the scores
# of the new tile `m n`, its values `n d`. Return the new peak, total and weighted. Before the first tile peak is -inf and
# the sums are 0; then exp(peak - new peak) = 0, and nothing special is to be done.

# %% tags=["ex-merge"]
def merge(peak, total, weighted, scores, values):
    raise NotImplementedError


# %%
merge = check("merge", merge)

# %% [markdown]
# <details><summary>Help</summary>
#
# `torch.maximum(peak, scores.amax(dim=1))` is the new peak. A vector `m` meets a matrix `m n` as `vector[:, None]`.
# </details>

# %% [markdown] tags=["solution-merge"]
# <details><summary>Solution</summary>
#
# ```python
# def merge(peak, total, weighted, scores, values):
#     new_peak = torch.maximum(peak, scores.amax(dim=1))
#     p = torch.exp(scores - new_peak[:, None])
#     shrink = torch.exp(peak - new_peak)
#     return new_peak, total * shrink + p.sum(dim=1), weighted * shrink[:, None] + p @ values
# ```
# </details>

# %% [markdown]
# **Predict.** Tiles of 1, 7 or 100 keys, from left to right or from right to left: how much will the results differ?

# %%
def in_pieces(q, k, v, pieces):
    m, d = q.shape
    state = torch.full((m,), -math.inf), torch.zeros(m), torch.zeros(m, d)
    for piece in pieces:
        state = merge(*state, q @ k[piece].T / d**0.5, v[piece])
    return state[2] / state[1][:, None]


generator = torch.Generator().manual_seed(0)
q, k, v = (torch.randn(length, 16, generator=generator) for length in (20, 100, 100))
exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
for size in (1, 7, 100):
    pieces = torch.arange(100).split(size)
    errors = [(in_pieces(q, k, v, p).double() - exact).abs().max() for p in (pieces, pieces[::-1])]
    print(f"tiles of {size:3}: largest error {errors[0]:.1e}, from the right {errors[1]:.1e}")

# %% [markdown]
# Not at all, but for the rounding of float32. The merge is exact, so the size of a tile is free, to be chosen for the
# hardware alone.
#
# ## 4. One kernel
#
# Version 2 is your function in Triton. Find the five lines of `merge` in it:

# %%
viz.show_source(v2_online.online_kernel.fn)

# %% [markdown]
# A program keeps BLOCK queries and walks along all keys. The variables live in registers (寄存器) until the last line.
#
# Now we watch it. `traffic` writes down every address that the kernel touches; that tells which program had which rows of
# which tensor, and when. What is in its registers leaves no address: **your `merge`** computes it again. The example: 40 queries,
# 56 keys, tiles of 16 x 16. Neither length is a multiple of 16, so this is version 3, which can do that.
#
# **Predict before you look.** How many programs? How often is a key loaded? Can a total become smaller?

# %%
generator = torch.Generator().manual_seed(2)
q, k, v = (torch.randn(length, 16, generator=generator) for length in (40, 56, 56))
q = 2 * q  # sharper weights
with traffic(stream=True) as moved:
    v3_masks.attention(q[None, None], k[None, None], v[None, None], block=16)
film = tiles.replay(moved.stream, q, k, v, merge)
tiles.film(film, shown=[0, 1, 3, 4, 7, 14], traced=[1, 4, 9])

# %% [markdown]
# **This is the picture to remember.** Three programs, each with up to 16 queries. A program loads its rows of Q once, and all
# of K and V, tile by tile. Of the dotted matrix one tile exists at a time. At the end one division, and the rows of O go out.
#
# Below, what program 0 keeps of three of its queries. Query 9 meets a larger score in the third tile: its peak jumps, and its
# total falls from over 5 to under 3, since everything before now weighs less. Query 4 saw its largest score at once. The
# output, right, is at every moment the attention over the keys seen so far.
#
# All 15 frames in turn:

# %%
Image(tiles.animation(film), format="gif")

# %% [markdown]
# ## 5. Exercise: the last tile
#
# 56 keys are three tiles and a half. What about the eight keys of the last tile that are not there? Their addresses belong to
# another head, or to nobody, so they must not be loaded: the mask of `tl.load` leaves them out and writes 0 instead. For a
# product this is harmless. But *a score of 0 is not a weight of 0*: exp(0 - peak) is something.
#
# And in the text encoder a word may not look at words after it (**causal**, 因果): there scores are to be hidden in the
# middle of a tile.
#
# **Write** `visible(first_query, first_key, rows, columns, n, causal)`: for a tile of `rows` queries and `columns` keys, which
# begins at these places, a boolean tensor `rows columns`. True: the key is one of the n keys, and with `causal` it does not
# come after the query. (A query may see the key in its own place.)

# %% tags=["ex-visible"]
def visible(first_query, first_key, rows, columns, n, causal):
    raise NotImplementedError


# %%
visible = check("visible", visible)

# %% [markdown]
# <details><summary>Help</summary>
#
# Make a column of the queries' places, `first_query + torch.arange(rows)[:, None]`, and a row of the keys' places. A comparison
# of the two is a matrix. Without `causal` the result must have all its rows as well.
# </details>

# %% [markdown] tags=["solution-visible"]
# <details><summary>Solution</summary>
#
# ```python
# def visible(first_query, first_key, rows, columns, n, causal):
#     query = first_query + torch.arange(rows)[:, None]
#     key = first_key + torch.arange(columns)[None, :]
#     there = (key < n).expand(rows, columns)
#     return there & (key <= query) if causal else there
# ```
# </details>

# %% [markdown]
# What shall a hidden score become? Three proposals: leave the 0 that came of the zeros; a large negative number, -1e6, as
# many programs do; or -inf.
#
# **Predict.** As a **negative control** we try all three, with ordinary scores, with scores that all lie below -100, and with
# scores that all lie below minus four million.

# %%
def padded(q, k, v, block, hidden):
    (m, d), n = q.shape, len(k)
    k, v = (F.pad(x, (0, 0, 0, -n % block)) for x in (k, v))  # as the mask of a load does
    state = torch.full((m,), -math.inf), torch.zeros(m), torch.zeros(m, d)
    for first in range(0, len(k), block):
        tile = slice(first, first + block)
        scores = q @ k[tile].T / d**0.5
        scores = torch.where(visible(0, first, m, block, n, False), scores, hidden)
        state = merge(*state, scores, v[tile])
    return state[2] / state[1][:, None]


# %%
low_q, low_k = 4 * q.abs().ceil(), -4 * k.abs().ceil()  # whole numbers, so that no score is rounded
for name, a, b in (("ordinary", q, k), ("below -100", low_q, low_k), ("below -4 million", 200 * low_q, 200 * low_k)):
    exact = F.scaled_dot_product_attention(a.double(), b.double(), v.double())
    errors = [(padded(a, b, v, 16, hidden) - exact).norm() / exact.norm() for hidden in (0.0, -1e6, -math.inf)]
    highest = (a @ b.T / 4).max()
    print(f"{name:16} highest score {highest:10.0f}; error with 0, -1e6, -inf: {'  '.join(f'{e:.0e}' for e in errors)}")

# %% [markdown]
# 0 is wrong always, and where all real scores are lower the keys that are not there win everything (an error of 1: the
# output is 0). -1e6 is right until it is wrong. -inf is right. There is one trap: a row of -inf *alone* has the peak -inf, and
# -inf - (-inf) is NaN. In the kernel that cannot happen, because the first tile holds key 0, which every query may see.
#
# Version 3, with both masks:

# %%
viz.show_source(v3_masks.masked_kernel.fn)

# %% [markdown]
# The masks cost instructions in every tile, and most tiles need none. With `causal`, some need not even be loaded.
#
# **Predict.** 40 queries, 40 keys, causal, tiles of 16: how many of the nine tiles are computed, and which need a mask?

# %%
with traffic(stream=True) as moved:
    v3_masks.attention(q[None, None], k[None, None, :40], v[None, None, :40], causal=True, block=16)
causal = tiles.replay(moved.stream, q, k[:40], v[:40], merge, causal=True)
tiles.tile_order({"40 queries, 56 keys": film, "causal, 40 queries and keys": causal})

# %% [markdown]
# Orange tiles need a mask: the ragged end, and the diagonal. What is dotted was never loaded: with causal, three of the nine
# tiles, and of the six others three need a mask. The kernel that is shipped therefore has two loops: whole tiles without
# masks, then the rest with them.
#
# ## 6. Exercise: count the bytes
#
# **Write** `bytes_moved(m, n, d, block, size)` for one head, not causal: what the programs of version 3 ask of the memory and
# write to it. `block` is the number of queries of a program, `size` the bytes of a number of q, k, v and o. Version 3 also
# writes L, one float32 (4 bytes) a query; section 8 says what for.

# %% tags=["ex-bytes_moved"]
def bytes_moved(m, n, d, block, size):
    raise NotImplementedError


# %%
bytes_moved = check("bytes_moved", bytes_moved)

# %% [markdown]
# <details><summary>Help</summary>
#
# Look at the picture: which rows are loaded once, and which once for each program? There are `math.ceil(m / block)` programs.
# </details>

# %% [markdown] tags=["solution-bytes_moved"]
# <details><summary>Solution</summary>
#
# ```python
# def bytes_moved(m, n, d, block, size):
#     q_and_o = 2 * m * d * size
#     k_and_v = 2 * n * d * size
#     return q_and_o + k_and_v * math.ceil(m / block) + 4 * m
# ```
# </details>

# %% [markdown]
# Your formula against every access that the interpreter counts, for tiles of several sizes:

# %%
half = [torch.randn(1, 1, length, 16).half() for length in (200, 150, 150)]
for block in (16, 32, 64, 128):
    with traffic() as moved:
        v3_masks.attention(*half, block=block)
    counted = sum(moved.loads.values()) + sum(moved.stores.values())
    print(f"tiles of {block:3}: formula {bytes_moved(200, 150, 16, block, 2):7,}, counted {counted:7,}, strays {len(moved.strays)}")

# %% [markdown]
# To the byte; and no access went astray. A tile twice as large halves what is asked of K and V, until the registers are full.
#
# Now all five versions, for 256 queries and keys, d = 16, in tiles of 32. Two counts: what the programs *ask for*, and *the least*: if each
# kernel reads each number that it needs once and writes each result once. The truth is between them, as a cache answers
# requests that come again soon. (What PyTorch's operators ask for, version 0, cannot be seen.)
#
# **Predict.** Which step saves most? What does v4, the kernel that is shipped, save against v3?

# %%
half = [torch.randn(1, 1, 256, 16).half() for _ in range(3)]
tiles.memory_costs({name: cost(version(name).attention, *half) for name in VERSIONS})

# %% [markdown]
# One step counts: from v1 to v2, where the matrix goes. Its memory goes as well, and *that* is true with any cache. v3 adds
# L, 1 kB, and v4 one more such number (section 8). On a card its tiles are larger, so it asks for less.
#
# Stable Diffusion's own sizes, with tiles of 128 queries, by the formulas; 8 heads, self-attention, and cross-attention to
# the 77 words of a prompt:

# %%
for n, what in ((4096, "64 x 64 places"), (77, "77 words")):
    k = torch.empty(1, 8, n, 40, dtype=torch.float16, device="meta")
    chain, asked = cost(v0_formula.attention, x, k, k).least, 8 * bytes_moved(4096, n, 40, 128, 2)
    least = 8 * bytes_moved(4096, n, 40, 4096, 2)  # all queries in one tile: K and V are read once
    print(f"{what:15} v0 {chain / 1e6:6.1f} MB; fused: asks for {asked / 1e6:5.1f}, at least {least / 1e6:4.1f} MB")

# %% [markdown]
# ## 7. What the shipped kernel adds
#
# At equal tiles hardly a byte, but it takes away instructions in the loop over keys:

# %%
viz.show_source(forward.attend.fn)

# %% [markdown]
# - **Two loops over one code**: `MASKED` is known when the kernel is compiled, so the loop for whole tiles contains no mask.
# - **Addresses are stepped**, not multiplied out for each tile.
# - **Powers of two.** The hardware has $2^x$ only. As $e^x = 2^{x \log_2 e}$, the factor $\log_2 e$ is multiplied into `scale`
#   once, instead of into every score. The peak is then one to base 2.
#
# **Predict.** By how much will the weights differ, base 2 against base e?

# %%
s = 3 * torch.randn(4, 50, dtype=torch.float64, generator=generator)
two = torch.exp2(s * math.log2(math.e) - (s * math.log2(math.e)).amax(1, keepdim=True))
print(f"largest difference {(two / two.sum(1, keepdim=True) - s.softmax(1)).abs().max():.1e}")

# %% [markdown]
# A compiler can be asked what it makes of this, without a GPU. `python -m minidiffusion_kernels.attention.versions` compiles
# the loops for one tile of 64 x 64 and counts the instructions (A100, half precision, d = 64, Triton 3.7.1):
#
# | | v2 | v3 | v3 causal | v4 | v4 causal |
# |---|---|---|---|---|---|
# | instructions for a tile of keys | 519 | 619 | 720 | 338 | 344 |
# | of these multiplications | 166 | 166 | 166 | 34 | 34 |
#
# Masks add 100 to 200, and the second loop takes them away again. The powers of two are most of the rest.
#
# ## 8. The way back
#
# Training needs the gradients of Q, K and V, and these need the weights P. They were never stored. With **L** = peak +
# log(total), the log-sum-exp (对数求和指数) of a row, each weight can be computed again in one step, $P = e^{S - L}$: no peak
# to look for, no sum. A row of 4,096 weights is replaced by one number. (The shipped kernel keeps two, peak and share =
# 1 / total: rounding L is an error of *all* weights of a row together, which no sum over keys averages out.)
#
# $$dV = P^T dO, \quad dP = dO\, V^T, \quad dS = P \odot (dP - \delta), \quad dQ = \mathrm{scale}\; dS\, K, \quad
# dK = \mathrm{scale}\; dS^T Q$$
#
# with $\delta_i = \sum_j P_{ij}\, dP_{ij}$, what the softmax takes off each row. Look at what is summed: dQ over keys, dK and dV
# over queries. If one kernel did both, programs would have to add to the same numbers of dQ, by **atomic operations**
# (原子操作), in whatever order they come; and sums in another order are rounded otherwise. So there are two kernels, each
# with its sum inside its own loop, and one program writes each number. The price: S is computed twice. Here is the loop
# for dQ; the one for dK and dV is its mirror image.

# %%
viz.show_source(backward.over_keys.fn)

# %% [markdown]
# **Predict.** The gradients twice, by our kernels: equal to rounding, or to the bit?

# %%
def gradients(backend):
    leaves = [torch.randn(1, 2, length, 16, generator=torch.Generator().manual_seed(length)).requires_grad_()
              for length in (45, 77, 77)]  # fmt: skip
    loss = attention(*leaves, backend=backend).square().sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, leaves)])


with traffic() as moved:
    first, second = gradients("triton"), gradients("triton")
print(f"twice the same bits: {torch.equal(first, second)}; atomic operations: {moved.atomics}")
print(f"largest difference from PyTorch's: {(first - gradients('torch')).abs().max():.1e}")

# %% [markdown]
# ## 9. How fast is it?
#
# We do not know. No GPU has run these kernels, and an interpreter's time says nothing about one. What can be stated is a
# *bound*, the **roofline** (屋顶线模型; Williams et al. 2009). A kernel must move its bytes and do its arithmetic; at best
# both happen at the same time:
#
# $$\text{seconds} \ge \max\left(\frac{\text{bytes}}{\text{bandwidth}},\; \frac{4\, m\, n\, d \cdot \text{heads}}{\text{operations a second}}\right)$$
#
# This is a **model, not a measurement**. Bandwidth and operations a second are in the data sheet of a card, the bytes in
# section 6; take a card and work it out. For v0 you will find the left term to be by far the larger: arithmetic waits for
# memory. For the fused kernel it depends on how much of K and V the cache delivers; with the least bytes, memory waits.
#
# What has been *checked*: the numbers, against float64; every access, by the interpreter; instructions and registers, by
# the compiler. What has not: time, and races between threads, since the interpreter runs one program after the other.
#
# ## Summary
#
# - Attention is slow because of what it writes down. Six passes of an m x n matrix are 155 times the input and the output.
# - A softmax can be merged from pieces: keep peak, total, weighted; when the peak grows, both sums shrink by one factor.
# - A program owns queries and walks along keys. Memory falls from m n to m d; K and V are asked for once a tile of queries.
# - What is not there must weigh 0, so its score is -inf. Not 0, and not -1e6.
# - Two kernels for the way back, one or two numbers a query instead of P, no atomics: the same bits every time.
#
# ## Can you still say it?
#
# 1. Which three numbers (or vectors) does a program keep of each query, and what happens to two of them at a new peak?
# 2. Why is the order of the tiles of no importance? What changes with it nevertheless?
# 3. Why may a masked load write 0 into K and V, but the score must become -inf?
# 4. When would a row consist of -inf only, and what would come out?
# 5. You double BLOCK. What happens to the bytes asked for, and what forbids doubling it again?
# 6. v3 and v4 move the same bytes. What does v4 save?
# 7. A friend has fused dQ, dK and dV into one kernel with atomics. Her tests compare two runs bit by bit. What will they say?
#
# ## Go on
#
# - Next: lesson 10, a fused GroupNorm and SiLU kernel (see the [map of the course](README.md)).
# - Tiles, and the way back without the matrix: T. Dao et al., [FlashAttention](https://arxiv.org/abs/2205.14135), 2022.
# - The running softmax: M. Milakov, N. Gimelshein, [Online normalizer calculation for
#   softmax](https://arxiv.org/abs/1805.02867), 2018.
