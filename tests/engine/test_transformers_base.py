"""A base of another family keeps the engine's contract: held to its own forward without any cache."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from bases import BASES, toy_transformers_base
from plain_rows import check_equal, plainly, rows
from reverie.engine import Engine, Request
from reverie.errors import UsageError

FAMILIES = list(BASES)
foreign = cache(toy_transformers_base)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mixed_batch_is_what_each_row_gives_alone(family: str) -> None:
    backbone = foreign(family)
    size = backbone.config.vocab_size
    engine = Engine(backbone, max_branches=6)
    for _ in range(2):  # the second time from what stayed read
        check_equal(engine.generate(rows(size)), plainly(backbone, rows(size)))


@pytest.mark.parametrize("family", FAMILIES)
def test_score_and_embed_are_the_base_s(family: str) -> None:
    backbone = foreign(family)
    engine = Engine(backbone)
    ids = [30, 3, 77, 200, 21, 4, 99, 12, 13]
    with torch.inference_mode():
        log_probs = torch.log_softmax(backbone(torch.tensor([ids])), -1)[0]
        state = backbone.hidden(torch.tensor([ids]))[0].mean(0)
    wanted = [float(log_probs[place - 1, ids[place]]) for place in range(4, 9)]
    assert np.allclose(engine.score(ids[:4], ids[4:]), wanted, atol=1e-4)
    assert np.allclose(engine.score(ids[:6], ids[6:]), wanted[2:], atol=1e-4)
    assert np.allclose(engine.score(ids[:8], ids[8:]), wanted[4:], atol=1e-4)
    assert engine.score(ids, []).shape == (0,)
    assert np.allclose(engine.embed(ids), state, atol=1e-5)
    assert engine.embed(ids, contextual=False).shape == (backbone.config.hidden_size,)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral-sliding"])
def test_the_grammar_s_ids_are_the_base_s_last_ones(family: str) -> None:
    backbone = foreign(family)
    G, size = backbone.ids.num_grammar, backbone.config.vocab_size
    theirs = torch.randint(0, size - G, (1, 8), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = backbone.base(input_ids=theirs).logits
        ours = backbone(backbone.ids.to_grammar_ids(theirs))
    assert torch.allclose(ours[..., G:], logits[..., : size - G], atol=1e-5)
    assert torch.allclose(ours[..., :G], logits[..., size - G :], atol=1e-5)
    everything = torch.arange(size)
    assert torch.equal(backbone.ids.to_base_ids(backbone.ids.to_grammar_ids(everything)), everything)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_soft_ids_are_read_as_the_vectors_they_stand_for(family: str) -> None:
    backbone = foreign(family)
    engine = Engine(backbone)
    ids = [40, 50, 60, 70]
    with torch.no_grad():
        vectors = backbone.embedded(torch.tensor(ids[:2])).numpy()
    soft = engine.prefix_embedding_ids(vectors)
    assert soft == engine.prefix_embedding_ids(vectors)
    assert min(soft) >= backbone.config.vocab_size
    assert np.allclose(engine.score((*soft, 60), [70, 80]), engine.score(ids[:3], [70, 80]), atol=1e-4)
    with pytest.raises(UsageError, match="prefix embeddings are finite"):
        engine.prefix_embedding_ids(np.full((1, backbone.config.hidden_size), np.nan))


def test_streaming_gives_the_same_ids() -> None:
    engine = Engine(foreign("llama"))
    request = Request((30, 40), seed=5, max_new_ids=7)
    assert tuple(engine.stream(request)) == engine.generate([request])[0].ids


def test_the_loss_is_weighted_next_id_prediction() -> None:
    backbone = foreign("qwen2")
    ids = torch.tensor([[30, 3, 77, 200], [25, 26, 27, 28]])
    weights = torch.tensor([[1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 0.0, 0.0]])
    loss, nats = backbone.loss(ids, weights)
    log_probs = torch.log_softmax(backbone(ids), -1)
    wanted = {(0, 2): 1.0, (0, 3): 2.0, (1, 1): 1.0}
    by_hand = {(row, place): -float(log_probs[row, place - 1, ids[row, place]]) for row, place in wanted}
    assert float(loss) == pytest.approx(sum(by_hand[key] * weight for key, weight in wanted.items()) / 4, abs=1e-4)
    assert float(nats[0, 3]) == pytest.approx(by_hand[0, 3], abs=1e-4)
    assert float(nats[0, 1]) == 0.0


def test_wrong_ids_and_experts_without_a_library_are_refused() -> None:
    engine = Engine(foreign("llama"))
    with pytest.raises(UsageError, match="id 999 is not in the vocabulary"):
        engine.generate([Request((999,))])
    with pytest.raises(UsageError, match="do not fit into the 512 positions"):
        engine.generate([Request((30,), max_new_ids=512)])
    with pytest.raises(UsageError, match="has no experts"):
        engine.generate([Request((30,), experts=(("causal", 1.0),))])
