"""Temperature, top-k, top-p and masks do what they say, against frequencies and a brute-force reading of the rules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.engine.sampling import Sampler, Sampling
from reverie.errors import ConfigError

VOCAB = 12
LOGITS = torch.randn(1, VOCAB, generator=torch.Generator().manual_seed(0)) * 2


def frequencies(sampling: Sampling, mask: torch.Tensor | None = None, num_draws: int = 4000) -> torch.Tensor:
    sampler = Sampler([sampling] * num_draws, range(num_draws), [1] * num_draws)
    ids, _ = sampler.draw(LOGITS.expand(num_draws, -1), mask)
    return torch.bincount(ids, minlength=VOCAB) / num_draws


def expected(sampling: Sampling, mask: torch.Tensor | None = None) -> torch.Tensor:
    """The rules, one id at a time."""
    logits = [value if mask is None or mask[i] else -math.inf for i, value in enumerate(LOGITS[0].tolist())]
    weights = [math.exp(value / sampling.temperature) for value in logits]
    ranked = sorted(range(VOCAB), key=lambda i: -weights[i])[: sampling.top_k or VOCAB]
    total, reached, kept = sum(weights[i] for i in ranked), 0.0, []
    for i in ranked:
        if reached >= sampling.top_p:
            break
        kept.append(i)
        reached += weights[i] / total
    probs = torch.zeros(VOCAB)
    for i in kept:
        probs[i] = weights[i] / sum(weights[j] for j in kept)
    return probs


@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(0.5), Sampling(2.0), Sampling(1.0, top_k=3), Sampling(1.5, 0, 0.6), Sampling(1.2, 6, 0.7)],
    ids=str,
)
def test_frequencies_follow_the_rules(sampling: Sampling) -> None:
    measured, wanted = frequencies(sampling), expected(sampling)
    assert torch.allclose(measured, wanted, atol=0.03)
    assert not measured[wanted == 0].any()


def test_filters_apply_to_what_the_mask_leaves() -> None:
    mask = torch.arange(VOCAB) % 2 == 0
    sampling = Sampling(1.0, top_k=3, top_p=0.9)
    measured, wanted = frequencies(sampling, mask), expected(sampling, mask)
    assert torch.allclose(measured, wanted, atol=0.03)
    assert not measured[~mask].any()


def test_log_probs_are_those_of_the_masked_distribution_at_temperature_one() -> None:
    mask = torch.arange(VOCAB) < 5
    ids, log_probs = Sampler([Sampling(0.3, 4, 0.8)], [1], [1]).draw(LOGITS, mask)
    wanted = torch.log_softmax(LOGITS[0, :5], -1)[ids]
    assert torch.allclose(log_probs, wanted)


@given(st.lists(st.tuples(st.floats(0.1, 3), st.integers(0, 5), st.floats(0.1, 1)), min_size=2, max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_branch_draws_the_same_alone_and_among_others(settings_drawn: list[tuple[float, int, float]]) -> None:
    samplings = [Sampling(*each) for each in settings_drawn]
    logits = torch.randn(len(samplings), 40, generator=torch.Generator().manual_seed(3))
    together = Sampler(samplings, range(len(samplings)), [5] * len(samplings))
    drawn = [together.draw(logits, None)[0] for _ in range(3)]
    for row, sampling in enumerate(samplings):
        alone = Sampler([sampling], [row], [3])
        assert [int(alone.draw(logits[row : row + 1], None)[0]) for _ in range(3)] == [int(ids[row]) for ids in drawn]


def test_branches_that_come_and_go_leave_the_others_as_they_were() -> None:
    samplings = [Sampling(), Sampling(0), Sampling(0.7, 3), Sampling(2.0)]
    logits = torch.randn(4, VOCAB, generator=torch.Generator().manual_seed(4))
    together = Sampler(samplings, [5, 6, 7, 8], [4, 3, 2, 3])
    wanted = [together.draw(logits, None)[0].tolist() for _ in range(2)]
    changing = Sampler(samplings[:3], [5, 6, 7], [4, 3, 2])
    assert changing.draw(logits[:3], None)[0].tolist() == wanted[0][:3]
    changing.keep([2, 0])
    changing.add([samplings[3]], [8], [3])
    assert changing.draw(logits[[2, 0, 3]], None)[0].tolist() == [wanted[1][2], wanted[1][0], wanted[0][3]]


def test_temperature_zero_takes_the_likeliest_id() -> None:
    ids, _ = Sampler([Sampling(0), Sampling(0)], [1, 2], [1, 1]).draw(LOGITS.expand(2, -1), None)
    assert ids.tolist() == [LOGITS.argmax().item()] * 2


def test_an_empty_mask_gives_nan_rather_than_an_id_outside_the_vocabulary() -> None:
    ids, log_probs = Sampler([Sampling()], [1], [1]).draw(LOGITS, torch.zeros(VOCAB, dtype=torch.bool))
    assert 0 <= ids[0] < VOCAB
    assert log_probs.isnan().all()


@pytest.mark.parametrize(
    "setting",
    [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_k": 1.5}, {"top_p": 0.0}, {"top_p": 2}],
    ids=str,
)
def test_impossible_setting_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Sampling(**setting)
