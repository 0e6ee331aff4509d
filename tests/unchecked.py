r"""A function as users have it: without the checks of annotations that `conftest` adds, and without decorators.

Under those checks a wrong name in place of a `Literal` is a TypeError before the function is entered, so a test of what
the function itself says to a wrong name calls `unchecked(function)`.
"""

from inspect import unwrap as unchecked

__all__ = ["unchecked"]
