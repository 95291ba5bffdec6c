"""What a base may say, id by id: its own text, or lines of a form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bases import bos_words, piece_words, toy_words
from reverie.dreaming.said import LINE_IDS, FormConstraint, SaidConstraint, TextMasks
from reverie.tokens.base_words import BaseWords

FIRST, SIZE = 7, 400
KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {"plain": toy_words, "bos": bos_words, "pieces": piece_words}


def masks_of(tokenizer: PreTrainedTokenizerFast) -> TextMasks:
    return TextMasks(BaseWords(tokenizer.backend_tokenizer, frozenset([tokenizer.eos_token_id])), FIRST, SIZE)


@pytest.fixture(params=KINDS)
def masks(request: pytest.FixtureRequest) -> TextMasks:
    return masks_of(KINDS[request.param]())


def walk(constraint: FormConstraint | SaidConstraint, seed: int, most: int = 400) -> list[int]:
    """Ids drawn evenly from what is allowed, until it is done; as the base counts them."""
    rng, ids = torch.Generator().manual_seed(seed), list[int]()
    while not constraint.done and len(ids) < most:
        allowed = constraint.allowed().nonzero().squeeze(1)
        token = int(allowed[int(torch.randint(len(allowed), (1,), generator=rng))])
        constraint.advance(token)
        ids.append(token - FIRST)
    return ids


def test_any_text_may_be_said_and_its_end(masks: TextMasks) -> None:
    allowed = {int(token) - FIRST for token in SaidConstraint(masks).allowed().nonzero()}
    assert allowed == set(masks.words.text_ids) | masks.words.ends
    assert not SaidConstraint(masks).done


def test_a_text_is_done_before_a_stop_text(masks: TextMasks) -> None:
    for stop in ("fall", "it", "✓"):
        constraint = SaidConstraint(masks, ("never", stop))
        for token in masks.words.encode(f"he said {stop}", whole=False)[:-1]:
            constraint.advance(token + FIRST)
            assert not constraint.done
        constraint.advance(masks.words.encode(f"he said {stop}", whole=False)[-1] + FIRST)
        assert constraint.done


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("labels", [(), ("Result:",), ("Then:", 'He said "so":')])
def test_a_form_is_held_whatever_is_drawn(masks: TextMasks, labels: tuple[str, ...], seed: int) -> None:
    constraint = FormConstraint(masks, labels)
    ids = walk(constraint, seed)
    assert constraint.done
    ended = ids[-1] in masks.words.ends
    lines = masks.words.decode(ids[:-1] if ended else ids).split("\n")
    if not ended:
        assert lines.pop() == ""
    assert len(lines) == len(labels) + 1
    for line, label in zip(lines, ("", *labels), strict=True):
        assert line.startswith(label)
        assert line.removeprefix(label).strip()
        assert not line.endswith("\ufffd")


def test_a_line_has_an_end(masks: TextMasks) -> None:
    """One that would go on is ended after its most ids, as soon as its last character is whole."""
    constraint = FormConstraint(masks, ("Then:",), most=5)
    letter = masks.words.encode("te", whole=False)[-1] + FIRST
    for _ in range(5):
        assert constraint.allowed()[letter]
        constraint.advance(letter)
    assert torch.equal(constraint.allowed(), masks.line_end)
    assert FormConstraint(masks, ())._most == LINE_IDS


def test_an_id_of_several_line_feeds_is_none_of_a_line() -> None:
    tokenizer = toy_words()  # as the words of Llama 3 are, in which "." and line feeds are one id
    tokenizer.backend_tokenizer.add_tokens(["\n\n", ".\n", "\nA", ".\n\n"])
    masks = masks_of(tokenizer)
    ids = {text: tokenizer.convert_tokens_to_ids(text) + FIRST for text in ("\n\n", ".\n", "\nA", ".\n\n")}
    constraint = FormConstraint(masks, ("Then:",))
    constraint.advance(tokenizer("it").input_ids[0] + FIRST)
    allowed = constraint.allowed()
    assert [bool(allowed[token]) for token in ids.values()] == [False, True, False, False]
    constraint.advance(ids[".\n"])
    assert int(constraint.allowed().sum()) == 1  # the label follows


def test_a_form_never_ends_amid_a_character() -> None:
    masks = masks_of(toy_words())
    constraint = FormConstraint(masks, ())
    first, *others = masks.words.encode("✓", whole=False)
    constraint.advance(first + FIRST)
    assert not (constraint.allowed() & (masks.line_end | masks.ends)).any()
    for token in others:
        constraint.advance(token + FIRST)
    assert (constraint.allowed() & masks.ends).any()
