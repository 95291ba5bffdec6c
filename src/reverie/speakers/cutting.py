"""Where an answer ends: cut before a stop text, and behind the last line of its form, while it is still being said."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Cutter"]


class Cutter:
    """Takes an answer piece by piece and gives back what is surely part of it.

    Args:
        stop: texts that end it, and are no part of it
        num_lines: it ends with that many lines; None = any number
    """

    def __init__(self, stop: Sequence[str] = (), num_lines: int | None = None):
        self.ended = False
        self._stop, self._lines_left = tuple(stop), num_lines
        self._held = ""  # may be the beginning of a stop text

    def feed(self, piece: str) -> str:
        """What can be said now. Once ``ended``, nothing more."""
        if self.ended:
            return ""
        text = self._held + piece
        ends = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if (last := self._last_line_ends(text)) is not None:
            ends.append(last)
        if ends:
            self.ended, self._held = True, ""
            return text[: min(ends)]
        keep = max((self._begun(text, stop) for stop in self._stop), default=0)
        said, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if self._lines_left is not None:
            self._lines_left -= said.count("\n")
        return said

    def rest(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return held

    def _last_line_ends(self, text: str) -> int | None:
        if self._lines_left is None or text.count("\n") < self._lines_left:
            return None
        place = -1
        for _ in range(self._lines_left):
            place = text.index("\n", place + 1)
        return place

    @staticmethod
    def _begun(text: str, stop: str) -> int:
        """How many characters at the end of ``text`` may be the beginning of ``stop``."""
        sizes = range(min(len(stop) - 1, len(text)), 0, -1)
        return next((size for size in sizes if text.endswith(stop[:size])), 0)
