"""``reverie calibrate``: a base is asked, a bundle learns when it may call its answers known, and a report says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bases import save_base
from reverie.bundles import Bundle, load_bundle
from reverie.bundles.bundle import verify_bundle
from reverie.bundles.init import init_bundle
from reverie.cli import main
from reverie.dreaming.question import Speaking
from reverie.nouns import Answer, Signals
from reverie.training.knowing.told import Told


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(folder / "base"), folder / "bundle")


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    rows = [{"question": f"Is it red{n}?", "answers": ["yes"] if n % 2 else []} for n in range(80)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


class Knowing:
    """In the place of a base that knows something: what it says is right to odd questions, and likelier there."""

    def __init__(self, bundle: Bundle, seed: int):
        self._rng = np.random.default_rng(seed)

    def __call__(self, questions: Sequence[str]) -> list[Answer]:
        return [self._answer("1357".find(text[-2]) >= 0) for text in questions]

    def _answer(self, right: bool) -> Answer:
        shown = Signals((-1.0,), self._rng.normal(2.0 * right, 1.0, 32), 0.5, float(self._rng.normal(right, 1.0)))
        return Answer("yes", False, 0.0, "local", guess="yes", signals=shown)

    def beside(self, told: Sequence[Told]) -> list[Answer]:
        """It neither reads nor dreams."""
        return [Answer("", False, 0.0, "local") for _ in told]

    def close(self) -> None:
        """There is nothing to let go of."""


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    code = main(["calibrate", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else None, err


def test_a_bundle_learns_when_it_knows(
    base: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reverie.bundles.calibrated.Asking", Knowing)
    given = (
        "--model",
        base,
        "--questions",
        questions,
        "--risk",
        "0.7",
        "--run",
        tmp_path / "run",
        "--out",
        tmp_path / "sure",
    )
    code, told, _ = run(capsys, *given)
    assert code == 0
    assert sum(told["questions"].values()) == 80
    verify_bundle(tmp_path / "sure")
    calibrated = load_bundle(tmp_path / "sure").confidence
    assert calibrated is not None
    assert calibrated.guarantee is not None
    assert calibrated.guarantee.risk == 0.7
    assert load_bundle(base).confidence != calibrated  # the bundle that it was made of stays as it was
    assert {"report.md", "report.json", "reliability.png"} <= {file.name for file in (tmp_path / "run").iterdir()}
    asked = load_bundle(tmp_path / "sure").session(memory=False)
    answer = asked.ask("Is it red3?", branches=0, speaking=Speaking(max_ids=8))
    assert set(answer.attribution.confidence) == set(calibrated.names)
    assert run(capsys, *given)[2].startswith("reverie: ")  # the folder is there by now


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--model", "nano"), "name a folder for the calibrated one with --out"),
        (("--model", "nowhere"), "nowhere"),
        (("--risk", "1.5"), "risk and delta lie between 0 and 1"),
        (("--questions", "gone.jsonl"), "there is no file gone.jsonl"),
        ((), "needs at least 148 right and 25 wrong ones"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    base: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    problem: str,
) -> None:
    monkeypatch.setattr("reverie.bundles.calibrated.Asking", Knowing)
    given = ["--model", base, "--questions", questions, "--run", tmp_path / "run", *arguments]
    code, _, err = run(capsys, *given)
    assert code != 0
    assert problem in err
    assert err.strip().count("\n") == 0
