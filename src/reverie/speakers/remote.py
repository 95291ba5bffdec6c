"""What all speakers share that run elsewhere: requests side by side, pieces as they come, errors in one line."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import SimpleQueue
from typing import Any

import numpy as np

from reverie.engine.sampling import Sampling
from reverie.errors import BackendError, ReverieError, UsageError, shorten
from reverie.experts.contract import Choice
from reverie.speakers.contract import Abilities, Message, SaidId, Scored, Speech, SpeechRequest
from reverie.speakers.cutting import Cutter
from reverie.speakers.settings import SpeakerConfig

__all__ = ["Hear", "Piece", "RemoteSpeaker", "plain_errors", "said_id", "spell"]

_HALF = re.compile(r"bytes:((?:\\x[0-9a-fA-F]{2})+)")
_PASSING = (408, 425, 429)  # statuses of what may be answered later, beside those from 500 on


@dataclass(frozen=True)
class Piece:
    """What comes at once. ``ids``: that make it up, None where they are not told."""

    text: str = ""
    ids: tuple[SaidId, ...] | None = None
    num_ids: int | None = None  # of the whole answer, where the end tells it
    prompt_ids: int | None = None
    end: str = ""  # why it is the last, such as "length"; "" where more comes


Hear = Callable[[Piece], bool]  # takes a piece; True: no more is wanted


class RemoteSpeaker:
    """A speaker that is asked request by request. A subclass says one answer (``_say``) and may count, score and embed.

    Every answer is read in a thread of its own, up to ``config.parallel`` at once, while the caller's thread waits
    where Ctrl-C reaches it; then answers are given up at their next piece. Who wants to try again after an error would
    do it around ``_say``, before its first piece was heard.
    """

    name: str
    abilities: Abilities
    max_ids: int
    config: SpeakerConfig
    usual = Sampling(0.0)
    joins = False  # whether answers that were given up are waited for

    def speak(
        self, requests: Sequence[SpeechRequest], on_text: Callable[[int, str], None] | None = None
    ) -> list[Speech]:
        requests = [self._fitted(request) for request in requests]
        told = SimpleQueue[tuple[int, str | Speech | BaseException]]()
        waiting, over = iter(enumerate(requests)), threading.Event()
        lock = threading.Lock()

        def work() -> None:
            while not over.is_set():
                with lock:
                    index, request = next(waiting, (-1, None))
                if request is None:
                    return
                try:
                    told.put((index, self._answer(request, lambda text, i=index: told.put((i, text)), over)))  # type: ignore[misc]
                except BaseException as error:  # noqa: BLE001  # the caller's thread raises it
                    told.put((index, error))

        count = min(self.config.parallel, len(requests))
        threads = [threading.Thread(target=work, daemon=True, name=f"{self.name} {n}") for n in range(count)]
        speeches: dict[int, Speech] = {}
        try:
            for thread in threads:
                thread.start()
            while len(speeches) < len(requests):
                index, what = told.get()
                if isinstance(what, BaseException):
                    raise what
                if isinstance(what, Speech):
                    speeches[index] = what
                elif on_text is not None:
                    on_text(index, what)
        finally:
            over.set()
            if self.joins:
                for thread in threads:
                    thread.join()
        return [speeches[index] for index in range(len(requests))]

    def score(self, wanted: Sequence[tuple[str, str]], experts: Choice = ()) -> list[Scored]:
        raise UsageError(f"{self.name} does not say how probable given words are")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        raise UsageError(f"{self.name} does not turn texts into vectors")

    def count(self, said: str | tuple[Message, ...]) -> int:
        """One id for three bytes of UTF-8, and eight for every turn: English takes about four and a half."""
        turns = [said] if isinstance(said, str) else [turn.content for turn in said]
        return sum(math.ceil(len(text.encode()) / 3) + 8 * (not isinstance(said, str)) for text in turns)

    def close(self) -> None:
        """Nothing is held."""

    def _say(self, request: SpeechRequest, hear: Hear) -> None:
        """One answer, piece by piece to ``hear``, until it is True."""
        raise NotImplementedError

    def _fitted(self, request: SpeechRequest) -> SpeechRequest:
        """``request`` with as many ids as there is room for."""
        if request.experts:
            raise UsageError(f"{self.name} has no experts, and '{request.experts[0][0]}' is asked for")
        if isinstance(request.said, str) and not self.abilities.completes:
            raise UsageError(f"{self.name} only answers talks, and is asked to go on with a text")
        if not (isinstance(request.said, str) or self.abilities.talks):
            raise UsageError(f"{self.name} only goes on with texts, and is asked to answer a talk")
        room = self.max_ids - self.count(request.said)
        if room < 1:
            raise UsageError(
                f"a prompt of about {self.max_ids - room} ids and an answer do not fit into the {self.max_ids} of "
                f"{self.name}: shorten it, or give it more context where it runs"
            )
        return replace(request, max_ids=min(request.max_ids, room), top=min(request.top, self.abilities.tops))

    def _answer(self, request: SpeechRequest, tell: Callable[[str], None], over: threading.Event) -> Speech:
        cutter = Cutter(request.stop, None if request.form is None else len(request.form) + 1)
        texts, ids, counted, prompt_ids = list[str](), list[SaidId](), list[int](), list[int]()
        end, num_pieces, known = "", 0, True

        def say(text: str) -> None:
            if text:
                texts.append(text)
                tell(text)

        def hear(piece: Piece) -> bool:
            nonlocal end, num_pieces, known
            num_pieces, end = num_pieces + 1, end or piece.end
            known &= piece.ids is not None or not piece.text
            ids.extend(piece.ids or ())
            counted.extend(() if piece.num_ids is None else (piece.num_ids,))
            prompt_ids.extend(() if piece.prompt_ids is None else (piece.prompt_ids,))
            say(cutter.feed(piece.text))
            return cutter.ended or over.is_set()

        self._say(request, hear)
        if not (end or cutter.ended or over.is_set()):
            what = "broke off amid its answer" if num_pieces else "gave no answer"
            raise BackendError(f"{self.name} {what}: see what it writes into its own log")
        say(cutter.rest())
        finished = cutter.ended or end != "length"
        text, asked = "".join(texts), prompt_ids[-1] if prompt_ids else None
        known &= bool(ids) and all(math.isfinite(one.log_prob) for one in ids)
        told = tuple(ids) if known and request.top and spell(ids, text) else ()
        if counted and not finished:  # llama.cpp does not tell of ids that are a part of a letter
            known &= len(ids) == counted[-1]
        if not known:
            return Speech(text, finished, counted[-1] if counted else None, None, told, asked)
        return Speech(text, finished, len(ids), math.fsum(one.log_prob for one in ids), told, asked)


def spell(ids: Sequence[SaidId], text: str) -> bool:
    """Whether the bytes of ``ids`` are ``text``, and perhaps more behind it; blanks before it and broken letters
    aside."""
    said = b"".join(one.bytes for one in ids).decode(errors="ignore").replace("\ufffd", "")
    return said.lstrip(" ").startswith(text.replace("\ufffd", "").lstrip(" "))


def said_id(told: Mapping[str, Any], top: int) -> SaidId:
    """An id as Ollama and OpenAI's chats tell it: ``token``, ``logprob``, perhaps ``bytes``, ``top_logprobs``.

    A log-probability that is no number is kept here, for the whole answer to be judged by, and left out of ``top``.
    Where llama.cpp tells a letter of several ids as the last of them, with all its bytes, none is likeliest.
    """
    data, others = _data(told), told.get("top_logprobs") or ()
    if any("id" in one and one["id"] == told.get("id") and _data(one) != data for one in others):
        others = ()
    nats = [(_data(one), float(one["logprob"])) for one in others]
    best = sorted((one for one in nats if math.isfinite(one[1])), key=lambda one: -one[1])
    return SaidId(data, float(told["logprob"]), tuple(best[:top]))


def _data(told: Mapping[str, Any]) -> bytes:
    """Its bytes, which JSON's letters may have lost; completions write those of half a letter as ``bytes:\\xe2``."""
    given, token = told.get("bytes"), str(told["token"])
    if given is not None:
        return bytes(given)
    half = _HALF.fullmatch(token)
    return bytes.fromhex(half[1].replace("\\x", "")) if half else token.encode(errors="replace")


@contextmanager
def plain_errors(
    who: str, url: str, config: SpeakerConfig, wanted: str = "", known: Callable[[], list[str]] = list
) -> Iterator[None]:
    """What goes wrong with a server, as BackendError in one line (UsageError for what is too long for it).

    Args:
        who: what it is, such as "the Ollama server"
        wanted: the model that is asked for
        known: asks which models there are
    """
    try:
        yield
    except ReverieError:
        raise
    except Exception as error:
        # by name: the clients bring HTTP libraries of their own, whose errors are called alike
        kinds = {kind.__name__ for one in (error, error.__cause__) for kind in type(one).__mro__}
        status, said = getattr(error, "status_code", None), shorten(_message(error), 200)
        if kinds & {"ConnectError", "ConnectTimeout", "ConnectionError"}:
            line = f"nobody answers at {url}: start {who} there, or name another address"
        elif "TimeoutException" in kinds:
            line = f"{who} at {url} said nothing for {config.timeout_s:g} s: wait longer (timeout_s) or ask less of it"
        elif "TransportError" in kinds:
            line = f"{who} at {url} broke off amid its answer ({said}): see what it writes into its own log"
        elif "<html" in said.lower() or isinstance(error, (ValueError, TypeError, AttributeError, LookupError)):
            line = f"{url} does not answer as {who} does: is the address right?"
        elif status in (401, 403):
            line = f"{who} at {url} refuses the key ({status}): set the one it wants in the environment"
        elif status == 404 and wanted:
            line = f"{who} at {url} has no model '{wanted}'. There are: {', '.join(_names(known)) or 'none'}"
        elif status in (400, 413, 422) and any(word in said.lower() for word in ("context", "too long", "maximum")):
            raise UsageError(f"{who} at {url} finds that too long: {said}") from error
        elif isinstance(status, int) and status > 0:
            line = f"{who} at {url} answers {status}: {said}"
        else:
            line = f"{who} at {url} answers: {said}"
        passing = not isinstance(status, int) or status <= 0 or status in _PASSING or status >= 500
        raise BackendError(line, passing, _asked_to_wait(error) if passing else None) from error


def _asked_to_wait(error: BaseException | None) -> float | None:
    """The seconds of ``Retry-After``, where an error or what it comes from holds an answer that has it."""
    while error is not None:
        told = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
        with suppress(ValueError):
            if told.strip().isdigit():
                return float(told)
            if told:
                return max((parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds(), 0.0)
        error = error.__cause__ or error.__context__
    return None


def _names(known: Callable[[], list[str]]) -> list[str]:
    try:
        return known()
    except Exception:  # noqa: BLE001  # it is only told for help
        return []


def _message(error: Exception) -> str:
    said: Any = getattr(error, "body", None) or str(error) or type(error).__name__
    for key in ("error", "message"):
        said = said.get(key, said) if isinstance(said, dict) else said
    return str(said)
