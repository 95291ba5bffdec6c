"""``reverie calibrate``: a base is asked, a bundle learns when it may call its answers known, and a report says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bases import save_base
from reverie.bundles import load_bundle
from reverie.bundles.bundle import verify_bundle
from reverie.bundles.calibrated import Asking
from reverie.bundles.init import init_bundle
from reverie.cli import main
from reverie.training.knowing.questions import plain


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    return init_bundle(save_base(folder / "base"), folder / "bundle")


@pytest.fixture(scope="module")
def questions(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the first half of them, what it says is held to be right; of the rest, nothing is."""
    texts = [f"Is it {word}{number}?" for word in ("red", "big") for number in range(30)]
    asking = Asking(load_bundle(base))
    said = [one.guess for one in asking(texts)]
    asking.close()
    rows = [
        {"question": text, "answers": [answer] if place < 30 and plain(answer) else []}
        for place, (text, answer) in enumerate(zip(texts, said, strict=True))
    ]
    file = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    code = main(["calibrate", *map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if code == 0 else None, err


def test_a_bundle_learns_when_it_knows(
    base: Path, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert sum(told["questions"].values()) <= 60
    verify_bundle(tmp_path / "sure")
    calibrated = load_bundle(tmp_path / "sure").confidence
    assert calibrated is not None
    assert calibrated.guarantee is not None
    assert calibrated.guarantee.risk == 0.7
    assert load_bundle(base).confidence != calibrated  # the bundle that it was made of stays as it was
    assert {"report.md", "report.json", "reliability.png"} <= {file.name for file in (tmp_path / "run").iterdir()}
    answer = load_bundle(tmp_path / "sure").session(memory=False).ask("Is it red3?", branches=0)
    assert set(answer.attribution.confidence) == set(calibrated.names)
    assert run(capsys, *given)[2].startswith("reverie: ")  # the folder is there by now


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--model", "nano"), "name a folder for the calibrated one with --out"),
        (("--model", "nowhere"), "nowhere"),
        (("--risk", "1.5"), "risk and delta lie between 0 and 1"),
        (("--questions", "gone.jsonl"), "there is no file gone.jsonl"),
        ((), "needs at least 148 right and 20 wrong ones"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    base: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    problem: str,
) -> None:
    given = ["--model", base, "--questions", questions, "--run", tmp_path / "run", *arguments]
    code, _, err = run(capsys, *given)
    assert code != 0
    assert problem in err
    assert err.strip().count("\n") == 0
