"""The library: experts are put in, found, renamed and removed; what does not fit or cannot be written is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from reverie.errors import ExpertError, UnknownNameError, UsageError
from reverie.experts import library as library_module
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, load_card, save_adapter
from reverie.experts.library import Library
from toy_experts import BASE, OTHER, same, save_expert, snapshot, toy_adapter, toy_card


def test_an_expert_that_was_created_is_there_for_everybody(library: Library, folder: Path) -> None:
    assert library.names() == []
    assert not folder.exists()  # nothing is made before something is written
    other = Library.open(folder, BASE)
    card = library.create(ExpertCard("causal", "causal", data_size=7), toy_adapter(1))
    assert (card.base, card.data_size) == (BASE, 7)
    assert card.created.endswith("+00:00")
    for one in (library, other):
        assert one.names() == ["causal"]
        assert "causal" in one
        assert one.card("causal") == card
        assert same(one.adapter("causal"), toy_adapter(1))
        assert one.folder_of("causal") == folder / "causal"
    assert library.adapter("causal") is library.adapter("causal")
    assert sorted(os.listdir(folder / "causal")) == [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE]


def test_files_beside_an_expert_come_along(library: Library, folder: Path, tmp_path: Path) -> None:
    prototype = tmp_path / "p"
    prototype.write_bytes(b"mean and spread")
    library.create(toy_card("a"), toy_adapter(), {"prototype.safetensors": prototype})
    (folder / "a" / "notes.txt").write_text("not of the format")
    copied = Library.open(tmp_path / "other", BASE)
    copied.add(folder / "a")
    assert (copied.folder_of("a") / "prototype.safetensors").read_bytes() == b"mean and spread"
    assert not (copied.folder_of("a") / "notes.txt").exists()
    library.rename("a", "b")
    assert (folder / "b" / "prototype.safetensors").exists()


def test_packaged_experts_are_read_and_never_changed(packaged: Path, folder: Path) -> None:
    before = snapshot(packaged)
    library = Library.open(folder, BASE, packaged)
    library.create(toy_card("causal"), toy_adapter(5))
    assert library.names() == ["causal", "spatial", "temporal"]
    assert [library.is_packaged(name) for name in library.names()] == [False, True, True]
    assert same(library.adapter("temporal"), toy_adapter(1))
    for change in (lambda: library.remove("spatial"), lambda: library.rename("spatial", "x")):
        with pytest.raises(UsageError, match="belongs to the bundle"):
            change()
    with pytest.raises(ExpertError, match="has an expert 'spatial' already"):
        library.create(toy_card("spatial"), toy_adapter())
    with pytest.raises(ExpertError, match="has an expert 'spatial' already"):
        library.rename("causal", "spatial")
    library.pin("spatial")
    assert library.pinned() == ["spatial"]
    assert snapshot(packaged) == before


def test_a_library_without_a_folder_only_reads(packaged: Path) -> None:
    library = Library.open(None, BASE, packaged)
    assert library.names() == ["spatial", "temporal"]
    assert same(library.adapter("spatial"), toy_adapter(0))
    with pytest.raises(UsageError, match="no folder of its own"):
        library.create(toy_card("a"), toy_adapter())
    library.pin("spatial")
    assert library.pinned() == ["spatial"]
    library.pin("spatial", on=False)
    assert library.pinned() == []
    assert Library.open(None, BASE, packaged / "absent").names() == []


def test_removing_and_renaming(library: Library, folder: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        library.create(toy_card(name), toy_adapter(seed))
        library.pin(name)
    library.rename("a", "c")
    assert library.names() == ["b", "c"]
    assert (library.card("c").name, load_card(folder / "c").name) == ("c", "c")
    assert same(library.adapter("c"), toy_adapter(0))
    assert library.pinned() == ["b", "c"]
    library.remove("b")
    assert (library.names(), library.pinned()) == (["c"], ["c"])
    for name in ("a", "b"):
        for use in (library.key, library.adapter, library.card, library.folder_of, library.remove, library.pin):
            with pytest.raises(UnknownNameError, match=f"unknown expert '{name}'"):
                use(name)
    library.create(toy_card("d"), toy_adapter())
    with pytest.raises(ExpertError, match="has an expert 'c' already"):
        library.rename("d", "c")
    library.rename("c", "C")  # a change of case alone is none of another expert
    assert library.names() == ["C", "d"]


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", "", ".hidden", "a\\b", "x" * 65, "naïve", "a\n", "CON:"])
def test_a_name_is_never_a_path(library: Library, folder: Path, name: str, tmp_path: Path) -> None:
    library.create(toy_card("a"), toy_adapter())
    source, before = save_expert(tmp_path / "source"), snapshot(tmp_path)
    uses = [library.key, library.adapter, library.card, library.remove, library.pin, library.folder_of]
    uses += [lambda name: library.rename("a", name), lambda name: library.rename(name, "b")]
    uses += [lambda name: library.add(source, name)] if name else []
    for use in uses:
        with pytest.raises(UsageError, match="an expert's name has 1 to 64"):
            use(name)
    assert snapshot(tmp_path) == before


def test_two_of_one_name_are_refused_and_so_are_names_that_differ_in_case_alone(library: Library) -> None:
    library.create(toy_card("causal"), toy_adapter(1))
    for name in ("causal", "Causal"):
        with pytest.raises(ExpertError, match="has an expert 'causal' already"):
            library.create(toy_card(name), toy_adapter(2))
    assert same(library.adapter("causal"), toy_adapter(1))
    assert library.names() == ["causal"]


def test_what_does_not_fit_is_refused_and_the_library_stays_as_it_was(library: Library, folder: Path) -> None:
    library.create(toy_card("a"), toy_adapter())
    before = snapshot(folder)
    bad = dict(toy_adapter().factors)
    linear = next(iter(bad))
    bad[linear] = Factors(bad[linear].down * float("nan"), bad[linear].up)
    unknown = Adapter({"model.layers.9.mlp.up_proj": Factors(torch.ones(2, 32), torch.ones(64, 2))})
    for card, adapter, said in (
        (toy_card("b", OTHER), toy_adapter(), "'b' was trained on the base 07he"),
        (toy_card("b"), Adapter(bad), "the adapter 'b' is damaged: .* not finite"),
        (toy_card("b"), unknown, "the base has no linear 'model.layers.9.mlp.up_proj'"),
        (toy_card("b"), Adapter({}), "without factors"),
        (toy_card("b", after={"exact": float("inf")}), toy_adapter(), "a figure that is not finite"),
    ):
        with pytest.raises(ExpertError, match=said) as caught:
            library.create(card, adapter)
        assert ".tmp" not in str(caught.value)
    with pytest.raises(ExpertError, match="nowhere"):
        library.create(toy_card("b"), toy_adapter(), {"p.safetensors": folder / "nowhere"})
    assert snapshot(folder) == before


def test_an_expert_of_another_base_in_the_folder_is_refused_when_it_is_used(library: Library, folder: Path) -> None:
    save_expert(folder / "foreign", base=OTHER)
    save_adapter(toy_adapter(), folder / "bare")
    library.create(toy_card("sound"), toy_adapter())
    assert library.names() == ["bare", "foreign", "sound"]
    with pytest.raises(ExpertError, match="'foreign' was trained on the base 07he"):
        library.adapter("foreign")
    with pytest.raises(ExpertError, match=r"missing: .*card\.json"):
        library.adapter("bare")
    problems = library.check()
    assert [("foreign" in line, "bare" in line) for line in problems] == [(False, True), (True, False)]
    assert library.check(["sound"]) == []


def test_two_experts_of_one_name_are_told(packaged: Path, folder: Path) -> None:
    save_expert(folder / "spatial", 9)
    library = Library.open(folder, BASE, packaged)
    assert library.names() == ["spatial", "temporal"]
    assert same(library.adapter("spatial"), toy_adapter(9))
    assert "two experts are called 'spatial'" in library.check()[0]


# a disk that refuses ---------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_or_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="is a file"):
        Library.open(tmp_path / "file", BASE)
    under = Library.open(tmp_path / "file" / "mine", BASE)
    assert under.names() == []
    with pytest.raises(ExpertError, match="cannot be changed: Not a directory"):
        under.create(toy_card("a"), toy_adapter())
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_lock_that_cannot_be_opened_is_one_line(library: Library, folder: Path) -> None:
    (folder / ".lock").mkdir(parents=True)
    with pytest.raises(ExpertError, match="cannot be changed: Is a directory"):
        library.create(toy_card("a"), toy_adapter())
    assert library.names() == []


def test_a_disk_that_fills_up_leaves_the_library_as_it_was(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.create(toy_card("a"), toy_adapter(1))
    before = snapshot(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "card.json")

    monkeypatch.setattr(library_module, "save_card", full)
    for over, name in ((False, "b"), (True, "a")):
        with pytest.raises(ExpertError, match=r"cannot be changed: No space left on device: card\.json"):
            library.create(toy_card(name), toy_adapter(2), over=over)
    assert snapshot(folder) == before
    assert same(library.adapter("a"), toy_adapter(1))
