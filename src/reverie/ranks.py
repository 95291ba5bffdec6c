"""What a launcher of several processes says in the environment. Nothing here needs torch."""

from __future__ import annotations

import os

__all__ = ["count", "leads", "local_count", "local_rank", "rank"]


def rank() -> int:
    """Which of the launched processes this is, from 0."""
    return _said("RANK", 0) if count() > 1 else 0


def count() -> int:
    """How many were launched."""
    return _said("WORLD_SIZE", 1)


def local_rank() -> int:
    """Which of those on this machine this is."""
    return _said("LOCAL_RANK", 0) if count() > 1 else 0


def local_count() -> int:
    """How many of them are on this machine."""
    return _said("LOCAL_WORLD_SIZE", 1)


def leads() -> bool:
    """This one writes files and speaks to people."""
    return rank() == 0


def _said(name: str, otherwise: int) -> int:
    said = os.environ.get(name, "")
    return int(said) if said.isdigit() else otherwise
