from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image

from reverie.errors import DataError, UsageError
from reverie.experts.contract import Choice
from reverie.experts.router import Router, RouterConfig
from reverie.training.routing_evaluation import evaluate, reliability, time_ratio
from reverie.training.routing_plots import draw_evaluation
from reverie.training.routing_table import NOBODY, Table


def sure_router(**changes: object) -> Router:
    """The gate of expert i is 0.88 where feature i is 1, and 0.12 where it is -1."""
    router = Router(("a", "b", "c"), 3, RouterConfig(prototypes=False, **changes), base="x")  # type: ignore[arg-type]
    with torch.no_grad():
        router.weight.copy_(2 * torch.eye(3))
        router.bias.zero_()
    return router.eval()


def table() -> Table:
    """Rows for a, b, a and b together, nobody; expert c is of no use."""
    features = torch.tensor([[1, -1, -1], [-1, 1, -1], [1, 1, -1], [-1, -1, -1]]).float()
    nats = torch.tensor([[2.0, 1.0, 2.0, 2.0], [2.0, 2.0, 0.5, 2.0], [2.0, 1.0, 1.05, 3.0], [2.0, 2.5, 2.5, 2.5]])
    return Table(("a", "b", "c"), features, nats, torch.tensor([0, 1, 0, NOBODY]), "x")


def test_the_figures_are_those_of_the_table() -> None:
    found = evaluate(sure_router(), table())
    assert found.figures["experts_a_row"] == 1
    assert found.figures["nobody_share"] == 0.25
    assert found.figures["owner_accuracy"] == 1
    assert found.figures["owner_alone"] == pytest.approx(2 / 3)
    assert found.figures["nobody_on_outsiders"] == 1
    assert found.figures["outsider_harm_nats"] == 0
    assert found.figures["oracle_accuracy"] == found.figures["wanted_accuracy"] == 1
    assert found.figures["nats"] == pytest.approx((1 + 0.5 + 1.025 + 2) / 4)
    assert found.figures["quality"] == pytest.approx((8 - 4.525) / (8 - 4.5))
    assert found.utilization == {"a": 0.5, "b": 0.5, "c": 0}
    assert found.experts_a_row == {0: 0.25, 1: 0.5, 2: 0.25}
    assert [sum(counts) for counts in found.histogram.values()] == [3, 1]


def test_the_curve_goes_from_everybody_to_nobody() -> None:
    curve = evaluate(sure_router(), table(), thresholds=(0.1, 0.3, 0.9)).curve
    assert [point["experts_a_row"] for point in curve] == [3, 1, 0]
    assert [point["quality"] for point in curve][-1] == 0
    assert [point["nobody_on_outsiders"] for point in curve] == [0, 1, 1]


def test_mixtures_are_measured_once_where_they_can_be() -> None:
    asked: list[tuple[int, Choice]] = []

    def measure(rows: Sequence[int], choices: Sequence[Choice]) -> list[float]:
        asked.extend(zip(rows, choices, strict=True))
        return [0.0] * len(rows)

    found = evaluate(sure_router(), table(), measure, thresholds=(0.3, 0.5))
    assert asked == [(2, (("a", 0.5), ("b", 0.5)))]
    assert found.figures["nats"] == pytest.approx((1 + 0.5 + 0 + 2) / 4)


def test_experts_that_left_the_table_are_not_chosen() -> None:
    whole = table()
    fewer = Table(("b",), whole.features, whole.nats[:, [0, 2]], torch.tensor([-2, 0, 0, NOBODY]), "x")
    assert evaluate(sure_router(), fewer).utilization == {"b": 0.5}


def test_calibration_is_told_from_overconfidence() -> None:
    said = torch.linspace(0, 1, 1001)
    true = torch.rand(1001, generator=torch.Generator().manual_seed(0)) < said
    assert reliability(said, true).ece < 0.06
    sure = reliability(torch.full((100,), 0.95), torch.arange(100) < 50)
    assert sure.ece == pytest.approx(0.45, abs=1e-3)
    assert sure.counts == [0] * 9 + [100]
    assert sure.true[9] == 0.5
    assert sure.true[0] is None


def test_an_evaluation_is_json_and_pictures(tmp_path: Path) -> None:
    found = evaluate(sure_router(), table())
    json.dumps(asdict(found), allow_nan=False)
    files = draw_evaluation(found, tmp_path, speed=1.2)
    assert [file.name for file in files] == ["utilization.png", "confidence.png", "calibration.png", "tradeoff.png"]
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 300


def test_a_table_of_others_is_refused() -> None:
    whole = table()
    with pytest.raises(UsageError, match="it has no gate for z"):
        evaluate(sure_router(), Table(("z",), whole.features, whole.nats[:, :2], torch.full((4,), -2), "x"))
    with pytest.raises(UsageError, match=r"base y.* does not fit the router: base x"):
        evaluate(sure_router(), Table(whole.names, whole.features, whole.nats, whole.owners, "y"))
    with pytest.raises(UsageError, match="0 rows"):
        evaluate(sure_router(), whole.rows(torch.zeros(4, dtype=torch.bool)))


def test_a_table_is_kept_as_it_is(tmp_path: Path) -> None:
    table().save(tmp_path / "table.safetensors")
    again = Table.load(tmp_path / "table.safetensors")
    assert (again.names, again.base) == (table().names, "x")
    assert all(torch.equal(getattr(again, part), getattr(table(), part)) for part in ("features", "nats", "owners"))


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Table.load(tmp_path / "none")
    (tmp_path / "cut").write_bytes(b"{")
    with pytest.raises(DataError, match="cannot be read"):
        Table.load(tmp_path / "cut")
    whole = table()
    for nats, owners in (
        (whole.nats[:, 1:], whole.owners),
        (whole.nats, whole.owners + 2),
        (whole.nats / 0, whole.owners),
    ):
        with pytest.raises(DataError):
            Table(whole.names, whole.features, nats, owners)


def test_the_time_of_nothing_beside_nothing_is_a_ratio() -> None:
    ran = []
    assert time_ratio(lambda: ran.append("routed"), lambda: ran.append("bare"), rounds=3) > 0
    assert ran == ["routed", "bare"] * 4
