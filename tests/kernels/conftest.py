r"""Where there is no GPU, kernels are interpreted. It must be decided before the first kernel is imported.

Interpreting takes minutes, so these tests have a command of their own, `make kernels-check`.
"""

import os
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.path.name != "test_reference.py":
            item.add_marker(pytest.mark.kernel)
