"""What a router is trained to do."""

from __future__ import annotations

import pytest
import torch

from reverie.experts.router import RouterConfig
from reverie.training.routing_losses import balance_loss, capacity_loss, gate_targets, router_loss
from reverie.training.routing_table import NOBODY, UNKNOWN


def test_the_gates_that_should_open_are_those_that_help() -> None:
    nats = torch.tensor([[2.0, 1.0, 1.05, 1.9], [1.0, 0.99, 1.2, 1.0], [3.0, 0.5, 0.4, 3.0], [3.0, 1.0, 2.0, 3.0]])
    owners = torch.tensor([UNKNOWN, UNKNOWN, NOBODY, 1])
    assert gate_targets(nats, owners).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert gate_targets(nats, owners, kind="owner").tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_the_balance_loss_tells_even_from_uneven() -> None:
    even, uneven = torch.eye(4), torch.zeros(4, 4)
    uneven[:, 0] = 1
    assert balance_loss(even, 0.3).item() == pytest.approx(1)
    assert balance_loss(uneven, 0.3).item() == pytest.approx(4)
    assert balance_loss(torch.zeros(4, 4), 0.3).isfinite()


def test_the_capacity_loss_begins_where_the_capacity_ends() -> None:
    config = RouterConfig(capacity_factor=1.0)
    uneven = torch.zeros(8, 4)
    uneven[:, 0] = 1
    assert capacity_loss(torch.eye(4).repeat(2, 1), config).item() == 0
    assert capacity_loss(uneven, config).item() == pytest.approx(6 / 8)


def test_the_losses_reach_every_gate() -> None:
    logits = torch.zeros(6, 3, requires_grad=True)
    parts = router_loss(logits, torch.eye(3).repeat(2, 1), RouterConfig(capacity_factor=0.5))
    parts["loss"].backward()
    assert logits.grad is not None
    assert logits.grad.abs().min() > 0
    assert set(parts) == {"loss", "gate", "balance", "capacity"}
    plain = router_loss(logits, torch.eye(3).repeat(2, 1), RouterConfig(balance_weight=0, capacity_weight=0))
    assert set(plain) == {"loss", "gate"}
