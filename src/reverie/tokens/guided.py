"""Answers held to a form: a JSON schema, a grammar, a regular expression. What may come next is worked out by
llguidance, id by id, for any tokenizer; nothing is asked of the model.

A form that cannot be enforced is refused, never half kept. Where ids run out, JSON is closed in time: what was said
always parses.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from reverie.errors import MissingExtraError, UsageError, shorten
from reverie.tokens.base_words import BaseWords

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

__all__ = [
    "ANY_OBJECT",
    "Form",
    "Guide",
    "GuidedConstraint",
    "grammar_form",
    "json_rule",
    "pattern_form",
    "schema_form",
]

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
MOST_TEXT = 128 * 1024  # characters of a form
MOST_DEPTH = 64  # objects and arrays within one another, in a schema
MOST_MULTIPLE = 10_000  # of what multipleOf asks, taken together; the work grows with it
# On one line: with more white space allowed a small model may go on with that for ever.
_SPACES: Any = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
_LIMITS = {  # of the work that a form may make; about 50 MB and half a second
    "initial_lexer_fuel": 400_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "max_lexer_states": 20_000,
    "max_grammar_size": 100_000,
    "verbose_errors": False,
}
_KEPT = 64  # forms that stay ready
_SLACK = 16  # ids that are kept free beyond the shortest way to the end
_VALUES = ("const", "enum", "default", "examples")  # what is no schema within one
_JOINING = ("additionalProperties", "patternProperties", "anyOf", "oneOf", "$ref", "minProperties", "const", "enum")
_CLOSING = '}]:,0"1[{nt'  # what closes JSON soonest, in this order, outside of texts


@dataclass(frozen=True)
class Form:
    """What an answer is held to. ``grammar``: as llguidance reads it; ``is_json``: it can be closed in time."""

    grammar: str
    is_json: bool


def schema_form(schema: Mapping[str, Any]) -> Form:
    """JSON by a schema (draft 2020-12, as far as it can be enforced). {} is any JSON value.

    Raises UsageError for one that is too large, too deep, or asks too much; what it says is looked at by ``Guide``.
    """
    _check_schema(schema)
    return Form(_json_grammar(schema), True)


def grammar_form(grammar: str, is_json: bool = False) -> Form:
    """Text by a grammar in Lark's notation, as llguidance has it. Raises UsageError where it is too long."""
    _check_size(grammar, "a grammar")
    return Form(_library().LLMatcher.grammar_from_lark(grammar), is_json)


def pattern_form(pattern: str) -> Form:
    """Text that matches a regular expression in whole. Raises UsageError where it is too long."""
    _check_size(pattern, "a regular expression")
    return Form(_library().LLMatcher.grammar_from_regex(pattern), False)


def json_rule(schema: Mapping[str, Any], lenient: bool = False) -> str:
    """JSON by a schema, as a rule within a grammar. ``lenient``: what of it cannot be enforced is passed over.

    Raises UsageError.
    """
    _check_schema(schema)
    return f"%json {json.dumps({**_told(schema), 'x-guidance': {**_SPACES, 'lenient': lenient}})}"


class Guide:
    """Holds a base to forms. Any thread may ask.

    Args:
        words: how the base reads and ends texts
        first: id of its first text id in the engine's numbering
        vocab_size: ids of the engine
    """

    def __init__(self, words: BaseWords, first: int, vocab_size: int):
        self.words, self.first, self.vocab_size = words, first, vocab_size
        self._ready: dict[Form, LLMatcher] = {}
        self._lock = threading.Lock()

    def constraint(self, form: Form, max_ids: int) -> GuidedConstraint:
        """Walks along one answer of at most ``max_ids`` ids. Raises UsageError for a form that cannot be enforced."""
        with self._lock:
            if form not in self._ready:
                self._ready[form] = self._compiled(form)
            matcher = self._ready[form] = self._ready.pop(form)  # the newest last
            while len(self._ready) > _KEPT:
                del self._ready[next(iter(self._ready))]
            return GuidedConstraint(self, matcher.deep_copy(), max_ids, form.is_json)

    def _compiled(self, form: Form) -> LLMatcher:
        library = _library()
        limits = library.LLParserLimits(**_LIMITS)
        matcher: LLMatcher = library.LLMatcher(self.tokenizer, form.grammar, log_level=0, limits=limits)
        matcher.compute_bitmask()  # some faults show only here
        if matcher.is_error():
            raise UsageError(f"this form cannot be enforced: {_said(matcher.get_error())}")
        return matcher

    @cached_property
    def tokenizer(self) -> LLTokenizer:
        ends = self.ends or self.words.special_ids[:1]  # what is never drawn stands for the end where there is none
        try:
            made = _library().LLTokenizer(self.words.as_json(), eos_token=ends)
        except ValueError as error:
            raise UsageError(f"this base's words cannot be held to a form: {_said(str(error))}") from error
        return cast("LLTokenizer", made)

    @cached_property
    def ends(self) -> list[int]:
        """Ids that end an answer, ascending."""
        return sorted(token for token in self.words.ends if token < self.words.num_ids)

    @cached_property
    def closing_ids(self) -> list[int]:
        """Ids of the single signs that close JSON."""
        made = [self.tokenizer.greedy_tokenize(sign) for sign in _CLOSING]
        return [ids[0] for ids in made if len(ids) == 1]

    @cached_property
    def quotes(self) -> list[int]:
        """Ids that end a text of JSON and say nothing more."""
        return [ids[0] for ids in [self.tokenizer.greedy_tokenize('"')] if len(ids) == 1]

    @cached_property
    def _never(self) -> list[int]:
        """What only stands for the end, in the engine's numbering."""
        return [] if self.ends else [self.first + one for one in self.words.special_ids[:1]]

    def mask(self, ids: np.ndarray) -> Tensor:
        """bool (V,): True at these ids of the base, int64 (n,)."""
        allowed = np.zeros(self.vocab_size, dtype=bool)
        allowed[ids[ids < self.words.num_ids] + self.first] = True
        allowed[self._never] = False
        return torch.from_numpy(allowed)


class GuidedConstraint:
    """Walks along one answer and allows what its form allows.

    ``cut``: the ids ran out, and what was begun was closed sooner than the model would have.
    """

    def __init__(self, guide: Guide, matcher: LLMatcher, max_ids: int, is_json: bool):
        self._guide, self._matcher, self._left, self._is_json = guide, matcher, max_ids, is_json
        self._in_text, self._escaped = False, False  # within a text of JSON, behind a backslash
        self._look = max_ids  # ids left at which the way to the end is looked at again
        self._script: list[int] | None = None  # ids that close it, once that began
        self.cut = self.done = False

    def allowed(self) -> Tensor:
        if self._is_json and self._script is None and self._left <= self._look:
            self._look_ahead()
        if self._script:
            return self._guide.mask(np.array(self._script[:1]))
        return self._guide.mask(_allowed(self._matcher))  # none at all, where the work grew too much

    def advance(self, token_id: int) -> None:
        token = token_id - self._guide.first
        if self._script:
            del self._script[0]
            self.cut = True
        self._in_text, self._escaped = self._walk(token, self._in_text, self._escaped)
        self._matcher.consume_token(token)
        self._left -= 1
        whole = self._matcher.is_stopped() or (not self._guide.ends and self._left <= _SLACK)
        self.done = self._script == [] or (whole and self._matcher.is_accepting())

    def _look_ahead(self) -> None:
        """Close it now where hardly more ids are left than that takes; else look again when that may have changed."""
        way = self._way_out()
        if way is None:  # there is none that fits: it will be cut off
            self._look = -1
            return
        spare = self._left - len(way) - _SLACK
        if spare <= 0 and len(way) <= self._left:
            self._script = way
        self._look = self._left - max(1, spare // 4)

    def _way_out(self) -> list[int] | None:
        """Few ids that end what was begun; None where they do not fit."""
        matcher, in_text, escaped, way = self._matcher.deep_copy(), self._in_text, self._escaped, list[int]()
        while not (matcher.is_stopped() or matcher.is_accepting()):
            if len(way) >= self._left:
                return None
            allowed = _allowed(matcher)
            if not len(allowed):
                return None
            token = self._soonest(set(allowed.tolist()), in_text and not escaped)
            in_text, escaped = self._walk(token, in_text, escaped)
            matcher.consume_token(token)
            way.append(token)
        return way if matcher.is_stopped() else [*way, *self._guide.ends[:1]]

    def _walk(self, token: int, in_text: bool, escaped: bool) -> tuple[bool, bool]:
        """Where in JSON one is, after a further id."""
        for byte in self._guide.tokenizer.decode_bytes([token]) if self._is_json else b"":
            if in_text and (escaped or byte == 0x5C):
                escaped = not escaped
            elif byte == 0x22:
                in_text = not in_text
        return in_text, escaped

    def _soonest(self, allowed: set[int], in_text: bool) -> int:
        wanted = self._guide.quotes if in_text else self._guide.closing_ids
        return next((token for token in wanted if token in allowed), min(allowed))


def _allowed(matcher: LLMatcher) -> np.ndarray:
    """Ids of the base that may come next, ascending."""
    if matcher.is_error():
        return np.empty(0, dtype=np.int64)
    bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(bits, bitorder="little"))


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without what would be read as settings of llguidance; objects have no fields but those that are named, where the
    schema leaves that open: whatever fits then fits the schema, too, and small models stay with what was asked."""
    told = {name: one for name, one in schema.items() if name != "x-guidance"}
    return told if _holds(told, ("allOf",)) else _closed(told)


def _holds(value: Any, names: Sequence[str]) -> bool:
    if isinstance(value, Mapping):
        return any(name in value for name in names) or any(_holds(one, names) for one in value.values())
    return isinstance(value, (list, tuple)) and any(_holds(one, names) for one in value)


def _closed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_closed(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    told = {name: one if name in _VALUES else _closed(one) for name, one in value.items()}
    named, needed = value.get("properties"), value.get("required", [])
    is_open = isinstance(named, Mapping) and isinstance(needed, list) and all(one in named for one in needed)
    if is_open and not any(name in value for name in _JOINING):
        told["additionalProperties"] = False
    return told


def _json_grammar(schema: Mapping[str, Any]) -> str:
    try:
        return str(_library().LLMatcher.grammar_from_json_schema(json.dumps(_told(schema)), overrides=_SPACES))
    except ValueError as error:  # halves of letters
        raise UsageError(f"a schema is JSON: {_said(str(error))}") from error


def _check_schema(schema: Mapping[str, Any]) -> None:
    multiples = list[Fraction]()
    _look_into(schema, MOST_DEPTH, multiples)
    try:
        text = json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a schema is JSON: {shorten(str(error))}") from error
    _check_size(text, "a schema")
    if math.lcm(*(one.numerator for one in multiples)) > MOST_MULTIPLE:
        raise UsageError(f"multipleOf asks for more than can be enforced: up to {MOST_MULTIPLE:,}, taken together")


def _look_into(value: Any, depth: int, multiples: list[Fraction]) -> None:
    if depth < 0:
        raise UsageError(f"a schema is at most {MOST_DEPTH} objects and arrays deep")
    if isinstance(value, Mapping):
        multiple = value.get("multipleOf")
        if isinstance(multiple, (int, float)) and math.isfinite(multiple):
            multiples.append(Fraction(str(multiple)))
        for one in value.values():
            _look_into(one, depth - 1, multiples)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            _look_into(one, depth - 1, multiples)


def _check_size(text: str, what: str) -> None:
    if len(text) > MOST_TEXT:
        raise UsageError(f"{what} has at most {MOST_TEXT:,} characters, got {len(text):,}")


def _said(error: str) -> str:
    """The fault in one line."""
    if "NoExtension" in error:
        return "nothing fits it"
    lines = [line.strip() for line in error.split(" Enable '")[0].splitlines() if line.strip()]
    faults = [line for line in lines if line.startswith("error:")]
    return shorten(" ".join([lines[0], *faults[:1]]) if lines else "unknown", 200)


def _library() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError("holding answers to a form", "serve") from error
    return llguidance
