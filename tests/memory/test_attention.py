"""Facts become a graph whose edges keep their order, and a reading of it is the same after saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import BundleError
from reverie.memory.attention import EDGE_SIZE, FactAttention, fact_graph, save_fact_attention, word_features
from reverie.model.graph_attention import GraphAttention, GraphAttentionConfig
from reverie.nouns import Fact

FACTS = [
    Fact("egg", "HasProperty", "fragile", "a toy", confidence=0.5),
    Fact("drop the egg", "Causes", "the egg breaks", "a toy"),
    Fact("egg", "IsA", "food", "a toy"),
]
WIDTH = 6


def features(words: str) -> np.ndarray:
    return np.random.default_rng(abs(hash(words)) % 2**32).standard_normal(WIDTH).astype(np.float32)


@pytest.fixture
def reader() -> FactAttention:
    config = GraphAttentionConfig(
        num_relations=2,
        node_size=WIDTH,
        question_size=WIDTH,
        edge_size=EDGE_SIZE,
        hidden_size=8,
        num_layers=2,
        num_heads=2,
        num_prefix=3,
        prefix_size=10,
    )
    return FactAttention(GraphAttention(config, torch.Generator().manual_seed(0)), ["Causes", "HasProperty"], features)


def test_facts_are_edges_between_the_words_that_they_share() -> None:
    graph = fact_graph("Is an egg fragile?", FACTS, {"Causes": 0, "HasProperty": 1}, features)
    assert graph.num_nodes == 5  # egg, fragile, drop the egg, the egg breaks, food
    assert graph.edges.tolist() == [[0, 2, 0], [1, 3, 4]]
    assert graph.relations.tolist() == [1, 0, 0]  # what is not known counts as the first
    assert graph.edge_features.tolist() == [[0.5], [1.0], [1.0]]
    assert graph.start_nodes.tolist() == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.0])


def test_a_reading_scores_every_fact(reader: FactAttention) -> None:
    reading = reader.read("Is an egg fragile?", FACTS)
    assert reading.scores.shape == reading.attention.shape == (3,)
    assert ((reading.scores > 0) & (reading.scores < 1)).all()
    assert ((reading.attention > 0) & (reading.attention <= 1)).all()
    assert reading.prefix_embeddings.shape == (3, 10)
    other = reader.read("Is an egg fragile?", FACTS[:1])
    assert not np.allclose(reading.prefix_embeddings, other.prefix_embeddings)


def test_nothing_to_read_is_a_reading_too(reader: FactAttention) -> None:
    reading = reader.read("Is an egg fragile?", [])
    assert reading.scores.shape == (0,)
    assert np.isfinite(reading.prefix_embeddings).all()


def test_a_saved_reader_reads_alike(reader: FactAttention, tmp_path: Path) -> None:
    save_fact_attention(reader.network, reader.relations, tmp_path)
    again = FactAttention.load(tmp_path, features)
    assert again.relations == reader.relations
    first, second = (one.read("Is an egg fragile?", FACTS) for one in (reader, again))
    np.testing.assert_array_equal(first.prefix_embeddings, second.prefix_embeddings)
    (tmp_path / "relations.json").write_text("[1, 2]")
    with pytest.raises(BundleError, match=r"relations\.json is damaged"):
        FactAttention.load(tmp_path, features)


def test_word_features_tell_words_apart() -> None:
    from toys import toy_session

    session = toy_session()
    known = word_features(session.engine, session.grammar)
    egg, glass, nothing = known("the egg breaks"), known("the glass breaks"), known("")
    assert egg.shape == (2 * session.engine.decoder.hidden_size,)
    assert np.linalg.norm(egg) == pytest.approx(2**0.5, rel=1e-5)
    assert not np.allclose(egg, glass)
    assert np.isfinite(nothing).all()
