"""Names of nodes, and the nodes of a name."""

from __future__ import annotations

from reverie.memory.linking import EntityIndex


def test_a_name_of_any_number_of_nodes_keeps_each_once_and_in_order() -> None:
    for count in (1, 2, 8, 9, 40):
        names = EntityIndex()
        for _ in range(2):
            for node in range(count):
                names.add(node, "Tolver lighthouse", "passage")
        assert names.find("tolver lighthouse") == (tuple(range(count)), 1.0), count


def test_names_of_one_document_are_added_in_time_that_grows_with_their_number_alone() -> None:
    """All passages of a document have its title: each is compared with none of the others."""

    class Counted(int):
        compared = 0
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return int(self) == other

    def compared(count: int) -> int:
        names, Counted.compared = EntityIndex(), 0
        for node in range(count):
            names.add(Counted(node), "Tolver lighthouse", "passage")
        return Counted.compared

    assert compared(2_000) < 3 * compared(1_000)
