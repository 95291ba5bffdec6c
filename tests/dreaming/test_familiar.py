"""Words that a speaker has never met."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from reverie.dreaming.familiar import strange_words
from reverie.experts.contract import Choice
from reverie.speakers import Scored
from toy_speakers import FrankSpeaker


class Reader(FrankSpeaker):
    """Finds one word hard to say."""

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        return [Scored(-40.0 if "blorptang" in words else -12.0, 3) for _, words in wanted]


@pytest.mark.parametrize(
    ("question", "strange"),
    [
        ("What is a blorptang?", ["blorptang"]),
        ("Does the blorptang like another blorptang?", ["blorptang"]),
        ("What is the capital of France?", []),
        ("Who is he?", []),
        ("", []),
        ("12345 67890?", []),
    ],
)
def test_words_that_are_hard_to_say_are_strange(question: str, strange: list[str]) -> None:
    assert strange_words(Reader(), question) == strange
