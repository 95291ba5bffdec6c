"""What is not known is said so, guessed or refused; a base that was calibrated stands behind what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bases import toy_engine_speaker
from reverie.dreaming import DreamSettings, Session
from reverie.dreaming.confidence import ConfidenceModel, Guarantee
from reverie.dreaming.question import Manner, Question, Speaking
from reverie.dreaming.unknown import told_as
from reverie.dreaming.word_dreams import WordDreamer
from reverie.dreaming.words import WordMind, asks
from reverie.errors import UsageError
from reverie.nouns import Answer, Fact

UNKNOWN = Answer(
    "I don't know this yet: …", False, 0.2, "local", guess="Paris.", evidence=(Fact("a", "b", "c", "d"),), why="why"
)
SURE = ConfidenceModel(
    (0.0,), (1.0,), (0.0,), 5.0, 0.9, names=("agreement",), guarantee=Guarantee(0.1, 0.05, 9, 0.5, 0.0)
)
QUESTION = "Is it red?"  # no word of it is one that a toy finds strange: all are short


def test_what_is_not_known_is_told_in_three_ways() -> None:
    assert told_as(UNKNOWN, "say") == UNKNOWN
    assert told_as(UNKNOWN, "guess").text == "Not sure: Paris."
    assert not told_as(UNKNOWN, "guess").known
    strict = told_as(UNKNOWN, "strict")
    assert (strict.text, strict.guess, strict.evidence, strict.why) == ("I don't know.", "", (), "")
    assert told_as(replace(UNKNOWN, known=True), "strict").text == UNKNOWN.text
    assert told_as(replace(UNKNOWN, guess=""), "guess") == replace(UNKNOWN, guess="")


def test_another_way_is_refused() -> None:
    with pytest.raises(UsageError, match="say, guess, strict"):
        Speaking(unknown="maybe")  # type: ignore[arg-type]


def mind(confidence: ConfidenceModel | None) -> WordMind:
    return WordMind(WordDreamer(toy_engine_speaker()), confidence=confidence)


def ask(confidence: ConfidenceModel | None, question: str = QUESTION, unknown: str = "say") -> tuple[Answer, str]:
    told, speaking = list[str](), Speaking(max_ids=8, unknown=unknown)  # type: ignore[arg-type]
    answer = Session(None, False, mind=mind(confidence)).ask(
        question, branches=0, speaking=speaking, on_text=told.append
    )
    return answer, "".join(told)


def test_a_calibrated_base_says_what_it_is_sure_of() -> None:
    answer, told = ask(SURE)
    assert answer.known
    assert answer.text == told
    assert answer.confidence == pytest.approx(0.9933, abs=1e-4)
    assert answer.why == ""
    assert answer.signals is not None
    assert answer.attribution.confidence == {"agreement": 0.0}
    assert [check.name for check in answer.checks] == ["words"]


def test_it_keeps_the_rest_as_a_guess() -> None:
    sure, _ = ask(SURE)
    answer, told = ask(replace(SURE, threshold=None))
    assert not answer.known
    assert answer.text.startswith("I don't know this yet: ")
    assert told == answer.text  # nothing that it does not stand behind is told
    assert answer.guess == sure.text
    assert ask(replace(SURE, threshold=None), unknown="guess")[0].text == f"Not sure: {sure.text}"
    assert ask(replace(SURE, threshold=None), unknown="strict")[0].text == "I don't know."


def test_a_base_that_nobody_calibrated_says_so() -> None:
    answer, _ = ask(None)
    assert answer.why == "its confidence is not calibrated"
    assert answer.signals is None


def told_of_a_dream(forms: dict[str, ConfidenceModel], question: str = "What if I cut it?") -> Answer:
    trusted = replace(SURE, forms=forms)
    return Session(None, False, mind=mind(trusted)).ask(question, branches=2, speaking=Speaking(max_ids=8))


def test_answers_of_a_form_that_was_not_calibrated_are_never_known() -> None:
    answer = told_of_a_dream({})
    assert not answer.known
    assert answer.why == "dreams of what happens were not calibrated"
    assert answer.text == f"I don't know this yet: {answer.why}."
    assert answer.guess == answer.dreams[answer.verdict.branch].said


def test_each_form_of_answer_has_a_confidence_of_its_own() -> None:
    surer, unsure = (replace(SURE, bias=bias) for bias in (6.0, -6.0))
    answer = told_of_a_dream({"dream": surer})
    assert answer.known
    assert answer.confidence == pytest.approx(0.9975, abs=1e-4)
    assert answer.signals is not None
    assert answer.signals.form == "dream"
    assert {"dream: likelihood", "ended", "leads", "entropy"} <= answer.signals.more.keys()
    assert not told_of_a_dream({"dream": unsure}).known
    assert not told_of_a_dream({"dream": surer}, "Will it pop if I cut it?").known


def test_what_asks_for_no_truth_is_said_as_it_is() -> None:
    answer, told = ask(replace(SURE, threshold=None), "Sing of it.")
    assert answer.text == told
    assert answer.why == ""
    assert [asks(text) for text in ("Who?", "Name a bird.", "Write a poem.", "Could you sing?", "is it red")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_many_are_measured_together_as_each_alone() -> None:
    questions, manner = [Question(QUESTION), Question("Is it big?")], Manner(DreamSettings(), Speaking(max_ids=8))
    base = mind(None)
    together = base.at_once(questions, manner)
    for question, (answer, spoken) in zip(questions, together, strict=True):
        alone = base.at_once([question], manner)[0][0]
        assert alone.text == answer.text == spoken.speech.text.strip()
        assert answer.signals is not None
        assert alone.signals is not None
        assert answer.signals.more == pytest.approx(alone.signals.more, abs=1e-3)
        assert {"entropy", "meanings", "told_true", "declines", "strange"} <= answer.signals.more.keys()
        assert len(spoken.others) == base.config.measured
