"""The triplet grammar: documents of pictures and words ↔ ids of one vocabulary.

    document := BOS ASK text* [ WHAT part ( ACT text+ glimpse? RES part )+ ] [ ANS text* ] EOS
    part     := frame? text*
    frame    := KEY corner blank pair* END  |  DELTA pair* END  |  FULL corner code{rows·cols}
    glimpse  := LOOK pair* END
    pair     := position code

A **key frame** is the picture against a blank one (one code, or a backdrop that the vocabulary knows); a **delta
frame** is the picture against the frame before it. Both list only what differs, as video codecs do; positions ascend.
``corner`` is the position of the bottom-right cell, so it tells the frame's size.

A **glimpse** is where an action looks before its result is pictured: the model points at a cell, and the only code that
may follow is the one that the picture holds there. So it need not guess what it will meet, only where to look.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import GrammarError
from reverie.nouns import Frame, Part, Triplet
from reverie.tokens.text import TextTokenizer
from reverie.tokens.vocabulary import ACT, ANS, ASK, BOS, DELTA, END, EOS, FULL, KEY, LOOK, RES, WHAT, Vocabulary

if TYPE_CHECKING:
    import torch

__all__ = ["Document", "Grammar", "GrammarState"]

#: what ends a part or a text, by role
_NEXT = {
    "what": (ACT,),
    "result": (ACT, ANS, EOS),
    "question": (WHAT, ANS, EOS),
    "action": (LOOK, RES),
    "answer": (EOS,),
}
#: what ends the part, or the whole, that a state may be told to stop at
_STOPS = {"what": (ACT,), "action": (RES,), "result": (ACT, ANS, EOS), "dream": (ANS, EOS), "end": (EOS,)}


@dataclass(frozen=True)
class Document:
    """A question (may be empty), the dream that follows it (may be empty) and the answer (None: not said)."""

    question: str = ""
    triplets: tuple[Triplet, ...] = ()
    answer: str | None = None


class Grammar:
    """Writes and reads documents.

    Args:
        vocabulary: the ranges of ids
        text: the byte-level BPE; its size must be ``vocabulary.num_text``
        backdrops: frames that a key frame may name as its blank; cropped at the top left to the frame's size
        full_frames: write all K codes where that is shorter than pairs; off, pairs are always used
    """

    def __init__(
        self, vocabulary: Vocabulary, text: TextTokenizer, backdrops: Sequence[Frame] = (), full_frames: bool = True
    ):
        if text.size != vocabulary.num_text:
            raise GrammarError(f"the vocabulary has {vocabulary.num_text} text ids, the tokenizer {text.size}")
        if len(backdrops) > vocabulary.num_backdrops:
            raise GrammarError(f"{len(backdrops)} backdrops, but the vocabulary has {vocabulary.num_backdrops} ids")
        self.vocabulary, self.text, self.backdrops = vocabulary, text, tuple(backdrops)
        self.full_frames = full_frames
        start = vocabulary.text_start
        self._text_ids = functools.lru_cache(65_536)(lambda words: [start + token for token in text.encode(words)])
        self._choices: dict[tuple[object, ...], frozenset[int]] = {}  # both are filled as states are met
        self._masks: dict[tuple[object, ...], torch.Tensor] = {}

    # writing ------------------------------------------------------------------------------------------------

    def encode(self, document: Document) -> list[int]:
        ids = self.question_ids(document.question)
        for index, triplet in enumerate(document.triplets):
            if index == 0:
                ids += self.what_ids(triplet.what)
            ids += self.step_ids(triplet)
        if document.answer is not None:
            ids += self.answer_ids(document.answer)
        return [*ids, EOS]

    def question_ids(self, question: str) -> list[int]:
        return [BOS, ASK, *self.text_ids(question)]

    def what_ids(self, part: Part) -> list[int]:
        return [WHAT, *(self.key_ids(part.frame) if part.frame else []), *self.text_ids(part.text)]

    def action_ids(self, text: str) -> list[int]:
        if not text:
            raise GrammarError("an action needs words")
        return [ACT, *self.text_ids(text)]

    def glimpse_ids(self, cells: Sequence[tuple[int, int]], frame: Frame | None) -> list[int]:
        """What an action looks at: ``cells`` of ``frame`` with their codes; nothing for no cells."""
        if not cells:
            return []
        if frame is None or any(row >= frame.shape[0] or col >= frame.shape[1] for row, col in cells):
            raise GrammarError(f"an action looks at {list(cells)}, outside of {frame or 'the picture that is missing'}")
        v = self.vocabulary
        pairs = [id_ for cell in cells for id_ in (v.position(*cell), v.code_start + int(frame.codes[cell]))]
        return [LOOK, *pairs, END]

    def step_ids(self, triplet: Triplet) -> list[int]:
        """A triplet without its what: action, glimpse, result."""
        looked = self.glimpse_ids(triplet.action.cells, triplet.what.frame)
        return [*self.action_ids(triplet.action.text), *looked, *self.result_ids(triplet.result, triplet.what.frame)]

    def result_ids(self, part: Part, before: Frame | None) -> list[int]:
        return [RES, *(self.frame_ids(part.frame, before) if part.frame else []), *self.text_ids(part.text)]

    def answer_ids(self, text: str) -> list[int]:
        return [ANS, *self.text_ids(text)]

    def text_ids(self, text: str) -> list[int]:
        return list(self._text_ids(text))

    def frame_ids(self, frame: Frame, before: Frame | None) -> list[int]:
        """A delta frame against ``before`` where at most half of the cells change, else a key frame."""
        if before is None or before.shape != frame.shape or (frame.codes != before.codes).mean() > 0.5:
            return self.key_ids(frame)
        return [DELTA, *self._pairs(frame.codes, before.codes), END]

    def key_ids(self, frame: Frame) -> list[int]:
        """``frame`` against the blank that leaves the fewest pairs."""
        rows, cols = frame.shape
        vocabulary = self.vocabulary
        if max(rows, cols) > vocabulary.lattice:
            raise GrammarError(f"a frame of {rows}x{cols} cells does not fit the lattice of {vocabulary.lattice}")
        if frame.codes.max() >= vocabulary.num_codes:
            raise GrammarError(f"code {frame.codes.max()} is not below {vocabulary.num_codes}")
        corner = vocabulary.position(rows - 1, cols - 1)
        values, counts = np.unique(frame.codes, return_counts=True)
        common = int(values[counts.argmax()])
        blanks = [(vocabulary.code_start + common, np.full(frame.shape, common))]
        for index, backdrop in enumerate(self.backdrops):
            if backdrop.shape[0] >= rows and backdrop.shape[1] >= cols:
                blanks.append((vocabulary.backdrop_start + index, backdrop.codes[:rows, :cols]))
        blank, base = min(blanks, key=lambda pair: int((frame.codes != pair[1]).sum()))
        key = [KEY, corner, blank, *self._pairs(frame.codes, base), END]
        full = [FULL, corner, *(vocabulary.code_start + frame.codes.ravel()).tolist()]
        return full if self.full_frames and len(full) < len(key) else key

    def _pairs(self, codes: np.ndarray, base: np.ndarray) -> list[int]:
        rows, cols = np.nonzero(codes != base)
        positions = self.vocabulary.position_start + rows * self.vocabulary.lattice + cols
        return np.stack([positions, self.vocabulary.code_start + codes[rows, cols]], axis=1).ravel().tolist()

    # reading ------------------------------------------------------------------------------------------------

    def decode(self, ids: Sequence[int], partial: bool = False) -> Document:
        """The document that ``ids`` say. ``partial`` allows it to stop early; an unfinished part is left out.

        Raises GrammarError naming the place, what stood there and what could have stood there.
        """
        state = GrammarState(self)
        for token in ids:
            state.advance(int(token))
        if not partial and state.mode != "done":
            raise GrammarError(f"the ids end early, after {len(ids)}: expected {state.expected()}")
        return state.document()

    def state(self, prefix: Sequence[int], stop: str = "end") -> GrammarState:
        """The state after ``prefix``; it is ``done`` when what ``stop`` names is complete:
        ``what``, ``action``, ``result`` (one part), ``dream`` (all triplets) or ``end``."""
        state = GrammarState(self)
        for token in prefix:
            state.advance(int(token))
        state.stop, state.done = stop, False
        return state

    def choices(self, state: GrammarState) -> frozenset[int]:
        """The ids that may come next for ``state``, made once per kind of state."""
        key = state.key()
        if key not in self._choices:
            self._choices[key] = frozenset(state.next_ids())
        return self._choices[key]

    def mask(self, state: GrammarState) -> torch.Tensor:
        """The same as a shared bool tensor (V,)."""
        key = state.key()
        if key not in self._masks:
            import torch

            mask = torch.zeros(self.vocabulary.size, dtype=torch.bool)
            mask[sorted(self.choices(state))] = True
            self._masks[key] = mask
        return self._masks[key]

    @functools.cached_property
    def _ranges(self) -> dict[str, range]:
        v = self.vocabulary
        return {"text": range(v.text_start, v.size), "code": range(v.code_start, v.backdrop_start)}


class GrammarState:
    """Reads ids one at a time, knows what may come next, and remembers what was read.

    It is the grammar's only automaton: the decoder runs it over ids, the engine asks it for masks.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self.mode = "start"
        self.role = ""
        self.count = 0
        self.stop = "end"
        self.done = False
        self._texts: dict[str, list[int]] = {"question": [], "answer": []}
        self._words: list[int] = []  # text ids of the part being read
        self._codes: np.ndarray | None = None  # the frame being read
        self._frame: Frame | None = None  # the last whole frame: what a delta changes
        self._has_frame = False
        self._full = False  # the frame being read lists all its codes
        self._shape = (0, 0)
        self._looks: list[tuple[int, int]] = []  # cells of the glimpse being read
        self._cell = -1  # raster index in the lattice of the last position
        self._what: Part | None = None
        self._action: Part | None = None
        self._triplets: list[Triplet] = []
        self._answered = False

    def advance(self, token: int) -> None:
        """Read one id; GrammarError when it cannot stand here."""
        if token not in self.grammar.choices(self):
            vocabulary = self.grammar.vocabulary
            raise GrammarError(
                f"id {token} ({vocabulary.name(token)}) at place {self.count}: expected {self.expected()}"
            )
        self.count += 1
        role = self.role
        getattr(self, f"_read_{self.mode}")(token)
        ends = self.stop in (role, "dream", "end")
        self.done = self.done or (ends and token in _STOPS[self.stop])

    def allowed(self) -> torch.Tensor:
        """Bool tensor (V,): True where the next id may stand. Shared between states; do not change it."""
        return self.grammar.mask(self)

    def key(self) -> tuple[object, ...]:
        """All that decides what may come next."""
        if self.mode in ("position", "look", "blank"):
            return self.mode, self._shape, self._cell
        if self.mode == "seen":
            return self.mode, self._seen()
        return self.mode, self.role, self._frame is not None, bool(self._words)

    def _seen(self) -> int:
        """The only code that may follow in a glimpse: what the last frame holds at the cell looked at."""
        assert self._frame is not None
        cell = divmod(self._cell, self.grammar.vocabulary.lattice)
        return self.grammar.vocabulary.code_start + int(self._frame.codes[cell])

    def expected(self) -> str:
        """What may come next, in words."""
        names: list[str] = []
        choices = self.grammar.choices(self)
        for kind, tokens in self.grammar._ranges.items():
            if tokens[0] in choices:
                names.append(kind)
        others = sorted(token for token in choices if token < self.grammar.vocabulary.code_start)
        names += [self.grammar.vocabulary.name(token) for token in others[:6]] + ["…"] * (len(others) > 6)
        return " or ".join(names) or "nothing: the document has ended"

    def document(self) -> Document:
        decode = self.grammar.text.decode
        start = self.grammar.vocabulary.text_start
        texts = {name: decode([token - start for token in ids]) for name, ids in self._texts.items()}
        return Document(texts["question"], tuple(self._triplets), texts["answer"] if self._answered else None)

    def part(self) -> Part | None:
        """The part being read, as far as it is whole; None while its frame is unfinished or nothing was said."""
        if self.mode != "words":
            return None
        return self._part()

    # what may come ------------------------------------------------------------------------------------------

    def _can_delta(self) -> bool:
        return self.role == "result" and self._frame is not None

    def next_ids(self) -> set[int]:
        """The ids that may come next."""
        ranges, v = self.grammar._ranges, self.grammar.vocabulary
        match self.mode:
            case "start":
                return {BOS}
            case "ask":
                return {ASK}
            case "text":
                ends = set(_NEXT[self.role]) if self._words or self.role != "action" else set()
                return {*ranges["text"], *(ends if self._frame is not None else ends - {LOOK})}
            case "part":
                return {KEY, FULL, *([DELTA] if self._can_delta() else []), *ranges["text"]}
            case "words":
                return {*ranges["text"], *_NEXT[self.role]}
            case "corner":
                return set(range(v.position_start, v.code_start))
            case "blank":
                rows, cols = self._shape
                fits = [i for i, b in enumerate(self.grammar.backdrops) if b.shape[0] >= rows and b.shape[1] >= cols]
                return {*ranges["code"], *(v.backdrop_start + index for index in fits)}
            case "position" | "look":
                rows, cols = self._shape
                cells = (row * v.lattice + col for row in range(rows) for col in range(cols))
                return {END, *(v.position_start + cell for cell in cells if cell > self._cell)}
            case "seen":
                return {self._seen()}
            case "looked":
                return {RES}
            case "code" | "full":
                return set(ranges["code"])
            case _:
                return set()

    # what was read ------------------------------------------------------------------------------------------

    def _read_start(self, token: int) -> None:
        self.mode = "ask"

    def _read_ask(self, token: int) -> None:
        self.mode, self.role = "text", "question"

    def _read_text(self, token: int) -> None:
        if token >= self.grammar.vocabulary.text_start:
            self._words.append(token)
            return
        if token == LOOK:
            assert self._frame is not None
            self._shape, self._cell, self.mode = self._frame.shape, -1, "look"
            return
        if self.role != "action":
            self._texts[self.role], self._words = self._words, []
        self._enter(token)

    def _read_look(self, token: int) -> None:
        if token == END:
            self.mode = "looked"
        else:
            self._cell = token - self.grammar.vocabulary.position_start
            self._looks.append(divmod(self._cell, self.grammar.vocabulary.lattice))
            self.mode = "seen"

    def _read_seen(self, token: int) -> None:
        self.mode = "look"

    def _read_looked(self, token: int) -> None:
        self._enter(token)

    def _read_part(self, token: int) -> None:
        if token in (KEY, FULL):
            self._full = token == FULL
            self.mode = "corner"
        elif token == DELTA:
            assert self._frame is not None
            self._codes, self._shape, self._cell = self._frame.codes.copy(), self._frame.shape, -1
            self.mode = "position"
        else:
            self._words.append(token)
            self.mode = "words"

    def _read_corner(self, token: int) -> None:
        row, col = self.grammar.vocabulary.cell(token)
        self._shape, self._cell = (row + 1, col + 1), -1
        self._codes = np.zeros(self._shape, dtype=np.int32)
        self.mode = "full" if self._full else "blank"

    def _read_blank(self, token: int) -> None:
        v = self.grammar.vocabulary
        assert self._codes is not None
        rows, cols = self._shape
        if token >= v.backdrop_start:
            self._codes[:] = self.grammar.backdrops[token - v.backdrop_start].codes[:rows, :cols]
        else:
            self._codes[:] = token - v.code_start
        self.mode = "position"

    def _read_position(self, token: int) -> None:
        if token == END:
            self._end_frame()
        else:
            self._cell = token - self.grammar.vocabulary.position_start
            self.mode = "code"

    def _read_code(self, token: int) -> None:
        assert self._codes is not None
        self._codes[divmod(self._cell, self.grammar.vocabulary.lattice)] = token - self.grammar.vocabulary.code_start
        self.mode = "position"

    def _read_full(self, token: int) -> None:
        assert self._codes is not None
        self._cell += 1
        self._codes[divmod(self._cell, self._shape[1])] = token - self.grammar.vocabulary.code_start
        if self._cell + 1 == self._codes.size:
            self._end_frame()

    def _read_words(self, token: int) -> None:
        if token >= self.grammar.vocabulary.text_start:
            self._words.append(token)
            return
        part = self._part()
        if self.role == "result":
            assert self._what is not None
            assert self._action is not None
            self._triplets.append(Triplet(self._what, self._action, part))
        self._what, self._frame, self._words, self._has_frame = part, part.frame, [], False
        self._enter(token)

    def _enter(self, token: int) -> None:
        """A role begins (or the document ends) with ``token``."""
        if token == RES:
            self._action, self._looks = Part(self._take_words(), cells=tuple(self._looks)), []
        roles = {WHAT: "what", ACT: "action", RES: "result", ANS: "answer"}
        if token == EOS:
            self.mode = "done"
        else:
            self.role = roles[token]
            self.mode = "part" if token in (WHAT, RES) else "text"
            self._answered = self._answered or token == ANS

    def _end_frame(self) -> None:
        assert self._codes is not None
        self._frame, self._has_frame, self._codes = Frame(self._codes), True, None
        self.mode = "words"

    def _take_words(self) -> str:
        start = self.grammar.vocabulary.text_start
        words, self._words = self._words, []
        return self.grammar.text.decode([token - start for token in words]) or " "  # an action is never without words

    def _part(self) -> Part:
        start = self.grammar.vocabulary.text_start
        text = self.grammar.text.decode([token - start for token in self._words])
        return Part(text, self._frame) if self._has_frame else Part(text or " ")
