"""The vector index: true neighbours, deletes, files that are whole, and never a mix of two embedders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.errors import MemoryStoreError
from reverie.memory.vectors import VectorIndex

SIZE = 16


def unit(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(count: int = 200, folder: Path | None = None) -> tuple[VectorIndex, np.ndarray]:
    index, vectors = VectorIndex.open(folder, "toy", SIZE), unit(count)
    index.add(np.arange(1, count + 1), vectors)
    return index, vectors


def test_finds_the_true_neighbours_best_first() -> None:
    index, vectors = filled()
    queries = unit(20, seed=1)
    ids, likeness = index.search(queries, 5)
    true = np.argsort(-(queries @ vectors.T), axis=1)[:, :5] + 1
    assert (ids == true).mean() > 0.97  # stored as 16-bit floats: near ties may swap
    assert np.all(np.diff(likeness, axis=1) <= 1e-6)
    assert np.allclose(likeness, np.sort(queries @ vectors.T, axis=1)[:, ::-1][:, :5], atol=2e-3)


def test_exact_search_agrees_with_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    index, _ = filled(1000)
    queries = unit(50, seed=2)
    exact, _ = index.search(queries, 10, exact=True)
    monkeypatch.setattr("reverie.memory.vectors._EXACT", 0)
    graph, _ = index.search(queries, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), graph.tolist(), strict=True)]
    assert np.mean(shared) > 0.95


def test_among_looks_at_these_only() -> None:
    index, vectors = filled()
    ids, likeness = index.search(vectors[:1], 3, among=[5, 7, 9, 999])
    assert set(ids[0].tolist()) == {5, 7, 9}
    assert likeness[0, 0] == pytest.approx(float(max(vectors[0] @ vectors[i - 1] for i in (5, 7, 9))), abs=2e-3)


def test_removed_and_replaced_vectors_are_not_found_again() -> None:
    index, vectors = filled(50)
    assert index.remove([3, 4, 999]) == 2
    assert 3 not in index
    assert len(index) == 48
    assert 3 not in index.search(vectors[2:3], 48)[0]
    index.add([7], -vectors[6:7])
    assert len(index) == 48
    assert index.search(-vectors[6:7], 1)[0][0, 0] == 7
    assert index.similarities(vectors[6], [7, 3]).tolist() == pytest.approx([-1, 0], abs=2e-3)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 30)), max_size=40))
@settings(max_examples=30, deadline=None)
def test_behaves_like_a_dictionary(steps: list[tuple[bool, int, int]]) -> None:
    index, model, pool = VectorIndex("toy", SIZE), {}, unit(31)
    for adds, key, which in steps:
        if adds:
            index.add([key], pool[which : which + 1])
            model[key] = pool[which]
        else:
            assert index.remove([key]) == (model.pop(key, None) is not None)
    assert len(index) == len(model)
    places, vectors = index.get(sorted(model))
    assert places.tolist() == list(range(len(model)))
    assert np.allclose(vectors, [model[key] for key in sorted(model)] or np.zeros((0, SIZE)), atol=2e-3)


def test_empty_index_finds_nothing() -> None:
    ids, likeness = VectorIndex("toy", SIZE).search(unit(2), 5)
    assert ids.shape == likeness.shape == (2, 0)
    assert VectorIndex("toy", SIZE).similarities(unit(1)[0], [1, 2]).tolist() == [0, 0]


def test_survives_saving(tmp_path: Path) -> None:
    index, vectors = filled(30, tmp_path / "nodes")
    index.seq, index.waiting = 7, {40: None, 41: None}
    index.save()
    again = VectorIndex.open(tmp_path / "nodes", "toy", SIZE)
    assert (len(again), again.seq, list(again.waiting)) == (30, 7, [40, 41])
    assert again.search(vectors[:1], 1)[0][0, 0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["nodes"], "no temporary file stays"


def test_another_embedders_index_is_not_used(tmp_path: Path) -> None:
    filled(30, tmp_path / "nodes")[0].save()
    assert len(VectorIndex.open(tmp_path / "nodes", "other", SIZE)) == 0
    assert len(VectorIndex.open(tmp_path / "nodes", "toy", SIZE + 1)) == 0
    assert len(VectorIndex.open(tmp_path / "nodes", "toy", SIZE)) == 30, "looking does not destroy it"


@pytest.mark.parametrize("damage", ["manifest.json", "vectors.usearch", "waiting.npy"])
def test_damaged_files_are_an_empty_index(tmp_path: Path, damage: str) -> None:
    index, _ = filled(30, tmp_path / "nodes")
    index.seq = 7
    index.save()
    (tmp_path / "nodes" / damage).write_bytes(b"nonsense")
    again = VectorIndex.open(tmp_path / "nodes", "toy", SIZE)
    assert (len(again), again.seq, again.waiting) == (0, 0, {})
    again.add([1], unit(1))
    again.save()
    assert len(VectorIndex.open(tmp_path / "nodes", "toy", SIZE)) == 1


def test_a_manifest_of_another_count_is_damage(tmp_path: Path) -> None:
    filled(30, tmp_path / "nodes")[0].save()
    manifest = tmp_path / "nodes" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"count": 29}))
    assert len(VectorIndex.open(tmp_path / "nodes", "toy", SIZE)) == 0


def test_bad_input_is_refused() -> None:
    index, _ = filled(5)
    with pytest.raises(ValueError, match="shape"):
        index.add([1, 2], unit(1))
    with pytest.raises(ValueError, match="16 numbers"):
        index.search(np.zeros((1, 3), np.float32), 1)
    with pytest.raises(MemoryStoreError, match="at least 1"):
        VectorIndex("toy", 0)
    assert len(index) == 5


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    index, _ = filled(5, tmp_path / "file" / "nodes")
    with pytest.raises(MemoryStoreError, match="cannot save the vectors"):
        index.save()
