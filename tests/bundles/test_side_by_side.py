"""Two models side by side, and prompts of the user's own: files are read as said, answers held to what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.bundles.side_by_side import compare_models, summary, to_html
from reverie.cli import main
from reverie.dreaming.prompt_files import OwnPrompt, read_prompts
from reverie.errors import UsageError
from reverie_bench import BenchConfig, run_benchmark
from toys import toy_bundle


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy_bundle(tmp_path_factory.mktemp("toy")))


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [
        {"prompt": "What happens when you drop an egg?", "expected": ".*", "match": "regex"},
        {"question": "What happens when you <b>push</b> a book?", "answers": ["never said", "nor this"]},
        {"prompt": "What happens next?"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    return path


def test_answers_are_held_to_what_was_expected() -> None:
    assert OwnPrompt("?", ("Paris", "Lutetia")).holds("It is  PARIS, of course") is True
    assert OwnPrompt("?", ("in paris",)).holds("in\nParis") is True
    assert OwnPrompt("?", ("Paris",), "exact").holds("paris.") is True
    assert OwnPrompt("?", ("Paris",), "exact").holds("Paris, France") is False
    assert OwnPrompt("?", ("^Paris$",), "regex").holds("paris") is False
    assert OwnPrompt("?").holds("anything") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": ""}', "not empty"),
        ('{"prompt": 3}', "not empty, got 3"),
        ('{"prompt": "a", "match": "fuzzy"}', "contains, exact, regex, got 'fuzzy'"),
        ('{"prompt": "a", "expected": {"b": 1}}', "a text or a list"),
        ('{"prompt": "a", "expected": [""]}', "expected texts are not empty"),
        ('{"prompt": "a", "expected": "(", "match": "regex"}', "no regular expression"),
        ("[1]", "no JSON object"),
    ],
)
def test_a_malformed_row_is_one_line_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "fine"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"line 2.*") as caught:
        read_prompts(path)
    assert said in str(caught.value)


def test_plain_files_and_files_without_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\n\n  two  \n", encoding="utf-8")
    assert [one.text for one in read_prompts(path)] == ["one", "two"]
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no prompts"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no text in UTF-8"):
        read_prompts(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_prompts(tmp_path / "absent.txt")


def test_two_models_answer_the_same_prompts(toy: str, prompts: Path) -> None:
    rows = compare_models([toy, toy], read_prompts(prompts), branches=2)
    assert len(rows) == 3
    for row in rows:
        mine, theirs = row.sides
        assert (mine.answer, mine.known, mine.confidence) == (theirs.answer, theirs.known, theirs.confidence)
    assert [row.sides[0].right for row in rows] == [True, False, None]
    assert summary([row.sides[0] for row in rows])["accuracy"] == 0.5
    page = to_html(["a", "<b>"], rows)
    assert "&lt;b&gt;push&lt;/b&gt;" in page
    assert "<b>" not in page
    with pytest.raises(UsageError, match="two models are compared"):
        compare_models([toy], read_prompts(prompts))


def test_the_command_and_the_benchmark(
    toy: str, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "both.html"
    asked = ["compare", toy, toy, "--prompts", str(prompts), "--branches", "2"]
    assert main([*asked, "--html", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["accuracy"] for one in told["models"]] == [0.5, 0.5]
    assert len(told["rows"][0]["sides"]) == 2
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(asked) == 0
    assert "50% right" in capsys.readouterr().out
    found = run_benchmark("prompts", BenchConfig(model=toy, data=prompts, branches=2))
    assert found.figures["accuracy"] == 0.5
    assert found.by["row_2"]["accuracy"] == 0
    assert found.settings["rows"][1]["expected"] == ("never said", "nor this")
    assert main(["bench", "prompts", "--model", toy]) == 2
    assert "needs --data" in capsys.readouterr().err
    assert main(["compare", toy, "nono", "--prompts", str(prompts)]) == 2
    assert "nono" in capsys.readouterr().err
