"""The facade: everything follows the store, whoever writes to it, and nothing stale is recalled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from reverie.data import FactRow, NodeRow
from reverie.errors import MemoryStoreError, UnknownNameError
from reverie.memory.embedders import WordsEmbedder
from reverie.memory.linking import LINKED
from reverie.memory.memory import Memory
from reverie.memory.recall import RecallConfig
from reverie.memory.store import Store

EGG = FactRow("egg", "AtLocation", "refrigerator", source="test")
FILM = NodeRow("Night Train (film)", "passage", "Night Train is a film directed by Anna Kowal.")
DIRECTOR = NodeRow("Anna Kowal", "passage", "Anna Kowal (born 1920) was a director.")


class Counting(WordsEmbedder):
    """Remembers what it was asked to embed."""

    def __init__(self, name: str = "counting", size: int = 64):
        super().__init__(size)
        self.name, self.texts = name, list[str]()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return super().embed(texts)


def places(memory: Memory, question: str = "Where is the egg?") -> set[str]:
    return {fact.object for fact in memory.recall(question).facts}


def links(memory: Memory) -> set[tuple[str, str, str]]:
    memory.refresh()
    ids = [
        edge.id
        for name in (FILM.name, DIRECTOR.name)
        for node in memory.store.find(name)
        for edge in memory.store.edges_of(node.id)
    ]
    return {(fact.subject, fact.relation, fact.object) for fact in memory.store.facts(sorted(set(ids)))}


def test_a_write_is_recalled_by_the_next_question(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db") as memory:
        assert memory.recall("Where is the egg?").facts == ()
        written = memory.write([EGG])
        assert written.new_edges == 1
        assert places(memory) == {"refrigerator"}
        memory.write([FactRow("egg", "AtLocation", "nest", source="test")])
        assert places(memory) == {"refrigerator", "nest"}


def test_another_processs_write_is_recalled(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db") as memory, Store.open(tmp_path / "kg.db") as other:
        memory.write([EGG])
        other.write([FactRow("egg", "AtLocation", "nest", source="other")])
        assert places(memory) == {"refrigerator", "nest"}


def test_deleted_facts_and_nodes_are_not_recalled(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        written = memory.write([EGG, FactRow("egg", "AtLocation", "nest", source="test")])
        memory.index()
        memory.store.delete_edges(written.edges[:1].tolist())
        assert places(memory) == {"nest"}
        memory.store.delete_node(memory.store.find("egg")[0].id)
        found = memory.recall("Where is the egg?")
        assert found.facts == ()
        assert "egg" not in [node.name for node, _ in found.nodes]


def test_merged_names_lead_to_the_node_that_is_left(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        memory.write([EGG, FactRow("ovum", "IsA", "cell", source="test")])
        memory.recall("ovum")
        egg, ovum = memory.store.find("egg")[0], memory.store.find("ovum")[0]
        memory.store.merge(egg.id, [ovum.id])
        assert places(memory, "what is an ovum?") >= {"cell", "refrigerator"}


def test_reopening_finds_everything_again_without_embedding(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", Counting()) as memory:
        memory.write([EGG])
        memory.index()
    embedder = Counting()
    with Memory.open(tmp_path / "kg.db", embedder) as memory:
        assert places(memory) == {"refrigerator"}
        assert embedder.texts == ["Where is the egg?"]


def test_another_embedder_starts_anew(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db", Counting("one")) as memory:
        memory.write([EGG])
        memory.index()
    embedder = Counting("two", 32)
    with Memory.open(tmp_path / "kg.db", embedder) as memory:
        memory.index()
    assert set(embedder.texts) == {"egg", "refrigerator", "egg at location refrigerator"}


def test_stale_vectors_are_replaced(tmp_path: Path) -> None:
    embedder = Counting()
    with Memory.open(tmp_path / "kg.db", embedder) as memory:
        memory.write([NodeRow("note", "passage", "all about cars")])
        memory.index()
        memory.write([NodeRow("note", "passage", "all about violins")])
        embedder.texts.clear()
        found = memory.recall("violins")
        assert embedder.texts[0] == "note\nall about violins"
        assert found.nodes[0][0].name == "note"
        assert memory.recall("cars").nodes == (), "what it said before is forgotten"


def test_recall_embeds_few_and_index_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    rows = [NodeRow(f"thing {number}") for number in range(600)]
    embedder = Counting()
    with Memory.open(tmp_path / "kg.db", embedder, settings=RecallConfig(lazy=10)) as memory:
        memory.write(rows)
        memory.recall("thing 5")
        assert len(embedder.texts) == 11, "ten things and the question"

        def interrupt(what: str, done: int, of: int) -> None:
            if what == "embedding" and done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            memory.index(interrupt)
    again = Counting()
    with Memory.open(tmp_path / "kg.db", again) as memory:
        seen: list[tuple[int, int]] = []
        memory.index(lambda what, done, of: seen.append((done, of)) if what == "embedding" else None)
    assert 0 < len(again.texts) < 600
    assert len({*embedder.texts, *again.texts} - {"thing 5"}) >= 599
    assert seen[-1][0] == seen[-1][1]


def test_passages_are_linked_in_whatever_order_they_come(tmp_path: Path) -> None:
    together = {(FILM.name, "directed by", DIRECTOR.name)}
    for name, batches in {"a": [[FILM, DIRECTOR]], "b": [[FILM], [DIRECTOR]], "c": [[DIRECTOR], [FILM]]}.items():
        with Memory.open(tmp_path / f"{name}.db") as memory:
            for rows in batches:
                memory.write(rows)
                memory.refresh()
            assert links(memory) == together


def test_few_new_passages_do_not_have_every_passage_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [NodeRow(f"Passage number {n}", "passage", f"The {n}th passage speaks of nothing.") for n in range(50)]
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write([FILM, *others])
        memory.refresh()
        read: list[int] = []
        link = memory._link_batch
        monkeypatch.setattr(memory, "_link_batch", lambda ids: (read.extend(ids), link(ids)))
        memory.write([DIRECTOR])
        assert links(memory) == {(FILM.name, "directed by", DIRECTOR.name)}
        assert len(read) == 2


def test_links_follow_a_passages_new_words(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write([FILM, DIRECTOR])
        assert links(memory)
        memory.write([NodeRow(FILM.name, "passage", "A film that nobody made.")])
        assert links(memory) == set()


def test_links_survive_and_are_not_made_twice(tmp_path: Path) -> None:
    with Memory.open(tmp_path / "kg.db") as memory:
        memory.write([FILM, DIRECTOR])
        memory.refresh()
        seq = memory.store.seq()
    with Memory.open(tmp_path / "kg.db") as memory:
        assert links(memory) == {(FILM.name, "directed by", DIRECTOR.name)}
        assert memory.store.seq() == seq
        assert {edge.source for edge in memory.store.edges_of(1)} == {LINKED}


def test_titles_that_another_passage_is_also_known_by_stay_apart(tmp_path: Path) -> None:
    rows = [
        NodeRow("Anna Kowal, Countess of Lipno", "passage", "Anna Kowal (born 1700) was a countess."),
        NodeRow("Anna Kowal", "passage", "Anna Kowal (born 1920) was a director."),
    ]
    with Memory.open(tmp_path / "kg.db") as memory:
        assert len(set(memory.write(rows).nodes.tolist())) == 2
        assert {node.name for node, _ in memory.recall("Who was Anna Kowal?").nodes} == {row.name for row in rows}


def test_pictures_are_recalled_by_their_looks(tmp_path: Path) -> None:
    import torch
    from PIL import Image

    from reverie.memory.embedders import PictureEmbedder
    from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.new("RGB", (32, 32), (200, 10, 10)).save(tmp_path / "red.png")
    tokenizer = ImageTokenizer(ImageTokenizerConfig(stride=8, width=16), torch.Generator().manual_seed(0))
    with Memory.open(tmp_path / "kg.db", pictures=PictureEmbedder(tokenizer)) as memory:
        files = [str(tmp_path / name) for name in ("noise.png", "red.png", "gone.png")]
        memory.write([NodeRow(file, "picture", "a picture") for file in files])
        found = memory.recall("", pictures=[noise])
        assert found.nodes[0][0].name == files[0]
        assert files[2] not in [node.name for node, _ in found.nodes]


def test_what_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown embedder"):
        Memory.open(tmp_path / "kg.db", "no-such-embedder")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MemoryStoreError) as error:
        Memory.open(tmp_path / "kg.db", create=False)
    assert "\n" not in str(error.value)


def test_a_server_keeps_the_vectors_for_all(postgres: Callable[[], str]) -> None:
    address = postgres()
    with Memory.open(address, Counting()) as memory:
        memory.write([EGG, FILM, DIRECTOR])
        memory.index()
        first = memory.recall("Where is the egg?")
    embedder = Counting()
    with Memory.open(address, embedder) as memory:
        assert [fact.object for fact in memory.recall("Where is the egg?").facts] == [f.object for f in first.facts]
        assert embedder.texts == ["Where is the egg?"]
        assert links(memory) == {(FILM.name, "directed by", DIRECTOR.name)}


def test_vectors_that_cannot_be_saved_do_not_spoil_the_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kg.vectors").write_text("in the way")
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        memory.write([EGG])
        assert places(memory) == {"refrigerator"}
        with pytest.raises(MemoryStoreError, match="cannot save the vectors"):
            memory.index()
    assert "cannot save the vectors" in caplog.text


def test_a_look_into_the_store_loads_no_topology_and_a_recall_tells_of_its_progress(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with Memory.open(tmp_path / "kg.db", WordsEmbedder()) as memory:
        memory.write([FactRow("egg", "IsA", "food")])
        assert memory.store.find("egg")
        assert memory.address == str(tmp_path / "kg.db")
        assert "topology" not in vars(memory)
        found = memory.recall("What is an egg?", progress=lambda *step: told.append(step))
        assert found.facts
        assert memory.topology.num_edges == 1
    assert told == [("embedding", 0, 2), ("embedding", 2, 2)]
