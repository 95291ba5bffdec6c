"""Who answers: a model that pictures, a speaker that talks, or both joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import reverie
from bases import SMALL, save_base
from reverie.bundles import load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.dreaming import DreamSettings, Session
from reverie.dreaming.evaluators import Context
from reverie.dreaming.grounding import MemoryGrounding
from reverie.dreaming.minds import JoinedMind, PictureMind
from reverie.dreaming.model import Model
from reverie.dreaming.prompting import ChatPrompter
from reverie.dreaming.question import Manner, Question, Speaking
from reverie.dreaming.word_dreams import WordDreamer
from reverie.dreaming.words import WordMind
from reverie.errors import BackendError, UnknownNameError, UsageError
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.features import question_features
from reverie.experts.prototypes import PROTOTYPE_FILE, fit_prototype, save_prototype
from reverie.nouns import Answer, Dream
from reverie.paths import models_dir
from reverie.speakers import ToySpeaker
from toy_speakers import FrankSpeaker

EGG = "What happens when you drop an egg?"
EMPEROR = "Who was the first emperor of Rome?"
BOAT = "What happens if a boat has a hole?"


@pytest.fixture(scope="module")
def nano() -> Model:
    return load_bundle("nano").open()


@pytest.fixture
def speaker() -> FrankSpeaker:
    return FrankSpeaker(lambda _: " It sinks.\n")


@pytest.fixture
def joined(nano: Model, speaker: FrankSpeaker) -> Session:
    mind = JoinedMind(nano, lambda: WordMind(WordDreamer(speaker)), "frank")
    return Session(nano, False, mind=mind)


def test_what_the_model_was_taught_it_pictures(joined: Session, speaker: FrankSpeaker) -> None:
    answer = joined.ask(EGG, branches=2)
    assert "breaks" in answer.text
    assert (answer.model, answer.why) == ("nano", "nano was taught this")
    assert answer.dreams[0].triplets[0].result.frame is not None
    assert not speaker.heard
    assert joined.name == "nano+frank"


def test_what_it_can_be_asked_otherwise_it_pictures_too(joined: Session) -> None:
    answer = joined.ask("My son let the egg slip out of his hand. What happens?", branches=2)
    assert "breaks" in answer.text
    assert answer.model == "nano"
    assert answer.why == 'nano was taught this, as "what happens when you drop an egg?"'


@pytest.mark.parametrize(
    "question", [EMPEROR, BOAT, "Explain photosynthesis", "word " * 300, "如果我把鸡蛋掉在地上会怎样?"]
)
def test_everything_else_is_left_to_the_speaker(question: str, joined: Session) -> None:
    answer = joined.ask(question, branches=2)
    assert answer.text == "It sinks."
    assert answer.model == "frank"
    assert answer.why.startswith("frank was asked: ")
    assert "\n" not in answer.why


def test_pictures_and_experts_are_the_model_s_own(joined: Session, speaker: FrankSpeaker) -> None:
    asked = "What happens if you step down?"
    shown = joined.ask(asked, branches=1, depth=1, world="FrozenLake", scene="SFF,FHF,FFG")
    assert (shown.model, shown.why) == ("nano", "nano was asked, as what is shown is its own")
    named = joined.ask(EMPEROR, branches=1, experts=["causal"])
    assert (named.model, named.why) == ("nano", "nano was asked, as the experts are its own")
    assert not named.known
    with pytest.raises(UnknownNameError, match="causal"):
        joined.ask(EMPEROR, branches=1, experts=["casual"])
    assert not speaker.heard
    assert joined.ask(EMPEROR, branches=1, experts=()).model == "frank"


def test_a_speaker_that_is_away_only_matters_where_it_is_asked(nano: Model) -> None:
    def away() -> WordMind:
        raise BackendError("nobody answers at http://here")

    talk = Session(nano, False, mind=JoinedMind(nano, away, "far"))
    assert talk.ask(EGG, branches=1).model == "nano"
    for _ in range(2):
        with pytest.raises(BackendError, match="nobody answers"):
            talk.ask(EMPEROR)


def test_dreams_alone_are_of_whoever_would_answer(joined: Session) -> None:
    assert joined.dream(EGG, branches=1)[0].triplets[0].result.frame is not None
    assert joined.dream(BOAT, branches=1)[0].said == "It sinks."
    shown = joined.dream("What happens?", branches=1, depth=1, world="FrozenLake", scene="SFF,FHF,FFG")
    assert shown[0].triplets[0].result.frame is not None
    with pytest.raises(UsageError, match="nothing to dream of"):
        joined.dream(EMPEROR)


def test_what_is_heard_is_the_answer_of_whoever_speaks(joined: Session) -> None:
    for question in (EGG, EMPEROR, BOAT):
        heard = list[str]()
        answer = joined.ask(question, branches=1, on_text=heard.append)
        assert "".join(heard) == answer.text


def test_many_are_answered_as_one_by_one(joined: Session) -> None:
    questions = [EGG, EMPEROR, BOAT]

    def told(answers: Sequence[Answer]) -> list[tuple[str, bool, str, str]]:
        return [(one.text, one.known, one.model, one.why) for one in answers]

    assert told(joined.ask_many(questions, branches=1)) == told([joined.ask(one, branches=1) for one in questions])


def test_a_talk_goes_on_whoever_answers(joined: Session) -> None:
    joined.chat(EGG, branches=1)
    joined.chat(EMPEROR, branches=1)
    assert [turn.question for turn in joined.history] == [EGG, EMPEROR]


def test_a_model_alone_reads_what_it_is_asked(nano: Model) -> None:
    mind = PictureMind(nano)
    heard = list[str]()
    (answer,) = mind.answer(MemoryGrounding(False), [Question(EGG)], Manner(DreamSettings(1), on_text=heard.append))
    assert heard == [answer.text]
    assert (answer.model, answer.why) == ("nano", "nano was taught this")
    (sea,) = Session(nano, False).ask_many(["Does an egg break in the sea?"], branches=2)
    assert not sea.known
    assert "'sea'" in sea.text
    assert [check.name for check in sea.checks if not check.held] == ["words"]


def test_dreams_alone_say_what_they_are_not_of(nano: Model) -> None:
    alone = Session(nano, False)
    told = alone.imagine(Question("What is the capital of France?"), DreamSettings(2))
    assert not told.known
    assert "'capital' and 'france'" in told.text
    assert len(told.dreams) == 2
    assert alone.imagine(Question("The egg slips from my hand. What happens?"), DreamSettings(2)).known


def test_a_question_without_its_scene_asks_for_one_whoever_speaks(joined: Session, speaker: FrankSpeaker) -> None:
    answer = joined.ask("What happens if you go right, down?", branches=1)
    assert not answer.known
    assert "--map" in answer.text
    assert [check.name for check in answer.checks] == ["scene"]
    assert not joined.ask("Is an egg heavier than an egg?", branches=1).known
    assert not speaker.heard


def test_a_session_of_a_speaker_has_no_pictures() -> None:
    talk = Session(None, False, mind=WordMind(WordDreamer(ToySpeaker())))
    assert (talk.name, dict(talk.worlds)) == ("toy", {})
    for call in (lambda: talk.grammar, lambda: talk.simulate("FrozenLake", "SFG", ["right"]), lambda: talk.decode([])):
        with pytest.raises(UsageError, match="toy only talks: what is pictured needs a bundle, such as nano or nano"):
            call()
    with pytest.raises(UsageError, match="a session needs a model"):
        Session(None)


# by name --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a base, which was taught no pictures."""
    home = tmp_path_factory.mktemp("tiny")
    return init_bundle(save_base(home / "base", chat=True), home / "tiny", InitConfig(dtype="fp32", name="tiny"))


@pytest.fixture
def smol(tiny: Path) -> Iterator[Path]:
    """The base as it would lie where pulled models do, under the name of the usual speaker."""
    models_dir().mkdir(parents=True, exist_ok=True)
    place = models_dir() / "smol"
    place.symlink_to(tiny)
    yield place
    place.unlink()


def test_the_usual_model_is_nano_until_there_is_a_speaker(smol: Path) -> None:
    session = reverie.load(memory=False)
    assert session.name == "nano+smol"
    assert session.ask(EGG, branches=1).model == "nano"
    assert session.ask(EMPEROR, branches=0, speaking=Speaking(max_ids=4)).model == "tiny"
    smol.rename(smol.with_name("other"))
    assert reverie.load(memory=False).name == "nano"
    assert isinstance(reverie.load("auto", memory=False).mind, PictureMind)
    smol.with_name("other").rename(smol)


def test_two_are_joined_by_a_plus(tiny: Path) -> None:
    session = reverie.load(f"nano+{tiny}", memory=False)
    assert session.name == "nano+tiny"
    assert session.ask(EMPEROR, branches=0, speaking=Speaking(max_ids=4)).model == "tiny"
    talks = reverie.load("nano+toy:small", memory=False)
    assert talks.ask(EMPEROR, branches=0).model == "toy:small"
    assert talks.ask(EGG, branches=1).model == "nano"
    assert reverie.load("toy:small", memory=False).ask(EMPEROR, branches=0).model == "toy:small"
    away = reverie.load("nano+http://127.0.0.1:9/v1#far", memory=False)  # nobody is asked yet
    assert away.ask(EGG, branches=1).known
    with pytest.raises(BackendError, match="nobody answers at"):
        away.ask(EMPEROR, branches=0)


def test_a_folder_whose_name_holds_a_plus_is_one(tiny: Path, tmp_path: Path) -> None:
    place = tmp_path / "a+b"
    place.symlink_to(tiny)
    for name in (place, str(place)):
        assert isinstance(reverie.load(name, memory=False).mind, WordMind)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nanoo", "no bundle 'nanoo'. Did you mean 'nano'"),
        ("nano+smoll", "no bundle 'smoll'"),
        ("nano+", r"no bundle 'nano\+'"),
        ("+smol", r"no bundle '\+smol'"),
        ("nothing+toy:small", "no bundle 'nothing'"),
        ("nano+nano", "dreams in pictures itself"),
        ("nano+toyy:small", "toyy:small"),
    ],
)
def test_a_name_of_nobody_is_said_in_one_line(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        reverie.load(name, memory=False).ask(EMPEROR)
    assert "\n" not in str(caught.value)


def test_a_base_goes_second(tiny: Path) -> None:
    with pytest.raises(UsageError, match="tiny was taught no pictures, so nothing is joined to it") as caught:
        reverie.load(f"{tiny}+toy:small", memory=False)
    assert "\n" not in str(caught.value)


class Suspicious:
    """Likes no dream that was drawn."""

    name, weight = "likelihood", 100.0

    def judge(self, dreams: Sequence[Dream], context: Context) -> list[float]:
        return [float(index == len(dreams) - 1) for index in range(len(dreams))]


@pytest.mark.parametrize("name", ["nano", "toy:small", "nano+toy:small"])
def test_further_judges_are_heard_by_whoever_answers(name: str) -> None:
    judged = reverie.load(name, memory=False, evaluators=["brevity", Suspicious()])
    for question in (EGG, BOAT):
        answer = judged.ask(question, branches=3)
        if answer.dreams:
            assert answer.verdict.branch == len(answer.dreams) - 1
            assert {"brevity", "likelihood"} <= answer.dreams[0].scores.keys()
    with pytest.raises(UnknownNameError, match="Did you mean 'brevity'"):
        reverie.load(name, evaluators=["breivty"])


# experts of a base ----------------------------------------------------------------------------------------------


def adapter(seed: int) -> Adapter:
    draw, names = torch.Generator().manual_seed(seed), [f"model.layers.{layer}.mlp.down_proj" for layer in (0, 1)]
    sides = (SMALL["intermediate_size"], SMALL["hidden_size"])
    return Adapter(
        {
            name: Factors(*(torch.randn(shape, generator=draw) for shape in ((4, sides[0]), (sides[1], 4))))
            for name in names
        }
    )


@pytest.fixture
def helped(tiny: Path, tmp_path: Path) -> Session:
    """A base with two experts, of which one is chosen for its own questions."""
    bundle, folder = load_bundle(tiny), tmp_path / "library"
    session = bundle.session(memory=False, library=folder)
    assert isinstance(bundle.prompter, ChatPrompter)
    taught = [f"Who sings {number} songs?" for number in range(12)]
    rows = question_features(session.engine.embed_many, [bundle.prompter.ids(one) for one in taught])
    library = bundle.open_library(folder)
    save_prototype(fit_prototype(torch.from_numpy(rows)), tmp_path, library.base)
    library.create(ExpertCard("songs", base=library.base), adapter(0), {PROTOTYPE_FILE: tmp_path / PROTOTYPE_FILE})
    library.create(ExpertCard("poems", base=library.base), adapter(1))
    return session


SHORT = Speaking(max_ids=6)


def test_an_expert_that_is_named_answers_at_once_and_is_credited(helped: Session) -> None:
    bare = helped.ask(EMPEROR, experts=(), branches=2, speaking=SHORT)
    assert not bare.attribution.experts
    told = helped.ask(EMPEROR, experts=("poems", "songs=0.5"), branches=2, speaking=SHORT, explain=True)
    assert told.text != bare.text
    given = told.attribution.experts
    assert {name: share.weight for name, share in given.items()} == {"poems": 1.0, "songs": 0.5}
    for share in given.values():
        assert share.contribution > 0
        assert len(share.by_id) == len(told.attribution.ids)
        assert share.left_out is not None
        assert np.isfinite(share.left_out.all)
    assert "".join(told.attribution.ids).strip()
    quiet = helped.ask(EMPEROR, experts=("poems",), branches=2, speaking=SHORT).attribution.experts["poems"]
    assert quiet.left_out is None
    assert helped.ask(EGG, experts=("poems",), branches=2, speaking=SHORT).dreams == ()
    again = helped.ask(EMPEROR, experts=("poems", "songs=0.5"), branches=2, speaking=SHORT)
    assert again.text == told.text


def test_a_router_chooses_for_a_base_too(helped: Session) -> None:
    assert list(helped.ask("Who sings 7 songs?", branches=0, speaking=SHORT).attribution.experts) == ["songs"]
    assert not helped.ask("\u00e9\u00e8\u00ea zz!", branches=0, speaking=SHORT).attribution.experts
    assert not helped.ask("Who sings 7 songs?", branches=0, experts=(), speaking=SHORT).attribution.experts


def test_an_expert_that_is_not_there_is_said(helped: Session) -> None:
    with pytest.raises(UnknownNameError, match="poems"):
        helped.ask(EMPEROR, experts=["poem"])
    with pytest.raises(UsageError, match="dreams in words are those of the bare model"):
        helped.dream(EGG, experts=["poems"])
