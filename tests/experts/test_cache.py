"""The byte cache: what was used longest ago goes first, what is in use stays, and one load serves all who ask."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reverie.errors import ConfigError
from reverie.experts.cache import ByteCache, free_memory, own_pages


def cache_of(budget: int, free: list[int] | None = None) -> ByteCache[str, bytes]:
    """A cache of bytes; ``free[0]`` is what the machine can spare."""
    return ByteCache(budget, len, (lambda: free[0]) if free else None)


def put(cache: ByteCache[str, bytes], key: str, size: int = 10) -> bytes:
    return cache.get(key, lambda: bytes(size))


def kept(cache: ByteCache[str, bytes], keys: str) -> str:
    return "".join(key for key in keys if key in cache)


def test_a_value_is_loaded_once_and_then_handed_out() -> None:
    cache, loads = cache_of(100), []
    values = [cache.get("a", lambda: loads.append(1) or bytes(10)) for _ in range(3)]
    assert len(loads) == 1
    assert values[0] is values[1] is values[2]
    assert (cache.hits, cache.misses, cache.evictions, cache.nbytes, len(cache)) == (2, 1, 0, 10, 1)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = cache_of(30)
    for key in "abc":
        put(cache, key)
    put(cache, "a")
    put(cache, "d")
    assert kept(cache, "abcd") == "acd"
    put(cache, "e", 20)  # as many go as it takes
    assert kept(cache, "acde") == "de"
    assert (cache.nbytes, cache.evictions) == (30, 3)


def test_a_value_larger_than_the_budget_is_handed_out_and_not_kept() -> None:
    cache = cache_of(30)
    put(cache, "a")
    assert len(put(cache, "huge", 31)) == 31
    assert "huge" not in cache
    assert cache.nbytes <= 30


def test_what_is_held_stays_whatever_comes_and_goes_when_it_is_let_go() -> None:
    cache = cache_of(20)
    with cache.hold("ab"), cache.hold("a"):
        for key in "abcd":
            put(cache, key)
        assert kept(cache, "abcd") == "ab"
        with cache.hold("e"):  # held before it is here
            put(cache, "e")
            assert kept(cache, "abe") == "abe"
            assert cache.nbytes == 30
        assert kept(cache, "abe") == "ab"  # held by others
    put(cache, "f")
    assert kept(cache, "abf") == "bf"


def test_a_hold_ends_when_its_block_raises() -> None:
    cache = cache_of(10)
    with pytest.raises(ZeroDivisionError), cache.hold("a"):
        cache.get("a", lambda: bytes(10))[0] // 0
    put(cache, "b")
    assert kept(cache, "ab") == "b"


def test_what_is_pinned_stays_until_it_is_unpinned() -> None:
    cache = cache_of(10)
    cache.pin("a")
    for key in "abc":
        put(cache, key)
    assert kept(cache, "abc") == "a"
    cache.pin("a", on=False)
    put(cache, "d")
    assert kept(cache, "ad") == "d"


def test_a_machine_that_lacks_memory_gets_some_back_but_not_what_is_in_use() -> None:
    free = [1000]
    cache = cache_of(100, free)
    for key in "abcd":
        put(cache, key)
    free[0] = -15
    with cache.hold("a"):
        put(cache, "e")
        assert kept(cache, "abcde") == "ade"  # two of ten bytes are enough
        free[0] = -1000
        cache.trim()
        assert kept(cache, "ade") == "a"
    assert kept(cache, "a") == ""
    assert (cache.nbytes, cache.evictions) == (0, 5)


def test_room_can_be_made_before_a_value_is_loaded() -> None:
    cache = cache_of(30)
    for key in "abc":
        put(cache, key)
    cache.trim(coming=15)
    assert kept(cache, "abc") == "c"
    with cache.hold("c"):
        cache.trim(coming=1000)
    assert kept(cache, "c") == "c"


def test_dropping_forgets_even_what_is_held_or_on_its_way() -> None:
    cache = cache_of(100)
    with cache.hold("a"):
        put(cache, "a")
        cache.drop("a")
        assert "a" not in cache

    def load() -> bytes:
        cache.drop("b")  # what is being loaded is out of date already
        return bytes(10)

    assert len(cache.get("b", load)) == 10
    assert "b" not in cache
    assert cache.nbytes == 0
    cache.drop("never there")


def test_a_load_that_fails_leaves_nothing_and_the_next_one_may_work() -> None:
    cache = cache_of(100)

    def fail() -> bytes:
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        cache.get("a", fail)
    assert len(put(cache, "a")) == 10
    assert (cache.nbytes, cache.misses) == (10, 2)


def test_many_who_ask_at_once_wait_for_one_load_and_hold_up_nobody_else() -> None:
    cache, loads, started = cache_of(100), [], threading.Event()
    go = threading.Event()

    def slow() -> bytes:
        loads.append(1)
        started.set()
        assert go.wait(10)
        return bytes(10)

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.get, "slow", slow) for _ in range(6)]
        assert started.wait(10)
        assert pool.submit(put, cache, "quick").result(10) == bytes(10)
        assert not any(one.done() for one in waiting)
        go.set()
        values = {id(one.result(10)) for one in waiting}
    assert (len(loads), len(values)) == (1, 1)


def test_those_who_waited_for_a_load_that_failed_try_it_themselves() -> None:
    cache, tries, lock = cache_of(100), [], threading.Lock()

    def flaky() -> bytes:
        with lock:
            tries.append(1)
            first = len(tries) == 1
        if first:
            time.sleep(0.05)
            raise OSError
        return bytes(10)

    def ask() -> int:
        try:
            return len(cache.get("a", flaky))
        except OSError:
            return -1

    with ThreadPoolExecutor(4) as pool:
        given = sorted(one.result(10) for one in [pool.submit(ask) for _ in range(4)])
    assert given == [-1, 10, 10, 10]


def test_threads_that_hold_keep_what_they_hold_while_others_fill_the_cache() -> None:
    cache = ByteCache[int, bytes](60, len)
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(200):
            mine = rng.sample(range(30), 2)
            with cache.hold(mine):
                first = [cache.get(key, lambda: bytes(10)) for key in mine]
                time.sleep(0)
                again = [cache.get(key, lambda: bytes(10)) for key in mine]
                if not all(one is other for one, other in zip(first, again)):
                    failures.append(f"{mine} were thrown out while they were held")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert cache.evictions > 0
    assert cache.nbytes == 10 * len(cache) <= 60


def test_a_budget_below_zero_is_refused_and_one_of_zero_keeps_nothing() -> None:
    with pytest.raises(ConfigError, match="got -1"):
        cache_of(-1)
    cache = cache_of(0)
    put(cache, "a")
    assert len(cache) == 0


def test_free_memory_heeds_the_limit_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory() > 0
    monkeypatch.setattr("reverie.experts.cache._GROUP", tmp_path)
    before = free_memory()
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    assert free_memory() > before / 2
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    assert free_memory() == 500  # what it only caches of files can be taken back


def test_pages_of_their_own_go_back_when_the_last_tensor_in_them_goes() -> None:
    import psutil

    process, size = psutil.Process(), 50 * 2**20
    before = process.memory_info().rss
    pages = own_pages(size // 4)
    pages.fill_(1)
    part = pages[:10]
    del pages
    assert process.memory_info().rss - before > 0.9 * size
    assert part.tolist() == [1] * 10
    del part
    assert process.memory_info().rss - before < 0.1 * size
