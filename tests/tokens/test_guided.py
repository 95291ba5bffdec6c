from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance", reason="needs the extra 'serve'")
pytest.importorskip("jsonschema", reason="needs the extra 'dev'")

import jsonschema

from bases import bos_words, piece_words, toy_engine_speaker, toy_words
from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.dreaming.said import SaidConstraint
from reverie.engine import Request, Sampling
from reverie.errors import UsageError
from reverie.tokens.guided import Form, GuidedConstraint, grammar_form, pattern_form, schema_form

SPEAKERS = {name: toy_engine_speaker(make()) for name, make in (("bytes", toy_words), ("pieces", piece_words))}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "two words"]}, "minItems": 1},
    },
    "required": ["name", "age", "tags"],
}


def walked(speaker: EngineSpeaker, form: Form, seed: int, max_ids: int = 300) -> tuple[str, GuidedConstraint]:
    """What a model that draws anything at random says: the hardest one to hold to a form."""
    constraint, rng, ids = speaker.guide.constraint(form, max_ids), np.random.default_rng(seed), list[int]()
    while not constraint.done and len(ids) < max_ids:
        ids.append(int(rng.choice(np.flatnonzero(constraint.allowed().numpy()))))
        constraint.advance(ids[-1])
    return speaker.words.decode([one - speaker.first for one in ids]), constraint


def schemas() -> Any:
    bounds = st.integers(-50, 50)
    names = st.sampled_from(["a", "name", "größe", 'say "hi"', "x y"])
    leaves = st.one_of(
        st.just({"type": "null"}),
        st.just({"type": "boolean"}),
        bounds.map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 7}),
        st.just({"type": "number"}),
        st.just({"type": "string"}),
        st.integers(0, 6).map(lambda size: {"type": "string", "minLength": size, "maxLength": size + 3}),
        st.just({"type": "string", "pattern": "^[A-Z][a-z]{1,4}-[0-9]{2}$"}),
        st.just({"type": "string", "format": "date"}),
        st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), min_size=1, max_size=4).map(
            lambda values: {"enum": values}
        ),
    )

    def objects(inner: Any) -> Any:
        fields = st.dictionaries(names, inner, max_size=3)
        return st.tuples(fields, st.booleans()).map(
            lambda told: {
                "type": "object",
                "properties": told[0],
                "required": sorted(told[0])[:2],
                **({"additionalProperties": False} if told[1] else {}),
            }
        )

    def arrays(inner: Any) -> Any:
        return st.tuples(inner, st.integers(0, 2)).map(
            lambda told: {"type": "array", "items": told[0], "minItems": told[1], "maxItems": told[1] + 2}
        )

    def either(inner: Any) -> Any:
        return st.lists(inner, min_size=1, max_size=2).map(lambda several: {"anyOf": several})

    return st.recursive(leaves, lambda inner: st.one_of(objects(inner), arrays(inner), either(inner)), max_leaves=5)


@settings(max_examples=60, deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32), kind=st.sampled_from(sorted(SPEAKERS)))
def test_whatever_is_drawn_parses_and_fits_its_schema(schema: Any, seed: int, kind: str) -> None:
    text, constraint = walked(SPEAKERS[kind], schema_form(schema), seed)
    jsonschema.validate(json.loads(text), schema)
    assert constraint.done


@pytest.mark.parametrize("kind", sorted(SPEAKERS))
def test_json_is_closed_before_the_ids_run_out(kind: str) -> None:
    cut = 0
    for seed in range(12):
        text, constraint = walked(SPEAKERS[kind], schema_form(PERSON), seed, 70)
        jsonschema.validate(json.loads(text), PERSON)
        cut += constraint.cut
    assert cut


def test_too_few_ids_for_any_answer_give_what_fits() -> None:
    text, constraint = walked(SPEAKERS["bytes"], schema_form(PERSON), 0, 5)
    assert text.startswith("{")
    assert not constraint.done


@pytest.mark.parametrize("words", [toy_words, bos_words, piece_words])
def test_the_engine_draws_forms_side_by_side(words: Any) -> None:
    speaker = toy_engine_speaker(words())
    forms = [schema_form(PERSON), schema_form({"type": "object"}), pattern_form("[a-c]{3,5}")]
    ends = frozenset(speaker.first + end for end in speaker.words.ends)
    held = [*(speaker.guide.constraint(form, 150) for form in forms), SaidConstraint(speaker.masks)]
    requests = [Request(speaker.ids("hi"), 0, Sampling(1.0), one, 150, stop_ids=ends) for one in held]
    done = speaker.engine.generate(requests)
    said = [speaker.words.decode([one - speaker.first for one in each.ids]) for each in done]
    jsonschema.validate(json.loads(said[0]), PERSON)
    assert isinstance(json.loads(said[1]), dict)
    assert 3 <= len(said[2]) <= 5
    assert set(said[2]) <= set("abc")


def test_a_base_that_ends_with_nothing_still_ends() -> None:
    speaker = toy_engine_speaker()
    speaker.words.ends = frozenset()
    text, constraint = walked(speaker, schema_form({"type": "object"}), 1)
    assert isinstance(json.loads(text), dict)
    assert constraint.done
    number, constraint = walked(speaker, schema_form({"type": "integer"}), 1, 20)
    assert isinstance(json.loads(number), int)


def test_objects_have_no_fields_that_were_not_asked_for() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert {"a"} == set(json.loads(walked(SPEAKERS["bytes"], schema_form(schema), 3)[0]))
    free = {**schema, "additionalProperties": True}
    assert any(len(json.loads(walked(SPEAKERS["bytes"], schema_form(free), seed)[0])) > 1 for seed in range(8))


def test_grammars_and_patterns() -> None:
    grammar = grammar_form('start: "yes" | "no" REST\nREST: /[!?]{2}/')
    assert {walked(SPEAKERS["bytes"], grammar, seed)[0][:2] for seed in range(20)} == {"ye", "no"}


BAD: dict[str, tuple[Any, str]] = {
    "type": ({"type": "nope"}, "Invalid type: nope"),
    "no end": ({"$ref": "#"}, "nothing fits it"),
    "unknown": ({"uniqueItems": True}, "uniqueItems"),
    "pattern": ({"type": "string", "pattern": "("}, "unclosed group"),
    "multiple": ({"type": "integer", "multipleOf": 9999991}, "multipleOf"),
    "multiples": ({"allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]}, "multipleOf"),
    "size": ({"enum": ["x" * 100] * 2000}, "at most 131,072 characters"),
    "nan": ({"minimum": float("nan")}, "a schema is JSON"),
    "none": ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum (5) is greater"),
    "both": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    "half a letter": ({"enum": ["\ud800"]}, "a schema is JSON"),
    "elsewhere": ({"$ref": "http://example.com/x"}, "not"),
    "settings": ({"x-guidance": {"lenient": True}, "uniqueItems": True}, "uniqueItems"),
    "work": ({"allOf": [{"anyOf": [{"required": [f"p{i}{j}"]} for j in range(9)]} for i in range(9)]}, "large"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_enforced_is_refused_in_one_line(name: str) -> None:
    schema, said = BAD[name]
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace(")", r"\)")) as refused:
        SPEAKERS["bytes"].guide.constraint(schema_form(schema), 100)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_schema_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(70):
        deep = {"properties": {"a": deep}}
    with pytest.raises(UsageError, match="deep"):
        schema_form(deep)


@pytest.mark.parametrize("form", [lambda: grammar_form('start: "a" b'), lambda: pattern_form("a(")])
def test_bad_grammars_are_refused_in_one_line(form: Any) -> None:
    with pytest.raises(UsageError, match="cannot be enforced") as refused:
        SPEAKERS["bytes"].guide.constraint(form(), 100)
    assert "\n" not in str(refused.value)
