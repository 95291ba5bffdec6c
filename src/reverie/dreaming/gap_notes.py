"""Notes every question that was not known, and every answer that somebody called wrong, in the gap log."""

from __future__ import annotations

import logging
import math
import os
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from reverie.dreaming.question import Question
from reverie.errors import ReverieError
from reverie.nouns import Answer
from reverie.paths import default_memory

if TYPE_CHECKING:
    from reverie.memory.attempts import Attempt, GapLog
    from reverie.talks import LoggedTurn

__all__ = ["GapNotes"]

_OFF = ("off", "no", "0", "false")


class GapNotes:
    """An observer of a session. What cannot be noted is told once in the log of the program, and costs no answer.

    ``$REVERIE_GAPS=off`` notes nothing; ``$REVERIE_REDACT`` names redactors that every text goes through, as in
    ``contacts`` (see ``memory.attempts.REDACTORS``).

    Args:
        address: of the memory in whose database it is noted; None: the usual one, which is made when it is needed;
            False: nothing is noted
    """

    def __init__(self, address: str | bool | None = None):
        unwanted = address is False or os.environ.get("REVERIE_GAPS", "").casefold() in _OFF
        self._address = None if unwanted else str(address) if address else default_memory()

    def answered(self, question: Question, answer: Answer) -> None:
        if not answer.known:
            self._note(lambda: _attempt(question, answer))

    def wrong(self, turn: LoggedTurn) -> None:
        """Somebody said that the answer of this turn is wrong."""
        from reverie.memory.attempts import Attempt

        said = Attempt(turn.question, turn.answer, turn.model, "wrong", turn.confidence, correction=turn.correction)
        self._note(lambda: said)

    def _note(self, made: Callable[[], Attempt]) -> None:
        if self._address is None:
            return
        try:
            self._log.add(made())
        except (ReverieError, OSError) as error:
            logging.getLogger("reverie.gaps").warning("gaps are not noted: %s", error)
            self._address = None

    @cached_property
    def _log(self) -> GapLog:
        from reverie.memory.attempts import GapLog, GapLogConfig

        assert self._address is not None
        named = os.environ.get("REVERIE_REDACT", "").replace(",", " ").split()
        log = GapLog(self._address, GapLogConfig(redactors=tuple(named)))
        weakref.finalize(self, log.close)
        return log


def _attempt(question: Question, answer: Answer) -> Attempt:
    from reverie.memory.attempts import Attempt

    found = answer.signals
    signals = {} if found is None else {"answer_mean": found.answer_mean, "near": found.near, **found.more}
    if found is not None and found.agreement is not None:
        signals["agreement"] = found.agreement
    finite = {name: round(float(value), 6) for name, value in signals.items() if math.isfinite(value)}
    return Attempt(question.text, answer.guess or answer.text, answer.model, "unknown", answer.confidence, finite)
