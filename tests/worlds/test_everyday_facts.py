"""What the everyday world has to say as facts: of two things and one action, as playing every scene takes a minute."""

from __future__ import annotations

from collections import Counter

import pytest

from reverie.data import FactRow
from reverie.nouns import CAUSES
from reverie.worlds import make_world
from reverie.worlds.everyday import facts


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[FactRow]:
    monkeypatch.setattr(facts, "THINGS", {name: facts.THINGS[name] for name in ("egg", "ball")})
    monkeypatch.setattr(facts, "ACTIONS", ("drop",))
    return make_world("Everyday").facts()


def test_things_are_said_to_be_what_they_are(said: list[FactRow]) -> None:
    told = {(row.subject, row.relation, row.object) for row in said}
    assert {("egg", "HasProperty", "fragile"), ("ball", "NotHasProperty", "fragile")} <= told
    assert ("ball", "CapableOf", "roll") in told


def test_outcomes_of_a_situation_share_its_confidence(said: list[FactRow]) -> None:
    outcomes = [row for row in said if row.relation == CAUSES]
    shares = Counter[str]()
    for row in outcomes:
        assert row.confidence is not None
        shares[row.subject] += row.confidence  # type: ignore[assignment]
    assert shares
    assert all(share == pytest.approx(1, abs=0.01) for share in shares.values())
    assert any("egg" in row.subject and "break" in row.object for row in outcomes)
    assert not any("ball" in row.subject and "break" in row.object for row in outcomes)
    assert {row.subject for row in outcomes} == {row.subject for row in said if row.relation == "About"}
