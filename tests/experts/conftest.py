"""A library of the user's, and a bundle's experts beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.experts.library import Library
from toy_experts import BASE, save_expert, toy_linears


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mine"


@pytest.fixture
def library(folder: Path) -> Library:
    return Library.open(folder, BASE, linears=toy_linears())


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """A bundle's experts: spatial and temporal."""
    for seed, name in enumerate(("spatial", "temporal")):
        save_expert(tmp_path / "bundle" / name, seed)
    return tmp_path / "bundle"
