"""Contrast: by how much something makes words more probable than nothing in particular does."""

from __future__ import annotations

from collections.abc import Sequence

from reverie.speakers.contract import Speaker

__all__ = ["contrast"]


def contrast(speaker: Speaker, wanted: Sequence[tuple[str, str, str]]) -> list[float]:
    """For each (text, neutral text, words): log p(words | text) - log p(words | neutral text), in nats an id.

    It takes away what makes words probable anywhere, such as their commonness and length (domain-conditional PMI,
    Holtzman et al. 2021, arXiv:2104.08315). Raises UsageError where the speaker gives no scores.
    """
    scored = speaker.score([pair for text, neutral, words in wanted for pair in ((text, words), (neutral, words))])
    return [
        (given.log_prob - neutral.log_prob) / max(given.num_ids, 1)
        for given, neutral in zip(scored[::2], scored[1::2], strict=True)
    ]
