"""A bundle whose base learned to spell: its rows of text ids that never occurred, and nothing else, are other ones.

What was made for the base before stays true of it: the questions that experts and router were trained on hold none of
these ids, so their features and the layers' states are the same to the bit. Cards and router are made out to the new
base, and the cards say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from reverie.bundles.bundle import MANIFEST, find_bundle, seal_bundle, verify_bundle
from reverie.bundles.experts import EXPERTS, ROUTER
from reverie.errors import BundleError, TrainingError, UsageError
from reverie.experts import Router, base_hash
from reverie.experts.files import load_card, save_card
from reverie.experts.prototypes import load_prototype, save_prototype
from reverie.files import atomic_folder
from reverie.model import Backbone
from reverie.tokens.grammar_files import load_grammar
from reverie.training.spelling import unspelled_ids

__all__ = ["respelled_bundle"]

_WEIGHTS = "model.safetensors"
_EMBEDDINGS = "model.embed_tokens.weight"


def respelled_bundle(
    source: str | Path,
    export: Path,
    folder: Path,
    *,
    recipe: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
) -> Path:
    """Make the bundle ``folder`` of the bundle ``source`` and the ``export`` of ``train spelling``.

    It appears whole or not at all. Raises UsageError where ``folder`` exists, TrainingError where ``export`` changes
    more than rows of ids that never occurred, BundleError where ``source`` is damaged.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already; name a new folder for the bundle")
    given = find_bundle(source)
    manifest = verify_bundle(given)
    changed = _changed_rows(given, export)
    old, new = base_hash(given / "backbone"), base_hash(export / "backbone")
    with atomic_folder(folder) as building:
        shutil.copytree(given, building, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST, "__pycache__"))
        shutil.copyfile(export / "backbone" / _WEIGHTS, building / "backbone" / _WEIGHTS)
        for expert in sorted((building / EXPERTS).glob("*")):
            _make_out(expert, old, new, changed)
        if (building / ROUTER).is_dir():
            router = Router.load(building / ROUTER, old)
            router.base = new
            router.save(building / ROUTER)
        seal_bundle(
            building,
            name=manifest["name"],
            worlds=manifest["worlds"],
            recipe={**manifest["recipe"], "spelling": dict(recipe or {})},
            figures={**manifest["figures"], "spelling": dict(figures or {})},
        )
    return folder


def _make_out(expert: Path, old: str, new: str, changed: int) -> None:
    """Card and prototype name the new base."""
    card = load_card(expert)
    told = f"trained on the base {old[:12]}, of which {changed} rows of ids that it never met were trained since"
    save_card(replace(card, base=new, notes="; ".join(filter(None, (card.notes, told)))), expert)
    if prototype := load_prototype(expert, old):
        save_prototype(prototype, expert, new)


def _changed_rows(source: Path, export: Path) -> int:
    """How many rows differ. Raises TrainingError where anything else does."""
    grammar = load_grammar(source)
    before, after = _tensors(source / "backbone"), _tensors(export / "backbone")
    if before.keys() != after.keys():
        raise TrainingError(f"{export} holds no spelling of {source}: its tensors have other names")
    rows, learned = before.pop(_EMBEDDINGS), after.pop(_EMBEDDINGS)
    unspelled = grammar.vocabulary.text_start + unspelled_ids(Backbone.load(source / "backbone"), grammar)
    if rows.shape == learned.shape:
        differ = (rows != learned).any(1).nonzero().flatten()
        if torch.isin(differ, unspelled).all() and all(torch.equal(before[name], after[name]) for name in before):
            return len(differ)
    raise TrainingError(f"{export} holds no spelling of {source}: it changes more than rows of ids that never occurred")


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        with safe_open(folder / _WEIGHTS, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except (OSError, RuntimeError) as error:
        raise BundleError(f"the backbone {folder} cannot be read: {error}") from error
