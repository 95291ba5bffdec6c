"""`reverie bench`: the list, one benchmark as JSON and for people, and wrong calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reverie.cli import main
from reverie.registry import Registry
from reverie_bench import benchmark_names, registry
from toys import toy_bundle

ROWS = """{"desc": ["SFF", "FHF", "FFG"], "actions": "RD", "safe": "N"}
{"desc": ["SF", "FG"], "actions": "R", "safe": "Y"}
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy_bundle(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS)
    return str(path)


def test_alone_it_lists_all_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == benchmark_names()


def test_the_list_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["benchmarks"]
    assert [one["name"] for one in found] == benchmark_names()


def test_a_broken_package_hides_no_other_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = tmp_path / "coins-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: coins\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[reverie.benchmarks]\ncoins = a_module_that_nobody_has:BENCHMARK\n")
    own = benchmark_names()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_BENCHMARKS", Registry("benchmark", registry._OWN, "reverie.benchmarks"))
    assert main(["bench", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [one["name"] for one in json.loads(out)["benchmarks"]] == own
    assert "the benchmark 'coins' of the package coins cannot be imported" in err


def test_without_its_package_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reverie_bench", None)
    assert main(["bench"]) == 1
    assert "pip install 'reverie[bench]'" in capsys.readouterr().err


def test_json_is_one_object_with_every_field(bundle: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "frozenlake-outcome", "--data", rows, "--model", bundle, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    wanted = "name n figures by baselines published settings seconds hardware commit"
    assert list(report) == wanted.split()
    assert report["n"] == 2
    assert set(report["published"][0]) == {"system", "figure", "value", "source"}
    assert report["settings"]["data"] == rows


def test_people_read_figures_baselines_and_hardware(bundle: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "frozenlake-outcome", "--data", rows, "--model", bundle, "--limit", "1"]) == 0
    out = capsys.readouterr().out
    for word in ("frame_exact", "baseline always_safe", "MVoT-7B", "commit"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frozenlake-outcom"], "Did you mean 'frozenlake-outcome'?"),
        (["frozenlake-outcome"], "this benchmark needs --data FILE"),
        (["frozenlake-outcome", "--data", "nowhere.jsonl"], "nowhere.jsonl is no file"),
        (["dreams", "--model", "nowhere"], "no bundle 'nowhere'"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


def test_a_malformed_row_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS + "{broken\n")
    assert main(["bench", "frozenlake-outcome", "--data", str(path)]) == 2
    assert "line 3" in capsys.readouterr().err
