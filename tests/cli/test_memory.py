"""`reverie memory`: fill, ask, mend, draw and export, for people and as JSON; wrong input is one line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reverie.cli import main
from reverie.paths import default_memory

FACTS = """subject,relation,object,source
make breakfast,HasPrerequisite,buy eggs,me
make breakfast,HasSubevent,fry eggs,me
fry eggs,HasPrerequisite,heat pan,me
heat pan,UsedFor,cook,cookbook
"""


@pytest.fixture(autouse=True)
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The memory of each test."""
    path = tmp_path / "kg.db"
    monkeypatch.setenv("REVERIE_MEMORY", str(path))
    return path


@pytest.fixture
def filled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A file that the memory was filled from."""
    file = tmp_path / "facts.csv"
    file.write_text(FACTS)
    assert main(["memory", "import", str(file)]) == 0
    capsys.readouterr()
    return file


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["memory", *arguments, "--json"]) == code
    loaded = json.loads(capsys.readouterr().out)
    assert isinstance(loaded, dict)
    return loaded


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """(exit code, the one line on stderr) of a command that fails."""
    code = main(["memory", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("reverie:") == 1
    assert "Traceback" not in err
    return code, err


def test_an_import_says_what_it_did(tmp_path: Path, address: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.csv"
    file.write_text(FACTS + "egg,IsA\n")
    done = answer(capsys, "import", str(file))
    assert (done["format"], done["rows"], done["bad_rows"], done["new_facts"], done["new_nodes"]) == ("csv", 4, 1, 4, 5)
    assert done["bad"] == [{"line": 6, "problem": "2 columns where the header has 4"}]
    assert done["memory"] == str(address)
    assert main(["memory", "import", str(file), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert "4 rows" in out
    assert "0 new facts" in out
    assert "skipped line 6: 2 columns" in err


def test_strict_refuses_a_malformed_row_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "facts.csv"
    file.write_text(FACTS + "egg,IsA\n")
    code, line = refused(capsys, "import", str(file), "--strict", "--format", "csv")
    assert code == 1
    assert "facts.csv, line 6: 2 columns" in line
    assert answer(capsys, "stats")["edges"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["import", "missing.csv"], 1, "cannot read missing.csv: No such file"),
        (["import", "facts.csv", "--format", "cvs"], 2, "unknown format 'cvs'. Did you mean 'csv'?"),
        (["import", "facts.csv", "--language", "de"], 2, "--language is for conceptnet, not for csv."),
        (["show", "nobody"], 1, "the memory has no node 'nobody'"),
        (["show", "#99"], 1, "the memory has no node '#99'"),
        (["show", "cook", "--as-of", "soon"], 2, "a date is like 2024, 2024-05 or 2024-05-01, got 'soon'"),
        (["add", "a", "is", " "], 2, "a name must not be empty"),
        (["add", "a", "is", "b", "--confidence", "2"], 2, "confidence lies between 0 and 1, got 2.0"),
        (["add", "a", "is", "b", "--subject-kind", "thing"], 2, "a node's kind is one of"),
        (["add", "a" * 2000, "is", "b"], 2, "2,000 characters are too many"),
        (["delete"], 2, "name an edge's id, or a subject, relation and object"),
        (["delete", "a", "b"], 2, "name an edge's id"),
        (["delete", "99"], 2, "the memory has no edge '99'"),
        (["delete", "make breakfast", "Causes", "buy eggs"], 1, "These two are joined by HasPrerequisite."),
        (["merge", "cook", "nobody"], 1, "the memory has no node 'nobody'"),
        (["export", "out.xls"], 2, "unknown export format 'xls'"),
        (["export", "."], 2, "is a folder where a file is needed"),
        (["draw", "what?", "--save", "out.gif"], 2, "out.gif must end in .png"),
        (["stats", "--memory", "nowhere/kg.db"], 1, "there is no memory at"),
        (["stats", "--memory", "facts.csv"], 1, "is no memory"),
        (["stats", "--memory", "mysql://x/y"], 2, ""),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str],
    code: int,
    line: str,
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(filled.parent)
    got, said = refused(capsys, *arguments)
    assert line in said
    assert got == code


def test_show_gives_a_nodes_facts_aliases_and_history(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["memory", "add", "make breakfast", "HasSubevent", "fry eggs", "--source", "me", "--confidence", "0.5"])
    main(["memory", "merge", "make breakfast", "cook", "--yes"])
    capsys.readouterr()
    (node,) = answer(capsys, "show", "MAKE  breakfast")["nodes"]
    assert (node["name"], node["aliases"], node["num_facts"]) == ("make breakfast", ["cook"], 3)
    assert [(fact["relation"], fact["object"], fact["confidence"]) for fact in node["out"]] == [
        ("HasPrerequisite", "buy eggs", 1.0),
        ("HasSubevent", "fry eggs", 0.5),
    ]
    assert [fact["subject"] for fact in node["in"]] == ["heat pan"]
    assert 1.0 in [fact["confidence"] for fact in node["history"]]
    assert len(answer(capsys, "show", f"#{node['id']}", "--limit", "1")["nodes"][0]["out"]) == 1
    assert answer(capsys, "show", "cook", "--as-of", "1999-12-31")["nodes"][0]["num_facts"] == 0
    assert main(["memory", "show", "cook", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "make breakfast → HasPrerequisite → buy eggs" in out
    assert "and 1 more" in out


def test_add_says_whether_it_was_new(capsys: pytest.CaptureFixture[str]) -> None:
    fact = ("add", "Rome", "CapitalOf", "Italy", "--source", "atlas", "--time", "2026-01-31", "--origin", "page 3")
    first = answer(capsys, *fact)
    assert (first["what"], first["fact"]["valid_from"], first["fact"]["source"]) == ("new", 1769817600.0, "atlas")
    assert answer(capsys, *fact)["what"] == "unchanged"
    changed = answer(capsys, *fact, "--confidence", "0.5")
    assert (changed["what"], changed["fact"]["id"]) == ("changed", first["fact"]["id"])
    assert main(["memory", *fact]) == 0
    assert "Rome → CapitalOf → Italy, from 2026-01-31 on  (changed, edge 1)" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_delete_asks_first(filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["delete", "make breakfast", "hasprerequisite", "buy eggs"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["memory", *words]) == 2
    assert "nothing was deleted: nobody answered" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(["memory", *words]) == 1
    assert "Delete make breakfast → HasPrerequisite → buy eggs?" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert answer(capsys, *words) == {"deleted_facts": 1, "deleted_nodes": 0}
    assert answer(capsys, "delete", "--node", "fry eggs", "--yes") == {"deleted_facts": 2, "deleted_nodes": 1}
    assert answer(capsys, "delete", "4", "--yes") == {"deleted_facts": 1, "deleted_nodes": 0}
    assert answer(capsys, "stats")["edges"] == 0


def test_a_name_of_two_nodes_asks_which(capsys: pytest.CaptureFixture[str]) -> None:
    main(["memory", "add", "cook", "IsA", "person"])
    main(["memory", "add", "cook", "Causes", "meal", "--subject-kind", "action"])
    capsys.readouterr()
    assert len(answer(capsys, "show", "cook")["nodes"]) == 2
    code, line = refused(capsys, "merge", "cook", "person")
    assert code == 2
    assert "'cook' names 2 nodes: #1 (entity 'cook'), #3 (action 'cook'). Say which by its #id." in line
    assert answer(capsys, "merge", "#1", "#3", "--yes")["node"]["id"] == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "graphml"])
def test_export_takes_its_format_from_the_name(
    ending: str, filled: Path, address: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / f"out.{ending}"
    done = answer(capsys, "export", str(file))
    assert done == {"file": str(file), "facts": 4, "nodes": 5, "bytes": file.stat().st_size}
    if ending != "graphml":
        again = answer(capsys, "import", str(file), "--memory", str(tmp_path / "again.db"))
        assert (again["format"], again["new_facts"], again["new_nodes"]) == (ending, 4, 5)


def test_stats_say_where_it_lies_and_check_that_it_is_sound(
    filled: Path, address: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "stats")
    assert (found["memory"], found["nodes"], found["edges_by_source"]) == (str(address), 5, {"me": 3, "cookbook": 1})
    assert main(["memory", "stats"]) == 0
    assert str(address) in capsys.readouterr().out
    assert answer(capsys, "check") == {"memory": str(address), "sound": True, "problems": []}
    import sqlite3

    with sqlite3.connect(address) as connection:
        connection.execute("UPDATE edges SET confidence = 7 WHERE id = 1")
    connection.close()
    assert answer(capsys, "check", code=1)["problems"] == ["edge 1 has a confidence of 7.0"]


def test_recall_gives_facts_with_scores_sources_reasons_and_chains(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "recall", "what do you need to make breakfast?", "-k", "3", "--embedder", "none")
    assert {"id", "subject", "relation", "object", "source", "score", "confidence", "reason"} <= found["facts"][
        0
    ].keys()
    assert len(found["facts"]) <= 3
    assert found["facts"][0]["subject"] == "make breakfast"
    assert all(0 <= fact["score"] <= 1 and fact["source"] and fact["reason"] for fact in found["facts"])
    assert all(chain["facts"] for chain in found["chains"])
    assert found["nodes"]
    assert main(["memory", "recall", "what do you need to make breakfast?", "--embedder", "none"]) == 0
    assert "make breakfast → HasPrerequisite → buy eggs" in capsys.readouterr().out
    assert main(["memory", "recall", "zzz", "--embedder", "none"]) == 0
    assert "nothing to say" in capsys.readouterr().out


def test_index_embeds_all_that_is_new(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "index", "--embedder", "words")["embedder"].startswith("words")
    assert answer(capsys, "recall", "breakfast", "--embedder", "words")["facts"]


def test_draw_saves_a_picture_of_what_is_recalled(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "breakfast.png"
    drawn = answer(capsys, "draw", "how do you make breakfast?", "--save", str(file), "--embedder", "none")
    with Image.open(file) as picture:
        assert picture.size == (drawn["width"], drawn["height"])
    assert drawn["facts"]
    assert main(["memory", "draw", "make breakfast", "--save", str(file), "--embedder", "none"]) == 0
    assert "facts in" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reverie.memory.store import Store

    file = tmp_path / "facts.csv"
    file.write_text("subject,relation,object\n" + "".join(f"a,is,{number}\n" for number in range(12_000)))
    write, calls = Store.write_in, []

    def interrupted(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*given)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_in", interrupted)
        assert main(["memory", "import", str(file)]) == 130
    err = capsys.readouterr().err
    assert "5,000 rows are in the memory; the same command goes on from there." in err
    assert "stopped by Ctrl-C" in err
    assert answer(capsys, "import", str(file))["resumed"] == 5000


def test_the_memory_lies_in_the_users_data_folder_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REVERIE_MEMORY")
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "home"))
    assert Path(default_memory()) == tmp_path / "home" / "memory.db"
    assert main(["memory", "add", "a", "is", "b"]) == 0  # its folder is made
    capsys.readouterr()
    assert answer(capsys, "stats")["memory"] == default_memory()
    monkeypatch.delenv("REVERIE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform == "linux":
        assert Path(default_memory()) == tmp_path / "data" / "reverie" / "memory.db"


@pytest.mark.parametrize("command", [["recall", "egg"], ["show", "egg"], ["stats"], ["add", "a", "is", "b"]])
def test_a_mistyped_folder_is_refused_and_not_made(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = refused(capsys, *command, "--memory", str(tmp_path / "nope" / "kg.db"))
    assert code == 1
    assert str(tmp_path / "nope") in err
    assert not (tmp_path / "nope").exists()
