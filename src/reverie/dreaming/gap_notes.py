"""Notes every question that was not known, and every answer that somebody called wrong, in the gap log."""

from __future__ import annotations

import logging
import math
import os
import weakref
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from reverie.dreaming.question import Question
from reverie.errors import MemoryStoreError
from reverie.nouns import Answer
from reverie.paths import default_memory

if TYPE_CHECKING:
    from reverie.memory.attempts import Attempt, GapLog
    from reverie.talks import LoggedTurn

__all__ = ["GapNotes"]

_OFF = ("off", "no", "0", "false")
_WAIT_S = 0.25  # that an answer is held up at most while somebody else writes to the memory
_LATER = 100  # attempts that are kept for then


class GapNotes:
    """An observer of a session. What cannot be noted is told once in the log of the program, and costs no answer; it is
    noted with the next one, where the memory was only busy.

    ``$REVERIE_GAPS=off`` notes nothing; ``$REVERIE_REDACT`` names redactors that every text goes through, as in
    ``contacts`` (see ``memory.attempts.REDACTORS``).

    Args:
        address: of the memory in whose database it is noted; None: the usual one, which is made when it is needed;
            False: nothing is noted
    """

    def __init__(self, address: str | bool | None = None):
        unwanted = address is False or os.environ.get("REVERIE_GAPS", "").casefold() in _OFF
        self._address = None if unwanted else str(address) if address else default_memory()
        self._later: deque[Attempt] = deque(maxlen=_LATER)
        self._told = False

    def answered(self, question: Question, answer: Answer) -> None:
        if not answer.known:
            self._note(lambda: _attempt(question, answer))

    def wrong(self, turn: LoggedTurn) -> None:
        """Somebody said that the answer of this turn is wrong."""
        from reverie.memory.attempts import Attempt

        said = Attempt(turn.question, turn.answer, turn.model, "wrong", turn.confidence, correction=turn.correction)
        self._note(lambda: said)

    def _note(self, made: Callable[[], Attempt]) -> None:
        """Note it, after those that found the memory busy. What cannot be redacted is not kept."""
        try:
            if self._address is None:
                return
            log, waiting = self._log, [*self._later, made()]
            self._later.clear()
            for place, attempt in enumerate(waiting):
                try:
                    log.add(attempt)
                except MemoryStoreError:  # mostly it is busy: the next answer tries again
                    self._later.extend(waiting[place:])
                    raise
        except Exception as error:  # noqa: BLE001  # whatever a redactor or a driver raises: no answer fails for a note
            if "_log" not in vars(self):
                self._address = None  # what cannot be opened is not tried again
            if not self._told:
                logging.getLogger("reverie.gaps").warning("gaps are not noted: %s", error)
            self._told = True

    @cached_property
    def _log(self) -> GapLog:
        from reverie.memory.attempts import GapLog, GapLogConfig

        assert self._address is not None
        named = os.environ.get("REVERIE_REDACT", "").replace(",", " ").split()
        log = GapLog(self._address, GapLogConfig(redactors=tuple(named), wait_s=_WAIT_S))
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
