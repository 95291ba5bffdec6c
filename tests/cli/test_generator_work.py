"""`reverie generator train | evaluate | demo | export`: what was stopped goes on, and everything says where it is."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reverie.data.pictures.prepare import PrepareConfig, prepare
from reverie.files import atomic_write_text
from reverie.generator import toy_generator

SHORT = ("loop.steps=2", "loop.warmup_steps=0", "loop.tensorboard=false", "checkpoint_epochs=0", "data.batch_size=4")
SHORT_PRIORS = ("priors=[mixture]", "fit.gaussians=[1]", "views=0")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve bars of chance places as a prepared collection of 16 px."""
    source, rng = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for number in range(12):
        picture = np.full((20, 20, 3), 230, np.uint8)
        left, top = rng.integers(0, 12, 2)
        picture[top:, left : left + 6] = rng.integers(0, 90)
        Image.fromarray(picture).save(source / f"{number}.png")
        atomic_write_text(source / f"{number}.txt", f"a bar at {left}, from {top} down")
    out = tmp_path_factory.mktemp("prepared") / "bars"
    prepare(source, out, PrepareConfig(size=16, min_side=8, val_share=0.25, duplicates=True, workers=1))
    return out


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_generator().save(tmp_path_factory.mktemp("toy") / "bundle")


@pytest.fixture
def refused(run: Any) -> Any:
    """refused(*arguments) → (exit code, the one line on stderr) of a command that fails."""

    def call(*arguments: object) -> tuple[int, str]:
        code, out, err = run(*arguments)
        assert out == ""
        assert err.count("reverie: ") == 1
        assert err.splitlines()[-1].startswith("reverie: ")
        assert "unexpected" not in err
        return code, err

    return call


def train(collection: Path, run_dir: Path, *more: str) -> list[object]:
    options = ["--data", collection, "--out", run_dir, "--preset", "toy-16", *SHORT, *SHORT_PRIORS]
    return ["train", *options, *more]


# train


def test_training_leaves_a_bundle_that_draws(run: Any, told: Any, collection: Path, tmp_path: Path) -> None:
    code, out, _ = run(*train(collection, tmp_path / "run"))
    assert code == 0
    for name in ("bundle", "sheet", "metrics"):
        (line,) = [line for line in out.splitlines() if line.startswith(name)]
        assert Path(line.split()[1]).exists(), name
    assert f"--model {tmp_path / 'run'}" in out
    said = told("sample", "--model", tmp_path / "run", "--out", tmp_path / "drawn")
    assert Path(said["samples"][0]["file"]).exists()
    assert told("show", "--model", tmp_path / "run")["card"]["pictures"] == 9


def test_a_run_that_was_stopped_by_ctrl_c_goes_on_by_the_same_command(
    run: Any, told: Any, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reverie.training.run import Run

    true = Run.take_step

    def stopped(self: Run, batches: Iterator[Any]) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return true(self, batches)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "take_step", stopped)
        code, out, err = run(*train(collection, tmp_path / "run"))
    assert code == 130
    assert "saved step 1 of 2" in out
    assert "The same command goes on." in out
    assert "--resume" not in out
    assert "stopped by Ctrl-C" in err
    code, out, err = run(*train(collection, tmp_path / "run"))
    assert (code, "going on with the run" in err) == (0, True)
    assert (tmp_path / "run" / "bundle" / "manifest.json").exists()


def test_a_second_small_collection_is_learned_by_small_changes(
    told: Any, run: Any, bundle: Path, collection: Path, tmp_path: Path
) -> None:
    options = ["--data", collection, "--out", tmp_path / "tuned", "--lora", bundle]
    short = [one for one in (*SHORT, *SHORT_PRIORS) if not one.startswith("checkpoint_epochs")]
    said = told("train", *options, *short)
    assert Path(said["adapter"]).is_dir()
    plain = told("sample", "--model", bundle, "--out", tmp_path / "plain")["samples"][0]["file"]
    for folder in (tmp_path / "tuned", said["adapter"]):
        tuned = told("sample", "--model", bundle, "--lora", folder, "--out", tmp_path / "drawn")["samples"][0]["file"]
        assert Path(tuned).read_bytes() != Path(plain).read_bytes()
    told("export", "--model", bundle, "--lora", folder, "--format", "bundle", "--out", tmp_path / "merged")
    merged = told("sample", "--model", tmp_path / "merged", "--out", tmp_path / "m")["samples"][0]["file"]
    foreign = ["sample", "--model", tmp_path / "merged", "--lora", tmp_path / "tuned"]
    code, _, err = run(*foreign)
    assert (code, "--trust-base" in err) == (1, True)
    assert run(*foreign, "--trust-base")[0] == 0
    assert np.abs(pixels(merged) - pixels(tuned)).mean() < 8  # a bundle is rounded to bf16


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_what_cannot_be_trained_is_one_line(refused: Any, collection: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "pictures").mkdir()
    for arguments, code, said in (
        (train(tmp_path / "nowhere", tmp_path / "run"), 1, "reverie data prepare"),
        (train(tmp_path / "pictures", tmp_path / "run"), 1, "reverie data prepare"),
        (train(collection, tmp_path / "file"), 2, "a file where a folder is needed"),
        (train(collection, tmp_path / "run", "preset=tiny-46"), 2, "Did you mean 'tiny-64'?"),
        (train(collection, tmp_path / "run", "loop.step=3"), 2, "Did you mean 'loop.steps'?"),
        (train(collection, tmp_path / "run", "loop.steps=many"), 2, "must be a whole number"),
        (train(collection, tmp_path / "run", "--lora", str(bundle)), 2, "--preset goes without --lora"),
        (["train", "--lora", tmp_path / "nowhere"], 2, "there is no bundle"),
        (["train", "--config", tmp_path / "nowhere.yaml"], 2, "cannot read the config"),
    ):
        assert (refused(*arguments)[0], said in refused(*arguments)[1]) == (code, True), refused(*arguments)
    assert not (tmp_path / "run" / "bundle").exists()


# evaluate

QUICK = ("--features", "pixels", "samples=4", "prompts=2", "shown=2")


def test_figures_are_shown_and_files_written(
    run: Any, told: Any, bundle: Path, collection: Path, tmp_path: Path
) -> None:
    said = told("evaluate", "--model", bundle, "--data", collection, "--out", tmp_path / "report", *QUICK)
    assert said["n"] == 3
    assert {"psnr", "kid", "joint_recall_at_10"} <= said["figures"].keys()
    assert set(said["by"]) == {"prior flow", "prior mixture", "prior normal", "floor"}
    assert (tmp_path / "report" / "evaluation.json").exists()
    assert sorted(said["files"]) == sorted(file.name for file in (tmp_path / "report").iterdir())
    code, out, _ = run("evaluate", "--model", bundle, "--data", collection, *QUICK)
    assert (code, "psnr" in out, "prior mixture" in out) == (0, True, True)


def test_what_cannot_be_measured_is_one_line(refused: Any, bundle: Path, collection: Path, tmp_path: Path) -> None:
    for more, code, said in (
        (["--data", tmp_path], 1, "reverie data prepare"),
        (["--data", collection, "--split", "vale"], 2, "Did you mean 'val'?"),
        (["--data", collection, "--split", "test"], 2, "no pictures in its split 'test'"),
        (["--data", collection, "--features", "owm"], 2, "Did you mean 'own'?"),
        (["--data", collection, "samples=0"], 2, "samples"),
        (["--data", collection, "--seed", "-1"], 2, "--seed"),
        (["--data", collection, "--out", bundle / "manifest.json"], 2, "a file where a folder is needed"),
    ):
        refusal = refused("evaluate", "--model", bundle, *more)
        assert (refusal[0], said in refusal[1]) == (code, True), refusal


# demo


def test_the_demo_answers_until_ctrl_c(told: Any, bundle: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heard: list[int] = []

    def visit() -> None:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                    heard.append(answer.status)
                    break
            except OSError:
                time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    said = told("demo", "--model", bundle, "--port", port, "--no-page")
    visitor.join()
    assert (heard, said["url"]) == ([200], f"http://127.0.0.1:{port}/")


def test_a_demo_that_cannot_be_is_one_line(refused: Any, bundle: Path) -> None:
    assert "no token is set" in refused("demo", "--model", bundle, "--host", "0.0.0.0")[1]
    assert "--port" in refused("demo", "--model", bundle, "--port", 70_000)[1]
    assert "there is no bundle" in refused("demo", "--model", "nowhere")[1]
    assert "Did you mean 'max_count'?" in refused("demo", "--model", bundle, "max_counts=3")[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "cannot listen" in refused("demo", "--model", bundle, "--port", port, "--no-page")[1]


# export


def test_a_bundle_of_half_the_size_draws(told: Any, bundle: Path, tmp_path: Path) -> None:
    said = told("export", "--model", bundle, "--format", "int8", "--out", tmp_path / "int8")
    assert said["figures"]["psnr"] > 20
    assert said["figures"]["bytes"] < said["figures"]["bytes_before"]
    assert told("sample", "--model", tmp_path / "int8")["samples"][0]["seed"] == 0


def test_a_folder_for_hosting_is_written_again_and_nothing_else_is(told: Any, bundle: Path, tmp_path: Path) -> None:
    options = ["--model", bundle, "--format", "space", "--out", tmp_path / "space", "--name", "Toy engravings"]
    for _ in range(2):
        assert told("export", *options)["format"] == "space"
    assert "Toy engravings" in (tmp_path / "space" / "README.md").read_text()


@pytest.mark.slow
def test_an_onnx_export_says_how_far_it_is_from_torch(run: Any, bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run("export", "--model", bundle, "--format", "onnx", "--out", tmp_path / "onnx")
    assert code == 0
    assert "picture_decoder" in out
    assert (tmp_path / "onnx" / "picture_decoder.onnx").exists()


def test_what_cannot_be_exported_is_one_line(refused: Any, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    for options, code, said in (
        (["--format", "onxn", "--out", tmp_path / "new"], 2, "Did you mean 'onnx'?"),
        (["--format", "int8", "--out", tmp_path / "full" / "mine.txt"], 2, "a file where a folder is needed"),
        (["--format", "int8", "--out", tmp_path / "full"], 2, "new or empty"),
        (["--format", "bundle", "--out", tmp_path / "full"], 2, "new or empty"),
        (["--format", "space", "--out", tmp_path / "full"], 2, "holds other files"),
        (["--format", "onnx", "--out", tmp_path / "new", "--license", "cc0-1.0"], 2, "--format space alone"),
        (["--format", "int8"], 2, "--out"),
    ):
        refusal = refused("export", "--model", bundle, *options)
        assert (refusal[0], said in refusal[1]) == (code, True), refusal
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep me"
