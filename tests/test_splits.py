"""Where something belongs never changes: models were trained on one side of it."""

from __future__ import annotations

from reverie.splits import share_of


def test_a_share_is_what_it_was() -> None:
    assert share_of("What happens when you drop an egg?") == 0.1416030114968776
    assert share_of("What happens when you drop an egg?", 1) == 36 / 256


def test_shares_are_spread_evenly() -> None:
    shares = [share_of(str(number)) for number in range(2000)]
    assert 0 <= min(shares) <= max(shares) < 1
    assert 150 < sum(share < 0.1 for share in shares) < 250
