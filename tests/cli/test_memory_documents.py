"""`reverie memory import` of documents and `reverie memory documents`: for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import main
from toy_documents import pdf_of

NOTES = "# Ferry notes\n\nA ticket for the Kerrow ferry costs 4 euros.\n"
QUESTION = "How much is a ticket for the Kerrow ferry?"


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REVERIE_MEMORY", str(tmp_path / "kg.db"))
    path = tmp_path / "notes.md"
    path.write_text(NOTES)
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["memory", *arguments, "--json"]) == 0
    loaded = json.loads(capsys.readouterr().out)
    assert isinstance(loaded, dict)
    return loaded


def test_a_changed_document_is_told_as_it_is_now(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = answer(capsys, "import", str(notes))
    assert (done["new"], done["new_passages"], done["failed"]) == (1, 1, [])
    assert main(["memory", "import", str(notes)]) == 0
    assert "notes.md is as it was imported: nothing to do" in capsys.readouterr().out
    notes.write_text(NOTES.replace("4 euros", "6 euros"))
    assert main(["memory", "import", str(notes)]) == 0
    out, err = capsys.readouterr()
    assert "1 changed; 1 new passages, 1 removed" in out
    assert "reverie memory index" in err
    assert main(["memory", "recall", QUESTION, "--embedder", "none"]) == 0
    out = capsys.readouterr().out
    assert "costs 6 euros" in out
    assert f"[{notes}]" in out
    assert "4 euros" not in out
    (node,) = answer(capsys, "recall", QUESTION, "--embedder", "none")["nodes"]
    assert (node["source"], node["title"], node["position"]) == (str(notes), "Ferry notes", 0)


def test_documents_are_listed_shown_and_deleted(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "add", "a", "is", "b"]) == 0
    assert main(["memory", "documents", "list"]) == 0
    assert "No file was imported yet" in capsys.readouterr().out
    facts = notes.with_name("prices.csv")
    facts.write_text("subject,relation,object\nwidget,Price,10 euros\n")
    for file in (notes, facts):
        answer(capsys, "import", str(file))
    assert main(["memory", "documents", "list"]) == 0
    out = capsys.readouterr().out
    assert "1 passages" in out
    assert "1 facts" in out
    assert [one["kind"] for one in answer(capsys, "documents", "list")["documents"]] == ["markdown", "csv"]
    assert main(["memory", "documents", "show", "Ferry notes"]) == 0
    assert "A ticket for the Kerrow ferry" in capsys.readouterr().out
    assert answer(capsys, "documents", "delete", "prices.csv", "--yes")["deleted_facts"] == 1
    assert answer(capsys, "documents", "delete", "notes.md", "--yes")["deleted_passages"] == 1
    assert main(["memory", "recall", QUESTION, "--embedder", "none"]) == 0
    assert "nothing to say" in capsys.readouterr().out


def test_facts_that_changed_are_told_as_they_are_now(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = notes.with_name("prices.csv")
    for price in ("10 euros", "12 euros"):
        file.write_text(f"subject,relation,object\nwidget,Price,{price}\n")
        assert main(["memory", "import", str(file)]) == 0
    assert "1 that it says no longer have ended" in capsys.readouterr().out
    found = answer(capsys, "recall", "What is the price of a widget?", "--embedder", "none")
    assert [fact["object"] for fact in found["facts"]] == ["12 euros"]


def test_a_folder_of_all_kinds(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = notes.parent / "all"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf_of("The Ulmar bridge is red."))
    (folder / "b.html").write_text("<title>Owls</title><p>The Tifos owl is grey.")
    (folder / "c.txt").write_bytes("Der Müller heißt José.".encode("latin-1"))
    (folder / "d.pdf").write_bytes(b"%PDF-1.4")
    done = answer(capsys, "import", str(folder), "--embedder", "words")
    assert (done["new"], len(done["failed"])) == (3, 1)
    assert any("read as cp1252" in note for note in done["notes"])
    (folder / "b.html").unlink()
    assert main(["memory", "import", str(folder), "--prune"]) == 0
    out, err = capsys.readouterr()
    assert "1 files could not be read" in out
    assert "1 whose files are gone were forgotten" in out
    assert "d.pdf is damaged or no PDF" in err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["import", "notes.md", "--prune"], 2, "--prune is for folders of documents."),
        (["import", "notes.md", "--embedder", "wrds"], 2, "Did you mean 'words'?"),
        (["import", "nothing.md"], 1, "cannot read nothing.md: No such file"),
        (["import", "locked.pdf"], 1, "locked.pdf is damaged or no PDF"),
        (["documents", "show", "nothing.md"], 1, "the memory has no document 'nothing.md'"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str],
    code: int,
    line: str,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(notes.parent)
    notes.with_name("locked.pdf").write_bytes(b"%PDF-1.4")
    assert main(["memory", "import", "notes.md"]) == 0
    capsys.readouterr()
    assert main(["memory", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("reverie:") == 1
    assert "Traceback" not in err
