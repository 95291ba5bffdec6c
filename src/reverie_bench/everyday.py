"""Everyday questions: is the answer right, and is the dreamed end the one that the simulator comes to?

Rows are scenes that no training run draws (``is_test_scene``), and scenes of (thing, action) pairs that none is shown
(``is_held_out``). Each is one question of the world's own grammar, its form drawn evenly, and asked with the picture of
the scene's opening; questions about a property of a thing have no course of events, and count for the answer alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.files import atomic_write_text
from reverie.nouns import Answer, Frame
from reverie.worlds import Question, World, make_world, record_episode
from reverie.worlds.everyday import Scene, is_held_out, is_test_scene
from reverie.worlds.everyday.picture import main_thing
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import best_constant, grouped, is_right, share
from reverie_bench.models import open_model
from reverie_bench.rows import chunks, read_rows, thin

if TYPE_CHECKING:
    from reverie.dreaming import Reverie

__all__ = ["BENCHMARK", "Row", "make_rows"]

DATA = (
    'rows of its own, or a JSON-lines file of {"options": {"thing": "egg", "action": "drop", ...}, "question": "...", '
    '"answer": "...", "accepts": [...], "form": "happens"}; without a question the world asks one'
)
NUM_TEST, NUM_HELD_OUT = 500, 200
_CHUNK = 16  # questions without a picture that are asked together


@dataclass(frozen=True)
class Row:
    """A question about a scene of the everyday world."""

    options: dict[str, Any]
    question: Question

    @property
    def held_out(self) -> bool:
        return is_held_out(self.options)

    @property
    def moves(self) -> bool:
        """Whether the answer is a course of events (and no property of a thing)."""
        return self.question.form != "property"

    def to_json(self) -> dict[str, Any]:
        asked = self.question
        return {
            "options": self.options,
            "question": asked.text,
            "answer": asked.answer,
            "accepts": list(asked.accepts),
            "form": asked.form,
        }


@dataclass(frozen=True)
class Judged:
    """One answered row. ``frame``, ``state`` and ``ceiling`` are None where nothing was to be pictured."""

    row: Row
    right: bool
    known: bool
    frame: bool | None = None
    state: bool | None = None
    ceiling: bool | None = None


def run(settings: BenchConfig) -> Findings:
    rows = _rows(settings)
    session, manifest = open_model(settings.model)
    world = make_world("Everyday")
    judged = [
        _judge(session, world, row, settings) for some in chunks(rows, 1, "asking", settings.progress) for row in some
    ]
    test = [one for one in judged if not one.row.held_out]
    held_out = [one for one in judged if one.row.held_out]
    usual = [one.row for one in test]
    blind, direct = (_blind(session, usual, branches, settings) for branches in (settings.branches, 0))
    unseen = [one for one in test if is_test_scene(one.row.options)]
    return Findings(
        n=len(judged),
        figures=_count(test)
        | {"no_picture_accuracy": blind, "n_unseen": len(unseen)}
        | {f"{name}_unseen": value for name, value in _count(unseen).items()}
        | {"n_held_out": len(held_out)}
        | {f"held_out_{name}": value for name, value in _count(held_out).items()},
        by=grouped(test, lambda one: f"form_{one.row.question.form}", _count)
        | grouped(held_out, lambda one: "held_out_{}_{}".format(*_pair(one.row)).replace(" ", "_"), _count),
        baselines={
            "majority": {"accuracy": best_constant([row.question for row in usual])},
            "majority_of_form": {"accuracy": _by_form(usual)},
            "direct": {"accuracy": direct},
        },
        settings={"bundle": manifest["name"], "branches": settings.branches, "write": settings.write},
    )


# rows -----------------------------------------------------------------------------------------------------------


def _rows(settings: BenchConfig) -> list[Row]:
    if settings.data is not None:
        given = thin(read_rows(settings.data, _parse, DATA), settings.limit)
        world, rng = make_world("Everyday"), np.random.default_rng([settings.seed, 2])
        rows = [Row(options, asked or _ask(world, options, rng)) for options, asked in given]
    else:
        test = make_rows(settings.limit or NUM_TEST, settings.seed, lambda o: is_test_scene(o) and not is_held_out(o))
        held_out = make_rows(settings.limit or NUM_HELD_OUT, settings.seed + 1, is_held_out)
        rows = test + held_out
    if settings.write:
        atomic_write_text(settings.write, "".join(f"{json.dumps(row.to_json())}\n" for row in rows))
    return rows


def make_rows(count: int, seed: int, fits: Callable[[Mapping[str, Any]], bool]) -> list[Row]:
    """``count`` different scenes that ``fits`` lets through, each with a question; the same seed, the same rows.

    Scenes of held-out pairs are asked no questions about properties: those are not what was held out.
    """
    world, rng = make_world("Everyday"), np.random.default_rng([seed, 3])
    scenes: set[str] = set()
    rows: list[Row] = []
    while len(rows) < count:
        options = world.sample_options(rng)
        key = json.dumps(options, sort_keys=True)
        if key in scenes or not fits(options):
            continue
        scenes.add(key)
        question = _ask(world, options, rng)
        if question.form != "property" or not is_held_out(options):
            rows.append(Row(options, question))
    return rows


def _ask(world: World, options: dict[str, Any], rng: np.random.Generator) -> Question:
    """One of the questions that the narrator has about the scene, each form equally likely."""
    questions = world.narrator.questions(record_episode(world, options), rng)
    forms = sorted({question.form for question in questions})
    if is_held_out(options) and len(forms) > 1:
        forms.remove("property")
    form = forms[int(rng.integers(len(forms)))]
    fitting = [question for question in questions if question.form == form]
    return fitting[int(rng.integers(len(fitting)))]


def _parse(fields: dict[str, Any]) -> tuple[dict[str, Any], Question | None]:
    if not isinstance(fields["options"], dict):
        raise ValueError("options are an object such as {'thing': 'egg', 'action': 'drop'}")
    options = Scene.of(fields["options"]).options()
    if "question" not in fields:
        return options, None
    accepts = fields.get("accepts", [])
    texts = [fields["question"], fields["answer"], fields.get("form", "given")]
    if not isinstance(accepts, list) or not all(isinstance(text, str) and text for text in [*texts, *accepts]):
        raise ValueError("question, answer and form are texts, and accepts is a list of texts")
    return options, Question(texts[0], texts[1], texts[2], "given", tuple(accepts))


def _pair(row: Row) -> tuple[str, str]:
    return row.options["thing"], row.options["action"]


# judging --------------------------------------------------------------------------------------------------------


def _judge(session: Reverie, world: World, row: Row, settings: BenchConfig) -> Judged:
    episode = record_episode(world, row.options)
    opening, last = episode.transitions[0].what, episode.transitions[-1]
    answer = session.ask(row.question.text, [opening], branches=settings.branches, world="Everyday", seed=settings.seed)
    right = answer.known and is_right(answer.text, row.question)
    if not row.moves:
        return Judged(row, right, answer.known)
    true = session.tokenizer.encode([last.result], world.cell_px)[0]
    dreamed = _last_frame(answer)
    return Judged(
        row,
        right,
        answer.known,
        frame=dreamed == true,
        state=dreamed is not None and _shows(session, world, dreamed, last.result_state),
        ceiling=_shows(session, world, true, last.result_state),
    )


def _last_frame(answer: Answer) -> Frame | None:
    """Where the winning dream ends."""
    triplets = answer.dreams[answer.verdict.branch].triplets
    return triplets[-1].result.frame if triplets else None


def _shows(session: Reverie, world: World, frame: Frame, state: dict[str, Any]) -> bool:
    """Whether the decoded picture shows the thing of ``state`` in its condition and its cell."""
    seen = world.read(session.tokenizer.decode([frame], world.cell_px)[0])
    wanted = main_thing(state)
    return seen is not None and any(
        all(thing[part] == wanted[part] for part in ("name", "condition", "cell")) for thing in seen["things"]
    )


def _blind(session: Reverie, rows: Sequence[Row], branches: int, settings: BenchConfig) -> float:
    """The accuracy without the picture."""
    right: list[bool] = []
    for some in chunks(rows, _CHUNK, "asking without pictures", settings.progress):
        answers = session.ask_many([row.question.text for row in some], branches=branches, seed=settings.seed)
        right += [
            answer.known and is_right(answer.text, row.question) for answer, row in zip(answers, some, strict=True)
        ]
    return share(right)


def _count(judged: Sequence[Judged]) -> Figures:
    return {
        "accuracy": share(one.right for one in judged),
        "known_share": share(one.known for one in judged),
        "frame_exact": share(one.frame for one in judged),
        "state_exact": share(one.state for one in judged),
        "state_read": share(one.ceiling for one in judged),
    }


def _by_form(rows: Sequence[Row]) -> float:
    """The accuracy of the best constant answer of each form."""
    forms: dict[str, list[Question]] = {}
    for row in rows:
        forms.setdefault(row.question.form, []).append(row.question)
    right = sum(best_constant(questions) * len(questions) for questions in forms.values())
    return right / len(rows) if rows else float("nan")


BENCHMARK = Benchmark(
    name="everyday",
    about="answers and dreamed ends of everyday scenes that were never trained on, and of held-out pairs",
    run=run,
    data=DATA,
)
