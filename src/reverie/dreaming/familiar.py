"""Which words of a question a speaker has never met: an answer about a blorptang is made up."""

from __future__ import annotations

import re

from reverie.memory.linking import STOP
from reverie.speakers.contract import Speaker

__all__ = ["strange_words"]

_BEFORE = "Today I learned something about"
# nats of a word, with a full stop, below which it is strange: of 32 rare words 1 lies below (gazpacho), of 22 that were
# made up 18 do (SmolLM2-135M-Instruct; AUROC 0.98)
_STRANGE = -33.0
_SHORTEST, _MOST = 5, 24  # letters; words that are looked at


def strange_words(speaker: Speaker, question: str) -> list[str]:
    """The words of ``question``, in their order, that are hardly ever said; none where the speaker gives no scores."""
    if not speaker.abilities.scores:
        return []
    words = [
        word for word in re.findall(r"[^\W\d_]+", question) if len(word) >= _SHORTEST and word.casefold() not in STOP
    ]
    different = list(dict.fromkeys(words))[:_MOST]
    scored = speaker.score([(_BEFORE, f" {word}.") for word in different]) if different else []
    return [word for word, one in zip(different, scored, strict=True) if one.log_prob < _STRANGE]
