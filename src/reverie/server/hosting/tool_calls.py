"""Tools in words: how a base is told of them, what a call looks like in its answer, and how calls are read out of it.

A base whose chat template takes ``tools`` is told by that, in its own form; any other by a system turn, in the form of
Hermes, which most open models learnt. Results of tools are data: they can name no special token, and no call is read
from anything but an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reverie.jsonio import jsonable
from reverie.tokens.base_words import BaseWords, ChatTemplate
from reverie.tokens.guided import json_rule

__all__ = ["CallStyle", "Tool", "ToolCall", "calls_in", "call_schema", "calling_grammar", "style_of", "told_of_tools"]

BEGIN, END = "<tool_call>", "</tool_call>"
MOST_CALLS = 8  # of one list
_TEXT = r"/(?s:.*)/"


@dataclass(frozen=True)
class Tool:
    """What an answer may call. ``parameters``: JSON schema of its arguments, an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """As chat templates take it."""
        function = {"name": self.name, "description": self.description, "parameters": jsonable(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolCall:
    """A call within an answer. ``arguments``: a JSON object (text on ``/v1``, an object on ``/api``)."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class CallStyle:
    """How a base writes a call.

    Args:
        arguments: the name of the field that holds them
        tagged: each stands between tags, with text around it; else an answer is calls alone, or text alone
        listed: calls are one list
        mark: the special token before it, "" for none
    """

    arguments: str = "arguments"
    tagged: bool = True
    listed: bool = False
    mark: str = ""


HERMES = CallStyle()
_LLAMA = CallStyle("parameters", tagged=False, mark="<|python_tag|>")
_MISTRAL = CallStyle(tagged=False, listed=True, mark="[TOOL_CALLS]")


def style_of(template: ChatTemplate | None) -> CallStyle:
    """As its chat template shows it."""
    if template is None or not template.takes_tools or BEGIN in template.source:
        return HERMES
    if _MISTRAL.mark in template.source:
        return _MISTRAL
    return _LLAMA if '"parameters"' in template.source else HERMES


def call_schema(tools: Sequence[Tool], style: CallStyle) -> dict[str, Any]:
    """The JSON schema of one call of one of ``tools``."""
    kinds = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, style.arguments: {"$ref": f"#/$defs/{index}"}},
            "required": ["name", style.arguments],
            "additionalProperties": False,
        }
        for index, tool in enumerate(tools)
    ]
    return {"anyOf": kinds, "$defs": {str(index): _arguments(tool, index) for index, tool in enumerate(tools)}}


def calling_grammar(
    words: BaseWords, tools: Sequence[Tool], must: bool, otherwise: Mapping[str, Any] | None = None
) -> str:
    """What an answer may be, in Lark's notation: text in which a call, once begun, is one of ``tools``.

    ``must``: one call and nothing else. ``otherwise``: an answer without a call is JSON by this schema.
    """
    style = style_of(words.template)
    one = call_schema(tools, style)
    if style.listed:
        most = 1 if must else MOST_CALLS
        one = {
            "type": "array",
            "items": {"anyOf": one["anyOf"]},
            "minItems": 1,
            "maxItems": most,
            "$defs": one["$defs"],
        }
    mark = words.special(style.mark) if style.mark else None
    rules = [f"json: {json_rule(one, lenient=True)}", "SPACE: /[ \\n]{0,2}/"]
    begin, end = (
        (f'"{BEGIN}" SPACE', f'SPACE "{END}"') if style.tagged else ("" if mark is None else f"<[{mark}]>?", "")
    )
    rules.append(f"call: {begin} json {end}")
    if must:
        return "\n".join(["start: call", *rules])
    if otherwise is not None:
        return "\n".join(["start: call | form", f"form: {json_rule(otherwise)}", *rules])
    if not style.tagged:
        first = r"[^\[\s]" if style.listed else r"[^{\s]"
        return "\n".join(["start: text | call", f"text: /({first}(?s:.*))?/", *rules])
    within = [f"TEXT: {_TEXT}", f'before[lazy]: TEXT "{BEGIN}"', f'within: before SPACE json SPACE "{END}"']
    return "\n".join(["start: within* text", "text: TEXT", *within, *rules[:-1]])


def _arguments(tool: Tool, index: int) -> dict[str, Any]:
    given = {"type": "object", **jsonable(tool.parameters)}
    return {name: _moved(one, f"#/$defs/{index}") for name, one in given.items()}


def _moved(value: Any, place: str) -> Any:
    """A schema whose own references lead to where it stands now."""
    if isinstance(value, dict):
        return {
            name: place + one[1:] if name == "$ref" and isinstance(one, str) and one[:1] == "#" else _moved(one, place)
            for name, one in value.items()
        }
    return [_moved(one, place) for one in value] if isinstance(value, list) else value


def told_of_tools(
    words: BaseWords, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Turns of a talk as the base takes them, and what else its template is given.

    ``turns``: role, content and, where there are any, ``tool_calls`` and the ``name`` of a tool that answered.
    """
    cleaned = [_cleaned(words, turn) for turn in turns]
    if words.template is not None and words.template.takes_tools:
        return cleaned, {"tools": [_data(words.plain, one) for one in tools]} if tools else {}
    return _plain_turns(cleaned, [json.dumps(_data(words.plain, one), ensure_ascii=False) for one in tools]), {}


def _cleaned(words: BaseWords, turn: Mapping[str, Any]) -> dict[str, Any]:
    """Without names of special tokens; arguments of calls are objects, as templates want them."""
    cleaned: dict[str, Any] = {name: _data(words.plain, one) for name, one in turn.items()}
    if calls := cleaned.get("tool_calls"):
        cleaned["tool_calls"] = [{**call, "function": _with_object(call.get("function"))} for call in calls]
    return cleaned


def _with_object(function: Any) -> dict[str, Any]:
    told = function if isinstance(function, dict) else {}
    return {**told, "name": str(told.get("name", "")), "arguments": _object(told.get("arguments"))}


def _data(plain: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(name)): _data(plain, one) for name, one in value.items()}
    return [_data(plain, one) for one in value] if isinstance(value, (list, tuple)) else value


def _plain_turns(turns: Sequence[Mapping[str, Any]], tools: Sequence[str]) -> list[dict[str, Any]]:
    """Turns for a base that knows no tools: told of them by the system, results as a user's words."""
    said = list[dict[str, Any]]()
    for turn in turns:
        role, content = turn["role"], turn["content"]
        for call in turn.get("tool_calls") or ():
            content = f"{content}\n{BEGIN}\n{_call_text(call['function'])}\n{END}".lstrip()
        if role == "tool":
            role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
            if said and said[-1]["role"] == "user":  # templates want user and assistant in turns
                content = f"{said.pop()['content']}\n{content}"
        said.append({"role": role, "content": content})
    if tools:
        before = said.pop(0)["content"] + "\n\n" if said and said[0]["role"] == "system" else ""
        said.insert(0, {"role": "system", "content": before + _PROMPT.format("\n".join(tools))})
    return said


def _call_text(function: Mapping[str, Any]) -> str:
    return json.dumps({"name": function["name"], "arguments": function["arguments"]}, ensure_ascii=False)


_PROMPT = f"""You may call functions to help with what the user asks. These are there, as JSON:
<tools>
{{}}
</tools>
To call one, answer with its name and its arguments as JSON between tags:
{BEGIN}
{{{{"name": "the function's name", "arguments": {{{{"an argument": "its value"}}}}}}}}
{END}
What it gives comes back to you. Answer in plain words where no function helps."""


def calls_in(text: str, names: Collection[str]) -> list[ToolCall]:
    """The calls that JSON stands for, as any of the known styles writes them; none where it is something else, or
    calls what is not among ``names``."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    calls = [_call(one) for one in (found if isinstance(found, list) else [found])]
    return [one for one in calls if one] if all(one is not None and one.name in names for one in calls) else []


def _call(found: Any) -> ToolCall | None:
    if not isinstance(found, dict):
        return None
    told = found["function"] if isinstance(found.get("function"), dict) else found
    name = told.get("name", told.get("function"))
    arguments = told.get("arguments", told.get("parameters", {}))
    return ToolCall(name, _object(arguments)) if isinstance(name, str) else None


def _object(value: Any) -> dict[str, Any]:
    """An object, which some write as its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
