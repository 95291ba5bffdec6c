"""What a question shows is looked at before it is dreamed of, and what keeps an answer from being known has a name."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reverie.bundles import load_bundle
from reverie.dreaming import Session
from reverie.dreaming.dreamer import Prompt
from reverie.dreaming.question import DreamSettings, Question
from reverie.dreaming.shown import LEG, dreamed_checks, look
from reverie.nouns import Answer, Dream, Frame, Part, Triplet
from reverie.tokens.vocabulary import ACT
from reverie.worlds import make_world
from reverie.worlds.frozenlake import paint
from toys import toy_session

MAP = "SFF,FHF,FFG"
LAKE = paint(MAP.split(","), (0, 0))
SHOWN: dict[str, Any] = {"world": "FrozenLake", "scene": MAP}


@cache
def session() -> Session:
    return load_bundle("nano").session(memory=False)


def ask(question: str, **shown: Any) -> Answer:
    return session().ask(question, branches=1, **shown)


def broken(answer: Answer) -> dict[str, str]:
    return {check.name: check.why for check in answer.checks if not check.held}


@pytest.mark.parametrize("world", [None, "FrozenLake"])
@pytest.mark.parametrize("side", [192, 512, 150])
def test_a_lake_at_another_scale_is_answered_as_the_lake_that_it_is(side: int, world: str | None) -> None:
    picture = Image.fromarray(LAKE).resize((side, side), Image.Resampling.BICUBIC)
    told = ask("What happens if you go right, down?", images=[picture], world=world)
    assert (told.text, told.known) == ("The elf falls into a hole.", True)
    assert [check.name for check in told.checks if check.held] == ["picture", "moves", "walk", "rules"]


@pytest.mark.parametrize("world", [None, "FrozenLake", "Everyday"])
def test_a_picture_of_no_world_is_not_known_and_has_no_guess(world: str | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    told = ask("What happens if you go right, down?", images=[noise], world=world)
    assert (told.known, told.guess) == (False, "")
    assert "shows no" in broken(told)["picture"]
    assert broken(told)["picture"] in told.text


def test_a_picture_of_another_world_is_not_what_is_asked_about() -> None:
    room = make_world("Everyday")
    room.reset(seed=0, options={"thing": "egg", "action": "drop", "surface": "floor", "column": 3, "height": "high"})
    picture = np.asarray(room.render())
    assert "what is shown is Everyday" in broken(ask("What happens if you go right?", images=[picture]))["scene"]
    assert ask("What happens when you drop the egg?", images=[picture]).known
    assert "names no way to go" in broken(ask("What happens when you drop the egg?", images=[LAKE]))["moves"]


@pytest.mark.parametrize("world", [None, "FrozenLake"])
@pytest.mark.parametrize(
    "question", ["What happens if you go right, down?", "I walk right twice then down, what happens?", "go left"]
)
def test_a_walk_needs_a_lake_to_be_seen(question: str, world: str | None) -> None:
    told = ask(question, world=world)
    assert not told.known
    assert "FrozenLake" in broken(told)["scene"]
    assert all(words in told.text for words in ("--map", "--image"))


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Would I survive going down and then right?", "The elf falls into a hole."),
        ("If the elf takes two steps right, where does it end up?", "The elf is safe on the ice."),
        ("go right × 9", "The elf is safe on the ice."),
        ("I go right nine times, then 2x down. What happens?", "The elf reaches the goal."),
        (
            "What if I go right twice, left 20 times, down twice, and right again and again?",
            "The elf reaches the goal.",
        ),
    ],
)
def test_free_questions_about_a_shown_lake_are_read_and_long_walks_dreamed_whole(question: str, said: str) -> None:
    told = ask(question, **SHOWN)
    assert (told.text, told.known) == (said, True), told.checks


def test_a_walk_that_ends_early_in_a_long_one_is_shown_to_its_end() -> None:
    told = ask(f"What happens if you go down, right, {', '.join(['up'] * 20)}?", **SHOWN)
    assert told.text == "The elf falls into a hole."
    assert told.dreams[0].triplets[-1].result.text == "falls"


def test_a_walk_is_never_cut_silently() -> None:
    told = session().ask("What happens if you go right, right, down?", branches=1, depth=2, **SHOWN)
    assert not told.known
    assert broken(told) == {"walk": "2 of 3 moves were dreamed"}
    assert "at most 100 moves" in broken(ask("What happens if you go right 101 times?", **SHOWN))["moves"]


def test_words_that_are_not_understood_are_named() -> None:
    told = ask("What happens if you go right when the moon is full?", **SHOWN)
    assert "moon, full" in told.text
    assert not told.known


def test_long_walks_begin_where_their_last_leg_does() -> None:
    model = session().model
    shown = look(model, Question("What happens if you go right 20 times?", **SHOWN), 0)
    assert shown.actions == ("right",) * LEG
    assert shown.asked == f"what happens if you go {', '.join(['right'] * LEG)}?"
    assert shown.frame != look(model, Question("What happens if you go right?", **SHOWN), 0).frame


def test_a_question_that_shows_nothing_and_needs_nothing_has_no_checks() -> None:
    shown = look(toy_session().model, Question("What happens when you drop an egg?"), 0)
    assert (shown.frame, shown.world, shown.checks) == (None, None, ())


def test_a_dream_does_what_it_is_told_to_do() -> None:
    """Even one of a model that knows nothing."""
    shown = look(toy_session().model, Question("What happens if you go up, left?", **SHOWN), 0)
    assert shown.frame is not None
    dreamer = toy_session().dreamer
    prefix = tuple(dreamer.opening(Part("", shown.frame), shown.asked))
    for seed in range(4):
        prompt = Prompt(prefix, (ACT,), seed=seed, temperature=1.0, pictured=True, actions=("up", "left"))
        done = [triplet.action.text for triplet in dreamer.run([prompt])[0].document.triplets]
        assert done == ["up", "left"][: len(done)]


def chain(*actions: str, ends: str = "safe") -> Dream:
    frame = Frame(np.zeros((2, 2)))
    steps = [
        Triplet(Part("", frame), Part(action), Part(ends if number == len(actions) else "safe", frame))
        for number, action in enumerate(actions, start=1)
    ]
    return Dream(tuple(steps), 0.0, 0)


@pytest.mark.parametrize(
    ("dream", "held"),
    [
        (chain("right", "down"), True),
        (chain("right", ends="falls"), True),
        (chain("right"), False),
        (chain("down", "right"), False),
        (chain("right", "down", "down"), False),
        (Dream((), 0.0, 0), False),
    ],
)
def test_a_dream_goes_the_whole_way_or_to_an_end(dream: Dream, held: bool) -> None:
    (check,) = dreamed_checks(dream, ("right", "down"), ("falls", "goal"))
    assert (check.name, check.held) == ("walk", held)


def test_nobody_comes_out_of_a_hole() -> None:
    lake, desc = make_world("FrozenLake"), MAP.split(",")
    fallen, beside = paint(desc, None), paint(desc, (0, 1))
    assert lake.check_rules(beside, fallen) == lake.check_rules(fallen, fallen) == 1.0
    assert lake.check_rules(fallen, beside) == lake.check_rules(LAKE, paint(desc, (2, 0))) == 0.0


def test_checks_come_with_what_is_dreamed_alone() -> None:
    imagined = session().imagine(Question("What happens if you go right?"), DreamSettings(branches=1))
    assert not imagined.known
    assert "none is shown: give its map (--map)" in imagined.text
