r"""The public names: what can be imported from where, and what importing it costs."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import minidiffusion

ROOT = Path(minidiffusion.__file__).parent
LIBRARY = ["attention", "clip", "data", "diffusion", "latent", "mcmc", "networks", "picturebook", "tokens"]


def for_type_checkers() -> set[str]:
    r"""The names that the root imports under TYPE_CHECKING."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_all_names_of_the_root_are_known_to_type_checkers_and_can_be_imported():
    homes = {name: home for home, names in minidiffusion._MODULES.items() for name in names}
    assert set(minidiffusion.__all__) == for_type_checkers() == set(homes)
    for name in minidiffusion.__all__:
        assert getattr(minidiffusion, name) is getattr(importlib.import_module(homes[name]), name)
    assert set(minidiffusion.__all__) <= set(dir(minidiffusion))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'minidiffusion' has no attribute 'imagine'"):
        minidiffusion.imagine  # noqa: B018
    from minidiffusion import clip, diffusion  # packages are imported as ever

    assert clip.CLIP is minidiffusion.CLIP and diffusion.ddim is minidiffusion.ddim


def test_importing_the_root_loads_nothing_else():
    code = "import sys; before = {*sys.modules}; import minidiffusion; print(*{*sys.modules} - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["minidiffusion"]


@pytest.mark.parametrize("package", LIBRARY)
def test_a_package_of_the_library_exports_its_names(package):
    module = importlib.import_module(f"minidiffusion.{package}")
    assert len(set(module.__all__)) == len(module.__all__) > 0
    for name in module.__all__:
        assert hasattr(module, name), name


@pytest.mark.parametrize("package", LIBRARY)
def test_the_docstring_of_a_package_lists_its_files(package):
    text = importlib.import_module(f"minidiffusion.{package}").__doc__
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ")]
    files = [module.name for module in pkgutil.iter_modules([str(ROOT / package)])]
    assert sorted(set(files) - set(listed)) == []
