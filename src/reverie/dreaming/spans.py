"""What a passage answers, in its own words: of its spans, the one that is most probable as the answer.

A small base that is to answer from a passage says what it believes as often as what it read. Asked how probable each
span of the passage is as the answer, it is nearly always right where the passage answers. Where it does not, no span is
probable, or it stands in a sentence that does not make the question more probable: a probe of the two tells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reverie.speakers.contract import Speaker

__all__ = ["Span", "SpanConfig", "answering_span"]

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SMALL = frozenset("the a an of in on at to for by from with and or is are was were it its which that".split())
_NUMBER = re.compile(r"\d[\d.,]*$")
_EDGES = ".,;:!?\"'()[]"


@dataclass(frozen=True)
class SpanConfig:
    """Which spans are looked at, and the probe of whether one answers: of its log-probability as the whole answer, and
    of the nats by which its sentence makes the question more probable than none does. Fitted on 63 questions about 10
    made-up passages, a half of which answer them (rows of ``reverie bench passages``, part dev)."""

    longest: int = 7  # words of a span
    sentences: int = 2  # that spans are taken from: those that make the question most probable
    probable: float = 1.2
    sentence: float = 0.22
    bias: float = 1.4


@dataclass(frozen=True)
class Span:
    """Words of a passage, and how surely, in [0, 1], they answer; ``log_prob`` and ``sentence``: what the probe saw, in
    nats, and by how many nats it is ``ahead`` of all spans that share no word with it."""

    text: str
    sure: float
    log_prob: float = 0.0
    sentence: float = 0.0
    ahead: float = 0.0


def answering_span(
    speaker: Speaker,
    question: str,
    passage: str,
    before: Callable[[str], str],
    fits: Callable[[str], bool],
    config: SpanConfig | None = None,
) -> Span | None:
    """The span that answers best; None where there is none.

    Args:
        speaker: has scores
        before: what leads from some statement to a question about it
        fits: whether words are of the kind that the question asks for
    """
    config, asked = config or SpanConfig(), f" {question.strip()}"
    sentences = [one for one in _SENTENCE.split(passage.strip()) if one]
    none, *found = (one.log_prob for one in speaker.score([(before(one), asked) for one in ("So it is.", *sentences)]))
    telling = sorted(zip(found, sentences, strict=True), reverse=True)[: config.sentences]
    spans = {span: gain - none for gain, one in reversed(telling) for span in _spans(one, config.longest) if fits(span)}
    if not spans:
        return None
    shown = f"{before(passage)}{asked}\nAnswer:"
    scored = speaker.score([(shown, f" {span}\n") for span in spans])
    ranked = sorted(((one.log_prob, span) for one, span in zip(scored, spans, strict=True)), reverse=True)
    log_prob, span = ranked[0]
    other = next((one for one, words in ranked if not set(words.split()) & set(span.split())), ranked[-1][0])
    odds = config.probable * log_prob + config.sentence * spans[span] + config.bias
    return Span(span, 1 / (1 + math.exp(-max(odds, -50.0))), log_prob, spans[span], log_prob - other)


def _spans(sentence: str, longest: int) -> Iterator[str]:
    """Its spans that may be answers: that do not end in the middle of something, and say something."""
    words = sentence.split()
    for first in range(len(words)):
        for last in range(first, min(first + longest, len(words))):
            span, end = " ".join(words[first : last + 1]).strip(_EDGES), words[last].strip("\"'()[]")
            counts = _NUMBER.match(end) and last + 1 < len(words)  # what it counts is cut off
            if span and not counts and end.lower() not in _SMALL:
                yield span
