"""Loops compiled by numba, kept on disk between processes where there is a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from numba import njit

__all__ = ["compiled"]

_F = TypeVar("_F", bound=Callable[..., Any])


@overload
def compiled(function: _F, **options: Any) -> _F: ...
@overload
def compiled(**options: Any) -> Callable[[_F], _F]: ...
def compiled(function: Any = None, **options: Any) -> Any:
    """``numba.njit`` that releases the GIL and keeps what it compiled. In a package that is read-only, for a user
    without a home, it compiles anew in each process. ``options`` are njit's.
    """
    if function is None:
        return lambda given: compiled(given, **options)
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba found no folder to keep it in
        return njit(nogil=True, **options)(function)
