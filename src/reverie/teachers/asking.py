"""Who is asked for what, and again where no answer came: several at a time, within a budget."""

from __future__ import annotations

import itertools
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reverie.errors import BackendError, ReverieError, UsageError
from reverie.speakers.contract import Speaker, Speech, SpeechRequest
from reverie.speakers.remote import RemoteSpeaker
from reverie.teachers.contract import Counts, TeacherConfig
from reverie.teachers.traces import Prompt

__all__ = ["Asked", "Job", "Purse", "answers"]

_ROWS = 16  # prompts in one call of a speaker that answers in one thread
_LEAVE_S = 2.0  # that threads of a silent server are waited for at the end


@dataclass(frozen=True)
class Job:
    """A prompt to be asked. ``prompt_ids``: how many it has, as well as the speaker can tell."""

    key: str
    prompt: Prompt
    request: SpeechRequest
    prompt_ids: int


@dataclass(frozen=True)
class Asked:
    """What came of a job: a speech with the ids that it took, or why there is none."""

    job: Job
    speech: Speech | None = None
    num_ids: int = 0
    prompt_ids: int = 0
    problem: ReverieError | None = None


class Purse:
    """The budget: what is spent, and what those under way may spend at most. Any thread may use it."""

    def __init__(self, config: TeacherConfig, counts: Counts):
        self.config, self.counts = config, counts
        self._lock, self._ids, self._cost = threading.Lock(), 0, 0.0  # of those under way

    def cost(self, prompt_ids: int, num_ids: int) -> float:
        return (prompt_ids * self.config.prompt_price + num_ids * self.config.price) / 1e6

    def reserve(self, job: Job) -> bool:
        """Whether there is room for the longest answer; else ``counts.stopped`` says so."""
        config, counts, most = self.config, self.counts, job.request.max_ids
        need, price = job.prompt_ids + most, self.cost(job.prompt_ids, most)
        with self._lock:
            if config.most_ids and counts.ids + counts.prompt_ids + self._ids + need > config.most_ids:
                counts.stopped = f"the budget of {config.most_ids:,} ids has no room for another reply"
            elif config.most_cost and counts.cost + self._cost + price > config.most_cost * (1 + 1e-9):
                counts.stopped = f"the budget of {config.most_cost:g} has no room for another reply"
            else:
                self._ids, self._cost = self._ids + need, self._cost + price
                return True
        return False

    def settle(self, job: Job, prompt_ids: int, num_ids: int) -> None:
        """An attempt is over: what it took instead of what was reserved for it."""
        most = job.request.max_ids
        with self._lock:
            self._ids -= job.prompt_ids + most
            self._cost -= self.cost(job.prompt_ids, most)
            self.counts.prompt_ids += prompt_ids
            self.counts.ids += num_ids
            self.counts.cost += self.cost(prompt_ids, num_ids)


class _TooLong(Exception):
    """The reply is longer than anybody wants."""


class _Over(Exception):
    """Nobody waits for the reply any more."""


def answers(speaker: Speaker, jobs: Sequence[Job], purse: Purse) -> Iterator[Asked]:
    """What came of each job, as it comes; of those that the budget has no room for nothing comes."""
    if not isinstance(speaker, RemoteSpeaker):
        yield from _in_rows(speaker, jobs, purse)
        return
    asking = _Asking(speaker, jobs, purse)
    threads = [
        threading.Thread(target=asking.work, daemon=True, name=f"asking {speaker.name} {n}")
        for n in range(min(speaker.config.parallel, len(jobs)))
    ]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not asking.done.empty():
            try:
                what = asking.done.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(what, BaseException):
                raise what
            yield what
    finally:
        asking.over.set()
        leave = time.monotonic() + _LEAVE_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(None if speaker.joins else max(leave - time.monotonic(), 0))


def _in_rows(speaker: Speaker, jobs: Sequence[Job], purse: Purse) -> Iterator[Asked]:
    """Of a speaker that is here, and answers in one thread many rows in common steps."""
    waiting = iter(jobs)
    while rows := list(itertools.takewhile(purse.reserve, itertools.islice(waiting, _ROWS))):
        try:
            speeches: list[Speech | ReverieError] = [*speaker.speak([job.request for job in rows])]
        except (BackendError, UsageError):  # of one of them
            speeches = [_alone(speaker, job) for job in rows]
        for job, speech in zip(rows, speeches):
            yield _settled(purse, job, speech)
        if purse.counts.stopped:
            return


def _alone(speaker: Speaker, job: Job) -> Speech | ReverieError:
    try:
        return speaker.speak([job.request])[0]
    except (BackendError, UsageError) as error:
        return error


def _settled(purse: Purse, job: Job, what: Speech | ReverieError, num_pieces: int = 0) -> Asked:
    if isinstance(what, ReverieError):
        purse.settle(job, job.prompt_ids if num_pieces else 0, num_pieces)
        return Asked(job, problem=what)
    asked, num_ids = what.prompt_ids or job.prompt_ids, what.num_ids or num_pieces
    purse.settle(job, asked, num_ids)
    return Asked(job, what, num_ids, asked)


class _Asking:
    """Jobs that threads take one after another. ``done``: what came of them, or an error that nobody foresaw."""

    def __init__(self, speaker: RemoteSpeaker, jobs: Sequence[Job], purse: Purse):
        self.speaker, self.purse = speaker, purse
        self.done = queue.SimpleQueue[Asked | BaseException]()
        self.over = threading.Event()
        self._waiting, self._lock = iter(jobs), threading.Lock()
        self._not_before = 0.0  # a server that is busy is left alone by all threads

    def work(self) -> None:
        try:
            while (job := self._next()) is not None:
                self.done.put(self._ask(job))
        except _Over:
            pass
        except BaseException as error:  # noqa: BLE001  # the caller's thread raises it
            self.done.put(error)

    def _next(self) -> Job | None:
        with self._lock:
            if self.over.is_set() or self.purse.counts.stopped:
                return None
            job = next(self._waiting, None)
            return job if job is not None and self.purse.reserve(job) else None

    def _ask(self, job: Job) -> Asked:
        config = self.purse.config
        for attempt in itertools.count():
            self._rest(self._not_before - time.monotonic())
            told = list[str]()
            what = self._speech(job, told)
            asked = _settled(self.purse, job, what, len(told))
            if not isinstance(what, BackendError) or not what.passing or attempt >= config.retries:
                break
            wait = config.wait_s * 2**attempt * random.uniform(0.75, 1.25) if what.wait_s is None else what.wait_s
            self._not_before = max(self._not_before, time.monotonic() + min(wait, config.most_wait_s))
            if not self.purse.reserve(job):
                break
            with self._lock:
                self.purse.counts.retried += 1
        return asked

    def _speech(self, job: Job, told: list[str]) -> Speech | ReverieError:
        size, most = 0, self.purse.config.most_chars

        def hear(_: int, piece: str) -> None:
            nonlocal size
            told.append(piece)
            size += len(piece)
            if self.over.is_set():
                raise _Over
            if size > most:
                raise _TooLong

        try:
            return self.speaker.speak([job.request], hear)[0]
        except _TooLong:
            return Speech("".join(told), False, len(told))
        except (BackendError, UsageError) as error:
            return error

    def _rest(self, seconds: float) -> None:
        if self.over.wait(max(seconds, 0)):
            raise _Over
