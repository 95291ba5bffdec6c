"""Adding an expert that was made elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from reverie.errors import ExpertError, UsageError
from reverie.experts.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE
from reverie.experts.library import Library
from toy_experts import BASE, OTHER, same, save_expert, saved_base, snapshot, toy_adapter, toy_card, toy_linears


def test_an_experts_folder_is_added_under_its_own_or_another_name(library: Library, tmp_path: Path) -> None:
    source = save_expert(tmp_path / "causal", 3)
    assert library.add(source).name == "causal"
    assert library.add(source, "again") == library.card("again") == toy_card("again")
    assert same(library.adapter("again"), toy_adapter(3))
    with pytest.raises(ExpertError, match="already"):
        library.add(source)
    with pytest.raises(ExpertError, match="trained on the base 07he"):
        library.add(save_expert(tmp_path / "foreign", base=OTHER), trust_base=True)
    save_expert(tmp_path / "unsaid", base="")
    with pytest.raises(ExpertError, match="does not say what base"):
        library.add(tmp_path / "unsaid")
    assert "on trust" in library.add(tmp_path / "unsaid", trust_base=True).notes
    assert library.names() == ["again", "causal", "unsaid"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a base, an adapter that PEFT made of it)."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("peft")
    saved_base(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_alpha=16, init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(folder / "adapter")
    return folder / "base", folder / "adapter"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_an_adapter_of_peft_is_added_and_gets_a_card(trained: tuple[Path, Path], folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, source = trained
    _, hash, linears = saved_base(tmp_path / "same")
    library = Library.open(folder, hash, linears=linears)
    card = library.add(source)  # its config names a folder, and the weights there are this base's
    assert (card.name, card.base, card.domain, card.notes) == ("adapter", hash, "", "a PEFT adapter")
    assert library.adapter("adapter").rank == 4
    assert library.check() == []
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, library.folder_of("adapter"))  # as sound as it came
    assert sorted(os.listdir(library.folder_of("adapter"))) == [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE]


def test_an_adapter_in_a_folder_of_its_own_name_is_taken_from_the_folder_around(
    trained: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    library = Library.open(folder, saved_base(tmp_path / "same")[1])
    shutil.copytree(trained[1], tmp_path / "saved" / "my_v1")
    assert library.add(tmp_path / "saved").name == "my_v1"
    assert library.add(tmp_path / "saved", "poems").name == "poems"
    shutil.copytree(trained[1], tmp_path / "saved" / "my_v2")
    with pytest.raises(ExpertError, match=r"holds 2 adapters\. Give the folder of one: .*/my_v1, .*/my_v2"):
        library.add(tmp_path / "saved")


def say_base(adapter: Path, copy: Path, said: str | None) -> Path:
    """A copy of an adapter whose config names ``said`` for its base."""

    shutil.copytree(adapter, copy)
    config = json.loads((copy / CONFIG_FILE).read_text()) | {"base_model_name_or_path": said}
    (copy / CONFIG_FILE).write_text(json.dumps(config))
    return copy


def test_an_adapter_of_a_base_that_nobody_can_compare_is_taken_on_trust_alone(
    trained: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    library = Library.open(folder, BASE, linears=toy_linears(), known_as=["someone/toy"])
    for said, name in ((None, "a"), ("", "b"), ("someone/other", "c"), (str(tmp_path / "gone"), "d")):
        source = say_base(trained[1], tmp_path / name, said)
        with pytest.raises(ExpertError, match=r"cannot be compared .* \(--trust-base\)"):
            library.add(source)
        assert "on trust" in library.add(source, trust_base=True).notes
    assert "base taken by its name" in library.add(say_base(trained[1], tmp_path / "e", "someone/toy")).notes
    with pytest.raises(ExpertError, match="was made for another base"):
        library.add(trained[1], trust_base=True)  # its weights are there, and are not this base's
    assert library.names() == ["a", "b", "c", "d", "e"]


def test_a_source_that_is_none_is_one_line_and_nothing_is_added(library: Library, folder: Path, tmp_path: Path) -> None:
    for name, error, said in (
        ("nowhere", UsageError, "no folder of an adapter"),
        ("file.txt", UsageError, "is a file"),
        ("file.pt", ExpertError, "is a pickle"),
        ("empty", ExpertError, "missing: there is no file .*adapter_config.json"),
        ("pickled", ExpertError, "adapter_model.bin is a pickle"),
    ):
        if name.startswith("file"):
            (tmp_path / name).write_bytes(b"\x80\x04.")
        elif name != "nowhere":
            (tmp_path / name).mkdir()
        if name == "pickled":
            (tmp_path / name / "adapter_model.bin").write_bytes(b"\x80\x04.")
            (tmp_path / name / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
        with pytest.raises(error, match=said):
            library.add(tmp_path / name)
    damaged = save_expert(tmp_path / "damaged")
    (damaged / WEIGHTS_FILE).write_bytes((damaged / WEIGHTS_FILE).read_bytes()[:-9])
    with pytest.raises(ExpertError, match=f"{damaged}/{WEIGHTS_FILE} is damaged"):
        library.add(damaged)
    named = save_expert(tmp_path / "named")
    (named / CARD_FILE).write_text('{"name": "../up"}')
    with pytest.raises(ExpertError, match=r"card\.json is damaged: an expert's name"):
        library.add(named)
    assert library.names() == []
    assert not (folder.parent / "up").exists()
    assert not snapshot(folder)
