r"""What every test runs under: shapes are checked, there is no network, and without a GPU kernels are interpreted.

The import hook makes each jaxtyping annotation of the library (`Float[Tensor, "b c h w"]`) an assertion in the tests.
At run time, without the hook, the annotations cost nothing.
"""

import os

import torch
from jaxtyping import install_import_hook

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # asked when the first kernel is imported, by whichever test

# It must be there before the first import of either package.
install_import_hook(["minidiffusion", "minidiffusion_kernels"], "beartype.beartype")

from lessons import offline  # noqa: E402

offline.block()  # a test that asks the internet for anything fails, on every machine
