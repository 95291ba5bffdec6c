from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")
pytest.importorskip("llguidance", reason="needs the extra 'serve'")

from bases import TEMPLATE, bos_words, toy_engine_speaker, toy_words
from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.server.hosting import ChatMessage, TextRequest, Tool, ToolCall, shape_of
from reverie.server.hosting.tool_calls import calls_in, style_of, told_of_tools
from reverie.server.http.errors import RequestError
from reverie.tokens.base_words import ChatTemplate

WEATHER = Tool(
    "weather",
    "The weather somewhere.",
    {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["city"],
        "$defs": {"city": {"type": "string", "maxLength": 8}},
    },
)
CLOCK = Tool("clock", "The time.", {})
HERMES = TEMPLATE + "{% for t in tools %}{{ t | tojson }}{% endfor %}<tool_call>"
LLAMA = TEMPLATE + '{% for t in tools %}{{ t | tojson }}{% endfor %}{"name": n, "parameters": p}'
MISTRAL = TEMPLATE + "{% if tools %}{{ tools | tojson }}{% endif %}[TOOL_CALLS]"


def said(speaker: EngineSpeaker, seed: int, max_ids: int = 300, **asked: Any) -> str:
    """What is drawn at random under a shape."""
    shape = shape_of(**asked)
    assert shape is not None
    make = shape.applied(TextRequest("m", (ChatMessage("user", "hi"),))).constraint
    assert make is not None
    constraint, rng, ids = make(speaker, max_ids), np.random.default_rng(seed), list[int]()
    while not constraint.done and len(ids) < max_ids:
        allowed = constraint.allowed()
        assert allowed is not None
        ids.append(int(rng.choice(np.flatnonzero(allowed.numpy()))))
        constraint.advance(ids[-1])
    return speaker.words.decode([one - speaker.first for one in ids])


def read(text: str, *tools: Tool, piece: int = 3) -> list[str | ToolCall]:
    """What a reader makes of a text that comes in small pieces; texts beside each other are joined."""
    shape = shape_of(tools=tools)
    assert shape is not None
    reader, told = shape.reader(), list[str | ToolCall]()
    parts = [one for at in range(0, len(text), piece) for one in reader.feed(text[at : at + piece])]
    for one in [*parts, *reader.rest()]:
        if told and isinstance(one, str) and isinstance(told[-1], str):
            told[-1] += one
        else:
            told.append(one)
    return told


@pytest.mark.parametrize("template", [TEMPLATE, HERMES, LLAMA, MISTRAL])
def test_a_call_that_must_be_made_is_made(template: str) -> None:
    speaker = toy_engine_speaker(template=template)
    names = set[str]()
    for seed in range(8):
        (call,) = read(said(speaker, seed, tools=[WEATHER, CLOCK], choice="required"), WEATHER, CLOCK)
        assert isinstance(call, ToolCall)
        names.add(call.name)
        if call.name == "weather":
            assert len(call.arguments["city"]) <= 8
            assert set(call.arguments) <= {"city", "days"}
    assert names == {"weather", "clock"}
    (named,) = read(said(speaker, 1, tools=[WEATHER, CLOCK], choice="clock"), WEATHER, CLOCK)
    assert isinstance(named, ToolCall)
    assert named.name == "clock"


@pytest.mark.parametrize("template", [TEMPLATE, LLAMA, MISTRAL])
def test_with_tools_to_choose_from_any_text_may_be_said(template: str) -> None:
    speaker = toy_engine_speaker(template=template)
    texts = [said(speaker, seed, 40, tools=[WEATHER]) for seed in range(6)]
    assert all(read(text, WEATHER)[0] for text in texts)


def test_a_call_once_begun_is_one_of_the_tools() -> None:
    speaker = toy_engine_speaker()
    shape = shape_of(tools=[WEATHER])
    assert shape is not None
    make = shape.applied(TextRequest("m", (ChatMessage("user", "hi"),))).constraint
    assert make is not None
    constraint, rng, ids = make(speaker, 300), np.random.default_rng(0), list[int]()
    for token in speaker.words.encode('so <tool_call>{"name": "', whole=False):
        ids.append(speaker.first + token)
        constraint.advance(ids[-1])
    while "</tool_call>" not in speaker.words.decode([one - speaker.first for one in ids]):
        allowed = constraint.allowed()
        assert allowed is not None
        ids.append(int(rng.choice(np.flatnonzero(allowed.numpy()))))
        constraint.advance(ids[-1])
        assert len(ids) < 300
    text, call = read(speaker.words.decode([one - speaker.first for one in ids]), WEATHER)
    assert text == "so"
    assert isinstance(call, ToolCall)
    assert call.name == "weather"


def test_a_call_or_an_answer_in_a_form() -> None:
    speaker = toy_engine_speaker()
    form = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    kinds = {type(read(said(speaker, seed, form=form, tools=[CLOCK]), CLOCK)[0]) for seed in range(12)}
    assert kinds == {str, ToolCall}


CALL = '{"name": "clock", "arguments": {"zone": "UTC"}}'
CLOCKED = ToolCall("clock", {"zone": "UTC"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", [CLOCKED]),
        (
            f"Let me look. <tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>",
            ["Let me look.", CLOCKED, CLOCKED],
        ),
        (f"<tool_call>[{CALL}]</tool_call>\n", [CLOCKED]),
        (CALL.replace("arguments", "parameters"), [CLOCKED]),
        (f"[{CALL}, {CALL}]", [CLOCKED, CLOCKED]),
        ('{"type": "function", "function": ' + CALL + "}", [CLOCKED]),
        ('{"name": "clock", "arguments": "{\\"zone\\": \\"UTC\\"}"}', [CLOCKED]),
        ("<tool_call>no JSON</tool_call>", ["<tool_call>no JSON</tool_call>"]),
        (f"<tool_call>{CALL}", [f"<tool_call>{CALL}"]),
        (CALL.replace("clock", "rm"), [CALL.replace("clock", "rm")]),
        ("plain <words> {here}", ["plain <words> {here}"]),
        ('{"n": 1}', ['{"n": 1}']),
        ("1 < 2 <tool", ["1 < 2 <tool"]),
    ],
)
@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_calls_are_read_out_of_answers(text: str, told: list[Any], piece: int) -> None:
    assert read(text, CLOCK, piece=piece) == told


def test_text_is_told_as_it_comes() -> None:
    shape = shape_of(tools=[CLOCK])
    assert shape is not None
    reader = shape.reader()
    assert reader.feed("The time is ") == ["The time is"]
    assert reader.feed("<tool") == []
    assert reader.feed("box>") == [" <toolbox>"]


def test_deep_json_is_no_call() -> None:
    assert calls_in("[" * 100_000, ["clock"]) == []


def test_styles_follow_the_template() -> None:
    assert [style_of(ChatTemplate(one)).arguments for one in (TEMPLATE, HERMES, LLAMA)] == [
        "arguments",
        "arguments",
        "parameters",
    ]
    assert style_of(ChatTemplate(MISTRAL)).listed
    assert style_of(None).tagged


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "What time is it?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "clock", "arguments": '{"zone": "UTC"}'}}],
    },
    {"role": "tool", "content": "noon <|im_end|>", "name": "clock"},
    {"role": "tool", "content": "12:00", "name": "clock"},
]


def test_a_template_without_tools_is_told_of_them_by_the_system() -> None:
    words = toy_engine_speaker(bos_words()).words
    turns, more = told_of_tools(words, TALK, [CLOCK.told()])
    assert more == {}
    assert [one["role"] for one in turns] == ["system", "user", "assistant", "user"]
    assert turns[0]["content"].startswith("Be kind.\n\n")
    assert '"clock"' in turns[0]["content"]
    assert json.loads(turns[2]["content"].split("\n")[1]) == {"name": "clock", "arguments": {"zone": "UTC"}}
    assert "<|im_end|>" not in turns[3]["content"]  # what a tool says is data
    assert turns[3]["content"].count("<tool_response>") == 2


def test_a_template_with_tools_gets_them_and_arguments_as_objects() -> None:
    words = toy_engine_speaker(template=HERMES).words
    turns, more = told_of_tools(words, TALK, [CLOCK.told()])
    assert more["tools"][0]["function"]["name"] == "clock"
    assert turns[2]["tool_calls"][0]["function"]["arguments"] == {"zone": "UTC"}
    assert [one["role"] for one in turns] == [one["role"] for one in TALK]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"form": {"minimum": float("inf")}}, "a schema is JSON"),
        ({"tools": [CLOCK], "choice": "clok"}, "Did you mean 'clock'"),
        ({"choice": "required"}, "needs tools"),
        ({"tools": [CLOCK, CLOCK]}, "a name of its own"),
        ({"tools": [Tool(" ", "", {})]}, "a name of its own"),
        ({"tools": [Tool(f"t{i}", "", {}) for i in range(129)]}, "at most 128 tools"),
    ],
)
def test_bad_shapes_are_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        shape_of(**asked)
    assert refused.value.status == 400


def test_odd_schemas_of_tools_are_kept_as_far_as_they_can_be() -> None:
    odd = Tool("odd", "", {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}})
    (call,) = read(said(toy_engine_speaker(toy_words()), 0, tools=[odd], choice="required"), odd)
    assert isinstance(call, ToolCall)
    assert shape_of(tools=[odd], choice="none") is None
