r"""Which implementation of an operation runs: the formula, PyTorch's fused operator, or our kernel.

Every operation of this package takes `backend="auto" | "reference" | "torch"` with one signature and one result, so
the readable and the fast path can be compared, timed and swapped.
"""


def resolve(backend: str) -> str:
    """The implementation that `backend` stands for on this machine: "reference" or "torch"."""
    if backend == "auto":
        return "torch"
    if backend in ("reference", "torch"):
        return backend
    raise ValueError(f"backend is {backend!r}; valid are 'auto', 'reference' and 'torch'")
