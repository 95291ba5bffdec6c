"""What a question asks of the everyday world, from what its words mention in whatever order (``gist.txt``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from reverie.worlds.everyday.asking import able, ask, property_of
from reverie.worlds.everyday.asking_things import those_things
from reverie.worlds.everyday.deeds import SEVERAL, UNDONE, Deeds
from reverie.worlds.everyday.events import APART, FALLING, Event, is_so, yes_or_no
from reverie.worlds.everyday.mentions import Mentions, Unclear, classes, keys, values
from reverie.worlds.everyday.refusals import FEELS, refuse_untaught
from reverie.worlds.phrasebook import Asking, Bindings, Mention, ToAsk

__all__ = ["understand"]

Answers = Sequence[str | None]
Claim = tuple[str, bool]  # an outcome, and whether it is said to be so
_UNASKED = "it does not say what is asked"
_SLOTS = ("thing", "other", "third", "fourth")
_MOST = {"heavier": "heaviest", "lighter": "lightest"}
_LONG = re.compile(
    r"overnight|all (?:day|night)|whole day|(?:an|half an) hour|for ages|long time|long while|4 ages|hours?$"
)


def understand(mentions: Sequence[Mention]) -> tuple[Bindings, ToAsk]:
    """What is named, and what to ask for it."""
    question = _Question(Mentions(mentions))
    try:
        asking = question.asking()
    except Unclear as unclear:
        return {}, str(unclear)
    return question.named, asking


class _Question:
    """One question; ``named`` is what was understood of it."""

    def __init__(self, said: Mentions):
        self.said, self.deeds = said, Deeds(said)
        self.named: dict[str, str] = {}

    def asking(self) -> ToAsk:
        refuse_untaught(self.said)
        several = len(self.said.compared)
        if self.said.has("common") and several == 2:
            return self._ask(form="common")
        if (self.said.has("cmp") or self.said.has("most")) and several > 1:
            return self._weighed()
        if (self.said.has("which") or self.said.has("many", "yes")) and several > 1:
            return self._of_several()
        return self._of_one()

    def _ask(self, **more: str) -> ToAsk:
        self.named = dict(zip(_SLOTS, self.said.compared, strict=False)) | more
        return ask(self.named)

    # several things

    def _weighed(self) -> ToAsk:
        said, names = self.said, self.said.compared
        if self.deeds.told or len(names) > 4 or said.has("ask", "why") or said.has("no"):
            raise Unclear(APART)
        kinds = said.values("most") + [_MOST[one] for one in said.values("cmp")]
        if len(kinds) != 1:
            raise Unclear("it compares in two ways")
        than = next((one.start for one in said if "than" in keys(one)), -1)
        if said.has("most") or said.has("which") or said.has("or") or than < 0:
            return self._ask(form="most", most=kinds[0])
        before = [name for name in names if self._first(name) < than]
        if len(names) != 2 or len(before) != 1:
            raise Unclear("it does not say what is compared with what")
        one, other = before[0], next(name for name in names if name != before[0])
        if kinds[0] == "lightest":
            one, other = other, one
        return self._ask(form="heavier", thing=one, other=other)

    def _first(self, name: str) -> int:
        kinds = ("thing", "target", "support")
        return min(one.start for one in self.said for kind in kinds if name in values(one, kind))

    def _of_several(self) -> ToAsk:
        """Which of several things does that, or how many."""
        said, names = self.said, self.said.compared
        form = "many" if said.has("many") else "which"
        if len(names) > 4 or said.has("with"):
            raise Unclear(APART)
        if said.has("property") and not self.deeds.told:
            return self._ask(form=form, property=said.one("property", APART))
        claims = self._claims
        if len(claims) != 1:
            raise Unclear(_UNASKED)
        verb, true = claims[0]
        if not self.deeds.told and true and property_of(verb):
            return self._ask(form=form, property=property_of(verb))
        if not self.deeds.told or form == "many":
            raise Unclear(UNDONE)
        done = self.deeds.done
        events = [Event({**done, "thing": name}) for name in names]
        if problem := next((event.problem for event in events if event.problem), ""):
            raise Unclear(problem)
        self.named = {**done, "form": "which", "verb": verb} | dict(zip(_SLOTS, names, strict=False))
        return _which(events, verb, true)

    # one thing

    def _of_one(self) -> ToAsk:
        said, things = self.said, list(self.said.things)
        if not things and said.has("liquid") and self.deeds.acts[:1] in (["heat"], ["cool"], ["pour"]):
            things = [said.one("liquid", SEVERAL)]
        if not things and said.has("tool"):
            things = [name for one in said if one.text.startswith("against") for name in values(one, "target")]
        if not things:
            raise Unclear("it names no thing that was taught")
        if said.has("cmp") or said.has("most") or said.has("common") or said.has("than"):
            raise Unclear(APART)
        done = self.deeds.done if self.deeds.told else self._usually
        names = [name for name in things if name != done.get("support")] or things
        if len(names) != 1 or set(said.values("target")) - {done.get("support"), names[0]}:
            raise Unclear(SEVERAL)
        self.named = {**done, "thing": names[0]}
        if not done:
            return self._of_property()
        event = Event(self.named)
        if event.problem:
            raise Unclear(event.problem)
        return self._of_event(event)

    @property
    def _usually(self) -> dict[str, str]:
        """Where nothing is said to be done, and it is asked why a thing floats, sinks or rises."""
        if self.said.form != "why" or len(self._claims) != 1:
            return {}
        verb, _ = self._claims[0]
        water = {"action": "drop", "surface": "water"}
        return {"rise": {"action": "let go"}, "float": water, "sink": water}.get(verb, {})

    def _of_property(self) -> ToAsk:
        said, claims = self.said, self._claims
        if said.has("no") or said.form != "whether" or not self._plain:
            raise Unclear(UNDONE)
        if said.has("property"):
            name = said.one("property", _UNASKED)
        else:
            name = property_of(claims[0][0]) if len(claims) == 1 and claims[0][1] else ""
        if not name:
            raise Unclear(UNDONE)
        self.named |= {"form": "property", "property": name}
        return ask(self.named)

    @property
    def _plain(self) -> bool:
        """Whether the thing stands right after the verb that asks, and nothing else is said in that clause."""
        said = self.said
        place = next(place for place, one in enumerate(said) if "thing" in keys(one))
        before = said.near(place, -1)
        leads = before is not None and (
            ("be" in classes(before) and said.near(place, -2) is None)
            or "whether" in values(before, "ask")
            or before.text == "that"
        )
        rest = [one for one in said.all[place:] if one.clause == said.all[place].clause and classes(one)]
        filled = all(
            classes(one) & {"det", "be", "adverb", "talk", "adjective"} and one.text not in FEELS for one in rest
        )
        return leads and filled and not any(one.text in ("if", "when", "like", "what", "how") for one in said)

    # what comes of it

    @property
    def _claims(self) -> list[Claim]:
        return list(dict.fromkeys(claim for claim, _ in self._told))

    @cached_property
    def _told(self) -> list[tuple[Claim, Mention]]:
        """Outcomes that are asked about or told, and where. Raises Unclear where a "not" denies something else."""
        spent = {no.start for one in self.said if {"act", "tool"} & keys(one) and (no := self.said.denied(one))}
        found: list[tuple[Claim, Mention]] = []
        for one in self.said:
            claim = self._claim(one)
            if claim is not None:
                self._refuse_condition(one)
                verb, so = claim
                found.append(((verb, so != self._denial(one, spent)), one))
        for one in self.said:
            if "no" in keys(one) and "ask" not in keys(one) and one.start not in spent:
                raise Unclear(f'"{one.text}" changes what is asked')
        return found

    def _refuse_condition(self, one: Mention) -> None:
        """What is only supposed to be so changes what happens: "if the cup were empty"."""
        beside = [two for two in self.said if two.clause == one.clause]
        supposed = any(two.text in ("if", "suppose", "imagine", "assume", "say", "when", "once") for two in beside)
        if supposed and not any({"act", "fell", "put", "tool", "surface", "ask"} & keys(two) for two in beside):
            raise Unclear(f'"{one.text}" changes what is asked')

    def _claim(self, one: Mention) -> Claim | None:
        kinds, falls = keys(one), not self.deeds.acts or self.deeds.acts[0] in FALLING
        if "whole" in kinds:
            return "whole", True
        if "fell" in kinds:
            return ("fall", True) if not falls and self.deeds.acts[0] in ("stack", "push", "tip") else None
        if "verb" not in kinds or ("act" in kinds and self._is_done(one)):
            return None
        says = next(says for says in one.says if "verb" in says)
        return says["verb"], "turned" not in says

    def _is_done(self, one: Mention) -> bool:
        """Whether a word that may be an action or an outcome is the action."""
        place = self.said.all.index(one)
        others = [two for two in self.said if two is not one and "act" in keys(two) and "verb" not in keys(two)]
        if self.deeds.by_somebody(place):
            return True
        return not others and not self.said.has("tool") and self.said.form not in ("whether", "why")

    def _denial(self, verb: Mention, spent: set[int]) -> bool:
        """Whether an outcome is denied. A plain question that says "not" asks all the same whether it is so."""
        for one in reversed([one for one in self.said if one.start < verb.start and one.clause == verb.clause]):
            kinds = keys(one)
            if {"verb", "whole"} & kinds and "no" not in kinds:
                return False
            if "no" in kinds and "ask" not in kinds and one.start not in spent:
                spent.add(one.start)
                plain = self.said.form == "whether" and not self.said.has("truth")
                return not (plain and "soft" in values(one, "no") and verb.sentence == self.said.all[-1].sentence)
        return False

    # one event

    def _of_event(self, event: Event) -> ToAsk:
        form, claims = self.said.form, self._claims
        if not form:
            raise Unclear(_UNASKED)
        if event.action not in ("wait", "cool") and any(_LONG.search(one.text) for one in self.said):
            raise Unclear("for so long was not taught")
        counts = form == "happens" and self.said.has("many", "cut") and event.action == "cut"
        if self.said.has("many") and not counts:
            raise Unclear(APART)
        self.named["form"] = form
        if form == "why":
            return self._why(event, claims)
        if form == "whether":
            return self._whether(event, claims)
        if self.said.has("or", "yes") or self.said.has("ask", "choice"):
            return Asking((event.happens(),))
        asking = ask(self.named)
        return _borne_out(asking, event, claims) if isinstance(asking, Asking) and claims else asking

    def _whether(self, event: Event, claims: Sequence[Claim]) -> ToAsk:
        can = self.said.has("can") or self._passive
        asked, told = self._asked_and_told(claims)
        if not claims and able(event.action) and can:
            asked = [(able(event.action), True)]
        starts = (one for place, one in enumerate(self.said) if self.said.near(place, -1) is None)
        if not asked or any(one.text in ("what", "how") for one in starts):
            raise Unclear(_UNASKED)
        return _yes_or_no(event, asked, told)

    @property
    def _passive(self) -> bool:
        """Whether it is asked if something is done at all: "is a stone cut"."""
        places = [place for place, one in enumerate(self.said) if place > 1 and "act" in keys(one)]
        return any(
            {"thing", "tool"} & keys(self.said.all[place - 1]) and self.said.opens(place - 2) for place in places
        )

    def _asked_and_told(self, claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
        """The outcomes that are asked about and those that are told before."""
        if len(claims) < 2 or self.said.has("truth"):
            return list(claims), []
        clauses = [one.clause for one in self.said if "whether" in values(one, "ask")]
        clauses += [one.clause for place, one in enumerate(self.said) if self.said.opens(place)]
        there = [one.clause for _, one in self._told]
        clause = next((one for one in reversed(clauses) if one in there), there[-1])
        asked = list(dict.fromkeys(claim for claim, one in self._told if one.clause == clause))
        return asked, [claim for claim in claims if claim not in asked]

    def _why(self, event: Event, claims: Sequence[Claim]) -> ToAsk:
        if any("ask" in says and "no" in says for _, says in self.said.says):
            claims = [(verb, not true) for verb, true in claims]
        if not claims and event.action in ("cut", "stack", "light"):
            claims = [("break" if event.action == "cut" else able(event.action), not self.said.has("no"))]
        if len(claims) != 1:
            raise Unclear("it does not say what is to be explained")
        verb, true = claims[0]
        told = [(verb, true)] if verb == "whole" else []  # a thing that pops or melts does not break, and is not whole
        if verb == "whole":
            verb, true = "break", not true
        self.named |= {"verb": verb} | ({} if true else {"not": "yes"})
        asking = ask(self.named)
        return _borne_out(asking, event, told) if told and isinstance(asking, Asking) else asking


def _so(event: Event, claims: Sequence[Claim], happens: str) -> bool:
    """Whether all that is claimed is so."""
    return all(is_so(event, verb, happens) == true for verb, true in claims)


def _yes_or_no(event: Event, asked: Sequence[Claim], told: Sequence[Claim]) -> Asking:
    """Yes where all that is asked about is so, no where something is not; nothing where what is told is not so."""

    def word(said: Answers) -> str | None:
        happens = said[0]
        if happens is None or not _so(event, told, happens):
            return None
        return yes_or_no(_so(event, asked, happens), happens)

    return Asking((event.happens(),), word)


def _borne_out(asking: Asking, event: Event, claims: Sequence[Claim]) -> Asking:
    """An answer only where what the question tells of the outcome is so."""

    def word(said: Answers) -> str | None:
        *answers, happens = said
        if happens is None or not _so(event, claims, happens):
            return None
        return asking.worded(answers)

    def denied(said: Answers) -> str | None:
        return asking.denial(said[:-1])

    return Asking((*asking.questions, event.happens()), word, denied if asking.denied else None)


def _which(events: Sequence[Event], verb: str, true: bool) -> Asking:
    """Those of several things of which that is so."""

    def word(said: Answers) -> str | None:
        those = list[str]()
        for event, happens in zip(events, said, strict=True):
            if happens is None:
                return None
            those += [event.thing.name] * _so(event, [(verb, true)], happens)
        return those_things(those)

    return Asking(tuple(event.happens() for event in events), word)
