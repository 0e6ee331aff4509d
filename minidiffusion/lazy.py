r"""Names of a package that are imported when they are first used (PEP 562), so that importing a part stays fast."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    r"""The `__getattr__` of a package. modules: the names that each of its modules provides, other than its own."""
    homes = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return __getattr__
