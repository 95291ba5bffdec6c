import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from reverie.errors import ConfigError
from reverie.settings import build_settings, load_settings, save_settings, settings_to_dict


@dataclass(frozen=True)
class Inner:
    steps: int = 10
    lr: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True)
class Outer:
    name: str
    loop: Inner = Inner()
    betas: tuple[float, float] = (0.9, 0.95)
    sizes: tuple[int, ...] = ()
    folder: Path | None = None
    flag: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    stages: list[Inner] = field(default_factory=list)
    either: int | str = 0


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_then_file_then_overrides(tmp_path: Path) -> None:
    file = write(tmp_path, "name: a\nloop: {lr: 1e-2, steps: 5}\nsizes: [3, 4]\nfolder: some/where\n")
    settings = load_settings(Outer, file, ["loop.steps=1e3", "betas=[0, 0.5]", "flag=true", "weights.ice=2"])
    assert settings == Outer(
        "a", Inner(1000, 0.01), (0.0, 0.5), (3, 4), Path("some/where"), flag=True, weights={"ice": 2.0}
    )
    assert isinstance(settings.loop.steps, int)
    assert isinstance(settings.weights["ice"], float)


def test_saved_settings_read_back_equal(tmp_path: Path) -> None:
    settings = Outer("a", sizes=(1, 2), folder=Path("x"), weights={"b": 1.0}, stages=[Inner(3)], either="text")
    save_settings(settings, tmp_path / "config.json")
    values = json.loads((tmp_path / "config.json").read_text())
    assert values == settings_to_dict(settings)
    assert build_settings(Outer, values) == settings
    assert load_settings(Outer, tmp_path / "config.json") == settings, "JSON is YAML"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["flog=true"], ["unknown setting 'flog'", "Did you mean 'flag'?", "Known: betas, either, flag"]),
        (["loop.stps=3"], ["unknown setting 'loop.stps'", "'loop.steps'", "Known: loop.lr, loop.schedule"]),
        (["schedul=cosine"], ["unknown setting 'schedul'", "Did you mean 'loop.schedule'?"]),
        (["loop.steps=many"], ["'loop.steps' must be a whole number, got 'many'"]),
        (["loop.steps=2.5"], ["'loop.steps' must be a whole number, got 2.5"]),
        (["loop.steps=true"], ["'loop.steps' must be a whole number, got True"]),
        (["loop.steps=.inf"], ["'loop.steps' must be a whole number, got inf"]),
        (["loop.steps=0"], ["loop: steps must be at least 1, got 0"]),
        (["loop.schedule=cosin"], ["must be one of cosine, constant, got 'cosin'", "Did you mean 'cosine'?"]),
        (["loop=3"], ["'loop' must hold settings by name, got 3"]),
        (["loop="], ["'loop' must hold settings by name, got"]),
        (["flag=1"], ["'flag' must be true or false, got 1"]),
        (["name=7"], ["'name' must be text, got 7"]),
        (["betas=[1]"], ["'betas' must be a list of 2 values, got 1 values"]),
        (["betas=[1, x]"], ["'betas[1]' must be a number, got 'x'"]),
        (["sizes=3"], ["'sizes' must be a list, each item a whole number, got 3"]),
        (["folder=3"], ["'folder' must be a path, got 3"]),
        (["weights.ice=cold"], ["'weights.ice' must be a number, got 'cold'"]),
        (["stages=[{stps: 1}]"], ["unknown setting 'stages[0].stps'", "'stages[0].steps'"]),
        (["either=[]"], ["'either' must be text, got []"]),
        (["flag"], ["'flag' is no override", "key=value"]),
        (["=3"], ["'=3' is no override"]),
        (["sizes=[1"], ["not valid YAML"]),
        (["name=${nowhere}"], ["nowhere"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(Outer, None, ["name=a", *overrides])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "not valid YAML"),
        ("name: a\nname: b\n", "not valid YAML"),
        ("- 1\n", "must hold settings by name"),
        ("loop: {}\n", "'name' is missing"),
        ("", "'name' is missing"),
        ("3", "cannot read the config"),
        ("steps", "unknown setting 'steps'. Did you mean 'loop.steps'"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_settings(Outer, write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_absent_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*absent.yaml: No such file"):
        load_settings(Outer, tmp_path / "absent.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_settings(Outer, tmp_path / "picture.yaml")


def test_overrides_alone_are_enough() -> None:
    values: dict[str, Any] = {"name": "a", "loop": {"steps": 2}}
    assert load_settings(Outer, overrides=["name=a", "loop.steps=2"]) == build_settings(Outer, values)


@dataclass(frozen=True)
class Loop:
    steps: int = 100
    lr: float = 0.1


@dataclass(frozen=True)
class OwnLoop:
    """A recipe with a loop of its own, which is no other by one override."""

    loop: Loop = Loop(steps=7, lr=0.5)


def test_one_setting_leaves_the_others_as_the_recipe_has_them(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("loop: {lr: 0.25}\n", encoding="utf-8")
    assert load_settings(OwnLoop, overrides=["loop.steps=9"]).loop == Loop(9, 0.5)
    assert load_settings(OwnLoop, tmp_path / "own.yaml", ["loop.steps=9"]).loop == Loop(9, 0.25)
    assert load_settings(OwnLoop).loop == Loop(7, 0.5)
