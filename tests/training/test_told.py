"""What a run tells: metrics by one name, curves, and whether the same again gives the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tests.toys import toy_bundle
from torch import Tensor, nn
from typer.testing import CliRunner

from reverie.cli.app import main
from reverie.cli.train import app
from reverie.errors import TrainingError, UsageError
from reverie.experts.lowrank import LoraConfig
from reverie.training import LoopConfig, ToyObjective, check_objective, train
from reverie.training import compiling as module
from reverie.training.compiling import no_compiler
from reverie.training.curves import draw_curves, read_curves
from reverie.training.expert import ExpertData
from reverie.training.recipes import ExpertRecipe
from reverie.training.replay import read_recipe, replay

CONFIG = LoopConfig(
    steps=4, warmup_steps=2, eval_every=2, checkpoint_every=2, log_every=1, device="cpu", num_threads=1,
    tensorboard=False, curves=False, precision="fp32",
)  # fmt: skip


class Telling(ToyObjective):
    metrics: ClassVar[dict[str, str]] = {"perplexity": "loss", "graph_accuracy": "exact"}

    def compute_loss(self, batch: Tensor) -> dict[str, Tensor]:
        parts = super().compute_loss(batch)
        return parts | {"distillation": parts["loss"].detach() / 2}  # its name says it already


def test_metrics_have_one_name_in_the_log_and_on_the_board(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    check_objective(Telling())
    train(Telling(), replace(CONFIG, tensorboard=True), tmp_path, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    taught = next(line for line in lines if line["kind"] == "train")
    assert taught["perplexity"] == pytest.approx(math.exp(taught["loss"]))
    assert "graph_accuracy" not in taught
    judged = next(line for line in lines if line["kind"] == "evaluate")
    assert judged["graph_accuracy"] == judged["exact"]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    tags = set(board.Tags()["scalars"])
    assert {"train/loss", "train/perplexity", "train/distillation", "eval/exact", "eval/graph_accuracy"} <= tags
    assert {tag.split("/")[0] for tag in tags} == {"train", "eval"}


def test_a_metric_that_no_log_knows_breaks_the_contract() -> None:
    class Strange(ToyObjective):
        metrics: ClassVar[dict[str, str]] = {"joy": "loss"}

    with pytest.raises(TrainingError, match="metrics that no log knows: joy"):
        check_objective(Strange())


def test_curves_are_drawn_when_a_call_ends(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    train(Telling(), replace(CONFIG, curves=True), tmp_path, progress=False)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    curves = read_curves(tmp_path)
    assert [step for step, _ in curves["loss"]["train"]] == [1, 2, 3, 4]
    assert [step for step, _ in curves["exact"]["eval"]] == [2, 4]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "kind": "train", "loss": NaN}\n{"st')
    assert draw_curves(tmp_path) is None  # nothing to draw
    with pytest.raises(TrainingError, match="no log of a run"):
        draw_curves(tmp_path / "nowhere")


# --- the same again


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ExpertRecipe:
    folder = tmp_path_factory.mktemp("replayed")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{a} plus 2?", "answer": str(a + 2)}) + "\n" for a in range(40)))
    data = ExpertData(
        name="sums", bundle=str(toy_bundle(folder)), rows=str(rows), batch_size=4, lora=LoraConfig(rank=2)
    )
    recipe = ExpertRecipe(str(folder / "run"), data, replace(CONFIG, ema_decay=0.5, patience=9))
    assert recipe.train(progress=False).stopped == "done"
    return recipe


def test_a_run_again_gives_the_same_weights(made: ExpertRecipe, tmp_path: Path) -> None:
    assert read_recipe(Path(made.run_dir)) == made
    result = CliRunner().invoke(app, ["replay", made.run_dir, "--into", str(tmp_path / "again"), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["equal"], said["difference"], said["changed"], said["figures"]) == (True, 0.0, [], {})
    trained, found = replay(Path(made.run_dir), tmp_path / "again", progress=False)
    assert trained.message.startswith("done already")
    assert found is not None
    assert found.message.startswith("equal: ")


def test_a_run_on_other_rows_is_not_the_same_and_says_what_changed(made: ExpertRecipe, tmp_path: Path) -> None:
    rows = Path(made.data.rows)
    before = rows.read_text()
    try:
        rows.write_text(before.replace('"answer": "4"', '"answer": "5"'))
        _, found = replay(Path(made.run_dir), tmp_path / "again", progress=False)
    finally:
        rows.write_text(before)
    assert found is not None
    assert not found.equal
    assert found.difference > 0
    assert found.changed == ("data.rows",)
    assert found.message.endswith("since then changed: data.rows")


def test_what_cannot_be_run_again_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(ToyObjective(), CONFIG, tmp_path / "toy", progress=False)
    with pytest.raises(UsageError, match="does not say how it was made"):
        replay(tmp_path / "toy", tmp_path / "again")
    (tmp_path / "toy" / "made.json").write_text('{"recipe": "os:system"}')
    with pytest.raises(UsageError, match="a recipe that is not known here: os:system"):
        replay(tmp_path / "toy", tmp_path / "again")
    assert main(["train", "replay", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# --- compiled


def test_without_a_compiler_training_goes_on_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from torch._inductor import config

    plain, compiled = ToyObjective(), ToyObjective()
    train(plain, CONFIG, tmp_path / "plain", progress=False)
    with config.patch({"cpp.cxx": ("no-such-compiler",)}):
        assert no_compiler(torch.device("cpu")) == "no C++ compiler is installed"
        train(compiled, replace(CONFIG, compile=True), tmp_path / "compiled", progress=False)
    assert caplog.text.count("loop.compile: no C++ compiler is installed; training goes on without") == 1
    both = zip(plain.module.parameters(), compiled.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


def test_a_compiler_that_fails_is_said_once_and_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Any) -> Any:
        def call(_batch: Any) -> Any:
            torch.rand(3)
            raise torch._dynamo.exc.BackendCompilerFailed(failing, RuntimeError("broken"), None)

        return call

    monkeypatch.setattr(module.torch, "compile", failing)
    plain, compiled = ToyObjective(), ToyObjective()
    train(plain, CONFIG, tmp_path / "plain", progress=False)
    train(compiled, replace(CONFIG, compile=True), tmp_path / "compiled", progress=False)
    assert caplog.text.count("training goes on without") == 1
    both = zip(plain.module.parameters(), compiled.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


@pytest.mark.slow
def test_compiled_gives_the_same_figures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if why := no_compiler(torch.device("cpu")):
        pytest.skip(why)
    losses = []
    for name, compiled in (("plain", False), ("compiled", True)):
        toy = ToyObjective()
        toy.module[3] = nn.Identity()  # type: ignore[operator]  # compiled dropout draws otherwise
        train(toy, replace(CONFIG, compile=compiled), tmp_path / name, progress=False)
        lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        losses.append([line["loss"] for line in lines if line["kind"] == "train"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert "training goes on without" not in caplog.text
