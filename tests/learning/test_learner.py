from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.learning.conftest import BY_HEART, CONFIG, Home, item, margin

from reverie.errors import UsageError
from reverie.learning import Bad, Probe
from reverie.learning.steps import Plan, begin_step, take_step
from reverie.memory.taught import taught
from reverie.training.adapted import Adapted, documents_of
from reverie.training.continual import ContinualData

THREE = [
    item(1, question="Who leads Alma?", wrong="Tom", answer="Jane"),
    item(2, question="What is Rova?", wrong="a fish", answer="a car"),
    item(3, question="Where is Arden?", wrong="up", answer="down"),
]


def answer(home: Home, question: str) -> str | None:
    found = taught(home.memory, question).answer
    return found.object if found else None


def test_corrections_are_in_memory_at_once_and_in_the_weights_after_a_step(home: Home) -> None:
    told = home.learner(BY_HEART).learn(THREE)
    assert (told.read, told.new, told.states) == (3, 3, {"learned": 3})
    (step,) = told.steps
    assert (step.kept, step.exact) == (True, 1.0)
    assert home.library.card("lessons").data_size == 3
    for one in THREE:
        found = taught(home.memory, one.question)
        assert found.answer is not None
        assert (found.answer.object, found.answer.source) == (one.answer, "Ann")
        assert [wrong.object for wrong in found.wrong] == [one.wrong]


def test_the_same_lesson_a_thousand_times_is_one_lesson(home: Home) -> None:
    told = home.learner().learn(THREE[:1] * 1000)
    assert (told.read, told.new, told.known, len(told.steps)) == (1000, 1, 999, 1)
    again = home.learner().learn(THREE[:1])
    assert (again.new, again.steps) == (0, [])
    assert len(home.memory.store.find("Who leads Alma?")) == 1


def test_of_contradictions_the_newer_counts_and_it_is_said(home: Home) -> None:
    stream = [item(1, question="Who leads Alma?", answer="Tom"), item(2, question="who leads Alma", answer="Jane")]
    told = home.learner().learn(stream)
    assert [(one.older, one.newer) for one in told.contradictions] == [("Tom", "Jane")]
    assert "the newer counts" in home.notes[0]
    assert told.states == {"learned": 1, "replaced": 1}
    assert answer(home, "Who leads Alma?") == "Jane"
    assert home.learner().learn(stream).new == 0  # reading the file again changes nothing
    assert home.learner().learn([item(7, question="Who leads Alma?", answer="Tom")]).new == 1  # saying it again does
    assert answer(home, "Who leads Alma?") == "Tom"


def test_triplets_and_thumbs(home: Home) -> None:
    stream = [
        item(1, subject="Rova", relation="is made in", object="Arden"),
        item(2, question="Who leads Alma?", answer="Tom", thumb="down"),
        item(3, question="What is two and two?", answer="four", thumb="up"),
    ]
    told = home.learner(replace(CONFIG, weights=False)).learn(stream)
    assert told.states == {"told": 1, "waiting": 2}
    assert [fact.object for fact in home.memory.recall("Where is Rova made?").facts][:1] == ["Arden"]
    assert answer(home, "What is two and two?") == "four"
    found = taught(home.memory, "Who leads Alma?")
    assert (found.answer, [one.object for one in found.wrong]) == (None, ["Tom"])
    assert home.learner().learn([]).states == {"learned": 2, "told": 1}  # weights later learn what waits


def test_what_cannot_be_read_is_named_and_left_out(home: Home) -> None:
    told = home.learner().learn([Bad("lessons.jsonl, line 2", "no JSON"), THREE[0]])
    assert (len(told.bad), told.new) == (1, 1)
    assert home.notes[0] == "left out lessons.jsonl, line 2: no JSON"


def test_a_step_that_makes_the_probes_fall_is_rolled_back(home: Home) -> None:
    home.learner(BY_HEART).learn(THREE)
    before = home.expert()
    probes = [Probe(one.question, one.answer) for one in THREE]  # known by now
    wrong = [item(10 + n, question=f"{one.question} x", answer="zzz") for n, one in enumerate(THREE)]
    careless = ContinualData(replay_share=0.0, consolidation=0.0)
    told = home.learner(margin(0.01, data=careless), probes).learn(wrong)
    (step,) = told.steps
    assert not step.kept
    assert "fell from" in step.why
    assert home.expert() == before
    assert told.states == {"learned": 3, "refused": 3}
    assert "rolled back" in home.notes[-1]
    assert answer(home, wrong[0].question) == "zzz"  # memory was told all the same


def test_replay_keeps_what_was_learned_before(home: Home, adapted: Adapted) -> None:
    home.learner(BY_HEART).learn(THREE)
    more = [item(10, question="Who sings?", answer="Bob"), item(11, question="What flies?", answer="a bee")]
    (step,) = home.learner(BY_HEART).learn(more).steps
    assert step.kept
    adapted.put(home.library.adapter("lessons"))
    rows = [(one.question, one.answer) for one in (*THREE, *more)]
    assert adapted.figures(documents_of(adapted.prompter, rows))["answers"] == 1.0


def test_each_skill_has_an_expert_of_its_own(home: Home) -> None:
    told = home.learner().learn([THREE[0], item(2, question="What is Rova?", answer="a car", skill="cars")])
    assert {step.expert for step in told.steps} == {"lessons", "cars"} == set(home.library.names())


def test_a_start_that_knows_all_lessons_is_kept_as_it_is(home: Home, tmp_path: Path) -> None:
    learner = home.learner(BY_HEART)
    learner.learn(THREE)
    start, place = home.library.adapter("lessons"), tmp_path / "step"
    plan = Plan(9, "again", tuple((place, one.question, one.answer) for place, one in enumerate(THREE)))
    begin_step(place, plan, home.library, start)
    outcome = take_step(place, learner.guard, home.library, BY_HEART.step)
    assert not isinstance(outcome, int)
    assert (outcome.kept, outcome.exact) == (True, 1.0)
    again = home.library.adapter("again")
    for name, one in start.factors.items():
        assert torch.equal(again.factors[name].up @ again.factors[name].down, one.up @ one.down)


def test_undoing_takes_memory_and_weights_back(home: Home) -> None:
    home.learner().learn(THREE)
    first = home.expert()
    newer = [item(9, question="Who leads Alma?", answer="Bob"), item(10, question="What is Zed?", answer="a dog")]
    home.learner().learn(newer)
    assert answer(home, "Who leads Alma?") == "Bob"
    undone = home.learner().undo()
    assert len(undone) == 2
    assert home.expert() == first
    assert (answer(home, "Who leads Alma?"), answer(home, "What is Zed?")) == ("Jane", None)
    home.learner().undo()
    assert home.library.names() == []
    assert answer(home, "Who leads Alma?") is None
    with pytest.raises(UsageError, match="nothing was learned"):
        home.learner().undo()
    assert home.learner().learn(THREE).new == 3  # and can be learned again


def test_one_learner_at_a_time(home: Home) -> None:
    first, second = home.learner(), home.learner()
    with first.alone(), pytest.raises(UsageError, match="somebody else is learning"):
        second.learn([])


def test_the_replay_buffer_is_bounded_and_keeps_what_surprises(home: Home) -> None:
    config = replace(CONFIG, replay=2)
    told = home.learner(config).learn(THREE)
    assert told.states == {"forgotten": 1, "learned": 2}
    kept = home.learner().notebook.some("lessons", "learned")
    gone = home.learner().notebook.some("lessons", "forgotten")
    assert min(one.surprise for one in kept) >= gone[0].surprise


def test_a_tenth_of_many_answers_is_held_back_and_judged(home: Home) -> None:
    many = [item(n, question=f"What is number {n}?", answer="odd" if n % 2 else "even") for n in range(30)]
    told = home.learner(replace(CONFIG, held_from=20)).learn(many)
    assert told.states["held"] + told.states["learned"] == 30
    assert told.states["held"] >= 1
    more = [item(90, question="Who is it?", answer="Ann")]
    (step,) = home.learner().learn(more).steps
    assert "earlier_lessons" in step.after
    card = json.loads((home.library.folder_of("lessons") / "card.json").read_text())
    assert card["after"] == step.after
