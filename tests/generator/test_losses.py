from __future__ import annotations

import math

import pytest
import torch

from reverie.errors import ConfigError
from reverie.generator.losses import (
    LossWeights,
    PatchCritic,
    caption_loss,
    edge_loss,
    match_loss,
    pixel_loss,
    spectrum_loss,
)


def hatching(shift: float, slope: float = 1.0, tone: float = 0.0) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    return (tone + 0.5 * torch.sin(0.9 * (columns + slope * rows) + shift)).expand(1, 3, -1, -1)


def test_equal_pictures_cost_nothing() -> None:
    picture = hatching(0.0)
    for loss in (pixel_loss, edge_loss, spectrum_loss):
        assert loss(picture, picture).item() == 0.0


def test_pixel_loss_is_l1_plus_mse() -> None:
    assert math.isclose(float(pixel_loss(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5))), 0.75)


def test_the_spectrum_minds_density_and_not_place() -> None:
    moved, blank, denser = hatching(2.0), torch.zeros(1, 3, 32, 32), hatching(0.0, slope=-0.3)
    near, far, other = (float(spectrum_loss(one, hatching(0.0))) for one in (moved, blank, denser))
    assert near < 0.5 * far
    assert near < 0.5 * other
    assert float(pixel_loss(moved, hatching(0.0))) > float(pixel_loss(blank, hatching(0.0)))  # pixels mind the place


def test_edges_do_not_mind_tone() -> None:
    assert float(edge_loss(hatching(0.0, tone=0.3), hatching(0.0))) < 1e-6


def test_captions_are_counted_without_padding() -> None:
    logits = torch.zeros(1, 4, 10)
    one = caption_loss(logits, torch.tensor([[1, 5, 2, 0]]))
    assert math.isclose(float(one), math.log(10), rel_tol=1e-6)


def test_matching_pairs_cost_little_and_equal_captions_are_no_mistake() -> None:
    vectors, scale = torch.eye(4), torch.tensor(3.0)
    own = torch.arange(4)
    assert float(match_loss(vectors, vectors, scale, own)) < 1e-3
    assert float(match_loss(vectors, vectors.roll(1, 0), scale, own)) > 5
    assert float(match_loss(vectors, vectors.roll(1, 0), scale, torch.zeros(4))) < 1e-6


def test_the_critic_learns_to_tell_and_its_judgement_moves_the_painted_pictures_alone() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(8, 2)
    real, painted = hatching(0.0).repeat(4, 1, 1, 1), torch.zeros(4, 3, 32, 32, requires_grad=True)
    optimizer = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        critic.loss(real, painted).backward()
        optimizer.step()
    assert painted.grad is None
    optimizer.zero_grad()
    assert critic.loss(real, painted).item() < 0.5
    optimizer.zero_grad()
    unreal, unlike = critic.frozen(painted, real)
    (unreal + unlike).backward()
    assert unreal.item() > 0
    assert painted.grad is not None
    assert float(painted.grad.abs().sum()) > 0
    assert all(one.grad is None for one in critic.parameters())


def test_weights_below_zero_are_refused() -> None:
    with pytest.raises(ConfigError, match="edge is 0 or more"):
        LossWeights(edge=-1)
