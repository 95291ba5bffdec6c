"""``check_decoder``: holds a decoder to its contract, whatever base it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.engine.contract import Decoder, Read, State
from reverie.experts.contract import Choice, ResolvedExperts
from reverie.registry import Promises

__all__ = ["check_decoder"]


def check_decoder(
    decoder: Decoder,
    plain: Callable[[Sequence[int], Choice], Tensor],
    choices: Sequence[Choice] = ((),),
    seed: int = 0,
    tolerance: float = 1e-3,
) -> list[str]:
    """Run every promise of the contract; ContractError names the first that is broken. Returns what was checked.

    Args:
        plain: ids and experts → float32 logits (T, V), by the base's own forward without any cache
        choices: who may be asked for; () is the bare base
        tolerance: largest difference of two log-probabilities, in nats
    """
    rng = np.random.default_rng(seed)
    traits, promises = decoder.traits, Promises("a decoder", type(decoder).__name__)
    expect = promises.expect
    long, short = (rng.integers(0, decoder.vocab_size, length) for length in (13, 4))
    prefixes = [long, short, long[:7], long] if traits.joins else [long] * 4
    experts = [decoder.resolve(choice) for choice in choices]

    def same(logits: Tensor, ids: Sequence[int] | np.ndarray, choice: Choice, count: int = 1) -> bool:
        wanted = plain([int(token_id) for token_id in ids], choice)[-count:]
        given = logits if logits.ndim == 2 else logits[None]
        return torch.allclose(given.log_softmax(-1), wanted.log_softmax(-1), atol=tolerance)

    def read(ids: np.ndarray, past: State | None, own: ResolvedExperts, keep: int = 1) -> tuple[Tensor, State]:
        return decoder.read([Read(ids, past, own, keep)])[0]

    for choice, own in zip(choices, experts, strict=True):
        who = " and ".join(name for name, _ in choice) or "nobody"
        decoder.prepare([own])
        logits, state = read(long, None, own, 3)
        expect(f"reading a prefix gives what the base gives ({who})", same(logits, long, choice, 3))
        expect(f"a state holds the last of them ({who})", same(state.logits, long, choice))
        after = [*long, short[0]]
        expect(f"one id is read on from a state ({who})", same(read(short[:1], state, own)[1].logits, after, choice))
        if traits.resumes:
            logits, _ = read(short, state, own, len(short))
            expect(f"several ids are read on from a state ({who})", same(logits, [*long, *short], choice, len(short)))
        expect(f"a state does not change ({who})", same(read(short[:1], state, own)[0], after, choice))
        if traits.joins:
            _, cut = read(short, decoder.cut(state, 5), own)
            expect(f"a cut state is read on ({who})", same(cut.logits, [*long[:5], *short], choice))
    decoder.prepare(experts)
    texts = [ids for ids in (long, short, long[:6]) for _ in experts]
    beside = decoder.read([Read(ids, None, own, 2) for ids, own in zip(texts, experts * 3, strict=True)])
    right = [same(each, ids, choice, 2) for (each, _), ids, choice in zip(beside, texts, [*choices] * 3, strict=True)]
    expect("what is read together is what each gives alone", all(right))
    _expect_rows(decoder, prefixes, list(choices), experts, rng, same, expect)
    ids = [int(token_id) for token_id in long]
    expect("embeddings have the base's width", decoder.embed([long, short], True).shape == (2, decoder.hidden_size))
    vectors = decoder.embed([long[place : place + 1] for place in range(3)], False)
    decoder.set_prefix_embeddings(vectors)
    as_vectors = np.array([*range(decoder.vocab_size, decoder.vocab_size + 3), *ids[3:]])
    read_on = read(as_vectors, None, ())[1].logits
    expect("prefix embeddings are read like the ids whose they are", same(read_on, ids, ()))
    decoder.set_prefix_embeddings(vectors[:0])
    return promises.kept


def _expect_rows(
    decoder: Decoder,
    prefixes: Sequence[np.ndarray],
    choices: list[Choice],
    experts: list[ResolvedExperts],
    rng: np.random.Generator,
    same: Callable[[Tensor, Sequence[int], Choice], bool],
    expect: Callable[[str, bool], None],
) -> None:
    """Rows that come and go give what each gives alone."""
    joins, apart = decoder.traits.joins, decoder.traits.per_row_experts
    rows, have = decoder.rows(), list[list[int]]()
    of_row = list[int]()  # each row's place in ``choices``

    def add(some: Sequence[np.ndarray]) -> None:
        places = [(len(of_row) + row) % len(choices) if apart else len(choices) - 1 for row in range(len(some))]
        decoder.prepare([experts[place] for place in of_row + places])
        states = [state for _, state in decoder.read([Read(ids, None, experts[p]) for ids, p in zip(some, places)])]
        rows.add(states, [experts[place] for place in places], [8 + place for place in range(len(some))])
        have.extend([int(token_id) for token_id in ids] for ids in some)
        of_row.extend(places)

    def step(what: str) -> None:
        drawn = rng.integers(0, decoder.vocab_size, len(have))
        logits = rows.step(torch.from_numpy(drawn))
        for ids, token_id in zip(have, drawn, strict=True):
            ids.append(int(token_id))
        right = [same(logits[row], have[row], choices[place]) for row, place in enumerate(of_row)]
        expect(what, all(right))

    def keep(some: list[int]) -> None:
        rows.keep(some)
        have[:], of_row[:] = [have[row] for row in some], [of_row[row] for row in some]

    add(prefixes)
    step("rows give what each gives alone")
    step("and again one id later")
    keep([3, 0, 1])
    step("rows that stay when another leaves go on")
    if joins:
        add([prefixes[2], prefixes[0][:1]])
        step("rows that join later run beside those that have gone on")
        keep([4, 1])
        add([np.concatenate((prefixes[0], prefixes[1])), prefixes[1]])
        step("rows join again after others left")
        step("and all go on")
