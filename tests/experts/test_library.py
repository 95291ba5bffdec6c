"""The library: experts come and go while others read, writers may die at any point, and memory stays in its budget."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from reverie.errors import ConfigError, ExpertError, UnknownNameError, UsageError
from reverie.experts import library as library_module
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.files import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, load_card, save_adapter, save_card
from reverie.experts.library import Library, LibrarySettings
from reverie.experts.shelf import default_library
from toy_experts import BASE, same, saved_base, toy_adapter, toy_card, toy_linears

OTHER = "07he" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mine"


@pytest.fixture
def library(folder: Path) -> Library:
    return Library.open(folder, BASE, linears=toy_linears())


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """A bundle's experts: spatial and temporal."""
    for seed, name in enumerate(("spatial", "temporal")):
        save_expert(tmp_path / "bundle" / name, seed)
    return tmp_path / "bundle"


def save_expert(folder: Path, seed: int = 0, base: str = BASE) -> Path:
    save_adapter(toy_adapter(seed), folder)
    save_card(toy_card(folder.name, base), folder)
    return folder


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder but the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items() if name != ".lock"}


# reading and writing ---------------------------------------------------------------------------------------------


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
    with pytest.raises(ExpertError, match=r"card\.json is missing"):
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


# adding ----------------------------------------------------------------------------------------------------------


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


def say_base(adapter: Path, copy: Path, said: str | None) -> Path:
    """A copy of an adapter whose config names ``said`` for its base."""
    import json

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
    assert library.add(say_base(trained[1], tmp_path / "e", "someone/toy")).notes == "a PEFT adapter"
    with pytest.raises(ExpertError, match="was made for another base"):
        library.add(trained[1], trust_base=True)  # its weights are there, and are not this base's
    assert library.names() == ["a", "b", "c", "d", "e"]


def test_a_source_that_is_none_is_one_line_and_nothing_is_added(library: Library, folder: Path, tmp_path: Path) -> None:
    for name, error, said in (
        ("nowhere", UsageError, "no folder of an adapter"),
        ("file.txt", UsageError, "is a file"),
        ("file.pt", ExpertError, "is a pickle"),
        ("empty", ExpertError, "adapter_config.json is missing"),
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


# change while in use ---------------------------------------------------------------------------------------------


def test_an_expert_that_is_replaced_is_used_anew_at_the_next_call(library: Library, folder: Path) -> None:
    reader = Library.open(folder, BASE)
    library.create(toy_card("a"), toy_adapter(1))
    key = reader.key("a")
    assert reader.key("a") == key
    first = reader.adapter("a")
    library.create(toy_card("a", notes="better"), toy_adapter(2), over=True)
    assert reader.key("a") != key
    assert same(reader.adapter("a"), toy_adapter(2))
    assert same(first, toy_adapter(1))  # who had the old one keeps it
    assert reader.card("a").notes == "better"
    assert reader.stats()["in_memory"] == 1
    library.remove("a")
    library.create(toy_card("a"), toy_adapter(3))
    assert same(reader.adapter("a"), toy_adapter(3))
    assert not [name for name in os.listdir(folder) if name.endswith((".tmp", ".old"))]


def test_names_are_seen_at_once_however_fast_they_change(library: Library, folder: Path) -> None:
    reader = Library.open(folder, BASE)
    for i in range(20):
        library.create(toy_card(f"e{i:02}"), toy_adapter(linears={"model.layers.0.mlp.up_proj": (64, 32)}))
        assert len(reader.names()) == i + 1
    for i in range(20):
        library.remove(f"e{i:02}")
        assert len(reader.names()) == 19 - i


def test_a_folder_that_rests_is_listed_once(library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.create(toy_card("a"), toy_adapter())
    hour_ago = time.time() - 3600
    os.utime(folder, (hour_ago, hour_ago))
    assert library.names() == ["a"]
    with monkeypatch.context() as without:
        without.setattr(os, "scandir", None)
        assert library.names() == ["a"]
    save_expert(folder / "b")
    assert library.names() == ["a", "b"]


def test_a_reader_never_misses_an_expert_that_is_replaced_again_and_again(library: Library, folder: Path) -> None:
    reader, stop, wrong = Library.open(folder, BASE), threading.Event(), list[str]()
    library.create(toy_card("a"), toy_adapter(0, rank=3))

    def read() -> None:
        try:
            while not stop.is_set():
                seen = reader.adapter("a")
                if not any(same(seen, toy_adapter(seed, rank=seed + 3)) for seed in range(3)):
                    wrong.append("two versions in one")
                if reader.names() != ["a"]:
                    wrong.append("not listed")
        except BaseException as error:
            wrong.append(repr(error))
            raise

    readers = [threading.Thread(target=read) for _ in range(2)]
    for one in readers:
        one.start()
    for i in range(15):
        library.create(toy_card("a"), toy_adapter(i % 3, rank=i % 3 + 3), over=True)
    stop.set()
    for one in readers:
        one.join()
    assert not wrong


WRITER = """
import sys
from pathlib import Path
from reverie.errors import ExpertError
from reverie.experts.contract import ExpertCard
from reverie.experts.files import load_adapter
from reverie.experts.library import Library
library = Library.open(Path({folder!r}), {base!r})
adapter = lambda seed: load_adapter(Path({folder!r}).with_name("sources") / str(seed))
"""


def writer(folder: Path, code: str) -> subprocess.Popen[str]:
    """Another process with ``library`` open, which knows ``adapter(seed)`` of seeds below 4."""
    for seed in range(4):
        if not (folder.with_name("sources") / str(seed)).exists():
            save_expert(folder.with_name("sources") / str(seed), seed)
    text = WRITER.format(folder=str(folder), base=BASE) + code
    return subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_what_other_processes_add_is_used_without_restart(library: Library, folder: Path) -> None:
    code = """
for i in range(4):
    library.create(ExpertCard(f"e-{i}"), adapter(i))
"""
    other, seen = writer(folder, code), set[str]()
    while other.poll() is None:
        for name in set(library.names()) - seen:
            assert same(library.adapter(name), toy_adapter(int(name[-1])))
            seen.add(name)
        time.sleep(0.005)
    _, err = other.communicate(timeout=60)
    assert other.returncode == 0, err
    assert len(library.names()) == 4
    assert library.check() == []


@pytest.mark.slow
def test_of_many_who_create_one_name_at_once_one_does(folder: Path) -> None:
    code = """
sys.stdin.readline()
try:
    library.create(ExpertCard("a"), adapter(seed))
    print("created")
except ExpertError as error:
    print(error)
"""
    writers = [writer(folder, f"seed = {seed}\n" + code) for seed in range(3)]
    told = []
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in writers:
        out, err = one.communicate(timeout=120)
        assert one.returncode == 0, err
        told.append(out.strip())
    assert sorted("created" in line or "already" in line for line in told) == [True] * 3
    assert told.count("created") == 1
    assert same(Library.open(folder, BASE).adapter("a"), toy_adapter(told.index("created")))


# Dies before the call that follows the first `after` of those that move, make or delete files.
DIE = """
import os, pathlib, shutil, signal
calls = 0
def dying(function):
    def call(*values, **named):
        global calls
        calls += 1
        if calls > {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values, **named)
    return call
for name in ("rename", "replace", "mkdir", "unlink"):
    setattr(pathlib.Path, name, dying(getattr(pathlib.Path, name)))
shutil.rmtree = dying(shutil.rmtree)
"""


@pytest.mark.slow
@pytest.mark.parametrize("change", ["create", "over", "remove", "rename"])
def test_a_writer_may_be_killed_at_any_step(tmp_path: Path, change: str) -> None:
    codes = {
        "create": "library.create(ExpertCard('b'), adapter(2))",
        "over": "library.create(ExpertCard('a'), adapter(2), over=True)",
        "remove": "library.remove('a')",
        "rename": "library.rename('a', 'b')",
    }
    died, after = -1, 0
    while died:
        folder = tmp_path / f"after-{after}"
        library = Library.open(folder, BASE)
        library.create(toy_card("a"), toy_adapter(1))
        library.adapter("a")
        one = writer(folder, DIE.format(after=after) + codes[change])
        _, err = one.communicate(timeout=120)
        died = one.returncode
        assert died in (0, -signal.SIGKILL), err
        for reader in (library, Library.open(folder, BASE)):  # before anybody has cleaned up
            assert reader.check() == []
            held = {name: reader.adapter(name) for name in reader.names()}
            first = next((seed for seed in (1, 2) if "a" in held and same(held["a"], toy_adapter(seed))), 0)
            match change:
                case "create":
                    assert (first, set(held)) in ((1, {"a"}), (1, {"a", "b"}))
                case "over":
                    assert (first, set(held)) in ((1, {"a"}), (2, {"a"}))
                case "remove":
                    assert set(held) in ({"a"}, set())
                case "rename":
                    assert set(held) in ({"a"}, {"b"})
                    assert reader.card(*held).name == next(iter(held))
        names = library.names()
        library.create(toy_card("next"), toy_adapter(3))  # the next writer cleans up and puts back
        assert library.names() == sorted([*names, "next"])
        assert library.check() == []
        assert not [name for name in os.listdir(folder) if name.endswith((".tmp", ".old"))]
        after += 1
    assert after > 2


# memory ----------------------------------------------------------------------------------------------------------


def fill(folder: Path, number: int) -> Library:
    library = Library.open(folder, BASE)
    for seed in range(number):
        save_expert(folder / f"e{seed}", seed)
    return library


def test_memory_stays_in_its_budget_and_what_is_used_longest_ago_goes(folder: Path) -> None:
    fill(folder, 5)
    size = toy_adapter().nbytes
    library = Library.open(folder, BASE, settings=LibrarySettings(budget_bytes=3 * size, reserve_bytes=0))
    for name in library.names():
        library.adapter(name)
    told = library.stats()
    assert (told["in_memory"], told["bytes_in_memory"], told["evictions"], told["misses"]) == (3, 3 * size, 2, 5)
    assert told["experts"] == 5
    assert told["bytes_on_disk"] > 5 * size / 2
    for name in ("e4", "e3", "e2"):
        library.adapter(name)
    assert library.stats()["hits"] == 3


def test_pinned_experts_stay_in_memory_and_another_process_may_say_so(folder: Path) -> None:
    fill(folder, 4)
    size = toy_adapter().nbytes
    library = Library.open(folder, BASE, settings=LibrarySettings(budget_bytes=size, reserve_bytes=0))
    pinned = library.adapter("e0")
    Library.open(folder, BASE).pin("e0")
    for name in ("e1", "e2", "e3"):
        library.adapter(name)
    assert library.adapter("e0") is pinned
    Library.open(folder, BASE).pin("e0", on=False)
    library.adapter("e1")
    assert library.adapter("e0") is not pinned


def test_what_is_in_use_stays_while_threads_load_others_and_memory_is_short(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 12)
    size, free = toy_adapter().nbytes, [10 * 2**30]
    monkeypatch.setattr(library_module, "free_memory", lambda: free[0])
    library = Library.open(folder, BASE, settings=LibrarySettings(budget_bytes=4 * size, reserve_bytes=100 * size))
    stop, wrong = threading.Event(), list[str]()

    def churn(start: int) -> None:
        i = start
        while not stop.is_set():
            library.adapter(f"e{4 + i % 8}")
            i += 1

    def hold(name: str) -> None:
        for _ in range(30):
            with library.use([name]):
                one = library.adapter(name)
                time.sleep(0.001)
                if library.adapter(name) is not one:
                    wrong.append(name)

    churners = [threading.Thread(target=churn, args=(start,)) for start in (0, 3)]
    holders = [threading.Thread(target=hold, args=(f"e{i}",)) for i in range(3)]
    for thread in (*churners, *holders):
        thread.start()
    time.sleep(0.1)
    free[0] = 0  # the machine has less than is to be left free
    for thread in holders:
        thread.join()
    stop.set()
    for thread in churners:
        thread.join()
    assert not wrong
    library.adapter("e3")  # that nobody has loaded yet: a look at the memory
    assert library.stats()["bytes_in_memory"] < size
    assert library.stats()["evictions"] > 12


def test_an_adapter_is_read_without_looking_at_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fill(folder, 3)
    read: list[Path] = []
    load = library_module.load_adapter
    monkeypatch.setattr(library_module, "load_adapter", lambda folder: read.append(folder) or load(folder))
    monkeypatch.setattr(library_module.Shelf, "names", None)
    library.adapter("e1")
    assert read == [folder / "e1"]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="budget_bytes"):
        LibrarySettings(budget_bytes=-1)
    with pytest.raises(ConfigError, match="reserve_bytes"):
        LibrarySettings(reserve_bytes=0.5)  # type: ignore[arg-type]


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))
    assert default_library(BASE) == tmp_path / "experts" / BASE[:12]
    monkeypatch.setenv("REVERIE_EXPERTS", "elsewhere")
    assert default_library(BASE) == Path("elsewhere")
