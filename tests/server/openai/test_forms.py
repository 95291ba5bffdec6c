"""Answers in a form, and calls of tools, as OpenAI's client asks for them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

TALK: Any = [{"role": "user", "content": "what falls?"}]
SIZES = {
    "type": "object",
    "properties": {"thing": {"enum": ["ball", "egg"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["thing", "count"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "drop", "description": "Drop it.", "parameters": SIZES}}


class Dropped(BaseModel):
    thing: Literal["ball", "egg"]
    count: Annotated[int, Field(ge=0, le=9)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_schema_holds_whole_and_streamed(client: openai.OpenAI, seed: int) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "dropped", "schema": SIZES, "strict": True}}
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "response_format": form, "max_tokens": 200}
    asked |= {"seed": seed, "temperature": 1.0}
    whole = client.chat.completions.create(**asked).choices[0]
    Dropped.model_validate_json(whole.message.content or "")
    assert whole.finish_reason == "stop"
    chunks = client.chat.completions.create(**asked, stream=True)
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == whole.message.content


def test_the_client_reads_a_form_into_its_own_types(client: openai.OpenAI) -> None:
    told = client.chat.completions.parse(model="tiny", messages=TALK, response_format=Dropped, max_tokens=300, seed=1)
    assert isinstance(told.choices[0].message.parsed, Dropped)


def test_any_json_object_will_do(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_object"}
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "response_format": form, "max_tokens": 60}
    for seed in range(3):
        told = client.chat.completions.create(**asked, seed=seed, temperature=1.0)
        assert isinstance(json.loads(told.choices[0].message.content or ""), dict)


def test_a_tool_is_called_with_arguments_as_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": TALK, "tools": [TOOL], "max_tokens": 200, "seed": 1}
    for choice in ("required", {"type": "function", "function": {"name": "drop"}}):
        told = client.chat.completions.create(**asked, tool_choice=choice).choices[0]
        assert told.finish_reason == "tool_calls"
        assert told.message.tool_calls
        call: Any = told.message.tool_calls[0]
        assert call.function.name == "drop"
        Dropped.model_validate_json(call.function.arguments)
    chunks = list(client.chat.completions.create(**asked, tool_choice="required", stream=True))
    streamed = [one for chunk in chunks for one in chunk.choices[0].delta.tool_calls or []]
    assert [one.index for one in streamed] == [0]
    assert streamed[0].function is not None
    Dropped.model_validate_json(streamed[0].function.arguments or "")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_talk_goes_on_with_what_came_of_a_call(client: openai.OpenAI) -> None:
    function = {"name": "drop", "arguments": '{"thing": "egg", "count": 1}'}
    talk: Any = [
        *TALK,
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "it broke"},
    ]
    told = client.chat.completions.create(model="tiny", messages=talk, tools=[TOOL], tool_choice="none", max_tokens=4)
    assert told.choices[0].finish_reason in ("stop", "length")


def test_responses_have_forms_and_tools_too(client: openai.OpenAI) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "dropped", "schema": SIZES, "strict": True}}
    asked: dict[str, Any] = {"model": "tiny", "input": "what falls?", "max_output_tokens": 200}
    told = client.responses.create(**asked, text=form)
    Dropped.model_validate_json(told.output_text)
    tool: Any = {"name": "drop", "type": "function", "parameters": SIZES, "strict": True}
    called = client.responses.create(**asked, tools=[tool], tool_choice="required")
    item: Any = called.output[-1]
    assert (item.type, item.name) == ("function_call", "drop")
    Dropped.model_validate_json(item.arguments)
    events = list(client.responses.create(**asked, tools=[tool], tool_choice="required", stream=True))
    done: Any = next(one for one in events if one.type == "response.function_call_arguments.done")
    Dropped.model_validate_json(done.arguments)
    back: Any = [{"type": "function_call_output", "call_id": item.call_id, "output": "it broke"}]
    after = client.responses.create(
        model="tiny", input=back, previous_response_id=called.id, max_output_tokens=4, tools=[tool], tool_choice="none"
    )
    assert after.status in ("completed", "incomplete")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("response_format", {"type": "json_schema"}, "schema"),
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {"type": "wizard"}}}, "wizard"),
        ("response_format", {"type": "xml"}, "response_format"),
        ("tools", [{"type": "function", "function": {"name": "a b"}}], "tools"),
        ("tools", [{"type": "web_search"}], "tools"),
        ("tools", [TOOL, TOOL], "a name of its own"),
        ("tool_choice", "required", "tool"),
        ("tool_choice", {"type": "function", "function": {"name": "drop"}}, "drop"),
    ],
)
def test_forms_and_tools_that_cannot_be_are_told_so(client: openai.OpenAI, field: str, value: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="tiny", messages=TALK, max_tokens=4, extra_body={field: value})
    assert words in str(error.value)
