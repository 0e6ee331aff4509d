r"""Interpreting kernels takes minutes, so these tests have a command of their own, `make kernels-check`."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.path.name != "test_reference.py":
            item.add_marker(pytest.mark.kernel)
