from __future__ import annotations

import pytest
import torch

from reverie.errors import ConfigError, UnknownNameError
from reverie.generator.config import PRESETS, GeneratorConfig
from reverie.generator.network import GeneratorNetwork, settle

TOY = PRESETS.get("toy-16")


def test_forward_has_the_shapes_that_were_asked_for() -> None:
    network = GeneratorNetwork(TOY).eval()
    made = network(torch.rand(4, 3, 16, 16) * 2 - 1, torch.randint(3, 300, (4, 24)))
    assert made.latents.shape == (4, 32)
    assert made.pictures.shape == (4, 3, 16, 16)
    assert made.logits.shape == (4, 24, 300)


@pytest.mark.slow
def test_the_preset_of_512_px_has_the_shapes_and_size_of_its_description() -> None:
    config = PRESETS.get("engraving-512")
    network = GeneratorNetwork(config).eval()
    with torch.no_grad():
        made = network(torch.zeros(4, 3, 512, 512), torch.full((4, 100), 5))
    assert (made.latents.shape, made.pictures.shape) == ((4, 1024), (4, 3, 512, 512))
    assert made.logits.shape == (4, 100, 8000)
    assert 45e6 < sum(one.numel() for one in network.parameters()) < 60e6


def test_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (GeneratorNetwork(TOY, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)
    assert torch.equal(first.embedding.weight, again.embedding.weight)


def test_a_latent_for_every_level_paints_as_one_latent_does() -> None:
    network = GeneratorNetwork(TOY).eval()
    latents = torch.randn(2, 32)
    each = latents[:, None].expand(-1, network.num_levels, -1)
    assert torch.allclose(network.paint(latents), network.paint(each), atol=1e-6)
    assert not torch.allclose(network.paint(torch.cat([each[:, :1], -each[:, 1:]], 1)), network.paint(latents))


def test_what_stands_after_a_place_does_not_change_its_logits() -> None:
    network = GeneratorNetwork(TOY).eval()
    latents, ids = torch.randn(1, 32), torch.randint(3, 299, (1, 8))
    changed = torch.cat([ids[:, :5], ids[:, 5:] + 1], 1)
    before, after = (network.caption_logits(latents, one)[:, :5] for one in (ids, changed))
    assert torch.allclose(before, after, atol=1e-6)


def test_padding_does_not_change_the_latent_of_a_caption() -> None:
    network = GeneratorNetwork(TOY).eval()
    ids = torch.tensor([[1, 9, 10, 2]])
    padded = torch.tensor([[1, 9, 10, 2, 0, 0, 0]])
    assert torch.allclose(network.encode_captions(ids), network.encode_captions(padded), atol=1e-6)


def test_settled_latents_lie_in_the_ball() -> None:
    settled = settle(torch.randn(5, 32) * torch.tensor([0.1, 0.5, 1, 3, 100])[:, None])
    assert (settled.norm(dim=-1) <= (2 * 32) ** 0.5 + 1e-3).all()
    assert (settled.norm(dim=-1).diff() > 0).all()  # nearer to the middle stays nearer


def test_straight_paths_repaint_pictures_of_few_components_at_once() -> None:
    network = GeneratorNetwork(TOY).eval()
    draw = torch.Generator().manual_seed(0)
    shapes = torch.randn(24, 1, 16, 16, generator=draw).expand(-1, 3, -1, -1)
    pictures = torch.einsum("nk,kcij->ncij", torch.randn(64, 24, generator=draw), shapes) * 0.1
    blind = (network.paint(network.encode_pictures(pictures)) - pictures).square().mean()
    network.start_straight(pictures)
    started = (network.paint(network.encode_pictures(pictures)) - pictures).square().mean()
    assert started < 0.5 * pictures.var() < blind


def test_grey_generators_paint_grey() -> None:
    config = GeneratorConfig(16, (8, 16, 16), 32, 300, 24, 1, 2, 32, 2, 16, grey=True)
    painted = GeneratorNetwork(config).paint(torch.randn(2, 32))
    assert painted.shape == (2, 3, 16, 16)
    assert torch.equal(painted[:, 0], painted[:, 2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"side": 100}, "halves once for each width"),
        ({"widths": (8,)}, "halves once for each width"),
        ({"widths": (6, 16, 16), "side": 16}, "multiples of 4"),
        ({"hidden_size": 30, "num_heads": 4}, "multiple of num_heads"),
        ({"vocabulary": 100}, "at least 259"),
        ({"latent_size": 0}, "latent_size is at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused_in_one_line(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        GeneratorConfig(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny-64'"):
        PRESETS.get("tiny64")
