"""How much likelier words are after what they should follow from than after nothing in particular.

Plain likelihood favours words that are common anywhere. What is left after taking off their likelihood in a neutral
place is what the context says about them: the pointwise mutual information of context and words, known from choosing
among options as "domain conditional" scoring (Holtzman et al. 2021, arXiv:2104.08315).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reverie.experts.contract import Choice
from reverie.speakers.contract import Scored, Speaker

__all__ = ["NEUTRAL", "Contrasted", "contrast", "score_once"]

NEUTRAL = "Something happened."  # a situation that says nothing


@dataclass(frozen=True)
class Contrasted:
    """How probable words are where they are meant (``given``) and in a ``neutral`` place."""

    given: Scored
    neutral: Scored

    @property
    def nats(self) -> float:
        """What the place adds, in nats over all ids; above 0 where it speaks for the words."""
        return self.given.log_prob - self.neutral.log_prob


def contrast(speaker: Speaker, wanted: Sequence[tuple[str, str, str]], experts: Choice = ()) -> list[Contrasted]:
    """For each (prefix, neutral prefix, words): both scores, all of them in one call.

    Raises UsageError for a speaker without scores.
    """
    pairs = [(prefix, words) for given, neutral, words in wanted for prefix in (given, neutral)]
    scored = score_once(speaker, pairs, experts)
    return [Contrasted(given, neutral) for given, neutral in zip(scored[::2], scored[1::2], strict=True)]


def score_once(speaker: Speaker, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
    """As ``Speaker.score``; pairs that stand there several times are read once."""
    different = list(dict.fromkeys(wanted))
    scored = dict(zip(different, speaker.score(different, experts) if different else [], strict=True))
    return [scored[pair] for pair in wanted]
