"""An answer under way: from ids that the engine draws, or words that a session says, to pieces."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from reverie.engine import Handle, Interruption, Request
from reverie.engine.worker import Drawn, Worker
from reverie.errors import ReverieError
from reverie.nouns import Answer
from reverie.server.hosting.contract import Final, Finish, Piece, TextRequest, Timing, Token
from reverie.server.http.errors import RequestError, as_request_error
from reverie.speakers.cutting import Cutter
from reverie.tokens.base_words import BaseWords
from reverie.tokens.growing import GrowingText
from reverie.tokens.guided import GuidedConstraint

__all__ = ["BaseRun", "DreamRun", "EngineRun", "Start", "tokens_of"]


@dataclass(frozen=True)
class Start:
    """What every run begins with: the model's name in full, the fingerprint of its files, what is called once with the
    run when it is over or closed, and when it has to end (``time.monotonic``)."""

    model: str
    fingerprint: str
    left: Callable[[BaseRun], None]
    deadline: float


class BaseRun:
    """What all runs have in common. ``before``: see ``Run``."""

    def __init__(self, start: Start, before: Final):
        self.before = before
        self.model, self.fingerprint, self._deadline = start.model, start.fingerprint, start.deadline
        self.started = time.monotonic()
        self.first: float | None = None  # when the first piece came
        self.num_ids = 0
        self._left, self._closed = start.left, False
        self._final: Final | None = None

    @property
    def final(self) -> Final:
        assert self._final is not None, "a run has an end once it was heard to it"
        return self._final

    @property
    def finished(self) -> bool:
        """Whether it was heard to its end."""
        return self._final is not None

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._heard()

    async def _heard(self) -> AsyncIterator[Piece]:
        try:
            async for piece in self._pieces():
                if self.first is None:
                    self.first = time.monotonic()
                yield piece
        finally:
            self.close()

    async def whole(self) -> tuple[str, tuple[Token, ...], Final]:
        """All of it, at its end."""
        text, tokens = list[str](), list[Token]()
        async for piece in self:
            text.append(piece.text)
            tokens += piece.tokens
        return "".join(text), tuple(tokens), self.final

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._end()
            self._left(self)

    def hurry(self) -> None:
        """Let it end soon, with what it has."""
        raise NotImplementedError

    def _end(self) -> None:
        raise NotImplementedError

    def _pieces(self) -> AsyncIterator[Piece]:
        raise NotImplementedError


class EngineRun(BaseRun):
    """Ids of an engine.

    Args:
        asked: the request
        before: what is known of its end already: prompt, experts, timing
        drawn: what the engine is to draw; None: nothing
        worker, words, first_id: of the model; its first text id in the engine's numbering
    """

    def __init__(
        self,
        start: Start,
        asked: TextRequest,
        before: Final,
        drawn: Request | None,
        worker: Worker,
        words: BaseWords,
        first_id: int,
    ):
        super().__init__(start, before)
        self._asked, self._words, self._first_id = asked, words, first_id
        self._queue: asyncio.Queue[Drawn | None] = asyncio.Queue()
        self._text = _CutText(words, asked.stop, len(before.prompt_text))
        self._handle: Handle | None = None
        self._held = None if drawn is None else drawn.constraint
        if drawn is None:
            self._queue.put_nowait(None)
        else:
            self._handle = worker.submit(drawn, partial(_put, asyncio.get_running_loop(), self._queue))

    def hurry(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    _end = hurry

    async def _pieces(self) -> AsyncIterator[Piece]:
        finish: Finish = "length"
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                    drawn = await self._queue.get()
            except TimeoutError:
                break
            if drawn is None:
                finish = self._finish()
                break
            self.num_ids += 1
            if self.first is None:
                self.first = time.monotonic()
            piece = self._text.feed(self._token(drawn), drawn.id - self._first_id in self._words.ends)
            if piece.text or piece.tokens:
                yield piece
            if self._text.stopped:
                finish = "stop"
                break
        self.hurry()
        last = self._text.rest()
        if self._text.stopped:
            finish = "stop"
        if last.text or last.tokens:
            yield last
        self._final = replace(
            self.before,
            finish=finish,
            stop_text=self._text.stopped,
            num_ids=self.num_ids,
            timing=self._timing(),
        )

    def _finish(self) -> Finish:
        if self._handle is None:
            return "length"
        try:
            return "stop" if self._handle.result(0).finished and not self._was_cut() else "length"
        except ReverieError as error:
            raise as_request_error(error) from error

    def _was_cut(self) -> bool:
        """Whether its form was closed only because ids ran out."""
        return isinstance(self._held, GuidedConstraint) and self._held.cut

    def _token(self, drawn: Drawn) -> Token:
        asks = self._asked.top is not None
        (token,) = tokens_of(self._words, self._first_id, [drawn])
        return token if asks else replace(token, log_prob=None)

    def _timing(self) -> Timing:
        now, before = time.monotonic(), self.before.timing
        first = self.first or now
        prompt, decode = before.prompt + first - self.started, now - first
        return replace(before, prompt=prompt, decode=decode, total=before.load + before.queue + prompt + decode)


class DreamRun(BaseRun):
    """The answer of a session, asked on a thread of its own.

    Args:
        asked: the request
        before: what is known of its end already
        ask: asks it, and tells the words as they come
        submit: has that done by the thread, and gives a future
    """

    def __init__(
        self,
        start: Start,
        asked: TextRequest,
        before: Final,
        ask: Callable[[Callable[[str], None]], Answer],
        submit: Callable[[Callable[[], Answer]], Any],
    ):
        super().__init__(start, before)
        self._broken = Interruption()
        self._cutter = Cutter(asked.stop)
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def say(text: str) -> None:
            Interruption.check()
            _put(loop, self._queue, text)

        def work() -> Answer:
            try:
                with self._broken.heeded():
                    return ask(say)
            finally:
                _put(loop, self._queue, None)

        self._answer = submit(work)

    def hurry(self) -> None:
        self._broken.now()

    def _end(self) -> None:
        self.hurry()
        self._answer.cancel()

    async def _pieces(self) -> AsyncIterator[Piece]:
        heard = False
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._deadline - time.monotonic())):
                    text = await self._queue.get()
            except TimeoutError as error:
                raise RequestError(503, "the answer took longer than this server allows", code="timeout") from error
            if text is None:
                break
            heard = True
            if said := self._cutter.feed(text):
                yield Piece(said)
        try:
            answer: Answer = await asyncio.wrap_future(self._answer)
        except ReverieError as error:
            raise as_request_error(error) from error
        last = ("" if heard else self._cutter.feed(answer.text)) + self._cutter.rest()
        if last:
            yield Piece(last)
        now, before = time.monotonic(), self.before.timing
        first = self.first or now
        timing = replace(before, prompt=first - self.started, decode=now - first)
        total = before.load + before.queue + now - self.started
        self._final = replace(self.before, finish="stop", answer=answer, timing=replace(timing, total=total))


class _CutText:
    """Text of tokens up to a stop text; tokens are given out with the text that they are in."""

    def __init__(self, words: BaseWords, stop: tuple[str, ...], offset: int):
        self._stop, self._stopped = stop, ""
        self._growing, self._cutter = GrowingText(words), Cutter(stop)
        self._fed, self._told = "", 0  # all text, and how much of it was given out
        self._offset = offset
        self._waiting: list[Token] = []

    @property
    def stopped(self) -> str:
        """The stop text that ended it."""
        return self._stopped

    def feed(self, token: Token, ends: bool) -> Piece:
        """``ends``: it ends the answer, and has no text."""
        self._waiting.append(replace(token, offset=self._offset + len(self._fed)))
        return self._give("" if ends else self._growing.feed(token.id))

    def rest(self) -> Piece:
        """What was held back, when nothing more comes."""
        piece = Piece("") if self._cutter.ended else self._give(self._growing.rest())
        if self._cutter.ended:
            return piece
        tokens, self._waiting = tuple(self._waiting), []
        return Piece(piece.text + self._cutter.rest(), piece.tokens + tokens)

    def _give(self, text: str) -> Piece:
        self._fed += text
        said = self._cutter.feed(text) if text else ""
        self._told += len(said)
        if self._cutter.ended:
            self._stopped = next(one for one in self._stop if self._fed.startswith(one, self._told))
        given = 0
        if self._told == len(self._fed) and not self._growing.held and not self.stopped:
            given = len(self._waiting)
        else:
            while given < len(self._waiting) and self._waiting[given].offset - self._offset < self._told:
                given += 1
        tokens, self._waiting = tuple(self._waiting[:given]), self._waiting[given:]
        return Piece(said, tokens)


def tokens_of(words: BaseWords, first_id: int, drawn: list[Drawn], offset: int = 0) -> list[Token]:
    """What ids of the engine's numbering stand for, with what it says of them."""
    found = list[Token]()
    for one in drawn:
        token = one.id - first_id
        data = words.data(token)
        top = tuple(
            (each - first_id, raw.decode("utf-8", "replace"), raw, log_prob)
            for each, log_prob in one.likeliest
            for raw in (words.data(each - first_id),)
        )
        found.append(Token(token, data.decode("utf-8", "replace"), data, one.log_prob, top, offset))
        offset += len(found[-1].text)
    return found


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Any], item: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is over, and nobody listens
        loop.call_soon_threadsafe(queue.put_nowait, item)
