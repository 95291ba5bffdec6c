"""``check_folder``: nothing is said of what is sound, and one clear line of each thing that is not."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reverie.bundles.bundle import MANIFEST
from reverie.errors import UsageError
from reverie.export import ExportConfig, check_folder, export
from reverie.files import atomic_write_json
from reverie.manifest import seal
from toy_exports import tiny_bundle

EXPERT = (("causal", 1.0),)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound folder of every kind, by name."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(tiny_bundle(folder / "made"), folder / "base")
    from reverie.bundles import find_bundle

    shutil.copytree(find_bundle("nano"), folder / "nano", ignore=shutil.ignore_patterns("__pycache__"))
    export("gguf", "nano", folder / "gguf", ExportConfig(experts=EXPERT))
    export("ollama", "nano", folder / "ollama", ExportConfig(experts=EXPERT))
    export("hf", folder / "base", folder / "hf")
    export("peft", "nano", folder / "peft", ExportConfig(experts=EXPERT))
    return folder


KINDS = {"base": "bundle", "nano": "bundle", "gguf": "gguf", "ollama": "ollama", "hf": "hf", "peft": "peft"}


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_wrong_with_what_is_sound(sound: Path, name: str) -> None:
    assert check_folder(sound / name) == (KINDS[name], [])


def resealed(folder: Path) -> None:
    """The manifest anew, so that what is wrong is not its hashes."""
    manifest = json.loads((folder / MANIFEST).read_text())
    seal(folder, {key: value for key, value in manifest.items() if key != "files"})


def edit_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "backbone" / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, {"format": "pt"})
        resealed(folder)

    return damage


def edit_json(name: str, **values: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        atomic_write_json(folder / name, json.loads((folder / name).read_text()) | values)
        if (folder / MANIFEST).exists():
            resealed(folder)

    return damage


def cut(name: str, keep: int = 100) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep]) and None


def nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"][3] = float("nan")


def narrow(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].clone()


def pickle(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def two_adapters(folder: Path) -> None:
    path = folder / "Modelfile"
    path.write_text(path.read_text() + "ADAPTER ./nano-lora.gguf\n")


def grown_words(folder: Path) -> None:
    path = folder / "backbone" / "tokenizer.json"
    parts = json.loads(path.read_text())
    parts["model"]["vocab"]["toomuch"] = 5000
    path.write_text(json.dumps(parts))
    resealed(folder)


DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("base", lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json is missing"),
    ("base", cut("backbone/model.safetensors"), "has 100 bytes"),
    ("base", lambda folder: (folder / MANIFEST).write_text("{"), "manifest.json is damaged"),
    ("base", edit_weights(nan), "model.norm.weight holds values that are not finite"),
    ("base", edit_weights(narrow), "model.norm.weight is F32 of [31], not numbers of [32]"),
    ("base", grown_words, "the tokenizer in backbone knows the id 5000"),
    ("base", edit_json("vocabulary.json", num_codes=999), "ids, vocabulary.json"),
    ("base", pickle, "pytorch_model.bin is a pickle"),
    ("base", pickle, "pytorch_model.bin is in no manifest"),
    ("nano", edit_json("experts/causal/card.json", base="0" * 64), "was trained on the base 00"),
    ("gguf", cut("nano-f16.gguf", 5000), "nano-f16.gguf is cut short or damaged"),
    ("gguf", lambda folder: (folder / "nano-f16.gguf").write_bytes(b"nope"), "does not begin with GGUF"),
    ("ollama", lambda folder: (folder / "nano-lora.gguf").unlink(), "names ./nano-lora.gguf, which is not there"),
    ("ollama", two_adapters, "names several adapters"),
    ("ollama", lambda folder: (folder / "Modelfile").write_text("SYSTEM hi\n"), "no FROM line"),
    ("hf", lambda folder: (folder / "model.safetensors").unlink(), "is missing"),
    ("hf", edit_json("config.json", vocab_size=10), "not numbers of [10, 32]"),
    ("peft", cut("causal/adapter_model.safetensors"), "is damaged"),
    ("peft", edit_json("causal/adapter_config.json", use_dora=True), "is of another kind: DoRA"),
]


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGES, ids=[said for _, _, said in DAMAGES])
def test_every_fault_is_one_clear_line(
    sound: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / name
    shutil.copytree(sound / name, folder)
    damage(folder)
    _, problems = check_folder(folder)
    assert [line for line in problems if said in line], problems
    assert all("\n" not in line and len(line) < 400 for line in problems)


def test_one_gguf_file_and_what_is_nothing_at_all(sound: Path, tmp_path: Path) -> None:
    assert check_folder(sound / "gguf" / "nano-causal-lora.gguf") == ("gguf", [])
    with pytest.raises(UsageError, match="there is no folder"):
        check_folder(tmp_path / "absent")
    with pytest.raises(UsageError, match="is no bundle and no export"):
        check_folder(tmp_path)


@pytest.mark.parametrize("name", ["base", "ollama", "hf", "peft"])
def test_whatever_bytes_are_wrong_it_ends_in_lines(sound: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(sound / name, tmp_path / name)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 3e6)
    (folder / "export.json").unlink(missing_ok=True)  # or hashes would say it all
    draw = random.Random(0)
    for _ in range(30):
        path = draw.choice([file for file in files if file.exists()])
        kept = path.read_bytes()
        damaged = bytearray(kept)
        for _ in range(draw.choice([1, 4, 30])):
            damaged[draw.randrange(min(len(damaged), draw.choice([64, 400, 4000])))] = draw.randrange(256)
        path.write_bytes(bytes(damaged))
        if name == "base" and path.name != MANIFEST:
            resealed(folder)
        try:
            _, problems = check_folder(folder)
            assert all("\n" not in line and len(line) < 500 for line in problems), problems
        finally:
            path.write_bytes(kept)
            if name == "base":
                resealed(folder)
