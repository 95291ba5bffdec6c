"""A session answers, dreams and admits, whatever the model; here it is a random one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.dreaming import Arbiter, ConfidenceModel, Question, Reverie, Session
from reverie.dreaming.model import Model
from reverie.engine import Engine, Worker
from reverie.errors import PictureError, UnknownNameError, UsageError, WorldError
from reverie.nouns import Answer
from toys import toy_backbone, toy_session

EGG = "What happens when you drop an egg?"


@pytest.fixture(scope="module")
def session() -> Reverie:
    return toy_session()


@pytest.fixture
def certain(session: Reverie) -> Reverie:
    """The session's model, sure of everything."""
    return Session(replace(session.model, confidence=replace(ConfidenceModel.rough(), threshold=0.0)))


def untimed(answer: Answer) -> Answer:
    return replace(answer, seconds=0.0)


def test_an_answer_rests_on_scored_dreams(certain: Reverie) -> None:
    answer = certain.ask(EGG, branches=2, depth=1)
    assert len(answer.dreams) == 2
    assert answer.known
    assert answer.text == answer.dreams[answer.verdict.branch].said
    assert answer.dreams[0].scores.keys() >= {"likelihood", "agreement"}
    assert answer.backend == "local"
    assert [dream.seed for dream in answer.dreams] == [0, 1]
    assert answer.seconds > 0


def test_sessions_of_many_threads_share_an_engine_and_answer_as_alone(session: Reverie) -> None:
    def told(model: Model, seed: int) -> Answer:
        with closing(Session(model, memory=False)) as own:
            return untimed(own.ask(EGG, branches=2, depth=1, seed=seed))

    alone = [told(session.model, seed) for seed in range(4)]
    with Worker(Engine(toy_backbone())) as worker, ThreadPoolExecutor(4) as threads:
        shared = session.model.through(worker)
        for one, other in zip(threads.map(lambda seed: told(shared, seed), range(4)), alone, strict=True):
            assert (one.text, one.known) == (other.text, other.known)
            assert [dream.triplets for dream in one.dreams] == [dream.triplets for dream in other.dreams]
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)


def test_a_random_model_admits_that_it_does_not_know(session: Reverie) -> None:
    answer = session.ask(EGG, branches=2, depth=1)
    assert not answer.known
    assert answer.guess == answer.dreams[answer.verdict.branch].said
    assert answer.text.startswith("I don't know this yet: ")
    assert answer.confidence < 0.5
    assert len(answer.dreams) == 2


def test_the_same_seed_gives_the_same_answer(session: Reverie) -> None:
    first, again = (untimed(session.ask(EGG, branches=2, depth=1, seed=5)) for _ in range(2))
    other = untimed(session.ask(EGG, branches=2, depth=1, seed=6))
    assert first == again
    assert first.dreams[1] != other.dreams[1]


def test_no_branches_answer_directly(certain: Reverie) -> None:
    answer = certain.ask(EGG, branches=0)
    assert answer.dreams == ()
    assert answer.verdict.branch == -1
    assert answer.text


def test_many_questions_get_the_answers_that_each_gets_alone(session: Reverie) -> None:
    questions = [EGG, "Will the glass break?"]
    together = session.ask_many(questions, branches=2, depth=1)
    alone = [session.ask(question, branches=2, depth=1) for question in questions]
    assert [one.text for one in together] == [one.text for one in alone]
    assert [one.confidence for one in together] == pytest.approx([one.confidence for one in alone], rel=1e-3)


def test_many_questions_may_show_pictures_and_scenes(session: Reverie) -> None:
    red, lake = np.full((64, 64, 3), (200, 30, 30), np.uint8), ("FrozenLake", "SFF,FHF,FFG")
    together = session.ask_many(
        [EGG, "What happens here?", "Is it safe?"],
        images=[(), [red], ()],
        scenes=[(None, None), (None, None), lake],
        branches=2,
        depth=1,
    )
    alone = [
        session.ask(EGG, branches=2, depth=1),
        session.ask("What happens here?", [red], branches=2, depth=1),
        session.ask("Is it safe?", world=lake[0], scene=lake[1], branches=2, depth=1),
    ]
    assert [one.text for one in together] == [one.text for one in alone]
    starts = [one.dreams[0].triplets[0].what.frame for one in together]
    assert starts == [one.dreams[0].triplets[0].what.frame for one in alone]
    assert [start is not None and start.shape for start in starts[1:]] == [(8, 8), (3, 3)]
    with pytest.raises(UsageError, match="2 questions need as many pictures and scenes, got 1 and 2"):
        session.ask_many([EGG, EGG], images=[()])
    with pytest.raises(UsageError, match="questions are given as a list"):
        session.ask_many(EGG)


def test_observers_hear_every_answer_and_may_add_to_it(certain: Reverie) -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[tuple[str, Answer]] = []

        def answered(self, question: Question, answer: Answer) -> None:
            self.heard.append((question.text, answer))

    class Marker:
        def answered(self, question: Question, answer: Answer) -> Answer:
            return replace(answer, backend="marked")

    ear = Ear()
    heard = Session(certain.model, observers=[Marker(), ear])
    told = heard.ask(EGG, branches=1, depth=1)
    heard.ask_many(["Is it safe?"], branches=1, depth=1)
    assert [text for text, _ in ear.heard] == [EGG, "Is it safe?"]
    assert {answer.backend for _, answer in ear.heard} == {told.backend} == {"marked"}
    signals = ear.heard[0][1].signals
    assert signals is not None
    assert signals.embedding.shape == (certain.engine.decoder.hidden_size,)


def test_a_talk_keeps_its_turns(certain: Reverie) -> None:
    talk = Session(certain.model)
    first = talk.chat(EGG, branches=1, depth=1)
    talk.chat("And then?", branches=1, depth=1)
    assert [turn.question for turn in talk.history] == [EGG, "And then?"]
    assert talk.history[0].answer == first.text
    assert untimed(first) == untimed(certain.ask(EGG, branches=1, depth=1))


def test_another_evaluator_may_judge_too(certain: Reverie) -> None:
    judged = Session(replace(certain.model, arbiter=Arbiter().beside(["brevity"]))).ask(EGG, branches=2, depth=1)
    assert judged.dreams[0].scores.keys() >= {"likelihood", "agreement", "brevity"}
    with pytest.raises(UnknownNameError, match="Did you mean 'brevity'"):
        Arbiter().beside(["brevty"])
    with pytest.raises(UsageError, match="evaluators are given as a list, got 'brevity'"):
        Arbiter().beside("brevity")


def test_dreams_have_pictures(session: Reverie) -> None:
    dreams = session.dream("Is it safe?", branches=2, depth=1, world="FrozenLake", scene="SFF,FHF,FFG")
    pictures = session.pictures(dreams[0])
    assert len(pictures) == 2
    assert pictures[0].dtype == np.uint8
    assert pictures[0].shape == (192, 192, 3)
    assert dreams[0].score > 0


def test_a_dream_starts_from_the_picture_given(session: Reverie, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "red.png")
    dreams = session.dream("What happens here?", [tmp_path / "red.png"], branches=1, depth=1)
    frame = dreams[0].triplets[0].what.frame
    assert frame is not None
    assert frame.shape == (8, 8)


def test_the_world_is_known_by_its_backdrop(session: Reverie) -> None:
    lake = session.dream("Is it safe?", branches=1, depth=1, world="FrozenLake", scene="SFF,FFF,FFG")
    frame = lake[0].triplets[0].what.frame
    assert frame is not None
    assert session.model.world_of(frame) == "FrozenLake"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"branches": "4"}, "branches is a whole number, got '4'"),
        ({"branches": -1}, "branches lie between 0 and 64"),
        ({"branches": 65}, "branches lie between 0 and 64"),
        ({"depth": 0}, "depth is at least 1"),
        ({"temperature": -1.0}, "temperature between 0 and 10"),
        ({"images": ["a.png", "b.png"]}, "one picture"),
        ({"images": ["a.png"], "scene": "SFF,FHF,FFG"}, "not both"),
        ({"world": "FrozenLake", "branches": 0}, "at least 1 branch"),
        ({"world": "Frozen"}, "unknown world 'Frozen'"),
    ],
)
def test_calls_that_make_no_sense_are_refused(session: Reverie, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        session.ask(EGG, **settings)  # type: ignore[arg-type]


def test_bad_pictures_and_long_questions_are_refused(session: Reverie, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(PictureError):
        session.ask(EGG, [tmp_path / "no.png"])
    with pytest.raises(UsageError, match="leave room to dream"):
        session.ask("xq " * 500, world="FrozenLake")
    with pytest.raises(UsageError, match="empty"):
        session.ask(" ")
    with pytest.raises(WorldError):
        session.ask(EGG, world="FrozenLake", scene="SFX,FFF,FFG")
