"""A library that changes while others read it; writers may die at any point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reverie.experts.library import Library
from toy_experts import BASE, same, save_expert, toy_adapter, toy_card


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
