"""Turns what training exports into a bundle: fits its confidence, then writes it whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.bundles.bundle import STARTER_FACTS, write_bundle
from reverie.bundles.experts import EXPERTS, ROUTER
from reverie.data import FactRow
from reverie.dreaming.answering import signals
from reverie.dreaming.confidence import ConfidenceModel
from reverie.dreaming.model import Model, open_model
from reverie.dreaming.out_of_domain import out_of_domain_questions
from reverie.dreaming.prompting import GrammarPrompter
from reverie.dreaming.question import DreamSettings, Question
from reverie.errors import ExpertError
from reverie.experts import Library, Router, base_hash, base_linears
from reverie.files import atomic_write_text
from reverie.model import Backbone
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.questions import clean_question
from reverie.training.knowing.fitting import FitConfig, Met, fit_probe, set_threshold
from reverie.training.knowing.near_misses import near_misses
from reverie.worlds import make_world, record

__all__ = ["calibrate", "make_bundle", "taught_questions", "write_starter_facts"]


def make_bundle(
    export: Path,
    folder: Path,
    *,
    name: str,
    worlds: Sequence[str],
    recipe: Mapping[str, Any] | None = None,
    figures: Mapping[str, Any] | None = None,
    reader: Path | None = None,
    experts: Path | None = None,
    router: Path | None = None,
    questions: int = 300,
    seed: int = 0,
) -> Path:
    """The bundle ``folder`` of a trained backbone's ``export``; ``worlds`` in the order in which it was taught them.

    ``questions``: how many taught and how many strange questions the confidence is fitted on; 0 leaves it unfitted.
    ``reader``: folder of the network that reads recalled facts, None makes a bundle without.
    ``experts``: a library whose experts go along, ``router`` who chooses among them. Raises ExpertError for an expert
    that is damaged or of another base, and for such a router.
    """
    cells = {world: make_world(world).cell_px for world in worlds}
    with tempfile.TemporaryDirectory() as scratch:
        parts = Path(scratch) / "parts"
        shutil.copytree(export, parts)
        if reader is not None:
            shutil.copytree(reader, parts / "reader", dirs_exist_ok=True)
        if experts is not None:
            _copy_experts(experts, parts)
        if router is not None:
            Router.load(router, base_hash(parts / "backbone"))
            shutil.copytree(router, parts / ROUTER, dirs_exist_ok=True)
        if questions:
            grammar, tokenizer = load_grammar(parts), ImageTokenizer.load(parts / "image_tokenizer")
            backbone = Backbone.load(parts / "backbone")
            model = open_model(grammar, tokenizer, backbone, cells, prompter=GrammarPrompter(grammar))
            near = [one.question for one in near_misses(questions, seed + 1)] if "Everyday" in worlds else []
            taught = taught_questions(worlds, questions, seed)
            calibrate(model, taught, seed, near).save(parts / "confidence.json")
        write_starter_facts(worlds, parts / STARTER_FACTS)
        return write_bundle(folder, parts, name=name, worlds=cells, recipe=recipe, figures=figures)


def _copy_experts(library: Path, parts: Path) -> None:
    """Every expert of a library, checked, into the parts of a bundle."""
    backbone = parts / "backbone"
    opened = Library.open(library, base_hash(backbone), linears=base_linears(backbone))
    if problems := opened.check():
        raise ExpertError(problems[0])
    for name in opened.names():
        shutil.copytree(opened.folder_of(name), parts / EXPERTS / name, dirs_exist_ok=True)


def write_starter_facts(worlds: Sequence[str], path: Path) -> None:
    """What holds in these worlds as a file of facts, one JSON object a line; none where they have nothing to say."""
    rows = [row for world in worlds for row in make_world(world).facts()]
    if rows:
        usual = FactRow("subject", "relation", "object")
        said = ({key: value for key, value in vars(row).items() if value != getattr(usual, key)} for row in rows)
        atomic_write_text(path, "".join(f"{json.dumps(fields, ensure_ascii=False)}\n" for fields in said))


def calibrate(
    model: Model, taught: Sequence[str], seed: int = 0, near: Sequence[str] = (), config: FitConfig | None = None
) -> ConfidenceModel:
    """Fit the confidence of ``model`` on ``taught`` questions that it never saw, on as many strange ones, and on near
    misses: a question is known, where it was taught. A third of all of them sets the threshold."""
    rng = np.random.default_rng([seed, 1])
    strange = [*out_of_domain_questions(taught, len(taught), rng), *near]
    settings, config = DreamSettings(branches=3, seed=seed), config or FitConfig(seed=seed, ridge=0.1, centres=8)
    asked = [Question(text) for text in (*taught, *strange)]
    shown = signals(model, asked, settings)
    met = [Met(one, place < len(taught), kind=str(place < len(taught))) for place, one in enumerate(shown)]
    order = rng.permutation(len(met))
    third = len(met) // 3
    probe = fit_probe([met[place] for place in order[third:]], config)
    return set_threshold(probe, [met[place] for place in order[:third]], config, "taught questions and near misses")


def taught_questions(worlds: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """``count`` different questions that the worlds' narrators ask about random scenes, as the model reads them."""
    asked: dict[str, None] = {}
    start = 1_000_000 + seed  # away from the seeds that scenes of training are drawn with
    while len(asked) < count:
        for index, name in enumerate(worlds):
            world, rng = make_world(name), np.random.default_rng([start, index])
            for episode in record(world, -(-count // len(worlds) // 2), seed=start):
                asked |= dict.fromkeys(clean_question(one.text) for one in world.narrator.questions(episode, rng))
        start += 1_000
    order = np.random.default_rng(seed).permutation(len(asked))[:count]
    listed = list(asked)
    return [listed[place] for place in order]
