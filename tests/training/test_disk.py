"""A full disk and kill -9, wherever they come: what was saved stays, is said, and is gone on with."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.toy_processes import ended, start

from reverie.errors import TrainingError
from reverie.training import LoopConfig, ToyObjective, train
from reverie.training.checkpoint import checkpoint_folders, newest_checkpoint

CONFIG = LoopConfig(
    steps=6, muon_lr=3e-3, ema_decay=0.9, warmup_steps=2, eval_every=3, checkpoint_every=2, log_every=2, device="cpu",
    num_threads=1, tensorboard=False, curves=False,
)  # fmt: skip


def whole(folder: Path, width: int = 32) -> dict[str, torch.Tensor]:
    train(ToyObjective(width=width), CONFIG, folder, progress=False)
    return load_file(folder / "checkpoint-000006" / "weights.safetensors")


def assert_goes_on(folder: Path, weights: dict[str, torch.Tensor], width: int = 32) -> None:
    assert train(ToyObjective(width=width), CONFIG, folder, progress=False).stopped == "done"
    found = load_file(folder / "checkpoint-000006" / "weights.safetensors")
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not list(folder.glob(".*.tmp"))
    assert (folder / "export" / "model.safetensors").is_file()


class Filling(ToyObjective):
    """No file may grow beyond ``size`` bytes from ``step`` on: what a writer meets on a full disk."""

    def __init__(self, step: int, size: int):
        super().__init__(width=128)
        self.full = step, size

    def batch(self, step: int) -> torch.Tensor:
        if step == self.full[0]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.full[1], resource.RLIM_INFINITY))
        return super().batch(step)


def fill(folder: Path, step: int, size: int) -> None:
    try:
        train(Filling(step, size), CONFIG, folder, progress=False)
    except TrainingError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (folder.parent / "said").write_text(str(error))
        raise SystemExit(3) from None


@pytest.mark.parametrize("size", [1000, 40_000])  # neither log nor checkpoint, or only the checkpoint cannot be written
def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(tmp_path: Path, size: int) -> None:
    weights = whole(tmp_path / "whole", 128)
    assert ended([start(fill, tmp_path / "run", 3, size)]) == [3]
    assert [path.name for path in checkpoint_folders(tmp_path / "run")] == ["checkpoint-000002"]
    said = (tmp_path / "said").read_text()
    assert said.startswith("step 6 cannot be saved in ")
    assert said.endswith("The last checkpoint there is checkpoint-000002. Make room; the same command goes on from it.")
    assert "File too large" in said
    assert "\n" not in said
    assert_goes_on(tmp_path / "run", weights, 128)


def test_room_that_comes_back_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Passing(ToyObjective):
        """Its folder cannot be written while steps 3 to 5 are taken."""

        def batch(self, step: int) -> torch.Tensor:
            place = tmp_path / "run"
            if step in (2, 4):
                (place / "blocked").touch() if step == 2 else (place / "blocked").unlink()
            return super().batch(step)

    from reverie.training import checkpoint

    write = checkpoint.save_file

    def refused(tensors: object, path: Path) -> None:
        if (tmp_path / "run" / "blocked").exists():
            raise OSError(28, "No space left on device")
        write(tensors, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save_file", refused)
        assert train(Passing(), CONFIG, tmp_path / "run", progress=False).stopped == "done"
    assert "step 4 cannot be saved" in caplog.text
    assert "No space left on device. The last checkpoint there is checkpoint-000002" in caplog.text
    assert caplog.text.count("Training goes on.") == 1
    assert [path.name for path in checkpoint_folders(tmp_path / "run")] == ["checkpoint-000002", "checkpoint-000006"]


def test_a_product_that_finds_no_room_is_written_by_the_same_command_later(tmp_path: Path) -> None:
    class Full(ToyObjective):
        def export(self, folder: Path) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(TrainingError, match=r"the product cannot be written .*No space.* make room"):
        train(Full(), CONFIG, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "export").exists()
    assert_goes_on(tmp_path / "run", whole(tmp_path / "whole"))


def killed_at(folder: Path, count: int) -> None:
    """Train, and die by SIGKILL the ``count``-th time that something is opened to write, renamed or removed."""
    seen = 0

    def watch(event: str, given: tuple[object, ...]) -> None:
        nonlocal seen
        writes = event in ("os.rename", "os.remove", "os.mkdir", "shutil.rmtree") or (
            event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and str(folder) in str(given[0]):
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train(ToyObjective(), CONFIG, folder, progress=False)


def test_kill_9_at_any_moment_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    """While a checkpoint, the log, the product or the result is written, renamed or an old checkpoint removed."""
    weights = whole(tmp_path / "whole")
    moments, died = [1, 4, 9, 13, 17, 20, 24, 28, 31, 34, 37, 40, 44], 0
    for count in moments:
        folder = tmp_path / str(count)
        died += ended([start(killed_at, folder, count)]) == [-signal.SIGKILL]
        if checkpoint_folders(folder):
            assert newest_checkpoint(folder) == checkpoint_folders(folder)[-1]  # whole, none is damaged
        for line in (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else ():
            json.loads(line)
        assert_goes_on(folder, weights)
    assert died >= len(moments) - 2  # nearly all came amid the work


def test_a_checkpoint_that_cannot_be_removed_whole_is_passed_over(tmp_path: Path) -> None:
    whole(tmp_path / "run")
    oldest = checkpoint_folders(tmp_path / "run")[0]
    (oldest / "weights.safetensors").unlink()  # as a kill amid its removal left it
    assert train(ToyObjective(), replace(CONFIG, steps=8), tmp_path / "run", progress=False).step == 8
    assert not oldest.exists()
