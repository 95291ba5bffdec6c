"""Drawing a memory: nothing overlaps, what matters shows, and any graph can be drawn."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.data import NODE_KINDS, FactRow, NodeRow
from reverie.drawing import drawable
from reverie.memory import draw
from reverie.memory.contract import Recalled
from reverie.memory.draw import Arrow, Box, Graph, draw_graph, graph_of
from reverie.memory.store import Store


def random_graph(seed: int, count: int = 30, arrows: int = 36) -> Graph:
    """Two hubs, a few loops and double arrows, long and short names."""
    rng = np.random.default_rng(seed)
    boxes = [
        Box(" ".join("word" * int(rng.integers(1, 4)) for _ in range(rng.integers(1, 5))), kind, number < 2)
        for number, kind in enumerate(rng.choice(NODE_KINDS, count).tolist())
    ]
    ends = [(int(rng.integers(2)), number) for number in range(2, count)]
    ends += rng.integers(0, count, (arrows - len(ends), 2)).tolist()
    return Graph(tuple(boxes), tuple(Arrow(a, b, "ReceivesAction", float(rng.random())) for a, b in ends))


def placed(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """(center, size) of every box and label as drawn."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    true = draw._Sheet.picture

    def picture(self: draw._Sheet, title: str, note: str) -> object:
        found.extend((center, drawn.size) for center, drawn in zip(self.centers, self.boxes, strict=True))
        found.extend((spot, link.label_size) for spot, link in zip(self.spots, self.links, strict=True))
        return true(self, title, note)

    monkeypatch.setattr(draw._Sheet, "picture", picture)
    draw_graph(graph, "a question")
    return found


@pytest.mark.parametrize("seed", range(3))
def test_no_box_and_no_label_overlaps_another(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for (a, a_size), (b, b_size) in combinations(placed(random_graph(seed), monkeypatch), 2):
        assert (np.abs(a - b) >= (a_size + b_size) / 2 - 1e-6).any()


def test_the_same_graph_gives_the_same_picture() -> None:
    graph = random_graph(0, 10, 12)
    assert draw_graph(graph, "?").tobytes() == draw_graph(graph, "?").tobytes()


def test_seeds_are_framed_in_gold_and_kinds_have_their_colours() -> None:
    plain = draw_graph(Graph((Box("egg", "outcome"),)))
    framed = draw_graph(Graph((Box("egg", "outcome", named=True),)))
    colors = [{color for _, color in picture.getcolors(1 << 20) or []} for picture in (plain, framed)]
    assert draw._COLORS["outcome"][0] in colors[0] & colors[1]
    assert draw._GOLD in colors[1] - colors[0]


def test_what_matters_more_is_thicker() -> None:
    def blue(score: float) -> int:
        graph = Graph((Box("a"), Box("b"), Box("c"), Box("d")), (Arrow(0, 1, "", 1.0), Arrow(2, 3, "", score)))
        return int((np.asarray(draw_graph(graph)) != draw._PAPER).any(2).sum())

    assert blue(1.0) > blue(0.1)


def test_letters_that_the_font_lacks_lose_their_accents() -> None:
    assert drawable("Martínez – naïve straße: egg") == "Martinez - naive strasse: egg"
    assert drawable("中") in "□?"  # missed, not left out


def test_an_empty_graph_says_so() -> None:
    picture = draw_graph(Graph(()), "What is it?")
    assert picture.width == draw._NARROWEST
    assert len(picture.getcolors(1 << 20) or []) > 2


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_graph_can_be_drawn(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    boxes = st.builds(Box, st.text(max_size=40), st.sampled_from(NODE_KINDS), st.booleans())
    arrows = st.builds(
        Arrow, st.integers(0, count - 1), st.integers(0, count - 1), st.text(max_size=30), st.floats(0, 1)
    )
    graph = Graph(
        tuple(data.draw(st.lists(boxes, min_size=count, max_size=count))),
        tuple(data.draw(st.lists(arrows, max_size=12))),
    )
    picture = draw_graph(graph, data.draw(st.text(max_size=60)))
    assert picture.mode == "RGB"
    assert min(picture.size) > 100


def test_the_graph_of_a_question_holds_its_best_facts(tmp_path: Path) -> None:
    with Store.open(tmp_path / "kg.db") as store:
        written = store.write(
            [FactRow("egg", "IsA", f"thing {number}") for number in range(9)] + [NodeRow("note", "passage")]
        )
        facts = store.facts(written.edges.tolist())
        found = Recalled("egg?", tuple(facts), nodes=((store.find("note")[0], 0.5),))
        start_nodes = [store.find("egg")[0].id]
        graph = graph_of(store, found, start_nodes)
        assert [box.name for box in graph.boxes] == ["egg", *(f"thing {number}" for number in range(9)), "note"]
        assert [box.named for box in graph.boxes] == [True] + [False] * 10
        assert graph.boxes[-1].kind == "passage"
        assert [(arrow.start, arrow.end, arrow.label) for arrow in graph.arrows] == [
            (0, n, "IsA") for n in range(1, 10)
        ]
        small = graph_of(store, found, start_nodes, most=4)
        assert (len(small.boxes), len(small.arrows)) == (4, 3)
        store.delete_node(store.find("note")[0].id)
        assert [box.name for box in graph_of(store, found).boxes].count("(deleted)") == 1
