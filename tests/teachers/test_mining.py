"""Facts out of a teacher's words: they lie in the memory with its name, and go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.data import FactRow
from reverie.errors import ConfigError
from reverie.memory import Memory
from reverie.speakers import Message
from reverie.teachers import Trace, mine

SAID = [
    Trace("What is an oak?", "An oak is a tree. It can burn.", teacher="toy"),
    Trace((Message("user", "What is ice?"),), "Ice is a solid. An oak is a tree.", teacher="toy"),
    Trace("What happens?", "If you drop an egg, it breaks. A cat is a", teacher="toy", finished=False),
    Trace("What is a cat?", "A cat is an animal.", teacher="other"),
    Trace("What is a dog?", "A dog is a stone. " * 20, teacher="toy", flaw="it repeats itself"),
]


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory.open(tmp_path / "kg.db", compiled=False)


def facts(memory: Memory) -> set[tuple[str, str, str, str]]:
    nodes = [one.id for name in ("oak", "Ice", "drop an egg", "cat") for one in memory.store.find(name)]
    edges = [edge for node in nodes for edge in memory.store.edges_of(node)]
    told = memory.store.facts(sorted({edge.id for edge in edges}))
    assert all(fact.confidence == pytest.approx(0.3) for fact in told if fact.source.startswith("teacher:"))
    return {(fact.subject, fact.relation, fact.object, fact.source) for fact in told}


def test_what_is_said_is_kept_with_who_said_it(memory: Memory) -> None:
    with memory:
        mined = mine(SAID, memory)
        assert (mined.replies, mined.sentences, mined.facts, mined.new) == (4, 7, 4, 4)
        assert mined.sources == ("teacher:other", "teacher:toy")
        assert facts(memory) == {
            ("oak", "IsA", "tree", "teacher:toy"),
            ("Ice", "IsA", "solid", "teacher:toy"),
            ("drop an egg", "Causes", "the egg breaks", "teacher:toy"),
            ("cat", "IsA", "animal", "teacher:other"),
        }
        assert [fact.subject for fact in memory.recall("What happens when you drop an egg?").facts][:1] == [
            "drop an egg"
        ]
        again = mine(SAID, memory)
        assert (again.facts, again.new) == (4, 0)


def test_it_is_taken_back_by_its_teacher(memory: Memory) -> None:
    with memory:
        memory.write([FactRow("oak", "IsA", "tree", source="me")])
        mine(SAID[:1], memory)
        mine(SAID[1:], memory)
        assert {one.source: one.facts for one in memory.documents.list()} == {"teacher:toy": 3, "teacher:other": 1}
        memory.documents.delete(memory.documents.find("teacher:toy").id)
        assert facts(memory) == {("oak", "IsA", "tree", "me"), ("cat", "IsA", "animal", "teacher:other")}
        assert mine(SAID[:1], memory).new == 1


def test_what_no_memory_takes_is_left_out(memory: Memory) -> None:
    with memory:
        odd = Trace("x" * 5000, "An \udc80oak is a tree. A stone is a thing\0y.", teacher="\x1b[2Jodd" * 3)
        assert mine([odd], memory).facts == 0
        assert mine([], memory).replies == 0
        with pytest.raises(ConfigError, match="confidence of a teacher's facts"):
            mine(SAID, memory, confidence=0)
