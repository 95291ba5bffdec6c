"""Experts in a session: named, chosen by a prototype, mixed over branches, attributed, and added while it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.toys import toy_backbone, toy_session

from reverie.dreaming import Reverie, Session
from reverie.dreaming.confidence import features
from reverie.dreaming.expert_pool import ExpertPool, branch_choices, read_choice
from reverie.errors import UnknownNameError, UsageError
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.features import question_features
from reverie.experts.library import Library
from reverie.experts.prototypes import PROTOTYPE_FILE, fit_prototype, save_prototype
from reverie.nouns import Signals

QUESTION = "What happens when you drop an egg?"


def adapter(seed: int, size: float = 0.3) -> Adapter:
    """Changes of two linears that are large enough to change what is dreamed."""
    draw, width = torch.Generator().manual_seed(seed), toy_backbone().config.hidden_size
    names = [f"model.layers.{layer}.self_attn.{part}" for layer in (0, 1) for part in ("q_proj", "o_proj")]
    return Adapter(
        {
            name: Factors(torch.randn(4, width, generator=draw) * size, torch.randn(width, 4, generator=draw) * size)
            for name in names
        }
    )


def library(folder: Path, *names: str) -> Library:
    opened = Library.open(folder, base="toy")
    for seed, name in enumerate(names):
        opened.create(ExpertCard(name), adapter(seed))
    return opened


def session(pool: ExpertPool) -> Reverie:
    return Session(toy_session(pool).model, memory=False)


def prototype_of(model: Reverie, questions: list[str], folder: Path) -> Path:
    rows = question_features(model.engine.embed_many, [model.grammar.question_ids(one) for one in questions])
    save_prototype(fit_prototype(torch.from_numpy(rows)), folder, "toy")
    return folder / PROTOTYPE_FILE


def test_named_experts_dream_and_are_attributed(tmp_path: Path) -> None:
    model = session(ExpertPool(library(tmp_path, "one", "two")))
    bare = model.ask(QUESTION, experts=())
    told = model.ask(QUESTION, experts=("one", "two=0.5"), explain=True)
    assert not bare.attribution.experts
    assert [dream.experts for dream in bare.dreams] == [{}] * 4
    given = told.attribution.experts
    assert {name: each.weight for name, each in given.items()} == {"one": 1.0, "two": 0.5}
    for each in given.values():
        assert len(each.by_id) == len(told.attribution.ids)
        assert each.contribution > 0
        assert each.left_out is not None
        assert np.isfinite([each.left_out.all, each.left_out.answer]).all()


def test_branches_of_one_question_use_different_experts(tmp_path: Path) -> None:
    model = session(ExpertPool(library(tmp_path, "one", "two")))
    dreams = model.dream(QUESTION, experts=("one", "two=0.5"), branches=4)
    assert [dream.experts for dream in dreams] == [
        {"one": 1.0, "two": 0.5}, {"one": 1.0}, {"two": 1.0}, {"one": 1.0, "two": 0.5}
    ]  # fmt: skip


def test_one_expert_dreams_all_branches() -> None:
    assert branch_choices((("one", 0.7),), 3) == [(("one", 0.7),)] * 3
    assert branch_choices((), 2) == [(), ()]


def test_an_expert_that_is_added_while_the_session_lasts_is_there_for_the_next_question(tmp_path: Path) -> None:
    model = session(ExpertPool(library(tmp_path, "one")))
    with pytest.raises(UnknownNameError, match="late"):
        model.ask(QUESTION, experts=("late",))
    Library.open(tmp_path, base="toy").create(ExpertCard("late"), adapter(7))
    assert model.ask(QUESTION, experts=("late",)).dreams[0].experts == {"late": 1.0}


def test_an_expert_with_a_prototype_is_chosen_without_any_router(tmp_path: Path) -> None:
    opened = library(tmp_path / "experts")
    model = session(ExpertPool(opened))
    taught = [f"what happens when you drop {thing}" for thing in ("an egg", "a ball", "a cup", "a stone", "a book",
              "a plate", "a glass", "an apple", "a candle", "a feather")]  # fmt: skip
    assert model.ask(QUESTION).dreams[0].experts == {}
    beside = prototype_of(model, taught, tmp_path)
    opened.create(ExpertCard("drops"), adapter(1), {PROTOTYPE_FILE: beside})
    assert model.ask("what happens when you drop a stone").dreams[0].experts == {"drops": 1.0}
    assert model.ask("zzz qqq xxx kkk").dreams[0].experts == {}
    assert model.ask("what happens when you drop a stone", experts=()).dreams[0].experts == {}


def test_the_same_seed_gives_the_same_dream_with_experts(tmp_path: Path) -> None:
    model = session(ExpertPool(library(tmp_path, "one")))
    first, second = (model.dream(QUESTION, experts=("one",), seed=3) for _ in range(2))
    assert [dream.triplets for dream in first] == [dream.triplets for dream in second]
    assert first[1].triplets != model.dream(QUESTION, experts=(), seed=3)[1].triplets


def test_many_questions_may_start_from_scenes(tmp_path: Path) -> None:
    model = session(ExpertPool(library(tmp_path, "one")))
    scene = ("FrozenLake", {"desc": ["SFF", "FHF", "FFG"]})
    answers = model.ask_many([QUESTION, "what if the elf moves right?"], scenes=[(None, None), scene], branches=1)
    assert answers[1].dreams[0].triplets[0].what.frame is not None


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("one=much",), "name=weight"),
        (("one", "one"), "once"),
        (("../one",), "name has"),
        (("a", "b", "c", "d", "e"), "at most 4"),
        (("one=nan",), "finite"),
    ],
)
def test_a_choice_that_makes_no_sense_is_one_line(named: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_choice(named)


def test_without_a_library_a_named_expert_is_refused() -> None:
    with pytest.raises(UsageError, match="no library"):
        session(ExpertPool()).ask(QUESTION, experts=("one",))


def test_a_question_near_to_what_an_expert_was_taught_is_not_far() -> None:
    far = Signals([-1.0], np.full(4, 50.0), None, -0.1)
    near = Signals([-1.0], np.full(4, 50.0), None, -0.1, near=1.1)
    centres, spread = [[0.0] * 4], [1.0] * 4
    assert features(far, centres=centres, spread=spread)["distance"] == pytest.approx(50)
    assert features(near, centres=centres, spread=spread)["distance"] == pytest.approx(1.1)
