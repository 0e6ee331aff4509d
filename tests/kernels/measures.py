r"""What all kernels are held to, and the instruments for it.

Errors are relative Frobenius norms of the difference from float64, on the same (already rounded) inputs. PyTorch's own
error in the same dtype is the yardstick: a half-precision kernel must not be worse than it at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from minidiffusion_kernels.attention import attention_weights

FACTOR = {torch.float32: 2.5, torch.float16: 1.0, torch.bfloat16: 1.0}
CAP = {torch.float32: 5e-7, torch.float16: 5e-4, torch.bfloat16: 4e-3}


def error(x: Tensor, exact: Tensor) -> float:
    """||x - exact|| / ||exact||, or against numbers of size 1 if it is 0."""
    return ((x.double() - exact).norm() / (exact.numel() ** 0.5 if is_zero(exact) else exact.norm())).item()


def is_zero(exact: Tensor) -> bool:
    """Some gradients are: that of a query with one key, of a single normalised pixel."""
    return exact.norm().item() < 1e-9 * exact.numel() ** 0.5


def hold_to(ours: dict[str, Tensor], eager: dict[str, Tensor], exact: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Assert that every tensor of ours is as near to float64 as it must be, given how near PyTorch is."""
    for name in exact:
        mine, yardstick = error(ours[name], exact[name]), error(eager[name], exact[name])
        assert mine <= CAP[dtype], f"{name}: error {mine:.2e}, at most {CAP[dtype]:.0e} is good enough"
        if is_zero(exact[name]):  # then there is no yardstick: the formula may be exact by luck
            continue
        # Where PyTorch rounds only once as well, both errors are that rounding's and differ in the fourth digit.
        assert mine <= 1.005 * FACTOR[dtype] * yardstick, f"{name}: error {mine:.2e}, PyTorch's own is {yardstick:.2e}"


def without_cancellation(q: Tensor, k: Tensor, v: Tensor, do: Tensor, causal: bool) -> dict[str, Tensor]:
    r"""How large attention and its gradients would be if the signs of their terms were drawn, and squares added up.

    Rounding errors do add up like that. Where terms cancel, as in dP - delta of a query with two keys, less is left of
    the result, but not of its error.
    """
    p = attention_weights(q.double(), k.double(), causal=causal) ** 2
    q, k, v, do = (x.double() ** 2 for x in (q, k, v, do))
    o = p @ v
    ds = p * (do @ v.mT + (do * o).sum(-1, keepdim=True)) / q.shape[-1]
    return {"o": o.sqrt(), "dq": (ds @ k).sqrt(), "dk": (ds.mT @ q).sqrt(), "dv": (p.mT @ do).sqrt()}


@contextmanager
def guarded(monkeypatch, guard: int = 4096, value: float = 77.0) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Surround all that is allocated with `guard` elements of a known value; at the end, none may have changed."""
    made = []

    def surrounded(plain):
        def allocate(*arguments, **options):
            wanted = plain(*arguments, **options)
            memory = torch.full((wanted.untyped_storage().nbytes() // wanted.element_size() + 2 * guard,), value)
            memory = memory.to(wanted.dtype)
            made.append((memory[:guard], memory[-guard:]))
            return memory.as_strided(wanted.shape, wanted.stride(), guard)

        return allocate

    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty_like", surrounded(torch.empty_like))
        patch.setattr(torch.Tensor, "new_empty", surrounded(torch.Tensor.new_empty))
        yield made
    assert made
    for before, after in made:
        assert (before == value).all() and (after == value).all(), "a kernel wrote outside of its output"
