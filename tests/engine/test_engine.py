"""The fast path gives what the slow plain path gives, whatever shares the batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from reverie.engine import Completion, Engine, Request, Sampling, SlowEngine
from reverie.errors import ConfigError, GrammarError, UsageError
from reverie.model import Backbone, BackboneConfig

VOCAB = 60
CONFIG = BackboneConfig(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4, max_positions=96
)
SHORT, LONG, GROWN = (7, 3), tuple(range(10, 40)), (*range(10, 40), 1, 2, 3)
SAMPLINGS = [Sampling(), Sampling(0), Sampling(0.7, top_k=5), Sampling(1.3, top_p=0.8), Sampling(0.9, 20, 0.6)]
SAMPLINGS += [Sampling(1.0, 20, min_p=0.1, repetition_penalty=1.3), Sampling(0, repetition_penalty=1.5)]


class Turns:
    """A toy grammar: ids of the lower and the upper half take turns; done after ``length`` ids."""

    halves = torch.arange(VOCAB) < VOCAB // 2, torch.arange(VOCAB) >= VOCAB // 2

    def __init__(self, length: int):
        self.length = length
        self.taken: list[int] = []

    def allowed(self) -> torch.Tensor:
        return self.halves[len(self.taken) % 2]

    def advance(self, token_id: int) -> None:
        self.taken.append(token_id)

    @property
    def done(self) -> bool:
        return len(self.taken) >= self.length


class Nothing(Turns):
    """Allows nothing from the third id on."""

    def allowed(self) -> torch.Tensor | None:
        return None if len(self.taken) < 2 else torch.zeros(VOCAB, dtype=torch.bool)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """Random weights, large enough for distributions that are neither flat nor certain."""
    rng = torch.Generator().manual_seed(1)
    backbone = Backbone(CONFIG, rng)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.15)
    return backbone


@pytest.fixture
def engine(backbone: Backbone) -> Engine:
    return Engine(backbone)


@pytest.fixture(scope="module")
def reference(backbone: Backbone) -> SlowEngine:
    return SlowEngine(backbone)


def mixed_requests() -> list[Request]:
    """Every sampling, prefixes short, long and grown, lengths that end at different times, some constrained."""
    lengths = itertools.cycle([3, 14, 1, 30, 8])
    requests = []
    for seed, (sampling, prefix) in enumerate(itertools.product(SAMPLINGS, [LONG, SHORT, GROWN, LONG])):
        length = next(lengths)
        constraint = Turns(length) if seed % 3 == 0 else None
        requests.append(Request(prefix, seed, sampling, constraint, length + 5, frozenset({4, 50})))
    return requests


def assert_same(ours: Sequence[Completion], truth: Sequence[Completion]) -> None:
    for one, other in zip(ours, truth, strict=True):
        assert one.ids == other.ids
        assert one.finished == other.finished
        assert np.allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_engine_equals_the_reference(engine: Engine, reference: SlowEngine) -> None:
    assert_same(engine.generate(mixed_requests()), reference.generate(mixed_requests()))


@pytest.mark.parametrize("max_branches", [1, 3, 7])
def test_the_batch_does_not_change_a_dream(backbone: Backbone, engine: Engine, max_branches: int) -> None:
    narrow = Engine(backbone, max_branches=max_branches, cached_ids=1)
    assert_same(narrow.generate(mixed_requests()), engine.generate(mixed_requests()))


def test_order_of_requests_does_not_change_a_dream(engine: Engine) -> None:
    backwards = engine.generate(mixed_requests()[::-1])
    assert_same(backwards[::-1], engine.generate(mixed_requests()))


def test_a_longer_allowance_only_adds_ids(engine: Engine) -> None:
    short, long = engine.generate([Request(LONG, 5, max_new_ids=4), Request(LONG, 5, max_new_ids=40)])
    assert long.ids[:4] == short.ids


def test_branches_of_one_prefix_differ_by_seed_only(engine: Engine) -> None:
    first, same, other = engine.generate([Request(LONG, seed, max_new_ids=20) for seed in (5, 5, 6)])
    assert first.ids == same.ids
    assert first.ids != other.ids


def test_a_grown_prefix_is_read_on_as_if_from_scratch(backbone: Backbone, engine: Engine) -> None:
    engine.generate([Request(LONG, max_new_ids=1)])
    engine.generate([Request((*LONG, 9, 9, 9), max_new_ids=1)])
    grown = [Request(GROWN, seed, max_new_ids=10) for seed in range(3)]
    assert_same(engine.generate(grown), Engine(backbone).generate(grown))
    assert_same(engine.generate(grown), Engine(backbone).generate(grown))  # now from the cache as a whole


def test_temperature_zero_follows_the_likeliest_ids(backbone: Backbone, engine: Engine) -> None:
    (completion,) = engine.generate([Request(LONG, sampling=Sampling(0), max_new_ids=8)])
    logits = backbone(torch.tensor([LONG + completion.ids]))[0, len(LONG) - 1 : -1]
    assert logits.argmax(-1).tolist() == list(completion.ids)


def test_top_k_one_is_greedy_whatever_the_temperature(engine: Engine) -> None:
    greedy, narrow = engine.generate(
        [Request(LONG, sampling=sampling, max_new_ids=8) for sampling in (Sampling(0), Sampling(3.0, top_k=1))]
    )
    assert narrow.ids == greedy.ids


def test_no_forbidden_id_is_ever_drawn(engine: Engine) -> None:
    requests = [Request(SHORT, seed, Sampling(5.0), Turns(20), 30) for seed in range(30)]
    for completion in engine.generate(requests):
        assert [token_id >= VOCAB // 2 for token_id in completion.ids] == [False, True] * 10
        assert completion.finished


def test_the_constraint_is_told_every_id(engine: Engine) -> None:
    constraint = Turns(6)
    (completion,) = engine.generate([Request(SHORT, 3, constraint=constraint, max_new_ids=9)])
    assert tuple(constraint.taken) == completion.ids


def test_a_constraint_that_is_done_at_once_dreams_nothing(engine: Engine) -> None:
    nothing, something = engine.generate(
        [Request(SHORT, constraint=Turns(0), max_new_ids=2), Request(SHORT, max_new_ids=2)]
    )
    assert nothing == Completion((), (), finished=True)
    assert len(something.ids) == 2


def test_a_stop_id_ends_the_branch_and_stays_in_it(engine: Engine) -> None:
    (free,) = engine.generate([Request(LONG, 8, max_new_ids=12)])
    (stopped,) = engine.generate([Request(LONG, 8, max_new_ids=12, stop_ids=frozenset({free.ids[5]}))])
    end = free.ids.index(free.ids[5]) + 1
    assert stopped.ids == free.ids[:end]
    assert stopped.finished
    assert not free.finished


def test_callback_and_stream_tell_the_ids_of_the_completion(engine: Engine) -> None:
    told: dict[int, list[int]] = {}
    completions = engine.generate(mixed_requests(), on_token=lambda row, i: told.setdefault(row, []).append(i))
    assert [tuple(told[row]) for row in range(len(completions))] == [completion.ids for completion in completions]
    assert tuple(engine.stream(mixed_requests()[0])) == completions[0].ids


def test_streaming_leaves_the_callers_gradients_on(engine: Engine) -> None:
    for _ in engine.stream(Request(LONG, max_new_ids=3)):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("continuation", [(5,), GROWN[::-1], ()], ids=len)
def test_score_equals_the_reference(engine: Engine, reference: SlowEngine, continuation: tuple[int, ...]) -> None:
    for prefix in (SHORT, LONG, GROWN):
        ours = engine.score(prefix, continuation)
        assert ours.dtype == np.float32
        assert np.allclose(ours, reference.score(prefix, continuation), atol=1e-4)


def test_log_probs_of_a_free_dream_are_its_score(engine: Engine) -> None:
    (completion,) = engine.generate([Request(LONG, 2, Sampling(0.8, 10, 0.9), max_new_ids=20)])
    assert np.allclose(completion.log_probs, engine.score(LONG, completion.ids), atol=1e-4)
    assert completion.log_prob == pytest.approx(sum(completion.log_probs))


def test_embedding_is_the_mean_of_the_final_states(backbone: Backbone, engine: Engine, reference: SlowEngine) -> None:
    ours = engine.embed(LONG)
    assert ours.shape == (CONFIG.hidden_size,)
    assert np.allclose(ours, reference.embed(LONG), atol=1e-4)


def test_no_requests_no_completions(engine: Engine) -> None:
    assert engine.generate([]) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(()), "no ids"),
        (Request((1, VOCAB)), f"id {VOCAB} is not in the vocabulary"),
        (Request((-1,)), "id -1 is not"),
        (Request(LONG, max_new_ids=67), "do not fit into the 96 positions"),
        (Request((1,) * 97, max_new_ids=1), "97 ids are more than the 96 positions"),
    ],
)
def test_ids_that_the_backbone_cannot_hold_are_refused(engine: Engine, request_: Request, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        engine.generate([request_])


def test_the_last_position_can_be_used(engine: Engine, reference: SlowEngine) -> None:
    requests = [Request(LONG, 1, max_new_ids=66)]
    assert_same(engine.generate(requests), reference.generate(requests))


def test_score_and_embed_refuse_what_generate_refuses(engine: Engine) -> None:
    with pytest.raises(UsageError, match="not in the vocabulary"):
        engine.score(SHORT, (VOCAB,))
    with pytest.raises(UsageError, match="100 ids are more"):
        engine.score(SHORT, (1,) * 98)
    with pytest.raises(UsageError, match="no ids"):
        engine.embed(())


@pytest.mark.parametrize("setting", [{"max_new_ids": 0}, {"seed": -1}, {"seed": 1.5}], ids=str)
def test_impossible_request_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting)).split("_")[0]):
        Request(SHORT, **setting)


def test_a_constraint_that_allows_nothing_is_reported(engine: Engine) -> None:
    with pytest.raises(GrammarError, match="after 2 ids: its constraint allows no id"):
        engine.generate([Request(SHORT, constraint=Nothing(9), max_new_ids=9), Request(LONG, max_new_ids=9)])


def test_one_constraint_for_two_branches_is_refused(engine: Engine) -> None:
    constraint = Turns(3)
    with pytest.raises(UsageError, match="share one constraint"):
        engine.generate([Request(SHORT, 1, constraint=constraint), Request(SHORT, 2, constraint=constraint)])


def test_soft_vectors_are_read_like_ids(backbone: Backbone) -> None:
    engine = Engine(backbone)
    vectors = np.random.default_rng(0).standard_normal((3, CONFIG.hidden_size)).astype(np.float32)
    soft = engine.prefix_embedding_ids(vectors)
    assert len(set(soft)) == 3
    assert min(soft) >= VOCAB
    requests = [Request(soft + LONG, seed, Sampling(0), None, 8) for seed in range(4)] + [
        Request(LONG, 9, Sampling(0), None, 8)
    ]
    drawn = engine.generate(requests)
    ids = list(drawn[0].ids)
    with torch.inference_mode():
        hidden = backbone.hidden(torch.tensor([[*LONG, *ids]]), torch.from_numpy(vectors)[None])
        expected = torch.log_softmax(backbone.logits(hidden)[0, len(LONG) - 1 : -1], -1)
    assert expected.argmax(-1).tolist() == ids
    np.testing.assert_allclose(drawn[0].log_probs, expected.max(-1).values, atol=1e-4)
    assert drawn[4].ids != drawn[0].ids
    assert max(drawn[4].ids) < VOCAB


def test_soft_vectors_make_room_for_new_ones(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.engine.engine.MAX_PREFIX_EMBEDDINGS", 4)
    engine, rng = Engine(backbone), np.random.default_rng(0)
    first, second = (rng.standard_normal((3, CONFIG.hidden_size)).astype(np.float32) for _ in range(2))
    alone = Engine(backbone)
    for vectors in (first, first, second, first):
        request = Request(engine.prefix_embedding_ids(vectors) + SHORT, 0, Sampling(0), None, 5)
        fresh = Request(alone.prefix_embedding_ids(vectors) + SHORT, 0, Sampling(0), None, 5)
        assert engine.generate([request])[0].ids == alone.generate([fresh])[0].ids
        alone = Engine(backbone)


@pytest.mark.parametrize("vectors", [np.zeros(CONFIG.hidden_size), np.zeros((1, 3)), np.full((1, 32), np.nan)])
def test_soft_vectors_of_another_shape_are_refused(engine: Engine, vectors: np.ndarray) -> None:
    with pytest.raises(UsageError, match="prefix embeddings"):
        engine.prefix_embedding_ids(vectors)
