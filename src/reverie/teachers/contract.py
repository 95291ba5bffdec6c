"""What a teacher is: someone who answers prompts so that another may learn from the answers.

Every teacher counts what it was asked and what that cost, and holds to a budget. ``check_teacher`` holds it to this
contract. What a teacher writes is data: it is cleaned and capped, never run, and no file that it names is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError
from reverie.progress import Progress, no_progress
from reverie.speakers.contract import MAX_TOP
from reverie.teachers.traces import Prompt, Trace, Traces

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Counts", "LogitTeacher", "Planned", "Teacher", "TeacherConfig"]


@dataclass(frozen=True)
class TeacherConfig:
    """How a teacher is asked, how patiently, and for how much."""

    max_ids: int = 256  # most ids of a reply
    temperature: float = 0.0  # 0: its likeliest words
    top_p: float = 1.0
    seed: int = 0  # of the first reply to a prompt; one that stands several times is drawn with others
    stop: tuple[str, ...] = ()
    top: int = 20  # likeliest ids told at each place, where the teacher tells
    system: str = ""  # what it is told before every prompt
    talk: bool = True  # prompts in words are asked as a talk, where it talks; else they are gone on with
    most_chars: int = 20_000  # of a reply; what is longer is cut, and no lesson
    retries: int = 4  # times that a prompt is asked again when no answer came
    wait_s: float = 1.0  # seconds before the first of them, doubled each time
    most_wait_s: float = 60.0  # whatever the server asks for
    prompt_price: float = 0.0  # of a million ids of prompts, in any currency
    price: float = 0.0  # of a million ids of replies
    most_ids: int = 0  # budget: ids of prompts and replies together; 0 = any number
    most_cost: float = 0.0  # budget in the currency of the prices; 0 = any
    cache: bool = True  # replies are kept, and nobody is asked for them again
    cache_path: Path | None = None  # None: the user's own
    cache_mb: int = 1024  # of disk; those unused the longest go first

    def __post_init__(self) -> None:
        Sampling(self.temperature, top_p=self.top_p)
        if self.max_ids < 1 or self.most_chars < 1 or self.retries < 0 or self.cache_mb < 1:
            raise ConfigError("a teacher is asked for at least 1 id and letter, and keeps at least 1 MB of replies")
        if not (0 < self.wait_s < 1e6 and 0 < self.most_wait_s < 1e6):
            raise ConfigError(f"a teacher is waited for some seconds, got {self.wait_s} and {self.most_wait_s}")
        if not 0 <= self.top <= MAX_TOP:
            raise ConfigError(f"top is a whole number from 0 to {MAX_TOP}, got {self.top}")
        if not all(0 <= one < 1e12 for one in (self.prompt_price, self.price, self.most_ids, self.most_cost)):
            raise ConfigError("prices and budgets are numbers of at least 0")


@dataclass
class Counts:
    """What was asked so far, and what it cost. ``stopped``: why not all was asked; "" where nothing stopped it."""

    replies: int = 0  # that are lessons
    cached: int = 0  # of them, those that were kept from before
    flawed: int = 0  # empty, too long, repeating
    failed: int = 0  # prompts without any answer
    retried: int = 0
    ids: int = 0  # of replies that were asked for now
    prompt_ids: int = 0
    cost: float = 0.0
    stopped: str = ""
    problem: str = ""  # the last one of a prompt without an answer


@dataclass(frozen=True)
class Planned:
    """What asking would take: of ``prompts``, ``cached`` cost nothing; ids and cost are the most of what remains."""

    prompts: int
    cached: int
    prompt_ids: int
    most_ids: int
    most_cost: float


class Teacher(Protocol):
    """One thread at a time."""

    name: str
    config: TeacherConfig
    counts: Counts  # grows from call to call
    prompts: tuple[Prompt, ...]  # those that it brings itself, as a file does; () for who answers anything

    @property
    def tops(self) -> int:
        """How many of the likeliest ids it tells at each place; 0: none."""
        ...

    def teach(
        self, prompts: Sequence[Prompt], traces: Traces | None = None, progress: Progress = no_progress
    ) -> Iterator[Trace]:
        """The replies that are lessons, in the order of their prompts, each once it and those before it are there.

        Each is written to ``traces`` first, with those that are none (``Trace.flaw``), unless it stands there already.
        A prompt without an answer is counted in ``counts`` and left out, as is what the budget has no room for. Raises
        BackendError where nobody answers any more, UsageError for prompts that cannot be asked; what was answered
        before is kept.
        """
        ...

    def plan(self, prompts: Sequence[Prompt]) -> Planned:
        """What ``teach`` would take; no prompt is asked."""
        ...

    def close(self) -> None:
        """Let go of what it holds. It may be called twice."""
        ...


class LogitTeacher(Teacher, Protocol):
    """A teacher whose network is here: it gives the logits of any text."""

    tokenizer: Any  # of the library ``tokenizers``, in whose numbering ids are
    vocab_size: int

    def logits(self, ids: Tensor) -> Tensor:
        """ids int64 (B, T) in [0, vocab_size) → logits float32 (B, T, vocab_size), without gradients."""
        ...
