"""A small speaker whose words and scores a test can foresee, with everything that the contract of speakers asks for."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from reverie.engine import Sampling
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.memory.linking import STOP
from reverie.memory.relation_patterns import stem
from reverie.speakers import Abilities, Cutter, Message, Scored, Speech, SpeechRequest

KNOWN, NEW, SMALL = -0.1, -4.0, -1.0  # nats of a word that stands before, that does not, and of "the" and its like
MEANS = {"tall": "height", "built": "builder", "many": "number", "lives": "home", "live": "home"}


def says_what_is_told(request: SpeechRequest) -> str:
    """The words of the last fact that its question does not hold, in their order."""
    fact, question = _asked(plain(request))
    return " ".join(word for word in re.findall(r"\w+", fact) if not content(word) <= content(question))


class FrankSpeaker:
    """It says what ``says`` makes of a request, one word an id. A word is probable where it stands in the paragraph
    before; as an answer, only where the fact of its paragraph holds every word of the question.

    Args:
        says: the answer to a request
        abilities: what it can be asked for
        max_ids: of a prompt and its answer
    """

    name, usual = "frank", Sampling(0.0)

    def __init__(
        self,
        says: Callable[[SpeechRequest], str] = says_what_is_told,
        abilities: Abilities | None = None,
        max_ids: int = 2000,
    ):
        self.says, self.max_ids = says, max_ids
        self.abilities = abilities or Abilities(forms=True, scores=True)
        self.heard: list[SpeechRequest] = []

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        self.heard += requests
        return [self._speech(row, request, on_text) for row, request in enumerate(requests)]

    def _speech(self, row: int, request: SpeechRequest, on_text: Callable[[int, str], None] | None) -> Speech:
        if self.count(request.said) >= self.max_ids:
            raise UsageError(f"{self.count(request.said)} words do not fit into the {self.max_ids} of {self.name}")
        cutter, pieces = Cutter(request.stop, None if request.form is None else 1 + len(request.form)), list[str]()
        said = re.findall(r"\s*\S+|\s+", self.says(request))
        words = said[: request.max_ids]
        for piece in [*map(cutter.feed, words), cutter.rest()]:
            if piece:
                pieces.append(piece)
                if on_text is not None:
                    on_text(row, piece)
        log_prob = -0.2 * len(words) if self.abilities.scores else None
        finished = cutter.ended or len(said) == len(words)
        return Speech("".join(pieces), finished, len(words) if self.abilities.scores else None, log_prob)

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        if not self.abilities.scores:
            raise UsageError(f"{self.name} does not say how probable given words are")
        return [self._scored(before, after) for before, after in wanted]

    def _scored(self, before: str, after: str) -> Scored:
        there, answers = content(before.rpartition("\n\n")[2]), True
        if before.endswith("Answer:"):
            fact, question = _asked(before)
            answers = not fact or content(question) <= content(fact)
        words = re.findall(r"\w+", after)
        nats = [SMALL if not content(word) else KNOWN if answers and content(word) <= there else NEW for word in words]
        return Scored(sum(nats), len(nats))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if not self.abilities.embeds:
            raise UsageError(f"{self.name} does not turn texts into vectors")
        vectors = np.zeros((len(texts), 64), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            vector[[zlib.crc32(word.encode()) % 64 for word in content(text)]] = 1
        return vectors

    def count(self, said: str | tuple[Message, ...]) -> int:
        return len(re.findall(r"\w+|[^\w\s]", plain(said)))

    def close(self) -> None:
        pass


def plain(said: SpeechRequest | str | tuple[Message, ...]) -> str:
    said = said.said if isinstance(said, SpeechRequest) else said
    return said if isinstance(said, str) else "\n".join(turn.content for turn in said)


def content(text: str) -> set[str]:
    """Stems of the words that tell."""
    words = [word for word in re.findall(r"[^\W_]+", text.casefold()) if word not in STOP and word != "something"]
    return {stem(MEANS.get(word, word)) for word in words}


def _asked(prompt: str) -> tuple[str, str]:
    """The last fact, and the question about it."""
    paragraph = prompt.rpartition("\n\n")[2]
    fact, question = (re.search(rf"{label}: (.*)", paragraph) for label in ("Fact", "Question"))
    return fact[1] if fact else "", question[1] if question else ""
