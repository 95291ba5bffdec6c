from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reverie.errors import BundleError, TrainingError, UnknownNameError
from reverie.generator.priors import PRIORS, Prior, PriorFitConfig, check_prior, fit_prior, load_prior, save_prior
from reverie.generator.priors.components import Components
from reverie.generator.priors.contract import spherical
from reverie.generator.priors.flow import FlowLessons, FlowObjective
from reverie.training import LoopConfig, check_objective

LOOP = LoopConfig(
    steps=500, lr=5e-3, warmup_steps=10, precision="fp32", eval_every=100, checkpoint_every=100, tensorboard=False,
    ema_decay=0.98, weight_decay=0.0,
)  # fmt: skip
SETTINGS = PriorFitConfig(
    mixture_components=4, gaussians=(1, 2, 3), flow=FlowLessons(4, 48, 2, 128, silent=0.3, dropout=0.0), flow_loop=LOOP
)


def two_heaps(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents in two heaps that differ in their first number, and captions that say which."""
    draw = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    latents = 0.2 * torch.randn(count, 8, generator=draw)
    latents[:, 0] += 2 * side
    return latents, side[:, None].expand(-1, 8).clone()


@pytest.fixture(scope="module")
def fitted() -> dict[str, Prior]:
    known, unseen = two_heaps(256, 1), two_heaps(64, 2)
    return {name: fit_prior(name, *known, *unseen, SETTINGS) for name in PRIORS}


@pytest.mark.parametrize("name", PRIORS.names())
def test_every_prior_keeps_the_contract(fitted: dict[str, Prior], name: str) -> None:
    assert len(check_prior(fitted[name])) == 10


def test_a_prior_that_forgets_its_seed_breaks_the_contract(fitted: dict[str, Prior]) -> None:
    class Forgetful(type(fitted["normal"])):  # type: ignore[misc]
        def noise(self, seeds):  # type: ignore[no-untyped-def]
            return torch.randn(len(seeds), self.noise_size)

    with pytest.raises(ValueError, match="does not depend on its neighbours"):
        check_prior(Forgetful(8))


@pytest.mark.parametrize("name", ["mixture", "flow"])
def test_fitted_priors_find_both_heaps_and_leave_the_middle_empty(fitted: dict[str, Prior], name: str) -> None:
    prior = fitted[name]
    first = prior.latents(prior.noise(range(400)))[:, 0]
    assert 0.3 < float((first > 0).float().mean()) < 0.7
    assert float((first.abs() < 1).float().mean()) < 0.2
    normal = fitted["normal"].latents(fitted["normal"].noise(range(400)))[:, 0]
    assert float((normal.abs() < 1).float().mean()) > 0.6


def test_the_flow_follows_a_caption_the_more_the_stricter_it_is_guided(fitted: dict[str, Prior]) -> None:
    flow = fitted["flow"]
    noise, told = flow.noise(range(200)), torch.ones(200, 8)
    shares = [
        float((flow.latents(noise, 1.0, told, guidance)[:, 0] > 0).float().mean()) for guidance in (0.0, 1.0, 2.0)
    ]
    assert shares[0] < 0.75
    assert shares[1] > 0.9
    assert shares[2] >= shares[1] - 0.02


def test_temperature_zero_gives_one_latent_a_gaussian(fitted: dict[str, Prior]) -> None:
    cold = fitted["mixture"].latents(fitted["mixture"].noise(range(50)), temperature=0.0)
    assert len(torch.unique((cold * 1e3).round(), dim=0)) <= 3


def test_noise_is_followed_on_a_great_circle() -> None:
    first, last = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert torch.allclose(spherical(first, last, 0.5), torch.tensor([0.5**0.5, 0.5**0.5]))
    assert torch.allclose(spherical(first, first, 0.3), first)


def test_components_give_back_what_they_were_given() -> None:
    latents = torch.randn(40, 3) @ torch.randn(3, 12) + 5
    components = Components.fit(latents, 10)
    assert components.count == 3
    whitened = components.whiten(latents)
    assert torch.allclose(whitened.std(0), torch.ones(3), atol=1e-3)
    assert torch.allclose(components.unwhiten(whitened), latents, atol=1e-3)


@pytest.mark.parametrize("name", PRIORS.names())
def test_a_prior_is_read_back_as_it_was(fitted: dict[str, Prior], name: str, tmp_path: Path) -> None:
    save_prior(fitted[name], tmp_path)
    noise = fitted[name].noise([3, 4])
    assert torch.equal(load_prior(tmp_path).latents(noise), fitted[name].latents(noise))
    (tmp_path / "prior.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BundleError, match="damaged"):
        load_prior(tmp_path)


def test_a_flow_that_was_stopped_goes_on(tmp_path: Path) -> None:
    known, unseen = two_heaps(64, 1), two_heaps(16, 2)
    quick = replace(SETTINGS, flow_loop=replace(LOOP, steps=20, eval_every=10, checkpoint_every=10))
    whole = fit_prior("flow", *known, *unseen, quick)
    stopped = replace(quick, flow_loop=replace(quick.flow_loop, max_minutes=1e-9))
    with pytest.raises(TrainingError, match="run again to go on"):
        fit_prior("flow", *known, *unseen, stopped, tmp_path / "flow")
    resumed = fit_prior("flow", *known, *unseen, quick, tmp_path / "flow")
    assert torch.equal(resumed.latents(resumed.noise([1])), whole.latents(whole.noise([1])))


def test_the_flow_is_an_objective_like_any_other() -> None:
    check_objective(FlowObjective(*two_heaps(32, 1), *two_heaps(8, 2), FlowLessons(4, 16, 1, 8)))


def test_what_cannot_be_fitted_is_said_in_one_line() -> None:
    one = torch.zeros(1, 8)
    with pytest.raises(TrainingError, match="two pictures or more"):
        fit_prior("mixture", one, one, one, one)
    with pytest.raises(UnknownNameError, match="mixture"):
        fit_prior("mixtures", one, one, one, one)
