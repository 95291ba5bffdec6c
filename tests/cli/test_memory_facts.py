"""`reverie memory add --from`, `history`, `relation`, `undo` and `recall --as-of`: facts that change."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import main


@pytest.fixture(autouse=True)
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The memory of each test."""
    path = tmp_path / "kg.db"
    monkeypatch.setenv("REVERIE_MEMORY", str(path))
    return path


@pytest.fixture
def moved(capsys: pytest.CaptureFixture[str]) -> None:
    """Alice was in Paris and is in Berlin."""
    assert main(["memory", "add", "Alice", "AtLocation", "Paris", "--time", "2024-01-01"]) == 0
    assert main(["memory", "add", "Alice", "AtLocation", "Berlin", "--from", "2025"]) == 0
    capsys.readouterr()


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command says to people, the evidence and the fault."""
    assert main(["memory", *arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out + err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["memory", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("moved")
def test_recall_shows_times_and_what_holds_first(capsys: pytest.CaptureFixture[str]) -> None:
    now = said(capsys, "recall", "Where is Alice?", "--embedder", "none")
    assert "Alice → AtLocation → Berlin, from 2025-01-01 on  [user]" in now
    assert "Alice → AtLocation → Paris, from 2024-01-01 to 2024-12-31  [user]\n      former" in now
    assert now.index("Berlin") < now.index("Paris")
    facts = told(capsys, "recall", "Where is Alice?", "--as-of", "2024-06-01", "--embedder", "none")["facts"]
    assert [(fact["object"], fact["holds"]) for fact in facts] == [("Paris", True), ("Berlin", False)]
    assert told(capsys, "recall", "Where was Alice in 2024?", "--embedder", "none")["facts"][0]["object"] == "Paris"


@pytest.mark.usefixtures("moved")
def test_a_history_is_a_little_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert "from 2031-01-01 on  (new" in said(capsys, "add", "Alice", "AtLocation", "Tokyo", "--from", "2031")
    lines = said(capsys, "history", "alice", "atlocation").splitlines()
    assert lines[0] == "Alice — AtLocation: one value at a time (usual)"
    assert [line.split()[0] for line in lines[1:]] == ["○", "●", "○"]
    assert "not yet" in lines[3]
    payload = told(capsys, "history", "Alice", "AtLocation")
    assert [fact["holds"] for fact in payload["facts"]] == [False, True, False]
    assert "of AtLocation it is" in said(capsys, "history", "Alice", "Likes", code=2)


@pytest.mark.usefixtures("moved")
def test_relations_are_listed_and_declared(capsys: pytest.CaptureFixture[str]) -> None:
    assert "2  AtLocation: one value at a time (where dated, as usual)" in said(capsys, "relations")
    assert said(capsys, "relation", "atlocation", "--many") == "AtLocation: many (declared)\n"
    assert told(capsys, "relations")["relations"] == [
        {"relation": "AtLocation", "facts": 2, "one_at_a_time": False, "why": "declared"}
    ]
    assert [fact["holds"] for fact in told(capsys, "recall", "Where is Alice?", "--embedder", "none")["facts"]] == [
        *(True, True)
    ]
    assert said(capsys, "relation", "AtLocation", "--learned").startswith("AtLocation: one value at a time")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("moved")
def test_merge_asks_and_is_undone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, "show", "Alice")["nodes"][0]["out"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # out of a pipe
    assert "nothing was merged: nobody answered. Say --yes" in said(capsys, "merge", "Paris", "Berlin", code=2)
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert "nothing was merged: nobody answered. Say --yes" in said(capsys, "merge", "Paris", "Berlin", code=2)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert "Merge 'Berlin' with 1 facts into 'Paris'?" in said(capsys, "merge", "Paris", "Berlin", code=1)
    assert "there is nothing to merge" in said(capsys, "merge", "Paris", "Paris", code=2)
    assert "no merge can be undone" in said(capsys, "undo", code=2)
    assert "#2 Paris, also Berlin; 1 facts moved" in said(capsys, "merge", "Paris", "Berlin", "--yes")
    main(["memory", "add", "Berlin", "IsA", "city"])
    undone = said(capsys, "undo")
    assert "Berlin stands beside Paris again; 1 facts are back; 1 facts were written since and stay" in undone
    after = told(capsys, "show", "Alice")["nodes"][0]["out"]
    assert [{**fact, "since": 0} for fact in after] == [{**fact, "since": 0} for fact in before]
    assert told(capsys, "check")["sound"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["add", "a", "is", "b", "--from", "44 BC"], "a date lies between the years 1 and 9999, got '44 BC'"),
        (["add", "a", "is", "b", "--from", "-0044"], "a date lies between the years 1 and 9999"),
        (["add", "a", "is", "b", "--from", "2024-13"], "a date is like 2024, 2024-05 or 2024-05-01, got '2024-13'"),
        (["add", "a", "is", "b", "--to", "soon"], "a date is like 2024"),
        (["add", "a", "is", "b", "--from", "2024", "--to", "2023"], "it would end before it begins, from 2024-01-01"),
        (["recall", "x", "--as-of", "whenever"], "a date is like 2024"),
        (["relation", "IsA"], "say one of --one, --many and --learned"),
        (["add", "-5 degrees", "IsA", "cold"], "Words that begin with a dash come after two: -- '-5 degrees'"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], line: str, address: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = said(capsys, *arguments, code=2)
    assert line in err
    assert err.count("\n") == 1
    assert not address.exists()


def test_a_memory_that_is_not_there_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reverie.memory.embedders", None)  # whoever imports it fails
    assert "there is no memory at /nowhere.db" in said(capsys, "recall", "x", "--memory", "/nowhere.db", code=1)


def test_what_steers_a_terminal_reaches_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "add", "evil", "IsA", "\x1b[31mred \u202etxet", "--from", "2024"]) == 0
    for command in (["recall", "evil", "--embedder", "none"], ["history", "evil", "IsA"], ["show", "evil"]):
        for form in ([], ["--json"]):
            shown = said(capsys, *command, *form)
            assert "red" in shown
            assert not set(shown) & {"\x1b", "\u202e"}


def test_periods_go_out_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.csv"
    rows = ("subject,relation,object,from,to", "Alice,AtLocation,Paris,2024,2024-06", "Alice,AtLocation,Rome,2025,")
    file.write_text("\n".join(rows))
    assert main(["memory", "import", str(file)]) == 0
    for ending in ("csv", "jsonl", "graphml"):
        assert main(["memory", "export", str(tmp_path / f"out.{ending}")]) == 0
    capsys.readouterr()
    first = told(capsys, "history", "Alice", "AtLocation")["facts"]
    for ending in ("csv", "jsonl"):
        other = ["--memory", str(tmp_path / f"{ending}.db")]
        assert main(["memory", "import", str(tmp_path / f"out.{ending}"), *other]) == 0
        capsys.readouterr()
        again = told(capsys, "history", "Alice", "AtLocation", *other)["facts"]
        assert [(f["object"], f["valid_from"], f["valid_to"]) for f in again] == [
            (f["object"], f["valid_from"], f["valid_to"]) for f in first
        ]
    assert (tmp_path / "out.graphml").read_text().count("edge-valid_from") == 3
    bad = tmp_path / "bad.csv"
    bad.write_text("subject,relation,object,from,to\na,is,b,2025,2024\na,is,c,soon,\na,is,d,2024,\n")
    payload = told(capsys, "import", str(bad))
    assert [row["problem"][:30] for row in payload["bad"]] == [
        "it would end before it begins,",
        "a date is like 2024, 2024-05 o",
    ]
