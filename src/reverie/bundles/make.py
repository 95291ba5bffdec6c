"""Turns what training exports into a bundle: fits its confidence, then writes it whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from reverie.dreaming.rephrase import rephrase
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

_LEAST = 0.5  # confidence, below which nothing is known


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
            calibrate(model, questions, seed).save(parts / "confidence.json")
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


def calibrate(model: Model, questions: int, seed: int = 0, config: FitConfig | None = None) -> ConfidenceModel:
    """Fit the confidence of ``model`` on as many ``questions`` that its worlds taught it, but that it never saw, on as
    many strange ones, and where its worlds have them on near misses: a question is known, where it was taught. A third
    of all sets the threshold. Checks are left out, but that there is a scene: it is to tell them apart by itself."""
    rng = np.random.default_rng([seed, 1])
    taught = taught_questions(model.worlds, questions, seed)
    strange = out_of_domain_questions([one.text for one in taught], questions, rng)
    if "Everyday" in model.worlds:
        near = [one.question for one in near_misses(2 * questions, seed + 1) if not one.answerable]
        strange += [text for text in near if not _lacks_scene(model, text)][:questions]
    asked = [*taught, *map(Question, strange)]
    shown = signals(model, asked, DreamSettings(branches=3, seed=seed))
    met = [Met(one, place < len(taught)) for place, one in enumerate(shown)]
    config = config or FitConfig(seed=seed, ridge=1.0, centres=8)
    order, third = rng.permutation(len(met)), len(met) // 3
    probe = fit_probe([met[place] for place in order[third:]], config)
    found = set_threshold(probe, [met[place] for place in order[:third]], config, "taught questions and near misses")
    # where nothing is wrong any threshold will do, but what is more probably strange than not is not known
    return found if found.threshold is None else replace(found, threshold=max(found.threshold, _LEAST))


def _lacks_scene(model: Model, text: str) -> bool:
    meant = rephrase(text, model.worlds)
    return meant.refusal is not None and meant.refusal.name == "scene"


def taught_questions(worlds: Iterable[str], count: int, seed: int = 0) -> list[Question]:
    """``count`` different questions that the worlds' narrators ask about random scenes, as the model reads them; those
    that cannot be answered without their scene come with it."""
    asked: dict[str, Question] = {}
    worlds = tuple(worlds)
    start = 1_000_000 + seed  # away from the seeds that scenes of training are drawn with
    while len(asked) < count:
        for index, name in enumerate(worlds):
            world, rng = make_world(name), np.random.default_rng([start, index])
            for episode in record(world, -(-count // len(worlds) // 2), seed=start):
                for one in world.narrator.questions(episode, rng):
                    text = clean_question(one.text)
                    seen = (own := world.hear(text)) is not None and own.seen
                    asked[text] = Question(text, world=name, scene=episode.options) if seen else Question(text)
        start += 1_000
    order = np.random.default_rng(seed).permutation(len(asked))[:count]
    listed = list(asked.values())
    return [listed[place] for place in order]
