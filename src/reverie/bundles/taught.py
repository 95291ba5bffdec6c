"""A bundle of a base that was taught the grammar: what ``reverie teach`` leaves.

The base is as it was but for the rows of the grammar's ids. What its linears learned is a packaged expert, which
dreams in pictures always have and words in its own never: those stay as they were, bit for bit.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from reverie.bundles.bundle import STARTER_FACTS, find_bundle, seal_bundle, verify_bundle
from reverie.bundles.experts import EXPERTS
from reverie.bundles.make import write_starter_facts
from reverie.errors import TrainingError, UsageError
from reverie.experts import ExpertCard, base_hash
from reverie.experts.files import save_card
from reverie.files import atomic_folder
from reverie.jsonio import read_object
from reverie.model.transformers_base import TransformersBackbone, load_model
from reverie.tokens.grammar_files import load_grammar
from reverie.worlds import make_world

__all__ = ["GRAMMAR_EXPERT", "taught_bundle"]

GRAMMAR_EXPERT = "grammar"


def taught_bundle(
    source: str | Path, export: Path, folder: Path, *, name: str = "", recipe: Mapping[str, Any] | None = None
) -> Path:
    """Make the bundle ``folder`` of the bundle ``source`` and the ``export`` of its teaching.

    ``name``: of the bundle, else that of ``source``. It appears whole or not at all. Raises UsageError where ``folder``
    exists, TrainingError where ``export`` is no teaching of ``source``, BundleError where ``source`` is damaged.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already; name a new folder for the bundle")
    given = find_bundle(source)
    manifest = verify_bundle(given)
    told = read_object(export / "taught.json", TrainingError, "what a teaching exported")
    figures = {"before": told["before"], "after": told["after"]}
    worlds = {world: make_world(world).cell_px for world in manifest["worlds"] if world in told["worlds"]}
    base = {key: value for key, value in manifest["base"].items() if key != "gguf"}
    with atomic_folder(folder) as building:
        backbone = _with_rows(given, export)
        backbone.save(building / "backbone")
        for file in (given / "backbone").iterdir():  # its tokenizer and generation settings
            if file.suffix != ".safetensors" and not (building / "backbone" / file.name).exists():
                shutil.copyfile(file, building / "backbone" / file.name)
        for part in ("image_tokenizer", "text_tokenizer"):
            shutil.copytree(given / part, building / part)
        shutil.copyfile(given / "vocabulary.json", building / "vocabulary.json")
        expert = building / EXPERTS / GRAMMAR_EXPERT
        shutil.copytree(export / "changes", expert)
        card = ExpertCard(
            GRAMMAR_EXPERT,
            "grammar",
            "Dreams in pictures: what teaching changed in the base's linears.",
            base=base_hash(building / "backbone"),
            before=told["before"],
            after=told["after"],
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        save_card(card, expert)
        write_starter_facts(list(worlds), building / STARTER_FACTS)
        seal_bundle(
            building,
            name=name or manifest["name"],
            worlds=worlds,
            recipe={**manifest["recipe"], "teach": dict(recipe or {})},
            figures={**manifest["figures"], "teach": figures},
            base={**base, "taught": True, "grammar_expert": GRAMMAR_EXPERT},
        )
    return folder


@torch.no_grad()
def _with_rows(source: Path, export: Path) -> TransformersBackbone:
    """The base of ``source`` in the dtype that it is kept in, with the rows of ``export``."""
    backbone = TransformersBackbone(load_model(source / "backbone").eval(), load_grammar(source).vocabulary.text_start)
    tables = {"embed": backbone.base.get_input_embeddings(), "embed_output": backbone.base.get_output_embeddings()}
    try:
        with safe_open(export / "rows.safetensors", "pt") as file:
            rows = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
        for name, taught in rows.items():
            weight = tables[name].weight
            weight[-backbone.ids.num_grammar :] = taught.to(weight)
    except (OSError, KeyError, RuntimeError) as error:
        raise TrainingError(f"{export} holds no teaching of {source}: {error}") from error
    return backbone
