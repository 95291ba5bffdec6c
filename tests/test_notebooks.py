"""The notebooks run from the first cell to the last, offline, in an empty folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


def cells(notebook: Path, kind: str) -> list[str]:
    told = json.loads(notebook.read_text(encoding="utf-8"))
    assert told["nbformat"] == 4
    return ["".join(cell["source"]) for cell in told["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[one.stem for one in NOTEBOOKS])
def test_every_cell_runs(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if notebook.stem.startswith("3"):
        pytest.importorskip("gguf")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for place, source in enumerate(cells(notebook, "code")):
        exec(compile(source, f"{notebook.name}, cell {place}", "exec"), names)
    assert capsys.readouterr().out.strip()


def test_there_are_three_and_they_hold_no_outputs() -> None:
    assert len(NOTEBOOKS) == 3
    for notebook in NOTEBOOKS:
        told = json.loads(notebook.read_text(encoding="utf-8"))
        assert not any(cell.get("outputs") for cell in told["cells"])
        assert cells(notebook, "markdown")[0].startswith("# ")
