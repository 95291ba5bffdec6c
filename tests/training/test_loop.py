import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import reverie
from reverie.errors import ConfigError, TrainingError
from reverie.files import sha256_of
from reverie.precision import choose_precision
from reverie.progress import no_progress
from reverie.settings import build_settings, settings_to_dict
from reverie.training import LoopConfig, RunDir, ToyObjective, check_objective, export_checkpoint, load_weights, train
from reverie.training.checkpoint import checkpoint_folders, named_tensors
from reverie.training.optim import MovingAverage, build_optimizers, lr_fraction

# Everything that a checkpoint must carry is on: two optimizers, a moving average, accumulation, dropout in the toy.
CONFIG = LoopConfig(
    steps=24, muon_lr=3e-3, ema_decay=0.9, accumulate=2, warmup_steps=5, eval_every=5, checkpoint_every=8, log_every=4,
    device="cpu", num_threads=1, tensorboard=False, curves=False,
)  # fmt: skip


class HookedToy(ToyObjective):
    """The toy, with a ``hook(number of the micro-batch)`` that may spoil the loss by what it returns."""

    def __init__(self, hook: Callable[[int], float | None], **kwargs: Any):
        super().__init__(**kwargs)
        self.hook, self.calls = hook, 0

    def compute_loss(self, batch: Tensor) -> dict[str, Tensor]:
        parts = super().compute_loss(batch)
        spoil = self.hook(self.calls)
        self.calls += 1
        return parts if spoil is None else parts | {"loss": parts["loss"] * spoil}


def run(run_dir: Path, config: LoopConfig = CONFIG, objective: ToyObjective | None = None) -> Any:
    return train(objective or ToyObjective(), config, run_dir, progress=False)


def metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The lines that hold figures."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] != "start"]


def assert_same_checkpoint(a: Path, b: Path) -> None:
    files = ["weights", "optimizer", "average"]
    for name in files:
        one, other = load_file(a / f"{name}.safetensors"), load_file(b / f"{name}.safetensors")
        assert one.keys() == other.keys()
        assert one
        for key in one:
            assert torch.equal(one[key], other[key]), f"{name} {key}"
    one_state, other_state = (json.loads((folder / "state.json").read_text()) for folder in (a, b))
    assert one_state["random"] == other_state["random"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all 24 steps in one go."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder).stopped == "done"
    return folder


def interrupt_at(call: int, number: signal.Signals = signal.SIGINT) -> Callable[[int], None]:
    return lambda calls: signal.raise_signal(number) if calls == call else None


# --- learning


def test_the_loss_goes_down_and_the_toy_is_learnt(tmp_path: Path) -> None:
    result = run(tmp_path, LoopConfig(steps=120, lr=3e-3, device="cpu", num_threads=1, tensorboard=False))
    losses = [line["loss"] for line in metrics(tmp_path) if line["kind"] == "train"]
    assert losses[-1] < 0.2 * losses[0]
    assert result.stopped == "done"
    assert result.step == 120
    assert result.metrics["exact"] == 1.0


def test_the_toy_keeps_the_contract() -> None:
    check_objective(ToyObjective())


def test_a_run_leaves_config_metrics_checkpoints_and_the_product(whole: Path) -> None:
    names = sorted(path.name for path in whole.iterdir())
    kept = ["checkpoint-000016", "checkpoint-000024", "config.json", "export", "metrics.jsonl", "result.json"]
    assert names == kept
    config = json.loads((whole / "config.json").read_text())
    assert (config["precision"], config.pop("chosen_precision")) == ("auto", choose_precision().name)
    assert config.pop("precision_reason") == choose_precision().reason
    assert build_settings(LoopConfig, config) == CONFIG
    lines = metrics(whole)
    assert [line["step"] for line in lines if line["kind"] == "train"] == [4, 8, 12, 16, 20, 24]
    assert [line["step"] for line in lines if line["kind"] == "evaluate"] == [5, 10, 15, 20, 24]
    assert {"loss", "right", "lr", "grad_norm", "ids_per_s", "steps_per_s", "seconds"} <= lines[0].keys()


def test_the_product_has_the_averaged_weights(whole: Path) -> None:
    product = load_file(whole / "export" / "model.safetensors")
    average = load_file(whole / "checkpoint-000024" / "average.safetensors")
    assert all(torch.equal(product[key], average[key]) for key in average)


def test_micro_batches_add_up_to_the_whole_batch(tmp_path: Path) -> None:
    class Halves(ToyObjective):
        """Micro-batch i is half i % 2 of the toy's batch i // 2."""

        def batch(self, step: int) -> Tensor:
            return super().batch(step // 2).chunk(2)[step % 2]

    config = replace(CONFIG, precision="fp32", ema_decay=0.0, muon_lr=0.0, steps=6)
    one, halves = ToyObjective(), Halves()
    for toy, accumulate in ((one, 1), (halves, 2)):
        toy.module[3] = nn.Identity()  # type: ignore[operator]  # dropout draws differ between one call and two
        run(tmp_path / str(accumulate), replace(config, accumulate=accumulate), toy)
    for a, b in zip(one.module.parameters(), halves.module.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run(tmp_path, replace(CONFIG, steps=4, tensorboard=True))
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_without_tensorboard_training_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(tmp_path, replace(CONFIG, steps=4, tensorboard=True)).stopped == "done"
    assert "pip install 'reverie[train]'" in caplog.text


# --- resuming


@pytest.mark.parametrize("num_workers", [0, 1])
def test_interrupted_and_resumed_equals_one_go(whole: Path, tmp_path: Path, num_workers: int) -> None:
    config = replace(CONFIG, num_workers=num_workers)
    first = run(tmp_path, config, HookedToy(interrupt_at(2 * 10)))
    assert (first.stopped, first.step) == ("interrupted", 11)
    assert "saved step 11 of 24" in first.message
    assert first.message.startswith("stopped by Ctrl-C")
    assert first.message.endswith("The same command goes on.")
    assert first.exit_code == 130
    torch.rand(3)  # whatever happens between the two calls
    assert run(tmp_path, config).stopped == "done"
    assert_same_checkpoint(whole / "checkpoint-000024", tmp_path / "checkpoint-000024")
    figures = [
        [line.get("exact") for line in metrics(folder) if line["kind"] == "evaluate"] for folder in (whole, tmp_path)
    ]
    assert figures[0] == figures[1]


def test_killed_and_resumed_equals_one_go(whole: Path, tmp_path: Path) -> None:
    config = settings_to_dict(CONFIG)
    script = f"""
import os, signal
from pathlib import Path
from reverie.files import sha256_of
from reverie.precision import choose_precision
from reverie.progress import no_progress
from reverie.settings import build_settings, settings_to_dict
from reverie.training import LoopConfig, ToyObjective, train
class Killed(ToyObjective):
    def batch(self, step):
        if step == 2 * 19:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)
train(Killed(), build_settings(LoopConfig, {config!r}), Path({str(tmp_path)!r}))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(reverie.__path__[0]).parent)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["checkpoint-000008", "checkpoint-000016"]
    (tmp_path / ".checkpoint-000024.0123abcd.tmp").mkdir()  # as if the kill had come in the middle of a save
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 17, "ki')
    assert run(tmp_path).stopped == "done"
    assert_same_checkpoint(whole / "checkpoint-000024", tmp_path / "checkpoint-000024")
    assert [(line["step"], line["kind"]) for line in metrics(tmp_path)] == [
        (line["step"], line["kind"]) for line in metrics(whole)
    ]
    assert not list(tmp_path.glob(".*.tmp"))


def test_evaluating_logging_and_saving_more_often_changes_no_weight(whole: Path, tmp_path: Path) -> None:
    class Noisy(ToyObjective):
        def evaluate(self, step: int) -> dict[str, float]:
            return super().evaluate(step) | {"noise": torch.rand(()).item()}

    run(tmp_path, replace(CONFIG, eval_every=1, log_every=1, checkpoint_every=3), Noisy())
    assert_same_checkpoint(whole / "checkpoint-000024", tmp_path / "checkpoint-000024")


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "absent"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
    whole: Path, tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    path = run_dir / "checkpoint-000024" / file
    data = bytearray(path.read_bytes())
    if damage == "absent":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with caplog.at_level(logging.INFO, "reverie"):
        assert run(run_dir).step == 24
    assert "checkpoint-000024 is damaged" in caplog.text
    assert "resuming at step 16" in caplog.text
    assert_same_checkpoint(whole / "checkpoint-000024", run_dir / "checkpoint-000024")


def test_when_all_checkpoints_are_damaged_it_says_so(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    for folder in checkpoint_folders(run_dir):
        (folder / "manifest.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"all 2 checkpoints in .* are damaged"):
        run(run_dir)


def test_a_later_damaged_checkpoint_does_not_push_out_good_ones(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    (run_dir / "checkpoint-000024" / "manifest.json").unlink()
    run(run_dir, replace(CONFIG, keep_checkpoints=1), HookedToy(interrupt_at(2)))
    assert [path.name for path in checkpoint_folders(run_dir)] == ["checkpoint-000018"]


def test_a_run_that_is_done_says_so_and_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    toy = ToyObjective(seed=5)
    done = run(run_dir, objective=toy)
    assert done.message.startswith("done already: 24 steps")
    assert (done.stopped, done.step, done.exit_code) == ("done", 24, 0)
    assert done.metrics["exact"] == next(line for line in metrics(whole)[::-1] if "exact" in line)["exact"]
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    weights = load_file(whole / "checkpoint-000024" / "weights.safetensors")
    assert all(torch.equal(tensor, weights[key]) for key, tensor in named_tensors(toy.module).items())
    (run_dir / "result.json").unlink()  # as an older run was left, or one that was killed while it exported
    again = run(run_dir)
    assert (again.message, again.metrics["exact"]) == (
        f"done: 24 steps, exported to {run_dir}/export",
        done.metrics["exact"],
    )


def test_checkpoints_of_the_first_format_are_checked_and_gone_on_with(whole: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    (run_dir / "result.json").unlink()
    for folder in checkpoint_folders(run_dir):
        (folder / "manifest.json").unlink()
        state = json.loads((folder / "state.json").read_text())
        state["config"] = settings_to_dict(replace(CONFIG, precision=choose_precision().name))
        (folder / "state.json").write_text(json.dumps(state))
        checksums = {file.name: sha256_of(file) for file in folder.iterdir()}
        (folder / "manifest.json").write_text(json.dumps({"format": 1, "step": 0, "sha256": checksums}))
    (run_dir / "checkpoint-000024" / "optimizer.safetensors").write_bytes(b"")
    assert run(run_dir).step == 24
    assert_same_checkpoint(whole / "checkpoint-000024", run_dir / "checkpoint-000024")


# --- precision


def emulate_bf16(monkeypatch: pytest.MonkeyPatch, units: str = "") -> None:
    monkeypatch.setattr("reverie.precision._bf16_units", lambda device: units)


@pytest.mark.parametrize(("units", "chosen"), [("", "fp32"), ("AMX", "bf16")])
def test_auto_computes_in_what_the_machine_is_fast_in_and_says_so(
    units: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    emulate_bf16(monkeypatch, units)
    seen: list[bool] = []
    toy = HookedToy(lambda calls: seen.append(torch.is_autocast_enabled("cpu")))  # type: ignore[func-returns-value]
    with caplog.at_level(logging.INFO, "reverie"):
        run(tmp_path, replace(CONFIG, steps=2), toy)
    assert set(seen) == {chosen == "bf16"}
    assert f"training on cpu in {chosen} (auto was asked for): " in caplog.text
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert (first["kind"], first["asked"], first["precision"]) == ("start", "auto", chosen)
    assert json.loads((tmp_path / "config.json").read_text())["chosen_precision"] == chosen


def test_a_run_goes_on_in_the_precision_in_which_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    emulate_bf16(monkeypatch, "AMX")
    run(tmp_path / "whole")
    run(tmp_path / "parts", objective=HookedToy(interrupt_at(2 * 10)))
    emulate_bf16(monkeypatch)
    run(tmp_path / "parts")
    assert "going on in bf16, as the run was started, although cpu has no units for bf16" in caplog.text
    assert_same_checkpoint(*(tmp_path / name / "checkpoint-000024" for name in ("whole", "parts")))
    with pytest.raises(TrainingError, match="precision was bf16 and is fp32 now"):
        run(tmp_path / "parts", replace(CONFIG, precision="fp32"))


# --- the folder


class Comparing(ToyObjective):
    """The toy, whose product says what training changed."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, float] = {}
        self.progress = no_progress
        self.evaluated: list[int] = []

    def evaluate(self, step: int) -> dict[str, float]:
        self.evaluated.append(step)
        self.progress("evaluating", 1, 1)
        return super().evaluate(step)


def test_figures_before_the_first_step_are_measured_once_and_shown(tmp_path: Path) -> None:
    told: list[str] = []
    first, config = Comparing(), replace(CONFIG, max_minutes=1e-9)
    train(first, config, tmp_path, lambda what, done, of: told.append(what))
    assert first.evaluated == [0]
    assert told == ["evaluating", "training"]
    assert metrics(tmp_path)[0] == {"step": 0, "kind": "evaluate", **first.before}
    again = Comparing()
    train(again, CONFIG, tmp_path, progress=False)
    assert 0 not in again.evaluated
    assert again.before == first.before == json.loads((tmp_path / "before.json").read_text())
    exported = Comparing()
    export_checkpoint(exported, tmp_path, tmp_path / "product")
    assert exported.before == first.before


def test_a_run_folder_is_of_one_run_and_names_what_differs(tmp_path: Path) -> None:
    place, settings = RunDir(tmp_path), {"data": {"size": 3, "rows": {"a": "x"}}, "name": "one"}
    assert place.note(settings) == set()
    assert place.note(settings | {"name": "two"}, free={"name"}) == {"name"}
    for changed, words in (
        ({"size": 4, "rows": {"a": "x"}}, r"data.size was 3 and is 4 now"),
        ({"size": 3, "rows": {"a": "x", "b": "y"}}, r"data.rows.b was nothing and is y now"),
    ):
        with pytest.raises(TrainingError, match=words):
            place.note(settings | {"data": changed}, free={"name"})
        assert "data" in place.note(settings | {"data": changed}, free={"data", "name"})
        place.note(settings, free={"data", "name"})
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(TrainingError, match=r"recipe of the run .* is damaged"):
        place.note(settings)


def test_long_training_is_never_silent_in_a_log_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(ToyObjective):
        def batch(self, step: int) -> Tensor:
            time.sleep(0.05)
            return super().batch(step)

    for name in ("_FIRST_S", "_EVERY_S"):
        monkeypatch.setattr(f"reverie.progress.{name}", 0.02)
    train(Slow(), LoopConfig(steps=6, log_every=1, device="cpu", tensorboard=False), tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("training  loss") and " of 6, " in line for line in lines), lines


def test_a_run_killed_before_its_first_checkpoint_starts_over(whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole / "config.json", tmp_path / "config.json")
    run(tmp_path)
    assert_same_checkpoint(whole / "checkpoint-000024", tmp_path / "checkpoint-000024")


@pytest.mark.parametrize(
    ("config", "objective", "words"),
    [
        (replace(CONFIG, lr=0.5), ToyObjective(), r"lr was 0.001 and is 0.5 now"),
        (replace(CONFIG, betas=(0.5, 0.5)), ToyObjective(), r"betas was \[0.9, 0.95\]"),
        (CONFIG, ToyObjective(width=16), r"'0.weight' is \(16, 32\) in the checkpoint and \(16, 16\) in the model"),
    ],
)
def test_resuming_with_another_model_or_setting_is_one_line(
    whole: Path, config: LoopConfig, objective: ToyObjective, words: str
) -> None:
    with pytest.raises(TrainingError, match=words) as caught:
        run(whole, config, objective)
    assert "\n" not in str(caught.value)


def test_resuming_another_architecture_names_the_odd_tensor(whole: Path) -> None:
    toy = ToyObjective()
    toy.module.append(nn.Linear(16, 16))  # type: ignore[operator]
    with pytest.raises(TrainingError, match=r"the checkpoint lacks tensor '6.bias'"):
        run(whole, CONFIG, toy)


def test_more_steps_go_on_from_a_finished_run(whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run_dir = Path(shutil.copytree(whole, tmp_path / "run"))
    assert run(run_dir, replace(CONFIG, steps=30)).step == 30
    assert "steps was 24 and is 30 now" in caplog.text


def test_a_checkpoint_can_be_loaded_and_exported_later(whole: Path, tmp_path: Path) -> None:
    average = load_file(whole / "checkpoint-000024" / "average.safetensors")
    toy = ToyObjective(seed=5)
    assert load_weights(toy, whole) == 24
    assert all(torch.equal(tensor, average[key]) for key, tensor in named_tensors(toy.module).items())
    assert export_checkpoint(ToyObjective(), whole, tmp_path / "product") == 24
    assert (tmp_path / "product" / "model.safetensors").read_bytes() == (
        whole / "export" / "model.safetensors"
    ).read_bytes()
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_weights(toy, tmp_path)


def test_tied_weights_are_saved_once_and_buffers_too(tmp_path: Path) -> None:
    class Tied(ToyObjective):
        def __init__(self, seed: int = 0):
            super().__init__(seed, width=16)
            self.module[5] = nn.Linear(16, 16, bias=False)  # type: ignore[operator]
            self.module[5].weight = self.module[0].weight  # type: ignore[index]
            self.module.register_buffer("scale", torch.full((2,), float(seed)))

    run(tmp_path, objective=Tied(seed=3))
    saved = load_file(tmp_path / "checkpoint-000024" / "weights.safetensors")
    assert "0.weight" in saved
    assert "5.weight" not in saved
    assert saved["scale"].tolist() == [3.0, 3.0]
    toy = Tied(seed=4)
    load_weights(toy, tmp_path)
    assert toy.module[5].weight is toy.module[0].weight  # type: ignore[index]
    assert toy.module.get_buffer("scale").tolist() == [3.0, 3.0]


# --- stopping, and steps that are not finite


def test_sigterm_saves_and_stops_and_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    result = run(tmp_path, objective=HookedToy(interrupt_at(3, signal.SIGTERM)))
    assert (result.stopped, result.step) == ("interrupted", 2)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert (tmp_path / "checkpoint-000002").exists()
    assert not (tmp_path / "export").exists()
    assert result.message.startswith("stopped by SIGTERM: saved step 2 of 24")
    assert result.exit_code == 143


class Patient(HookedToy):
    """A toy whose steps and evaluations may be given up; ``evaluation`` is called before each."""

    gives_up = True

    def __init__(self, hook: Callable[[int], None] = lambda calls: None, evaluation: Callable[[int], None] = print):
        super().__init__(hook)
        self.evaluation, self.evaluations = evaluation, 0

    def evaluate(self, step: int) -> dict[str, float]:
        self.evaluations += 1
        self.evaluation(self.evaluations)
        return super().evaluate(step)


@pytest.mark.parametrize(
    ("objective", "step"),
    [
        (Patient(interrupt_at(3, signal.SIGTERM)), 1),
        (Patient(evaluation=interrupt_at(2, signal.SIGTERM)), 10),
        (Patient(evaluation=interrupt_at(5, signal.SIGTERM)), 24),
    ],
)
def test_what_is_given_up_halfway_is_done_anew(whole: Path, tmp_path: Path, objective: Patient, step: int) -> None:
    stopped = run(tmp_path, objective=objective)
    assert (stopped.step, stopped.stopped, stopped.exit_code) == (step, "interrupted", 143)
    assert f"saved step {step} of 24" in stopped.message
    assert run(tmp_path, objective=Patient()).stopped == "done"
    assert_same_checkpoint(tmp_path / "checkpoint-000024", whole / "checkpoint-000024")
    evaluated = [line["step"] for line in metrics(tmp_path) if line["kind"] == "evaluate"]
    assert evaluated == [line["step"] for line in metrics(whole) if line["kind"] == "evaluate"]


def test_an_evaluation_before_the_first_step_is_given_up_too(tmp_path: Path) -> None:
    class Long(Patient):
        before: ClassVar[dict[str, float]] = {}
        progress = no_progress

    stopped = run(tmp_path, objective=Long(evaluation=interrupt_at(1, signal.SIGTERM)))
    assert (stopped.step, stopped.exit_code) == (0, 143)
    assert not (tmp_path / "before.json").exists()
    assert run(tmp_path, objective=Long()).stopped == "done"
    assert (tmp_path / "before.json").exists()


def test_a_second_ctrl_c_acts_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, objective=HookedToy(lambda calls: signal.raise_signal(signal.SIGINT)))


def test_the_time_limit_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    result = run(tmp_path, replace(CONFIG, max_minutes=1e-9))
    assert (result.stopped, result.step) == ("time", 1)
    assert "minutes are over: saved step 1 of 24" in result.message
    assert run(tmp_path).stopped == "done"


def test_a_bad_step_is_skipped_counted_and_leaves_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Tensor] = []
    toy = HookedToy(lambda calls: None)

    def spoil(calls: int) -> float | None:
        seen.append(toy.module[0].weight.detach().clone())  # type: ignore[index]
        return {4: float("nan"), 8: float("inf")}.get(calls)  # the first micro-batches of steps 2 and 4

    toy.hook = spoil
    result = run(tmp_path, objective=toy)
    assert result.stopped == "done"
    assert result.metrics["bad_steps"] == 2
    assert torch.equal(seen[4], seen[6])
    assert torch.equal(seen[8], seen[10])
    assert not torch.equal(seen[6], seen[8])
    assert caplog.text.count("skipped, not finite") == 2
    assert all(tensor.isfinite().all() for tensor in named_tensors(toy.module).values())
    assert all(line["loss"] is not None for line in metrics(tmp_path) if line["kind"] == "train")


def test_too_many_bad_steps_in_a_row_end_the_run_and_name_the_last_checkpoint(tmp_path: Path) -> None:
    toy = HookedToy(lambda calls: float("nan") if calls >= 2 * 9 else None)
    with pytest.raises(TrainingError, match=r"3 steps in a row up to step 12 .* checkpoint: .*checkpoint-000008"):
        run(tmp_path, replace(CONFIG, max_bad_steps=3), toy)


def test_a_module_without_anything_to_train_is_refused(tmp_path: Path) -> None:
    toy = ToyObjective()
    toy.module.requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameter to train"):
        run(tmp_path, objective=toy)


# --- parts


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"lr": 0.0}, {"lr": float("inf")}, {"muon_lr": -1.0}, {"betas": (0.9, 1.0)}, {"warmup_steps": -1},
        {"schedule": "linear"}, {"final_lr_fraction": 2.0}, {"accumulate": 0}, {"precision": "fp16"}, {"log_every": 0},
        {"ema_decay": 1.0}, {"device": "tpu"}, {"max_minutes": float("nan")}, {"seed": -1},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LoopConfig(**wrong)


def test_an_absent_cuda_device_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device"):
        run(tmp_path, replace(CONFIG, device="cuda"))


def test_schedules_warm_up_stay_and_fall() -> None:
    config = LoopConfig(steps=100, warmup_steps=10, final_lr_fraction=0.1, decay_fraction=0.2)
    cosine, wsd, constant = (
        [lr_fraction(step, replace(config, schedule=schedule)) for step in range(100)]
        for schedule in ("cosine", "wsd", "constant")
    )
    for curve in (cosine, wsd, constant):
        assert curve[0] == pytest.approx(0.1)
        assert curve[9] == 1.0
        assert max(curve) == 1.0
    assert cosine[-1] == pytest.approx(0.1)
    assert wsd[-1] == pytest.approx(0.1)
    assert constant[-1] == 1.0
    assert cosine[54] == pytest.approx(0.55, abs=0.01)
    assert sorted(cosine[9:], reverse=True) == cosine[9:]
    assert set(wsd[9:80]) == {1.0}
    assert wsd[89] == pytest.approx(0.55)
    assert lr_fraction(0, LoopConfig(warmup_steps=0, schedule="constant")) == 1.0
    assert lr_fraction(0, LoopConfig(steps=1, warmup_steps=0)) == pytest.approx(0.1)


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens, self.hidden = nn.Embedding(4, 4), nn.Linear(4, 4)
            self.conv, self.lm_head, self.frozen = nn.Conv2d(1, 2, 2), nn.Linear(4, 4), nn.Linear(4, 4)
            self.frozen.requires_grad_(False)

    optimizers = build_optimizers(Model(), LoopConfig(muon_lr=0.01))
    names = {
        kind: [(name, group["weight_decay"]) for group in optimizer.param_groups for name in group["param_names"]]
        for kind, optimizer in optimizers.items()
    }
    assert names["muon"] == [("hidden.weight", 0.1)]
    assert names["adamw"] == [
        ("conv.weight", 0.1), ("lm_head.weight", 0.1), ("embed_tokens.weight", 0.0), ("hidden.bias", 0.0),
        ("conv.bias", 0.0), ("lm_head.bias", 0.0),
    ]  # fmt: skip
    assert list(build_optimizers(Model(), LoopConfig())) == ["adamw"]


def test_the_moving_average_is_applied_and_taken_back() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average = MovingAverage(module, decay=0.5)
    module.weight.data.fill_(1.0)
    average.update(step=1000)
    with average.applied():
        assert module.weight.item() == 0.5
    assert module.weight.item() == 1.0


@pytest.mark.parametrize(
    ("method", "replacement", "words"),
    [
        ("batch", lambda self, step: torch.randint(16, (4,)), "changes from call to call"),
        ("batch", lambda self, step: torch.full((4,), 3 + 0 * int(torch.rand(())), dtype=torch.long), "global random"),
        ("compute_loss", lambda self, batch: {"total": self.module(batch).mean()}, "no 'loss'"),
        ("compute_loss", lambda self, batch: {"loss": self.module(batch)}, "no scalar"),
        ("compute_loss", lambda self, batch: {"loss": self.module(batch).mean() * float("nan")}, "'loss' is nan"),
        ("compute_loss", lambda self, batch: {"loss": self.module(batch).mean().detach()}, "no gradient"),
        ("compute_loss", lambda self, batch: {"loss": self.module(batch).mean() * 0}, "moves no parameter"),
        ("evaluate", lambda self, step: {"exact": "all"}, "evaluate 'exact' is 'all'"),
        ("evaluate", lambda self, step: {"n": self.module[0].weight.add_(1).numel()}, "changed '0.weight'"),
        ("export", lambda self, folder: None, "wrote no file"),
        ("export", lambda self, folder: (folder / "model.pt").write_text(""), "wrote model.pt"),
    ],
)
def test_the_checker_names_the_broken_promise(method: str, replacement: Callable[..., Any], words: str) -> None:
    broken = type("Broken", (ToyObjective,), {method: replacement})()
    with pytest.raises(TrainingError, match=words):
        check_objective(broken)


def test_the_package_is_light_until_something_needs_torch() -> None:
    script = (
        "import sys, reverie.training, reverie.settings, reverie.files, reverie.logs; print('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(reverie.__path__[0]).parent)}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "False", found.stderr
