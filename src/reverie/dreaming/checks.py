"""What must hold before an answer may be called known: checks with a name, each a function of what was dreamed.

A new one is a function from ``Answer`` and ``Understood`` to a ``Check``, or to None where it has nothing to say,
registered by ``register_check`` or by an installed package's entry point (group ``reverie.checks``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from reverie.dreaming.unknown import not_known
from reverie.nouns import Answer, Check, Dream
from reverie.registry import Registry

if TYPE_CHECKING:
    from reverie.dreaming.parsing import Parser

__all__ = ["CHECKS", "Understood", "check_names", "checked", "refused", "register_check", "winner"]

_AGREE, _FEW = 0.15, 3  # from here on more branches end alike than by chance; fewer branches show nothing
_LAWFUL = 0.89  # share of the rules of its world that a dream must keep, on average over its steps
_NAMED = 6  # words at fault that a reason names


@dataclass(frozen=True)
class Understood:
    """What a check may look at besides the answer: the question as it was asked, and who reads such questions."""

    question: str
    parser: Parser | None = None


CheckFunction = Callable[[Answer, Understood], Check | None]


def winner(answer: Answer) -> Dream | None:
    """The dream that an answer is of."""
    return answer.dreams[answer.verdict.branch] if answer.dreams and answer.verdict.branch >= 0 else None


def agreement(answer: Answer, heard: Understood) -> Check | None:
    """Whether the branches end alike."""
    alike = [one.scores["agreement"] for one in answer.dreams if "agreement" in one.scores]
    if not alike:
        return None
    share = float(np.mean(alike))
    held = share >= _AGREE or len(alike) < _FEW
    why = f"{len(alike)} dreams agree by {share:.0%}" if held else "what it imagines differs each time"
    return Check("agreement", held, why, share)


def rules(answer: Answer, heard: Understood) -> Check | None:
    """Whether the dream keeps the rules of its world. What memory has it say is not pictured."""
    dream = winner(answer)
    kept = dream.scores.get("rules") if dream else None
    if dream is None or kept is None or not any(triplet.result.frame for triplet in dream.triplets):
        return None
    why = "the dream keeps the rules of its world" if kept >= _LAWFUL else "the dream breaks the rules of its world"
    return Check("rules", kept >= _LAWFUL, why, min(max(kept, 0.0), 1.0))


def dreamed(answer: Answer, heard: Understood) -> Check | None:
    """Whether the dream is of the thing and the action that were asked about."""
    dream = winner(answer)
    if heard.parser is None or dream is None or not dream.triplets:
        return None
    asked, seen = (heard.parser.things_done(text) for text in (heard.question, dream.triplets[0].action.text))
    if not asked or not seen:
        return None
    held = bool(asked & seen)
    why = "the dream is of what was asked" if held else f'the dream is of "{dream.triplets[0].action.text}"'
    return Check("dreamed", held, why, float(held))


CHECKS: Registry[CheckFunction] = Registry(
    "check", {"agreement": agreement, "dreamed": dreamed, "rules": rules}, "reverie.checks"
)
check_names, register_check = CHECKS.names, CHECKS.register


def checked(answer: Answer, heard: Understood) -> Answer:
    """``answer`` with what every check says of it; known only where all of them hold."""
    found = [check for name in CHECKS if (check := CHECKS.get(name)(answer, heard)) is not None]
    failed = [check for check in found if not check.held]
    if answer.known and failed:
        kept = tuple(check for check in found if check.held)
        return refused(replace(answer, checks=answer.checks + kept), *failed)
    return replace(answer, checks=(*answer.checks, *found))


def refused(answer: Answer, *failed: Check) -> Answer:
    """``answer`` where checks failed: not known, for the first of these reasons, and what it says is a guess."""
    return replace(
        answer,
        text=not_known(failed[0].why),
        known=False,
        guess=answer.text if answer.known else answer.guess,
        confidence=min(answer.confidence, *(check.value for check in failed)),
        checks=(*answer.checks, *failed),
    )


def named_words(words: Sequence[str]) -> str:
    """Words at fault, as a reason names them: 'tax', 'school' and 'sea'; of many the first."""
    different = list(dict.fromkeys(words))
    quoted = [f"'{word}'" for word in different[:_NAMED]]
    if len(different) > _NAMED:
        quoted.append(f"{len(different) - _NAMED} more")
    return " and ".join(quoted[-2:]) if len(quoted) < 3 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
