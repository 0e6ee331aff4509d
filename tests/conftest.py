r"""What every test runs under: shapes are checked, and there is no network.

The import hook makes each jaxtyping annotation of the library (`Float[Tensor, "b c h w"]`) an assertion in the tests.
At run time, without the hook, the annotations cost nothing.
"""

from jaxtyping import install_import_hook

install_import_hook(["minidiffusion", "kernels"], "beartype.beartype")  # must come before the first import of either

from lessons import offline  # noqa: E402

offline.block()  # a test that asks the internet for anything fails, on every machine
