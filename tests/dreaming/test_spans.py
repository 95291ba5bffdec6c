"""A passage answers in its own words, with whole spans, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from reverie.dreaming.reading import read
from reverie.dreaming.spans import SpanConfig, answering_span
from reverie.nouns import SAYS, Fact
from reverie.speakers import Scored, ToySpeaker

PASSAGE = "It is run by Lena Morris. A boat costs 12 euros a day."


class Reader(ToySpeaker):
    """Some words are probable as an answer, and some sentences before a question; all else is not."""

    def __init__(self, *likely: str):
        super().__init__()
        self.likely, self.seen = likely, list[str]()

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        self.seen += [words.strip() for shown, words in pairs if shown.endswith("Answer:")]
        return [Scored(-1.0 if words.strip() in self.likely else -9.0, 1) for _, words in pairs]


def span(reader: Reader, question: str = "Who runs the harbour?", fits: str = "") -> tuple[str, bool] | None:
    found = answering_span(reader, question, PASSAGE, lambda told: told, lambda words: fits in words)
    return found and (found.text, found.sure >= 0.5)


def test_the_most_probable_span_answers_surely() -> None:
    assert span(Reader("Lena Morris")) == ("Lena Morris", True)
    assert span(Reader("12 euros a day")) == ("12 euros a day", True)


def test_where_none_is_probable_none_is_sure() -> None:
    found = span(Reader())
    assert found is not None
    assert not found[1]


def test_spans_end_where_something_ends() -> None:
    reader = Reader()
    span(reader)
    assert "12 euros" in reader.seen
    assert not {"12", "A boat costs 12", "The", "at", "run by"} & {*reader.seen}
    assert all(len(words.split()) <= SpanConfig().longest for words in reader.seen)


def test_only_words_of_the_right_kind_are_asked_about() -> None:
    reader = Reader("Lena Morris")
    assert span(reader, fits="12") is not None
    assert all("12" in words for words in reader.seen)
    assert span(reader, fits="seven") is None


@pytest.mark.parametrize("passage", ["", "   ", "The", "...", "of the"])
def test_passages_without_a_span_answer_nothing(passage: str) -> None:
    assert answering_span(Reader(), "Who?", passage, lambda told: told, lambda words: True) is None


def test_what_a_passage_answers_is_cited() -> None:
    passage = Fact("notes.md", SAYS, PASSAGE, "notes.md", 0.5)

    class Sure(Reader):
        def score(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
            told = zip(pairs, super().score(pairs), strict=True)
            return [Scored(-1.0, 1) if "run by Lena" in shown[-90:] else one for (shown, _), one in told]

    found = read(Sure("Lena Morris"), "Who runs the harbour?", [passage])
    assert found is not None
    assert (found.text.endswith(" [1]"), found.cited) == (True, (passage,))
