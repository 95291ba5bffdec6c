"""Temperature, top-k, top-p and masks do what they say, against frequencies and a brute-force reading of the rules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessorList
from transformers.generation import logits_process

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
    assert torch.allclose(log_probs[0, ids], wanted)


def by_transformers(
    sampling: Sampling, held: list[int], logits: torch.Tensor
) -> torch.Tensor:  # (1, V) → probabilities
    """The same settings as transformers' own processors read them."""
    processors = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        processors.append(logits_process.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    processors.append(logits_process.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        processors.append(logits_process.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(logits_process.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        processors.append(logits_process.MinPLogitsWarper(sampling.min_p))
    return processors(torch.tensor([held]), logits).softmax(-1)[0]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(min_p=0.2),
        Sampling(0.5, min_p=0.05),
        Sampling(1.3, top_k=5, min_p=0.3),
        Sampling(1.0, top_p=0.9, min_p=0.1),
        Sampling(repetition_penalty=1.8),
        Sampling(0.8, top_k=6, top_p=0.9, repetition_penalty=3.0),
        Sampling(1.5, repetition_penalty=0.7, min_p=0.1),
    ],
    ids=str,
)
def test_penalty_and_filters_are_those_of_transformers(sampling: Sampling) -> None:
    prefix, num_draws = [0, 3, 3, 7, 10**6], 4000  # the last is an embedding's, which has no logit
    sampler = Sampler([sampling] * num_draws, range(num_draws), [2] * num_draws, [prefix] * num_draws)
    first, log_probs = sampler.draw(LOGITS.expand(num_draws, -1), None)
    wanted = by_transformers(sampling, prefix[:-1], LOGITS)
    assert torch.allclose(torch.bincount(first, minlength=VOCAB) / num_draws, wanted, atol=0.03)
    assert not torch.bincount(first, minlength=VOCAB)[wanted == 0].any()
    assert torch.equal(log_probs[0], LOGITS.log_softmax(-1)[0])  # what the model thinks
    second, _ = sampler.draw(LOGITS.expand(num_draws, -1), None)
    likeliest = first.mode().values
    after = torch.bincount(second[first == likeliest], minlength=VOCAB) / (first == likeliest).sum()
    assert torch.allclose(after, by_transformers(sampling, [*prefix[:-1], int(likeliest)], LOGITS), atol=0.06)


@pytest.mark.parametrize(
    ("presence", "frequency", "drawn"),
    [(1.6, 0, [0, 1, 0]), (0, 1.6, [0, 1, 0]), (0, 3, [0, 1, 2]), (-1, 0, [0, 0, 0])],
)
def test_presence_and_frequency_count_what_was_drawn_and_not_what_was_read(
    presence: float, frequency: float, drawn: list[int]
) -> None:
    sampling = Sampling(0, presence_penalty=presence, frequency_penalty=frequency)
    sampler = Sampler([sampling], [1], [4], [(0, 2)])
    assert [int(sampler.draw(torch.tensor([[9.0, 7.5, 7.0]]), None)[0]) for _ in range(3)] == drawn


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1e-45),
        Sampling(1e-4),
        Sampling(5e-324, top_p=5e-324),
        Sampling(1.0, top_p=5e-324),
        Sampling(0.5, repetition_penalty=0.001),
        Sampling(0.5, repetition_penalty=1e6),
        Sampling(1e-3, presence_penalty=100, frequency_penalty=-100, min_p=1),
    ],
    ids=str,
)
def test_odd_numbers_draw_only_what_is_allowed(sampling: Sampling) -> None:
    mask = torch.arange(VOCAB) % 3 == 1
    sampler = Sampler([sampling], [1], [6], [(1, 4)])
    for _ in range(6):
        ids, log_probs = sampler.draw(30 * LOGITS, mask)
        assert mask[ids].all()
        assert log_probs[0, ids].isfinite().all()


def test_greedy_with_a_penalty_does_not_say_the_same_again() -> None:
    sampler = Sampler([Sampling(0, repetition_penalty=1e6)], [1], [VOCAB])
    logits = LOGITS.abs() + 1
    drawn = [int(sampler.draw(logits, None)[0]) for _ in range(VOCAB)]
    assert drawn == logits[0].argsort(descending=True).tolist()


def plainly(sampling: Sampling, logits: torch.Tensor, noise: float) -> int:  # (V,)
    """Everything sorted and cumulated, one row."""
    scores = (logits.log_softmax(-1) / sampling.temperature).double()
    ranked = torch.sort(scores, descending=True, stable=True).indices[: sampling.top_k or len(logits)]
    probs = scores[ranked].softmax(-1)
    ranked = ranked[probs.cumsum(-1) - probs < (sampling.top_p if sampling.top_p < 1 else 2)]
    probs = torch.zeros_like(scores)
    probs[ranked] = scores[ranked].softmax(-1)
    return int((probs.cumsum(-1) / probs.sum() <= noise).sum())


@pytest.mark.parametrize("size", [VOCAB, 5000, 4096 + 512])
@pytest.mark.parametrize("rounded", [False, True], ids=["apart", "with equals"])
def test_large_vocabularies_are_drawn_from_as_if_all_were_sorted(size: int, rounded: bool) -> None:
    rng = torch.Generator().manual_seed(size)
    settings_drawn = [(1.0,), (0.7, 0, 0.9), (1.0, 40), (0.5, 300, 0.987), (3.0, 0, 0.999), (1.0, 7, 0.5), (2.0, 4700)]
    samplings = [Sampling(*each) for each in settings_drawn]
    sampler = Sampler(samplings, range(len(samplings)), [30] * len(samplings))
    noise = torch.stack([torch.rand(30, generator=torch.Generator().manual_seed(row)) for row in range(len(samplings))])
    for step in range(30):
        logits = torch.randn(len(samplings), size, generator=rng) * (0.1 + step % 4)
        logits = (logits * 4).round() / 4 if rounded else logits
        ids, _ = sampler.draw(logits, None)
        wanted = [plainly(s, logits[row], float(noise[row, step])) for row, s in enumerate(samplings)]
        assert ids.tolist() == wanted


def test_an_id_that_is_shut_out_is_never_drawn_from_a_large_vocabulary() -> None:
    mask = torch.zeros(6000, dtype=torch.bool)
    mask[[255, 256, 5999]] = True
    for sampling in (Sampling(), Sampling(top_k=50), Sampling(top_p=0.99), Sampling(min_p=0.01)):
        ids, _ = Sampler([sampling] * 300, range(300), [1] * 300).draw(torch.zeros(300, 6000), mask)
        assert set(ids.tolist()) == {255, 256, 5999}


each_setting = st.tuples(
    st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    st.integers(0, 5),
    st.sampled_from([0.1, 0.8, 1.0]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1.0, 1.3]),
)


@given(st.lists(each_setting, min_size=2, max_size=6))
@settings(max_examples=25, deadline=None)
def test_a_branch_draws_the_same_alone_and_among_others(settings_drawn: list[tuple[float, int, float, float, float]]):
    samplings = [Sampling(*each) for each in settings_drawn]
    logits = torch.randn(len(samplings), 40, generator=torch.Generator().manual_seed(3))
    prefixes = [[row, 3, 5] for row in range(len(samplings))]
    together = Sampler(samplings, range(len(samplings)), [5] * len(samplings), prefixes)
    drawn = [together.draw(logits, None)[0] for _ in range(3)]
    for row, sampling in enumerate(samplings):
        alone = Sampler([sampling], [row], [3], [prefixes[row]])
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
