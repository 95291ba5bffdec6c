"""Several processes that train one model, as ``accelerate launch`` and ``torchrun`` start them.

Every process holds the whole model and takes some of a step's micro-batches. Gradients are added up, so that all take
the same step. The first process, the leader, evaluates, writes and exports; the others wait for it.
"""

from __future__ import annotations

import datetime
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from reverie import ranks
from reverie.errors import TrainingError

__all__ = ["LostProcessError", "Processes", "Taken", "joined", "seed_micro_batch"]

logger = logging.getLogger("reverie.training")
T = TypeVar("T")
_MOST_BYTES = 2**31  # of gradients of single micro-batches that a process keeps apart
_PATIENCE = datetime.timedelta(days=1)  # the leader may evaluate for hours; one that dies is noticed at once


class LostProcessError(TrainingError):
    """Another process of the run has ended."""


class Taken:
    """What this process's micro-batches of one step left: gradients, kept apart until all are added up, and losses."""

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters = parameters
        self.reached = [False] * len(parameters)
        self.rows: list[Tensor] = []  # gradients of all parameters, one after another
        self.parts: list[dict[str, Tensor]] = []

    def take(self, parts: dict[str, Tensor]) -> None:
        """Move the gradients here. Where those of all micro-batches would be too large they are added up already: then
        sums are rounded otherwise than in one process."""
        row = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self.parameters])
        if self.rows and (len(self.rows) + 1) * row.nbytes > _MOST_BYTES:
            self.rows[-1] += row
        else:
            self.rows.append(row)
        for place, parameter in enumerate(self.parameters):
            self.reached[place] |= parameter.grad is not None
            parameter.grad = None
        self.parts.append(parts)


@dataclass(frozen=True)
class Processes:
    """Those of a run, seen from one of them. A run of one process is the usual case: then nothing is sent anywhere."""

    rank: int = 0
    count: int = 1
    folder: Path | None = None  # of the run, on a disk that all see

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, accumulate: int) -> list[int]:
        """Which of a step's ``accumulate`` micro-batches are this process's. Raises TrainingError where some process
        would have none."""
        if accumulate < self.count:
            raise TrainingError(
                f"{self.count} processes share a step's micro-batches, and loop.accumulate is {accumulate}. Give "
                f"loop.accumulate={self.count} or a multiple of it; what a batch holds is then of each micro-batch."
            )
        return list(range(self.rank, accumulate, self.count))

    def from_leader(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the leader."""
        if self.count == 1:
            return make()
        held: list[Any] = [make() if self.leads else None]
        with self._lost():
            dist.broadcast_object_list(held, 0)
        made: T = held[0]
        return made

    def largest(self, *values: float) -> list[float]:
        """The largest of each value over all processes."""
        if self.count == 1:
            return list(values)
        return [max(each) for each in zip(*self._everybodys(values), strict=True)]

    def wait(self) -> None:
        """Until all are here."""
        self.largest(0.0)

    def start_alike(self, tensors: Sequence[Tensor]) -> None:
        """Give ``tensors`` the leader's values."""
        if self.count > 1:
            with self._lost():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    def add_up(self, taken: Taken) -> dict[str, Tensor]:
        """Add up what all micro-batches of a step left, in their order, as one process would: bit for bit.

        The sums are the gradients of the parameters then; one that no micro-batch reached has none. Returns the sum of
        each part of the loss.
        """
        parameters = taken.parameters
        mine = taken.reached, len(taken.rows), [{k: v.item() for k, v in each.items()} for each in taken.parts]
        told = self._everybodys(mine)
        total = self._sum(taken.rows, [rows for _, rows, _ in told])
        pieces = total.split([parameter.numel() for parameter in parameters])
        some = [any(each) for each in zip(*(flags for flags, _, _ in told), strict=True)]
        for parameter, piece, wanted in zip(parameters, pieces, some, strict=True):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype) if wanted else None
        sums: dict[str, Tensor] = {}
        for each in _in_order([named for _, _, named in told]):
            for name, value in each.items():
                sums[name] = sums[name] + value if name in sums else torch.tensor(value)
        return {name: value.to(parameters[0].device) for name, value in sums.items()}

    def _sum(self, taken: Sequence[Tensor], rows: Sequence[int]) -> Tensor:
        """Of all that is ``taken``, by each process so many ``rows``: each adds up one stretch, then all get all."""
        device, size = taken[0].device, taken[0].numel()
        length = -(-size // self.count)
        mine = torch.stack([F.pad(one, (0, length * self.count - size)) for one in taken])
        mine = mine.view(len(taken), self.count, length).transpose(0, 1).reshape(-1)
        if device.type == "cuda" and "nccl" not in dist.get_backend_config():
            mine = mine.cpu()
        got = mine.new_empty(sum(rows) * length)
        whole = [mine.new_empty(length) for _ in range(self.count)]
        with self._lost():
            dist.all_to_all_single(got, mine, [count * length for count in rows], [len(taken) * length] * self.count)
            ordered = _in_order([part.view(-1, length) for part in got.split([count * length for count in rows])])
            stretch = ordered[0].clone()
            for other in ordered[1:]:
                stretch += other
            dist.all_gather(whole, stretch)
        return torch.cat(whole)[:size].to(device)

    def _everybodys(self, mine: T) -> list[T]:
        held: list[Any] = [None] * self.count
        with self._lost():
            dist.all_gather_object(held, mine)
        return held

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Says in one line that another process has ended; the first that notices says it for all."""
        try:
            yield
        except RuntimeError as error:
            lost = LostProcessError(
                f"another of the {self.count} processes of this run has ended, and so does this one. What was saved is "
                "whole: the same command goes on from the last checkpoint."
            )
            lost.spoken = self.folder is not None and not _first(self.folder / ".said.tmp")
            raise lost from error


@contextmanager
def joined(folder: Path | None = None, alone: bool = False) -> Iterator[Processes]:
    """Yields the processes of the run in ``folder``, by the environment that a launcher made; over with the block.

    ``alone``: this process trains by itself, whatever was launched.
    """
    count, rank = ranks.count(), ranks.rank()
    if alone or count == 1 or not dist.is_available():
        yield Processes()
        return
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group(_backend(), timeout=_PATIENCE)
    level = logger.level
    if rank:
        logger.setLevel(logging.ERROR)  # the leader warns for all
    try:
        processes = Processes(rank, count, folder)
        processes.wait()  # nobody prepares the folder while another still writes what it prepared
        yield processes
    finally:
        logger.setLevel(level)
        if ours:
            dist.destroy_process_group()


def seed_micro_batch(seed: int, number: int) -> None:
    """Set the global generators for a micro-batch, so that it draws the same whichever process takes it."""
    state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    torch.manual_seed(state)
    np.random.seed(state)
    random.seed(state)


def _backend() -> str:
    """NCCL where each process has a GPU of its own; objects always go through gloo."""
    alone = torch.cuda.is_available() and torch.cuda.device_count() >= ranks.local_count()
    return "cpu:gloo,cuda:nccl" if alone else "gloo"


def _in_order(each: Sequence[Sequence[T]]) -> list[T]:
    """What processes hold of the micro-batches, of which they take every so many, in the order of these."""
    longest = max(map(len, each))
    return [mine[place] for place in range(longest) for mine in each if place < len(mine)]


def _first(mark: Path) -> bool:
    """Nobody has left ``mark`` before. A new run removes it, as whatever killed writers left."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        pass  # nobody can: each says it
    return True
