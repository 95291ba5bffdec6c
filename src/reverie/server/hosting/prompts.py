"""What a request says to a model: ids, or a question within a talk; what the router is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.dreaming.question import DreamSettings, Manner, Question, Speaking, Turn
from reverie.dreaming.said import SaidConstraint
from reverie.engine import Constraint
from reverie.errors import UsageError
from reverie.experts.contract import Choice
from reverie.server.hosting.contract import ChatMessage, Said, TextRequest
from reverie.server.hosting.models import HostedModel
from reverie.server.hosting.settings import HostingConfig
from reverie.server.hosting.tool_calls import told_of_tools
from reverie.server.http.errors import RequestError
from reverie.server.pictures.encoding import open_base64

__all__ = ["asked_of", "question_of", "route_text", "talk_ids"]

_USUAL_DREAMS, _USUAL_IDS = 4, 256  # as `reverie chat` has them
_MAX_PIXELS = 32_000_000  # of a picture that is shown
_MOST_ROUTED = 2_000  # characters that the router is shown
_LABELS = {"system": "", "user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}


def talk_ids(
    model: HostedModel, said: Said, tools: Sequence[Mapping[str, Any]] = (), raw: bool = False
) -> tuple[int, ...]:
    """The engine's ids of a text, of the base's own ids, or of a talk up to where its answer begins. Texts cannot name
    special tokens, unless they are ``raw``; ids can. Raises UsageError, RequestError."""
    speaker = model.speaker
    if speaker is None:
        if not isinstance(said, str):
            raise RequestError(400, f"{model.facts.name} dreams before it answers: send it a talk", "model")
        return tuple(model.model.prompter.ids(said))
    if isinstance(said, str):
        own = speaker.words.encode(said) if raw and said else []
        return tuple(speaker.first + one for one in own) if own else speaker.ids(said)
    first = said[0]
    if isinstance(first, ChatMessage):
        turns: tuple[ChatMessage, ...] = said  # type: ignore[assignment]
        return _rendered(speaker, turns, tools)
    ids: tuple[int, ...] = said  # type: ignore[assignment]
    size = speaker.vocab_size - speaker.first
    if wrong := [one for one in ids if not 0 <= one < size]:
        raise UsageError(f"id {wrong[0]} is not in the vocabulary of {size} ids (0 to {size - 1})")
    return tuple(speaker.first + one for one in ids)


def _rendered(
    speaker: EngineSpeaker, talk: tuple[ChatMessage, ...], tools: Sequence[Mapping[str, Any]]
) -> tuple[int, ...]:
    """A talk by the base's chat template; as plain lines where it has none."""
    if any(one.images for one in talk):
        raise RequestError(400, f"{speaker.name} sees no pictures; ask nano, or a model joined to it", "messages")
    words = speaker.words
    turns, more = told_of_tools(
        words, [{**one.fields, "role": one.role, "content": one.content} for one in talk], tools
    )
    if words.template is not None:
        text = words.template.render(turns, **more)
        return tuple(speaker.first + token for token in words.encode(text, whole=False))
    lines = [f"{_LABELS[one['role']]}{one['content']}" for one in turns]
    return speaker.ids("\n".join([*lines, _LABELS["assistant"].rstrip()]))


def asked_of(request: TextRequest, speaker: EngineSpeaker, max_ids: int) -> Constraint:
    """What an answer is held to: its form, else any text of the base. To make a form ready may take a while."""
    if request.constraint is not None:
        return request.constraint(speaker, max_ids)
    plain_talk = request.talk is not None and speaker.words.template is None
    return SaidConstraint(speaker.masks, ("\nUser:",) if plain_talk else ())


def route_text(request: TextRequest, speaker: EngineSpeaker) -> str:
    """What the router is shown: the last thing that a user said, or the end of the text."""
    if request.talk is not None:
        said = next((one.content for one in reversed(request.talk) if one.role == "user"), "")
    elif isinstance(request.said, str):
        said = request.said
    else:
        said = speaker.words.decode(request.said[-_MOST_ROUTED:])  # type: ignore[arg-type]
    return said[-_MOST_ROUTED:]


def question_of(
    request: TextRequest, name: str, experts: Choice | None, config: HostingConfig
) -> tuple[Question, Manner]:
    """A talk as who dreams is asked: its last turn, with those before it as history. Raises RequestError."""
    if request.talk is None:
        raise RequestError(
            400, f"{name} dreams before it answers, and does not go on with texts: ask it in a chat", "model"
        )
    if request.tools:
        raise RequestError(400, f"{name} does not support tools: it answers in words of its dreams", "tools")
    if request.constraint is not None or request.top is not None or request.echo:
        said = f"{name} answers in words of its dreams: no form, log-probabilities or echo can be asked of it"
        raise RequestError(400, said, "model", "unsupported_parameter")
    *before, last = request.talk
    if last.role != "user":
        raise RequestError(400, "the last message of a talk is the user's", "messages")
    pictures = tuple(open_base64(one, _MAX_PIXELS, "messages") for one in last.images)
    named = None if experts is None else tuple(f"{one}={weight}" for one, weight in experts)
    question = Question(last.content, pictures, experts=named, history=_turns(before))
    drawing = request.drawing.given()
    told = "\n".join(one.content for one in before if one.role == "system")
    most = min(request.max_ids or _USUAL_IDS, config.max_ids)
    speaking = Speaking(told, most, drawing or None, request.stop)
    dreams = DreamSettings(_USUAL_DREAMS if request.dreams is None else request.dreams, seed=_seed(request.seed))
    return question, Manner(dreams, speaking)


def _turns(before: Sequence[ChatMessage]) -> tuple[Turn, ...]:
    """Questions with their answers; what has no answer is joined to the next."""
    turns, asked = list[Turn](), list[str]()
    for one in before:
        if one.role == "user":
            asked.append(one.content)
        elif one.role == "assistant" and asked:
            turns.append(Turn("\n".join(asked), one.content))
            asked = []
    return tuple(turns)


def _seed(seed: int | None) -> int:
    """A seed of dreams, whose range is smaller."""
    return 0 if seed is None else seed % 10**15
