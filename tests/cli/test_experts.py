"""`reverie experts`: list, show, add, remove, rename, pin, check; wrong input is one line and changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from reverie.cli import main
from reverie.experts.contract import ExpertCard
from reverie.experts.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, base_hash, save_adapter, save_card
from toy_experts import toy_adapter
from toys import toy_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's library of each test."""
    monkeypatch.setenv("REVERIE_EXPERTS", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture
def source(tmp_path: Path, bundle: Path) -> Path:
    """The folder of an expert of the toy bundle."""
    folder = tmp_path / "causal"
    save_adapter(toy_adapter(), folder)
    card = ExpertCard("causal", "causal", "what [follows]", base_hash(bundle / "backbone"), after={"exact": 0.5})
    save_card(card, folder)
    return folder


@pytest.fixture
def run(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """run(*arguments) → (exit code, stdout, stderr) of `reverie experts` on the toy bundle."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["experts", *map(str, arguments), "--model", str(bundle)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def refused(run: Any) -> Any:
    """refused(*arguments) → (exit code, the one line on stderr) of a command that fails."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        code, out, err = run(*arguments)
        assert out == ""
        assert err.count("reverie:") == 1
        assert "Traceback" not in err
        return code, err

    return call


def test_an_expert_comes_is_shown_and_goes(run: Any, told: Any, source: Path, library: Path) -> None:
    assert told("list")["experts"] == []
    assert told("add", source)["folder"] == str(library / "causal")
    (one,) = told("list")["experts"]
    assert (one["name"], one["rank"], one["packaged"], one["pinned"]) == ("causal", 4, False, False)
    shown = told("show", "causal")
    assert shown == one
    assert shown["after"] == {"exact": 0.5}
    assert told("pin", "causal") == {"pinned": ["causal"]}
    assert told("show", "causal")["pinned"]
    assert told("rename", "causal", "because") == {"old": "causal", "name": "because"}
    assert told("unpin", "because") == {"pinned": []}
    assert told("check") == {"sound": True, "checked": ["because"], "problems": []}
    assert told("stats")["experts"] == 1
    assert told("remove", "because")["removed"] == "because"
    assert told("list")["experts"] == []
    code, out, _ = run("list")
    assert (code, out) == (0, f"0 experts; yours are in {library}\n")


def test_people_read_the_same(run: Any, source: Path, library: Path) -> None:
    assert "added 'again': rank 4, 14 linears" in run("add", source, "--name", "again")[1]
    out = run("list")[1]
    assert "again" in out
    assert "what [follows]" in out
    assert "1 expert; yours" in out
    out = run("show", "again")[1]
    assert "after            exact 0.5" in out
    assert "pinned           no" in out
    assert "pinned: again" in run("pin", "again")[1]
    assert "bytes on disk" in run("stats")[1]
    assert run("check")[1] == "1 expert sound\n"
    assert "'again' is now 'b'" in run("rename", "again", "b")[1]
    assert "removed 'b'" in run("remove", "b", "--yes")[1]


def test_another_library_is_named_by_an_option(told: Any, source: Path, tmp_path: Path, library: Path) -> None:
    told("add", source, "--library", tmp_path / "other")
    assert told("list")["experts"] == []
    assert len(told("list", "--library", tmp_path / "other")["experts"]) == 1
    assert not library.exists()


def test_without_anything_said_the_library_is_in_the_users_home(
    told: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVERIE_EXPERTS")
    home = Path(os.environ["REVERIE_HOME"])
    assert told("list")["folder"] == str(home / "experts" / base_hash(bundle / "backbone")[:12])


def test_what_cannot_be_added_is_one_line(refused: Any, source: Path, tmp_path: Path, library: Path) -> None:
    def changed(name: str, **values: Any) -> Path:
        folder = tmp_path / name
        save_adapter(toy_adapter(), folder)
        for file, new in values.items():
            path = folder / {"weights": WEIGHTS_FILE, "config": CONFIG_FILE, "card": CARD_FILE}[file]
            path.write_bytes(new) if isinstance(new, bytes) else path.write_text(json.dumps(new))
        return folder

    card = json.loads((source / CARD_FILE).read_text())
    config = json.loads((source / CONFIG_FILE).read_text())
    for folder, code, said in (
        (tmp_path / "nowhere", 2, "no folder of an adapter"),
        (changed("bare"), 1, "--trust-base"),
        (changed("foreign", card=card | {"base": "0" * 64}), 1, "trained on the base 00000000000…"),
        (changed("cut", card=card, weights=b"\x08"), 1, "is damaged"),
        (changed("pickled", card=card, weights=b"PK\x03\x04"), 1, "is a pickle, which may run code"),
        (changed("dora", card=card, config=config | {"use_dora": True}), 1, "of another kind: DoRA"),
        (changed("rank", card=card, config=config | {"r": 64}), 1, "has rank 64 by its config, 4"),
        (changed("no name"), 2, "an expert's name has 1 to 64"),
    ):
        assert refused("add", folder)[0] == code, folder
        assert said in refused("add", folder)[1]
    assert "an expert's name" in refused("add", source, "--name", "../up")[1]
    nan = {key: tensor * float("nan") for key, tensor in load_file(source / WEIGHTS_FILE).items()}
    save_file(nan, source / WEIGHTS_FILE)
    assert "holds values that are not finite" in refused("add", source)[1]
    unknown = {key.replace("q_proj", "x_proj"): tensor for key, tensor in load_file(bare(tmp_path)).items()}
    save_file(unknown, source / WEIGHTS_FILE)
    assert "the base has no linear 'model.layers.0.self_attn.x_proj'" in refused("add", source)[1]
    assert not library.exists() or os.listdir(library) == [".lock"]


def bare(folder: Path) -> Path:
    return folder / "bare" / WEIGHTS_FILE


def test_wrong_names_are_one_line(refused: Any, told: Any, source: Path) -> None:
    told("add", source)
    assert refused("add", source) == (1, refused("add", source)[1])
    assert "has an expert 'causal' already" in refused("add", source)[1]
    code, line = refused("show", "casual")
    assert (code, "Did you mean 'causal'?" in line) == (2, True)
    for wrong in (["remove", "x"], ["rename", "x", "y"], ["pin", "causal", "x"], ["unpin", "x"], ["check", "x"]):
        assert refused(*wrong)[0] == 2
    assert refused("show", "../causal")[0] == 2
    assert told("stats")["pinned"] == []


def test_a_damaged_expert_is_listed_with_what_is_wrong(run: Any, told: Any, source: Path, library: Path) -> None:
    told("add", source)
    (library / "causal" / WEIGHTS_FILE).write_bytes(b"")
    (one,) = told("list")["experts"]
    assert (one["name"], "is damaged" in one["problem"]) == ("causal", True)
    assert "is damaged" in run("list")[1]
    code, out, _ = run("check", "--json")
    assert (code, json.loads(out)["sound"]) == (1, False)
    code, out, _ = run("check")
    assert (code, out.count("\n"), "is damaged" in out) == (1, 1, True)
    told("remove", "causal")


def test_a_library_that_cannot_be_written_is_one_line(refused: Any, told: Any, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert refused("list", "--library", tmp_path / "file")[0] == 2
    code, line = refused("add", source, "--library", tmp_path / "file" / "mine")
    assert (code, "cannot be changed: Not a directory" in line) == (1, True)
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_experts_of_the_packaged_bundle_are_sound() -> None:
    assert main(["experts", "check"]) == 0
