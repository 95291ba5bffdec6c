"""Choosing among options: a speaker that knows words by sight, and one that can only talk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from reverie.dreaming.choosing import CAUSAL, QUIZ, Form, Options, Way, choose, choose_many
from reverie.dreaming.contrast import contrast
from reverie.errors import ConfigError, UsageError
from reverie.experts.contract import Choice
from reverie.speakers import Abilities, Message, Scored, Speech, SpeechRequest

COMMON = {"the", "it", "is", "rains", "wet"}
TIED = {("rains", "wet"), ("wet", "rains"), ("barks", "dog"), ("dog", "barks")}


class Knowing:
    """A word is likely when it is common, and more so after a word of the last line that it is tied to."""

    name, max_ids = "knowing", 10_000
    abilities = Abilities(scores=True)

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, str]]] = []

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        self.calls.append(list(wanted))
        return [self._score(*pair) for pair in wanted]

    def _score(self, before: str, after: str) -> Scored:
        last = before.rsplit("\n\n" if "\n\n" in before else "\n", 1)[-1]
        given, words = _words(last), _words(after)
        tied = [any((one, word) in TIED for one in given) for word in words]
        sums = [(-1.0 if word in COMMON else -6.0) + 2 * tie for word, tie in zip(words, tied, strict=True)]
        return Scored(sum(sums), len(words))

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        raise AssertionError("who has scores is not asked")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        raise UsageError("no vectors")

    def count(self, said: str | tuple[Message, ...]) -> int:
        return len(str(said))

    def close(self) -> None:
        pass


class Talking(Knowing):
    """Says what it is told to."""

    name, abilities = "talking", Abilities(completes=False)

    def __init__(self, *says: str):
        super().__init__()
        self.says, self.asked = says, list[SpeechRequest]()

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        self.asked += requests
        return [Speech(said, True) for said, _ in zip(self.says, requests, strict=True)]


def _words(text: str) -> list[str]:
    return [word.strip(".,:?").casefold() for word in text.split() if not word.endswith(":")]


@pytest.mark.parametrize("wanted", ["cause", "effect", "answer"])
def test_the_option_that_fits_is_chosen_in_every_direction(wanted: str) -> None:
    chosen = choose(Knowing(), "It rains.", ["The moon sings.", "The grass is wet."], wanted)  # type: ignore[arg-type]
    assert chosen.winner == 1
    assert chosen.option == "The grass is wet."
    assert chosen.how == "scored"
    assert set(chosen.scores) == {"likelihood"} | ({"contrast", "reverse"} if wanted != "answer" else set())
    assert all(side[1] > side[0] for side in chosen.scores.values())


def test_contrast_is_not_fooled_by_common_words() -> None:
    form = replace(QUIZ.forms[0], neutral=("What?", "Something"))
    options = ("It is the", "A dog")
    likely, contrasted = (
        choose(Knowing(), "What barks?", options, way=way)
        for way in (Way((form,), likelihood=1), Way((form,), contrast=1))
    )
    assert (likely.winner, contrasted.winner) == (0, 1)
    assert contrasted.scores["contrast"] == (0.0, 2.0)


def test_many_are_read_in_one_call_and_nothing_twice() -> None:
    speaker = Knowing()
    asked = [Options("It rains.", ("The grass is wet.", "The moon sings."), "effect")] * 2
    one, other = choose_many(speaker, [*asked])
    assert one == other == choose(Knowing(), asked[0].asked, asked[0].options, "effect")
    assert len(speaker.calls) == 1
    assert len(set(speaker.calls[0])) == len(speaker.calls[0])
    assert choose_many(speaker, []) == []


def test_a_form_writes_its_examples_as_it_asks() -> None:
    form = Form("{}, so", "{}, because", (("It rained.", "The road is wet."),), joined=True)
    assert form.prefix("I fell.", True) == "It rained, so the road is wet.\nI fell, so"
    assert form.prefix("I fell.", False) == "The road is wet, because it rained.\nI fell, because"
    assert form.sought("I hurt my knee.") == " I hurt my knee."
    assert [form.sought(one) for one in ("Tom won.", "It’s won.")] == [" Tom won.", " it’s won."]
    assert CAUSAL.forms[0].prefix("X {} y", True).endswith("\nCause: X {} y Effect:")


def test_contrast_takes_off_what_stands_anywhere() -> None:
    (one,) = contrast(Knowing(), [("it rains", "it", " wet")])
    assert (one.given.log_prob, one.neutral.log_prob, one.nats) == (1.0, -1.0, 2.0)


@pytest.mark.parametrize(
    ("said", "winner", "how"),
    [
        ("B", 1, "named"),
        ("The answer is (B).", 1, "named"),
        ("**A**", 0, "named"),
        ("A wet street, I would say: b)", 0, "guessed"),
        ("the moon sings", 1, "named"),
        ("Neither.", 0, "guessed"),
        ("", 0, "guessed"),
    ],
)
def test_a_speaker_without_scores_names_an_option(said: str, winner: int, how: str) -> None:
    speaker = Talking(said)
    chosen = choose(speaker, "It rains.", ["The grass is wet.", "The moon sings."], "effect")
    assert (chosen.winner, chosen.how, chosen.scores, chosen.joined) == (winner, how, {}, ())
    (request,) = speaker.asked
    assert isinstance(request.said, tuple)
    assert request.sampling.temperature == 0
    assert "A. The grass is wet.\nB. The moon sings." in request.said[0].content


@pytest.mark.parametrize(
    ("asked", "options", "wanted", "error"),
    [
        ("It rains.", ["wet"], "effect", UsageError),
        ("It rains.", ["wet", " "], "effect", UsageError),
        (" ", ["wet", "dry"], "effect", UsageError),
        ("It rains.", ["x"] * 27, "effect", UsageError),
        ("It rains.", ["wet", "dry"], "result", ConfigError),
    ],
)
def test_what_cannot_be_chosen_is_refused(asked: str, options: list[str], wanted: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        choose(Knowing(), asked, options, wanted)  # type: ignore[arg-type]


def test_a_way_needs_something_that_counts() -> None:
    with pytest.raises(ConfigError):
        Way(QUIZ.forms)
    with pytest.raises(ConfigError):
        Way((), contrast=1)
