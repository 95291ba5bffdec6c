"""The packaged model does what the README says of it."""

from __future__ import annotations

import numpy as np
import pytest

import reverie
from reverie.bundles import find_bundle
from reverie.worlds import make_world, record_episode
from reverie.worlds.frozenlake import CELL_PX, FrozenLake


@pytest.fixture(scope="module")
def nano() -> reverie.Reverie:
    return reverie.load("nano")


def test_it_is_small() -> None:
    folder = find_bundle("nano")
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 12_000_000


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("What happens when you drop an egg?", "breaks"),
        ("What happens when you let go of a balloon?", "rises"),
        ("What happens when you drop a ball?", "bounces"),
        ("Will the glass break if it falls on a pillow?", "No"),
        ("What happens if you heat an ice cube?", "melts"),
        ("Is a stone heavier than a feather?", "Yes"),
    ],
)
def test_it_answers_what_it_was_taught(nano: reverie.Reverie, question: str, says: str) -> None:
    answer = nano.ask(question, branches=3)
    assert answer.known
    assert says in answer.text


def test_its_dreams_show_what_it_says(nano: reverie.Reverie) -> None:
    answer = nano.ask("What happens when you drop an egg?", branches=2)
    world = make_world("Everyday")
    first, *_, last = nano.pictures(answer.dreams[answer.verdict.branch])
    before, after = world.read(first), world.read(last)
    assert before is not None
    assert after is not None
    assert (before["things"][0]["name"], before["things"][0]["condition"]) == ("egg", "whole")
    assert (after["things"][0]["name"], after["things"][0]["condition"]) == ("egg", "broken")


@pytest.mark.parametrize(
    "question", ["Explain photosynthesis", "Who was the first emperor of Rome?", "What happens when you drop a piano?"]
)
def test_it_says_when_it_does_not_know(nano: reverie.Reverie, question: str) -> None:
    answer = nano.ask(question)
    assert not answer.known
    assert answer.text.startswith("I don't know this yet")


def test_it_plans_and_simulates_a_lake(nano: reverie.Reverie) -> None:
    assert nano.plan("FrozenLake", "SFFF,FHFH,FFFH,HFFG").reaches_goal
    simulation = nano.simulate("FrozenLake", "SFF,FHF,FFG", "RRDD")
    assert simulation.agrees
    assert nano.simulate("FrozenLake", "SFF,FHF,FFG", "RD").outcome == "falls"


def test_its_codes_hold_every_state(nano: reverie.Reverie) -> None:
    """Fails when a world's art changes without its tokenizer: then train both anew."""
    rng = np.random.default_rng(0)
    everyday = make_world("Everyday")
    for _ in range(40):
        episode = record_episode(everyday, everyday.sample_options(rng))
        picture = episode.transitions[-1].result
        painted = nano.tokenizer.decode(nano.tokenizer.encode([picture], 8), 8)[0]
        assert everyday.read(painted) == everyday.read(picture), episode.options
    lake = FrozenLake()
    lake.reset(options=lake.sample_options(rng))
    painted = nano.tokenizer.decode(nano.tokenizer.encode([lake.render()], CELL_PX), CELL_PX)[0]
    assert lake.read(painted) == lake.state()


def test_a_question_that_needs_no_dream_is_answered_beside_a_picture_too(nano: reverie.Reverie) -> None:
    world = make_world("Everyday")
    world.reset(options={"thing": "egg", "action": "drop"})
    answer = nano.ask("Is a stone heavier than a feather?", [world.render()], world="Everyday")
    assert answer.text == "Yes, a stone is heavier than a feather."
    assert not any(dream.triplets for dream in answer.dreams)
