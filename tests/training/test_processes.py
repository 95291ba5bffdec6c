"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.toy_processes import ended, launch
from torch import Tensor, nn

from reverie.errors import TrainingError
from reverie.training import LoopConfig, ToyObjective, train
from reverie.training.processes import Processes
from reverie.training.run import Run

CONFIG = LoopConfig(
    steps=12, lr=3e-3, muon_lr=3e-3, ema_decay=0.9, accumulate=4, warmup_steps=3, eval_every=4, checkpoint_every=4,
    log_every=2, device="cpu", num_threads=1, tensorboard=False, precision="fp32",
)  # fmt: skip


class Counting(ToyObjective):
    """The toy, whose batches differ in what they reach and in what they say; ``drop``: with its dropout."""

    def __init__(self, drop: bool = False, pause: float = 0.0):
        super().__init__()
        if not drop:
            self.module[3] = nn.Identity()  # type: ignore[operator]
        self.module.append(nn.Linear(16, 16))  # type: ignore[operator]
        nn.init.eye_(self.module[6].weight)  # type: ignore[index]
        nn.init.zeros_(self.module[6].bias)  # type: ignore[index]
        self.pause = pause

    def batch(self, step: int) -> Any:
        time.sleep(self.pause)
        return super().batch(step), step

    def compute_loss(self, batch: Any) -> dict[str, Tensor]:
        numbers, step = batch
        parts = {"loss": nn.functional.cross_entropy(self.module[:6](numbers), (numbers + 3) % 16)}  # type: ignore[index]
        if step % 4 == 3:  # reached by some alone
            parts["loss"] = parts["loss"] + self.module[6].weight.square().mean()  # type: ignore[index]
            parts["rare"] = parts["loss"].detach()
        return parts | {"num_ids": torch.tensor(len(numbers))}

    def evaluate(self, step: int) -> dict[str, float]:
        return {"exact": float((self.module[:6](torch.arange(16)).argmax(-1) == (torch.arange(16) + 3) % 16).sum())}  # type: ignore[index]


def run(folder: Path, config: LoopConfig = CONFIG, drop: bool = False, pause: float = 0.0) -> None:
    try:
        result = train(Counting(drop, pause), config, folder, progress=False)
    except TrainingError as error:
        (folder.parent / f"said-{os.environ.get('RANK', '')}").write_text("" if error.spoken else str(error))
        raise SystemExit(3) from None
    raise SystemExit(result.exit_code)


def weights(folder: Path, step: int = 12) -> dict[str, Tensor]:
    place = folder / f"checkpoint-{step:06d}"
    return load_file(place / "weights.safetensors") | {
        f"average/{name}": tensor for name, tensor in load_file(place / "average.safetensors").items()
    }


def assert_equal(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def figures(folder: Path) -> list[dict[str, float]]:
    timing = {"ids_per_s", "steps_per_s", "seconds"}
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in timing} for line in lines]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    train(Counting(), CONFIG, folder, progress=False)
    return folder


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_give_what_one_gives_bit_for_bit(one: Path, tmp_path: Path, count: int) -> None:
    assert ended(launch(count, run, tmp_path / "run")) == [0] * count
    assert_equal(one, tmp_path / "run")
    assert figures(one) == figures(tmp_path / "run")
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in (tmp_path / "run").iterdir())


def test_a_run_goes_on_with_another_number_of_processes(one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(Counting(), replace(CONFIG, max_minutes=1e-9), folder, progress=False)
    assert ended(launch(2, run, folder, replace(CONFIG, max_minutes=1e-9))) == [0, 0]
    assert (folder / "checkpoint-000002").exists()
    assert not (folder / "export").exists()
    assert ended(launch(3, run, folder)) == [0, 0, 0]
    assert_equal(one, folder)


def test_what_draws_while_it_learns_is_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    started = [launch(count, run, tmp_path / str(count), CONFIG, True) for count in (2, 4)]
    assert [ended(children) for children in started] == [[0] * 2, [0] * 4]
    assert_equal(tmp_path / "2", tmp_path / "4")


def test_ctrl_c_at_one_of_them_saves_and_stops_all(one: Path, tmp_path: Path) -> None:
    folder, slow = tmp_path / "run", replace(CONFIG, eval_every=0)
    children = launch(2, run, folder, slow, False, 0.05)
    wait_for(folder / "checkpoint-000004")
    os.kill(children[1].pid, signal.SIGINT)
    assert ended(children) == [130, 130]
    assert not (folder / "checkpoint-000012").exists()
    assert ended(launch(2, run, folder, slow)) == [0, 0]
    assert_equal(one, folder)


@pytest.mark.parametrize("killed", [0, 1])
def test_kill_9_of_one_ends_all_with_one_line(one: Path, tmp_path: Path, killed: int) -> None:
    folder = tmp_path / "run"
    children = launch(3, run, folder, CONFIG, False, 0.05)
    wait_for(folder / "checkpoint-000004")
    children[killed].kill()
    children[killed].join()  # as a launcher does
    codes = ended(children)
    assert codes.pop(killed) == -signal.SIGKILL
    assert codes == [3, 3]
    said = [text for file in sorted(tmp_path.glob("said-*")) if (text := file.read_text())]
    assert len(said) == 1
    assert said[0].startswith("another of the 3 processes of this run has ended")
    train(Counting(), CONFIG, folder, progress=False)
    assert_equal(one, folder)


def test_one_micro_batch_cannot_be_shared() -> None:
    with pytest.raises(TrainingError, match=r"2 processes share .* loop.accumulate is 1. Give loop.accumulate=2"):
        Processes(0, 2).share(1)
    assert [Processes(rank, 3).share(4) for rank in range(3)] == [[0, 3], [1], [2]]


def test_what_remembers_something_cannot_be_shared() -> None:
    class Remembering(ToyObjective):
        keeps_state = True

    with pytest.raises(TrainingError, match=r"remembers something .* which 2 processes cannot share"):
        Run(Remembering(), CONFIG, Processes(0, 2))


def wait_for(path: Path, seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < ends:
        time.sleep(0.02)
    assert path.exists()
