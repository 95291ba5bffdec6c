"""How a command speaks: to people through rich, or as one JSON object on stdout with ``--json``."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from reverie.jsonio import jsonable

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Session

__all__ = ["Output", "Spoken", "printable"]

# What steers a terminal: control characters but for tabs and line feeds, and marks that turn the direction of writing.
_STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Output:
    """A command's voice, used as a context around its work.

    With ``as_json`` everything printed inside, by us or by a library, goes to stderr, and stdout carries the one
    object given to ``result``; without it stdout carries what ``show`` prints. Notes always go to stderr.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout: TextIO = sys.stdout
        self._redirect = contextlib.ExitStack()

    def __enter__(self) -> Output:
        self._stdout = sys.stdout
        if self.as_json:
            self._redirect.enter_context(contextlib.redirect_stdout(sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redirect.close()

    @cached_property
    def console(self) -> Console:
        """Of stdout, for people."""
        return _console(self._stdout)

    def streams(self, wanted: bool | None, session: Session) -> bool:
        """Whether words are to be shown as they are said: if ``wanted``, by default on a terminal; never as JSON, nor
        where a remote model will say them otherwise."""
        shown = self._stdout.isatty() if wanted is None else wanted
        return shown and not self.as_json and not session.preview.enabled

    def result(self, payload: Mapping[str, Any], show: Callable[[Console], None], indent: int | None = 2) -> None:
        """Say the outcome: ``payload`` as JSON with ``--json``, else whatever ``show`` prints on stdout. A command says
        it once, or one a line, which ``indent`` None is for."""
        if not self.as_json:
            show(self.console)
            return
        plain = not _speaks_utf8(self._stdout)
        text = json.dumps(jsonable(payload), indent=indent, ensure_ascii=plain, allow_nan=False)
        print(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text), file=self._stdout, flush=True)

    def write(self, words: str) -> None:
        """Words of an answer, on stdout: past the buffer of rich, which is written again after Ctrl-C came amid it."""
        from rich.text import Text

        with self.console.capture() as styled:
            self.console.print(Text(words, style="bold"), end="", soft_wrap=True)
        self._stdout.write(styled.get())
        self._stdout.flush()

    def note(self, message: str) -> None:
        """One line for people on stderr: progress, where a file went, what was assumed."""
        _console(sys.stderr).print(message, style="dim", markup=False, highlight=False)


class Spoken:
    """The words of an answer as they are said: call it with each piece. It is a context: whatever ends the answer, its
    line ends too.

    Words that come in one piece are not printed: who shows the answer shows them, and knows more of it.
    """

    def __init__(self, out: Output) -> None:
        self._out, self._text, self._num_pieces = out, "", 0
        self.shown = ""

    def __call__(self, piece: str) -> None:
        self._text, self._num_pieces = self._text + piece, self._num_pieces + 1
        if self._num_pieces > 1:
            self._show()

    def __enter__(self) -> Spoken:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._show()  # what was said stays
        if self.shown:
            self._out.write("\n")

    def _show(self) -> None:
        """What is new, without the blanks at either end."""
        said = self._text.strip()
        new, self.shown = said[len(self.shown) :], said  # before it is written: Ctrl-C may come amid that
        self._out.write(new)


def printable(text: str) -> str:
    """``text`` with spaces for what would steer a terminal; everything that a console prints passes through here."""
    return _STEERING.sub(" ", text)


def _console(stream: TextIO) -> Console:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):  # before its own colours are written as escapes
                yield segment if segment.control else segment._replace(text=printable(segment.text))

    return SafeConsole(file=stream, emoji=False, soft_wrap=not stream.isatty())


def _speaks_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"
