"""Training documents about the everyday world: ends told otherwise than they came, reasons, comparisons."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reverie.worlds.contract import Episode, Narrator, Question, Segments
from reverie.worlds.documents import EpisodeDreams, Recorded, answer_at_once
from reverie.worlds.everyday.compare import compare_question
from reverie.worlds.everyday.things import THINGS, Scene, Thing
from reverie.worlds.everyday.why import why_kinds, why_question

if TYPE_CHECKING:
    from reverie.tokens.grammar import Grammar

__all__ = ["Comparisons", "Reasons", "Retelling", "renamed"]


class Retelling:
    """A question about an episode and the end of it in words.

    Half of the time it is what comes of it with another thing, said of this one: so the answer has to listen to what
    is told, whatever the model would have expected.
    """

    def __init__(self, narrator: Narrator, episodes: Sequence[Recorded]):
        self.narrator = narrator
        self._by_options = {json.dumps(episode.options): episode for episode, _ in episodes}

    def __call__(self, episode: Episode, question: Question, rng: np.random.Generator) -> tuple[Question, str]:
        this, result = THINGS[episode.options["thing"]], episode.transitions[-1].result_text
        if rng.random() < 0.5:
            name = sorted(THINGS)[int(rng.integers(len(THINGS)))]
            other = self._by_options.get(json.dumps({**episode.options, "thing": name}))
            if other is not None and not this.contents and not THINGS[name].contents:
                asked = [q for q in self.narrator.questions(other, rng) if q.form != "property"]
                if asked:
                    taken = asked[int(rng.integers(len(asked)))]
                    text, answer = (renamed(words, THINGS[name], this) for words in (taken.text, taken.answer))
                    question = replace(taken, text=text, answer=answer)
                    result = renamed(other.transitions[-1].result_text, THINGS[name], this)
        return question, result


def renamed(words: str, thing: Thing, other: Thing) -> str:
    """``words`` about ``thing``, said of ``other``."""
    names = dict.fromkeys(thing.indefinite, other.a) | {thing.short: other.short}
    found = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))

    def put(match: re.Match[str]) -> str:
        name = names[match.group().lower()]
        return name[0].upper() + name[1:] if match.group()[0].isupper() else name

    return re.sub(rf"\b(?:{found})\b", put, words, flags=re.IGNORECASE)


class Reasons:
    """Why-questions about recorded scenes, dreamed before they are answered.

    Most causes lie in the thing; those in surface and height are rare and need the scene, so they come as often.
    """

    def __init__(self, dreams: EpisodeDreams):
        self.dreams = dreams
        self.by_kind: dict[str, list[Recorded]] = {}
        for episode, frames in dreams.episodes:
            for kind in why_kinds(Scene.of(episode.options)):
                self.by_kind.setdefault(kind, []).append((episode, frames))

    def draw(self, rng: np.random.Generator) -> Segments:
        kind = str(rng.choice(sorted(self.by_kind)))
        episode, frames = self.by_kind[kind][int(rng.integers(len(self.by_kind[kind])))]
        question = why_question(Scene.of(episode.options), rng, kind)
        assert question is not None
        return self.dreams.document(question, episode, frames)


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of things, answered at once."""

    grammar: Grammar
    test: bool = False

    def draw(self, rng: np.random.Generator) -> Segments:
        return answer_at_once(self.grammar, compare_question(rng, self.test))
