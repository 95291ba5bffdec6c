"""Children of a process that has imported torch already, so that each starts in a blink."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))  # children find ``tests.…`` there
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch._dynamo", "reverie.training.loop", "reverie.training.run"])


def start(target: Callable[..., None], *given: Any) -> Any:
    """A child at work on ``target``, which is a function of a module."""
    child = CONTEXT.Process(target=_at_work, args=(target, given), daemon=True)
    child.start()
    return child


def launch(count: int, target: Callable[..., None], *given: Any) -> Sequence[Any]:
    """As a launcher starts them: ``count`` children that know of each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    told |= {"LOCAL_WORLD_SIZE": str(count)}
    return [start(_as_rank, told | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, target, given)
            for rank in range(count)]  # fmt: skip


def ended(children: Sequence[Any], seconds: float = 60.0) -> list[int | None]:
    """Their exit codes, once all are done."""
    for child in children:
        child.join(seconds)
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    return codes


def _as_rank(told: dict[str, str], target: Callable[..., None], given: Sequence[Any]) -> None:
    os.environ |= told
    target(*given)


def _at_work(target: Callable[..., None], given: Sequence[Any]) -> None:
    import torch

    torch.set_num_threads(1)
    target(*given)
