"""`reverie generator`: same seed, same picture; files where they were asked for; wrong input is one line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.main import get_command

from reverie.cli.generator import app as generator_app
from reverie.cli.generator_parts import MAX_COUNT, MAX_PROMPT
from reverie.cli.output import printable
from reverie.errors import shorten
from reverie.generator import toy_generator
from reverie.generator.config import PRESETS
from reverie.generator.losses import LossWeights
from reverie.settings import settings_to_dict


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy = toy_generator()
    draw = torch.Generator().manual_seed(0)
    for weights in toy.prior("flow").parameters():  # hardly trained it hears no prompt yet; these weights do
        weights.data += 0.3 * torch.randn(weights.shape, generator=draw)
    return toy.save(tmp_path_factory.mktemp("toy") / "bundle")


@pytest.fixture
def refused(run: Any) -> Any:
    """refused(*arguments) → (exit code, the one line on stderr) of a command that fails."""

    def call(*arguments: object) -> tuple[int, str]:
        code, out, err = run(*arguments)
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("reverie: ")
        assert "unexpected" not in err
        return code, err

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of another size than the generator's, with something in it."""
    values = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixels(path: str | Path) -> np.ndarray:
    """uint8 (H, W, 3)"""
    with Image.open(path) as image:
        return np.asarray(image)


# sample


def test_the_same_seed_is_the_same_picture_in_any_call(told: Any, bundle: Path, tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    said = told("sample", "--model", bundle, "--seed", 7, "--count", 3, "--out", together)
    assert [one["seed"] for one in said["samples"]] == [7, 8, 9]
    assert [Path(one["file"]).name for one in said["samples"]] == [f"seed-00000{n}.png" for n in (7, 8, 9)]
    other = told("sample", "--model", bundle, "--seed", 8, "--out", alone)["samples"][0]
    assert Path(other["file"]).read_bytes() == (together / "seed-000008.png").read_bytes()
    assert other["caption"] == said["samples"][1]["caption"]
    assert len({Path(one["file"]).read_bytes() for one in said["samples"]}) == 3


def test_a_folder_of_samples_holds_captions_and_a_sheet(told: Any, bundle: Path, tmp_path: Path) -> None:
    said = told("sample", "--model", bundle, "--count", 2, "--out", tmp_path / "new" / "deep")
    lines = (tmp_path / "new" / "deep" / "captions.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"file": f"seed-00000{n}.png", "seed": n, "caption": said["samples"][n]["caption"], "prompt": ""}
        for n in (0, 1)
    ]
    assert pixels(said["sheet"]).shape[1] > 160
    assert pixels(said["samples"][0]["file"]).shape == (16, 16, 3)


def test_a_prompt_and_guidance_change_the_picture(told: Any, bundle: Path, tmp_path: Path) -> None:
    def picture(*options: object) -> bytes:
        said = told("sample", "--model", bundle, "--out", tmp_path, *options)
        assert said["prior"] == "flow"
        return Path(said["samples"][0]["file"]).read_bytes()

    plain, ship = picture(), picture("--prompt", "a ship in a storm")
    assert len({plain, ship, picture("--prompt", "a ship in a storm", "--guidance", 5)}) == 3
    assert json.loads((tmp_path / "captions.jsonl").read_text())["prompt"] == "a ship in a storm"


@pytest.mark.parametrize("prior", ["flow", "mixture", "normal"])
def test_every_prior_draws_and_temperature_0_forgets_the_seed(
    prior: str, told: Any, bundle: Path, tmp_path: Path
) -> None:
    def pictures(*options: object) -> set[bytes]:
        said = told("sample", "--model", bundle, "--count", 2, "--prior", prior, "--out", tmp_path, *options)
        assert said["prior"] == prior
        return {Path(one["file"]).read_bytes() for one in said["samples"]}

    assert len(pictures()) == 2
    if prior == "flow":
        assert len(pictures("--temperature", 0)) == 1


def test_without_a_folder_one_picture_is_shown_with_its_caption(run: Any, told: Any, bundle: Path) -> None:
    code, out, _ = run("sample", "--model", bundle, "--seed", 3)
    caption = told("sample", "--model", bundle, "--seed", 3)["samples"][0]["caption"]
    assert code == 0
    assert "seed 3" in out
    assert "▀" not in out, "no picture where nobody can see colours"
    assert printable(shorten(caption, 600)) in out


def test_a_terminal_shows_the_picture(run: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "▀" in run("sample", "--model", bundle)[1]


def test_people_read_how_many_and_where(run: Any, bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run("sample", "--model", bundle, "--count", 2, "--out", tmp_path)
    assert (code, out.startswith("2 pictures in ")) == (0, True)


def test_ctrl_c_keeps_what_was_drawn(run: Any, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.generator.generator import Generator

    true = Generator.sample

    def until_two(self: Generator, seeds: Any, **how: Any) -> Any:
        if seeds[0] == 2:
            raise KeyboardInterrupt
        return true(self, seeds, **how)

    monkeypatch.setattr(Generator, "sample", until_two)
    code, out, err = run("sample", "--model", bundle, "--count", 9, "--out", tmp_path)
    assert (code, out, "stopped by Ctrl-C" in err) == (130, "", True)
    assert len((tmp_path / "captions.jsonl").read_text().splitlines()) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "captions.jsonl",
        "seed-000000.png",
        "seed-000001.png",
        "sheet.png",
    ]


def test_a_run_folder_stands_for_the_bundle_in_it(told: Any, bundle: Path) -> None:
    assert told("show", "--model", bundle.parent)["folder"] == str(bundle)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--count", 0], "--count"),
        (["--count", 10**9], str(MAX_COUNT)),
        (["--count", 2], "2 pictures need a folder"),
        (["--seed", -1], "--seed lies between 0 and"),
        (["--seed", 2**32], "--seed lies between 0 and"),
        (["--seed", 2**32 - 1, "--count", 2, "--out", "x"], "--seed lies between 0 and"),
        (["--seed", "seven"], "--seed"),
        (["--temperature", -1], "--temperature"),
        (["--temperature", "nan"], "--temperature"),
        (["--guidance", 1e9], "--guidance"),
        (["--prior", "flwo"], "Did you mean 'flow'?"),
        (["--prior", "normal", "--prompt", "a ship"], "'normal' follows no prompt"),
        (["--prompt", "a" * 100_000], f"at most {MAX_PROMPT:,} letters, got 100,000"),
        (["--lora", "nowhere"], "--lora is the folder of a fine-tuning"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(options: list[object], said: str, refused: Any, bundle: Path) -> None:
    code, line = refused("sample", "--model", bundle, *options)
    assert code == 2
    assert said in line
    assert len(line) < 400
    assert not Path("x").exists()


def test_a_folder_that_is_a_file_is_one_line(refused: Any, bundle: Path, photo: Path) -> None:
    for out in (photo, photo / "below"):
        assert refused("sample", "--model", bundle, "--out", out)[0] == 2
        assert refused("interpolate", "--model", bundle, "--out", out)[0] == 2
    assert pixels(photo).shape == (40, 30, 3)


# which model


def test_a_missing_model_is_one_line(refused: Any, tmp_path: Path, photo: Path) -> None:
    for command in (["sample"], ["show"], ["caption", photo]):
        code, line = refused(*command)
        assert (code, "Name one with --model BUNDLE" in line) == (2, True)
        code, line = refused(*command, "--model", tmp_path / "nowhere")
        assert (code, "there is no bundle" in line) == (2, True)
    assert "is a file" in refused("sample", "--model", photo)[1]
    assert refused("sample", "--model", tmp_path)[0] == 1


def test_a_damaged_model_is_one_line(refused: Any, tmp_path: Path) -> None:
    folder = toy_generator().save(tmp_path / "bundle")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    code, line = refused("sample", "--model", folder)
    assert (code, "damaged: model.safetensors" in line) == (1, True)
    (folder / "manifest.json").write_text("{")
    assert "is damaged" in refused("show", "--model", folder)[1]
    (folder / "manifest.json").write_text("{}")
    assert "is no generator" in refused("show", "--model", folder)[1]


# interpolate


def test_a_walk_starts_and_ends_at_the_seeds_pictures(told: Any, bundle: Path, tmp_path: Path) -> None:
    said = told("interpolate", "--model", bundle, "--from", 3, "--to", 9, "--steps", 5, "--out", tmp_path / "walk")
    ends = told("sample", "--model", bundle, "--seed", 3, "--count", 7, "--out", tmp_path / "ends")["samples"]
    files = [one["file"] for one in said["samples"]]
    assert len(files) == 5
    for file, end in ((files[0], ends[0]["file"]), (files[-1], ends[-1]["file"])):
        assert abs(pixels(file).astype(int) - pixels(end)).max() <= 1
    with Image.open(said["gif"]) as gif:
        assert (gif.format, gif.size, gif.info["loop"]) == ("GIF", (16, 16), 0)
    assert pixels(said["sheet"]).ndim == 3
    records = [json.loads(line) for line in (tmp_path / "walk" / "captions.jsonl").read_text().splitlines()]
    assert [(one["step"], one["from"], one["to"]) for one in records] == [(step, 3, 9) for step in range(5)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--steps", 1], "--steps"),
        (["--steps", 10**6], "--steps"),
        (["--from", -1], "--from lies between"),
        (["--to", 2**64], "--to lies between"),
        (["--prior", "mixtur"], "Did you mean 'mixture'?"),
    ],
)
def test_a_walk_that_cannot_be_is_one_line(
    options: list[object], said: str, refused: Any, bundle: Path, tmp_path: Path
) -> None:
    code, line = refused("interpolate", "--model", bundle, "--out", tmp_path / "walk", *options)
    assert (code, said in line) == (2, True)
    assert not (tmp_path / "walk").exists()


# edit and caption


def test_an_edit_is_a_picture_that_depends_on_both(told: Any, bundle: Path, photo: Path, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), (200, 30, 30)).save(tmp_path / "red.png")

    def edited(name: str, *options: object) -> bytes:
        said = told(
            "edit", "--model", bundle, "--image", photo, "--style-of", tmp_path / "red.png",
            "--out", tmp_path / name, *options,
        )  # fmt: skip
        assert isinstance(said["caption"], str)
        assert pixels(said["file"]).shape == (16, 16, 3)
        return Path(said["file"]).read_bytes()

    whole, half, none = edited("c.png"), edited("deep/d.png", "--strength", 0.5), edited("e.png", "--strength", 0)
    coarse = edited("f.png", "--levels", 2)
    assert len({whole, half, none, coarse}) == 4
    assert whole == edited("c.png")


def test_captions_of_pictures_of_any_size(run: Any, told: Any, bundle: Path, photo: Path) -> None:
    (one,) = told("caption", photo, "--model", bundle)["captions"]
    assert one["file"] == str(photo)
    code, out, _ = run("caption", photo, photo, "--model", bundle)
    assert (code, out.count("photo.png: ")) == (0, 2)


def test_a_file_that_is_no_picture_is_named_and_the_others_get_captions(
    run: Any, refused: Any, bundle: Path, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(photo.read_bytes()[:200])
    code, out, err = run("caption", tmp_path / "broken.png", photo, "--model", bundle, "--json")
    said = json.loads(out)
    assert (code, len(said["captions"]), len(said["problems"])) == (1, 1, 1)
    assert "broken.png" in err
    code, line = refused("caption", tmp_path / "broken.png", tmp_path / "missing.png", "--model", bundle)
    assert (code, "broken.png" in line) == (1, True)


def test_an_edit_that_cannot_be_is_one_line(refused: Any, bundle: Path, photo: Path, tmp_path: Path) -> None:
    def edit(image: Path, out: Path, *options: object) -> tuple[int, str]:
        done: tuple[int, str] = refused(
            "edit", "--model", bundle, "--image", image, "--style-of", photo, "--out", out, *options
        )
        return done

    assert edit(tmp_path / "missing.png", tmp_path / "c.png")[0] == 1
    assert "is a folder" in edit(photo, tmp_path)[1]
    assert "must end in .png" in edit(photo, tmp_path / "c.jpg")[1]
    assert "lies under a file" in edit(photo, photo / "c.png")[1]
    assert "levels lies between" in edit(photo, tmp_path / "c.png", "--levels", 9)[1]
    assert "--strength" in edit(photo, tmp_path / "c.png", "--strength", 2)[1]
    assert not (tmp_path / "c.png").exists()


# show


def test_the_card_is_shown(run: Any, told: Any, bundle: Path) -> None:
    said = told("show", "--model", bundle)
    assert (said["card"]["name"], said["config"]["side"], said["default_prior"]) == ("toy", 16, "flow")
    assert said["parameters"] > 1000
    assert said["priors"] == ["flow", "mixture", "normal"]
    code, out, _ = run("show", "--model", bundle)
    assert code == 0
    assert "flow" in out
    assert "16" in out


# the guide


def guide(repository: Path) -> str:
    return (repository / "docs" / "generator.md").read_text(encoding="utf-8")


def test_every_command_of_the_guide_and_of_the_help_pages_can_be_called_so(repository: Path) -> None:
    commands = get_command(generator_app).commands  # type: ignore[attr-defined]
    pages = "\n".join([guide(repository), *(command.epilog for command in commands.values())])
    lines = re.findall(r"^\s*(?:\$ )?reverie generator (\w+ .*)$", pages, re.MULTILINE)
    assert len(lines) > 25
    assert {line.split()[0] for line in lines} == set(commands)
    for line in lines:
        name, *arguments = shlex.split(line)
        commands[name].make_context(name, arguments)  # refuses what does not exist


def test_the_guide_says_the_true_weights_and_sizes(repository: Path) -> None:
    said = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", guide(repository), re.MULTILINE)
    assert {name: float(weight) for name, weight in said} == settings_to_dict(LossWeights())
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\d+) px \| ([\d,]+) \| ([\d,]+) \| (\d+), (\d+), (\d+) \|", guide(repository), re.M
    )
    assert {name for name, *_ in rows} == set(PRESETS)
    for name, *numbers in rows:
        config = PRESETS.get(name)
        sizes = (
            config.side,
            config.latent_size,
            config.vocabulary,
            config.num_layers,
            config.num_heads,
            config.hidden_size,
        )
        assert tuple(int(number.replace(",", "")) for number in numbers) == sizes, name
