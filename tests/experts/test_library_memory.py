"""What of a library is in memory: within its budget, pinned, in use."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from reverie.errors import ConfigError
from reverie.experts import library as library_module
from reverie.experts.library import Library, LibraryConfig
from reverie.paths import default_library
from toy_experts import BASE, save_expert, toy_adapter


def fill(folder: Path, number: int) -> Library:
    library = Library.open(folder, BASE)
    for seed in range(number):
        save_expert(folder / f"e{seed}", seed)
    return library


def test_memory_stays_in_its_budget_and_what_is_used_longest_ago_goes(folder: Path) -> None:
    fill(folder, 5)
    size = toy_adapter().nbytes
    library = Library.open(folder, BASE, settings=LibraryConfig(budget_bytes=3 * size, reserve_bytes=0))
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
    library = Library.open(folder, BASE, settings=LibraryConfig(budget_bytes=size, reserve_bytes=0))
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
    library = Library.open(folder, BASE, settings=LibraryConfig(budget_bytes=4 * size, reserve_bytes=100 * size))
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
    monkeypatch.setattr(library_module.ExpertFolder, "names", None)
    library.adapter("e1")
    assert read == [folder / "e1"]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="budget_bytes"):
        LibraryConfig(budget_bytes=-1)
    with pytest.raises(ConfigError, match="reserve_bytes"):
        LibraryConfig(reserve_bytes=0.5)  # type: ignore[arg-type]


def test_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path))
    assert default_library(BASE) == tmp_path / "experts" / BASE[:12]
    monkeypatch.setenv("REVERIE_EXPERTS", "elsewhere")
    assert default_library(BASE) == Path("elsewhere")
