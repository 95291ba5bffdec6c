"""Any document survives the round trip through ids; ids that break the grammar say where and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.errors import GrammarError
from reverie.nouns import Frame, Part, Triplet
from reverie.tokens import Document, Grammar, TextTokenizer, Vocabulary
from reverie.tokens.grammar_files import load_grammar, save_grammar
from reverie.tokens.vocabulary import ACT, ANS, DELTA, END, EOS, FULL, KEY, LOOK, RES, WHAT

LATTICE = 6
CODES = 50


def make_grammar(full_frames: bool = True) -> Grammar:
    text = TextTokenizer.train(["the egg breaks", "what happens if you go right?"], 280)
    rng = np.random.default_rng(0)
    backdrops = [Frame(rng.integers(CODES, size=(4, 4))), Frame(np.full((6, 6), 3))]
    return Grammar(Vocabulary(text.size, CODES, LATTICE, 3), text, backdrops, full_frames)


GRAMMARS = {full: make_grammar(full) for full in (True, False)}
GRAMMAR = GRAMMARS[True]
V = GRAMMAR.vocabulary

words = st.text(max_size=12)


@st.composite
def frames(draw: Any, shape: tuple[int, int] | None = None) -> Frame:
    rows, cols = shape or (draw(st.integers(1, LATTICE)), draw(st.integers(1, LATTICE)))
    top = draw(st.sampled_from([1, 3, CODES]))  # few codes make sparse frames, many make dense ones
    codes = draw(st.lists(st.integers(0, top - 1), min_size=rows * cols, max_size=rows * cols))
    return Frame(np.array(codes).reshape(rows, cols))


@st.composite
def parts(draw: Any, before: Frame | None = None) -> Part:
    frame = draw(st.none() | frames())
    if before is not None and draw(st.booleans()):
        codes = before.codes.copy()
        for _ in range(draw(st.integers(0, 4))):
            codes.flat[draw(st.integers(0, codes.size - 1))] = draw(st.integers(0, CODES - 1))
        frame = Frame(codes)
    text = draw(words if frame is not None else words.filter(bool))
    return Part(text, frame)


@st.composite
def documents(draw: Any) -> Document:
    triplets = []
    what = draw(parts())
    for _ in range(draw(st.integers(0, 3))):
        result = draw(parts(what.frame))
        cells: tuple[tuple[int, int], ...] = ()
        if what.frame is not None and draw(st.booleans()):
            places = st.tuples(st.integers(0, what.frame.shape[0] - 1), st.integers(0, what.frame.shape[1] - 1))
            cells = tuple(sorted(draw(st.sets(places, max_size=3))))
        triplets.append(Triplet(what, Part(draw(words.filter(bool)), cells=cells), result))
        what = result
    return Document(draw(words), tuple(triplets), draw(st.none() | words))


@given(documents(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_document_survives_the_round_trip(document: Document, full_frames: bool) -> None:
    grammar = GRAMMARS[full_frames]
    assert grammar.decode(grammar.encode(document)) == document


@given(documents(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_mask_allows_exactly_what_can_be_read(document: Document, data: Any) -> None:
    ids = GRAMMAR.encode(document)
    place = data.draw(st.integers(0, len(ids) - 1))
    state = GRAMMAR.state(ids[:place])
    allowed = state.allowed()
    assert bool(allowed[ids[place]])
    wrong = data.draw(st.integers(0, V.size - 1))
    if not bool(allowed[wrong]):
        with pytest.raises(GrammarError, match=f"at place {place}"):
            state.advance(wrong)


def test_a_delta_frame_lists_only_what_changed() -> None:
    before = Frame(np.zeros((5, 5), dtype=int))
    codes = before.codes.copy()
    codes[1, 2] = 7
    ids = GRAMMAR.result_ids(Part("", Frame(codes)), before)
    assert ids == [RES, DELTA, V.position(1, 2), V.code_start + 7, END]


def test_a_key_frame_uses_the_blank_that_leaves_least_to_say() -> None:
    backdrop = GRAMMAR.backdrops[0]
    ids = GRAMMAR.key_ids(Frame(backdrop.codes[:3, :4]))
    assert ids == [KEY, V.position(2, 3), V.backdrop_start, END]


def test_dense_frames_are_written_in_full_only_where_that_is_shorter_and_asked_for() -> None:
    frame = Frame(np.arange(9).reshape(3, 3))
    assert GRAMMARS[True].key_ids(frame)[0] == FULL
    assert GRAMMARS[False].key_ids(frame)[0] == KEY


def test_unchanged_frames_make_an_empty_delta() -> None:
    frame = Frame(np.ones((2, 2), dtype=int))
    assert GRAMMAR.frame_ids(frame, frame) == [DELTA, END]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda ids: ids[1:], "at place 0: expected BOS"),
        (lambda ids: ids[:-1], "end early"),
        (lambda ids: [*ids, EOS], "expected nothing: the document has ended"),
        (lambda ids: [V.size + 3 if i == ACT else i for i in ids], "outside"),
        (lambda ids: [ANS if i == RES else i for i in ids], r"\(ANS\).*expected"),
    ],
)
def test_broken_ids_raise_one_clear_line(spoil: Any, says: str) -> None:
    what = Part("", Frame(np.eye(3, dtype=int)))
    result = Part("falls", Frame(np.zeros((3, 3), dtype=int)))
    ids = GRAMMAR.encode(Document("why?", (Triplet(what, Part("go right"), result),), "so"))
    with pytest.raises(GrammarError, match=says) as caught:
        GRAMMAR.decode(spoil(ids))
    assert "\n" not in str(caught.value)


def test_positions_must_ascend_and_stay_inside_the_frame() -> None:
    head = [*GRAMMAR.question_ids(""), WHAT, KEY, V.position(1, 1), V.code_start]
    with pytest.raises(GrammarError, match=r"\(0,2\)"):
        GRAMMAR.decode([*head, V.position(0, 2)], partial=True)
    pair = [V.position(1, 0), V.code_start + 1]
    with pytest.raises(GrammarError, match=r"\(0,1\).*expected \(1,1\) or END|\(0,1\).*END or \(1,1\)"):
        GRAMMAR.decode([*head, *pair, V.position(0, 1)], partial=True)


def test_a_partial_document_leaves_out_the_unfinished_part() -> None:
    frame = Frame(np.zeros((2, 2), dtype=int))
    triplet = Triplet(Part("", frame), Part("up"), Part("safe", frame))
    ids = GRAMMAR.encode(Document("", (triplet, triplet.__class__(triplet.result, Part("up"), triplet.result))))
    cut = len(ids) - 4
    assert GRAMMAR.decode(ids[:cut], partial=True).triplets == (triplet,)


def test_a_glimpse_reads_what_the_picture_holds() -> None:
    frame = Frame(np.arange(9).reshape(3, 3))
    triplet = Triplet(Part("", frame), Part("right", cells=((1, 2),)), Part("safe", frame))
    ids = GRAMMAR.encode(Document("", (triplet,)))
    start = ids.index(LOOK)
    assert ids[start : start + 4] == [LOOK, V.position(1, 2), V.code_start + 5, END]
    allowed = GRAMMAR.state(ids[: start + 2]).allowed()
    assert allowed.nonzero().ravel().tolist() == [V.code_start + 5]
    assert GRAMMAR.decode(ids).triplets == (triplet,)
    with pytest.raises(GrammarError, match="outside"):
        GRAMMAR.glimpse_ids([(3, 0)], frame)


@pytest.mark.parametrize(("stop", "ends_with"), [("what", ACT), ("action", RES), ("result", EOS), ("end", EOS)])
def test_a_state_is_done_where_it_was_told_to_stop(stop: str, ends_with: int) -> None:
    frame = Frame(np.zeros((2, 2), dtype=int))
    ids = GRAMMAR.encode(Document("", (Triplet(Part("", frame), Part("up"), Part("safe", frame)),)))
    state = GRAMMAR.state(ids[:2], stop)
    for token in ids[2:]:
        state.advance(token)
        if state.done:
            break
    assert token == ends_with


def test_a_frame_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GrammarError, match="lattice of 6"):
        GRAMMAR.key_ids(Frame(np.zeros((7, 2), dtype=int)))
    with pytest.raises(GrammarError, match="not below 50"):
        GRAMMAR.key_ids(Frame(np.full((2, 2), 50)))


def test_a_saved_grammar_writes_the_same_ids(tmp_path: Any) -> None:
    save_grammar(GRAMMAR, tmp_path)
    document = Document("the egg?", (Triplet(Part("", Frame(np.eye(4, dtype=int))), Part("go"), Part("breaks")),), "so")
    assert load_grammar(tmp_path).encode(document) == GRAMMAR.encode(document)
