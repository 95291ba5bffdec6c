"""What a question asks of the everyday world, from what its words mention in whatever order (``gist.txt``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property

from reverie.worlds.everyday.asking import CAN, GONE, OF_THING, Event, ask, holds, lower, meant, yes_no
from reverie.worlds.everyday.things import SUPPORTS, THINGS
from reverie.worlds.phrasebook import Asking, Bindings, Mention, Refusal

__all__ = ["understand"]

Answers = Sequence[str | None]
Understood = tuple[Bindings, Asking | Refusal | str]
_APART = "it joins what was taught apart"
_UNASKED = "it does not say what is asked"
_UNDONE = "it does not say what is done"
_SLOTS = ("thing", "other", "third", "fourth")
_FALLING = ("drop", "let go", "throw")
_PEOPLE = frozenset("i you we us me people somebody someone anybody anyone everyone nobody thou".split())
_NO_PARTS = frozenset(
    "computer machine case story test game school class time report song poem person people king queen baby".split()
)
_FEELS = frozenset(
    "know feel think want dream love hate mind understand remember worry say talk sing cry laugh smile".split()
)
_LONG = re.compile(
    r"overnight|all (?:day|night)|whole day|(?:an|half an) hour|for ages|long time|long while|4 ages|hours?$"
)
_BY_TOOL = {  # what is done with a tool → what it is called
    ("heat", "heat"), ("cool", "cool"), ("cut", "cut"), ("light", "light"), ("light", "heat"),
}  # fmt: skip


_ASKS = re.compile(r"(is|are|was|were|will|would|does|do|did|can|could|has|have|had|might|art|dost|doth|wilt)\b")
Claim = tuple[str, bool]  # an outcome, and whether it is said to be so


class _Unclear(Exception):
    """Why a question is not understood."""


def understand(mentions: Sequence[Mention]) -> Understood:
    """What is named, and what to ask for it."""
    scene = _Scene(mentions)
    try:
        asking = scene.asking()
        return scene.named, asking
    except _Unclear as unclear:
        return {}, str(unclear)


class _Scene:
    def __init__(self, mentions: Sequence[Mention]):
        self.mentions = mentions
        self.named: dict[str, str] = {}

    # what is mentioned

    def all(self, key: str) -> list[str]:
        """Every value that is mentioned for a key, once."""
        return list(dict.fromkeys(says[key] for one in self.mentions for says in one.says if key in says))

    def has(self, key: str, value: str = "") -> bool:
        return any(key in says and value in ("", says[key]) for one in self.mentions for says in one.says)

    @cached_property
    def things(self) -> list[str]:
        return self.all("thing")

    @cached_property
    def comparing(self) -> bool:
        return bool(
            {"cmp", "most", "common", "which"} & {key for one in self.mentions for says in one.says for key in says}
        )

    # what is asked

    def asking(self) -> Asking | Refusal | str:
        self._refuse_what_stops()
        if self.has("common") and len(self._several) == 2:
            return self._ask(form="common")
        if (self.has("cmp") or self.has("most")) and len(self._several) > 1:
            return self._weighed()
        if (self.has("which") or self.has("many", "yes")) and len(self._several) > 1:
            return self._of_several()
        return self._of_one()

    def _refuse_what_stops(self) -> None:
        for one in self.mentions:
            if any("stop" in says for says in one.says):
                raise _Unclear(f'"{one.text}" changes what is asked')
        for one, after in zip(self.mentions, self.mentions[1:], strict=False):
            adjacent = one.clause == after.clause and "thing" in _keys(one) and "s" != after.text
            if adjacent and {"thing", "surface"} & _keys(after) and not self.has("common") and _bare(after):
                raise _Unclear(f'"{one.text} {after.text}" was not taught')
            if adjacent and after.text in ("of", "with", "for") and not self._owned(after):
                raise _Unclear(f'"{one.text} {after.text}" was not taught')
        self._refuse_where()
        self._refuse_misplaced()
        for place, one in enumerate(self.mentions):
            self._refuse_state(place, one)
            self._refuse_subject(place, one)
        if (
            self.has("no")
            and any(self._denied(one) for one in self.mentions if "act" in _keys(one))
            and not self.has("act", "wait")
        ):
            if not (self.has("ask", "why") and self.has("act", "cut")):
                raise _Unclear("it says what is not done")

    def _near(self, place: int, step: int) -> Mention | None:
        """The mention beside one, in its clause."""
        other = place + step
        if not 0 <= other < len(self.mentions) or self.mentions[other].clause != self.mentions[place].clause:
            return None
        return self.mentions[other]

    def _refuse_state(self, place: int, one: Mention) -> None:
        """No "broken plate" was taught, no "water balloon", and nothing that "happens to the knife"."""
        keys, before, after = _keys(one), self._near(place, -1), self._near(place, 1)
        if before is not None and after is not None and "thing" in _keys(after) and _bare(after):
            state = {"verb", "whole", "property"} & keys or (("act" in keys or "fell" in keys) and len(self._acts) > 1)
            if "det" in _classes(before) and state:
                raise _Unclear(f'"{one.text} {after.text}" was not taught')
        if (
            after is not None
            and "thing" in _keys(after)
            and _bare(after)
            and ("surface" in keys or "person" in _classes(one))
        ):
            raise _Unclear(f'"{one.text} {after.text}" was not taught')
        if before is not None and "happen" in before.text and one.text.startswith("to ") and {"tool", "surface"} & keys:
            raise _Unclear(f'"{one.text}" is not what was taught to be asked about')
        if "act" in keys and after is not None and after.text in ("you", "i", "we", "he", "she"):
            raise _Unclear(f'"{one.text} {after.text}" does not go with what was taught')
        asked = before is not None and "be" in _classes(before)
        if after is not None and "thing" in keys and asked and after.text in _FEELS:
            raise _Unclear(f'"{one.text} {after.text}" was not taught')
        if after is not None and "thing" in keys and after.text in _NO_PARTS:
            raise _Unclear(f'"{one.text} {after.text}" was not taught')

    def _refuse_misplaced(self) -> None:
        """A person to whom something is thrown; "down a well"."""
        for place, one in enumerate(self.mentions):
            before = self._near(place, -1)
            if one.text == "well" and before is not None and "det" in _classes(before):
                raise _Unclear("'well' is not among what was taught")
            moved = any(
                two.clause == one.clause and {"act", "put", "fell"} & _keys(two) for two in self.mentions[:place]
            )
            if "to" not in _classes(one) or not moved:
                continue
            after = (two for two in self.mentions[place + 1 :] if not _classes(two) & {"det", "adjective"})
            goal = next(after, None)
            if goal is not None and _classes(goal) and _classes(goal) <= {"person", "pronoun", "time"}:
                raise _Unclear(f'"{one.text} {goal.text}" does not go with what was taught')

    def _refuse_where(self) -> None:
        for place, one in enumerate(self.mentions):
            if re.fullmatch(r"where|what|how", one.text) and "stop" not in _keys(one):
                after = [two for two in self.mentions[place + 1 : place + 4] if two.clause == one.clause]
                if (
                    len(after) > 2
                    and "be" in _classes(after[0])
                    and after[1].text in (*_PEOPLE, "he", "she")
                    and ({"act", "put", "can"} & _keys(after[2]) or after[2].text in ("do", "make"))
                ):
                    raise _Unclear(f'"{one.text} {after[0].text} {after[1].text}" was not taught')
            if (
                one.text.split()[0] in ("what", "where", "how")
                and len(one.text.split()) < 3
                and place + 1 < len(self.mentions)
                and self.mentions[place + 1].text in ("can i", "can you", "could i", "could you", "can one")
            ):
                raise _Unclear(f'"{one.text}" asks how to do it')

    def _refuse_subject(self, place: int, one: Mention) -> None:
        """What befalls somebody, or the floor, was not taught."""
        keys = _keys(one)
        if not {"verb", "fell", "whole"} & keys or {"act", "put"} & keys:
            return
        at = place - 1
        while (
            at >= 0
            and self.mentions[at].clause == one.clause
            and (_classes(self.mentions[at]) & {"be", "adverb"} or "no" in _keys(self.mentions[at]))
        ):
            at -= 1
        if at < 0 or self.mentions[at].clause != one.clause:
            return
        subject, after = self.mentions[at], self._near(place, 1)
        classes = _classes(subject)
        if ("pronoun" in classes and subject.text in _PEOPLE) or (classes == {"person"}):
            raise _Unclear(f'"{subject.text} {one.text}" was not taught')
        if subject.text in ("he", "she") and any(
            "act" in _keys(two) and place > 0 and self.mentions[place - 1].text == subject.text
            for place, two in enumerate(self.mentions)
        ):
            raise _Unclear(f'"{subject.text} {one.text}" was not taught')
        works = after is not None and "thing" in _keys(after)
        if "tool" in _keys(subject) and not works and "be cut" not in {says.get("verb") for says in one.says}:
            raise _Unclear(f'"{subject.text} {one.text}" was not taught')
        if "surface" in _keys(subject) and _stands(subject):
            raise _Unclear(f'"{subject.text} {one.text}" was not taught')
        if works and "thing" in _keys(subject) and "support" not in _keys(after):
            raise _Unclear(_APART)

    def _owned(self, of: Mention) -> bool:
        """Whether somebody or a taught thing follows."""
        for one in self.mentions:
            if one.start > of.start:
                return of.text == "for" or bool(_keys(one) & {"aside", "thing", "ask", "other", "tool", "act"})
        return True

    @cached_property
    def _several(self) -> list[str]:
        """Things that are compared: also those that stand after a preposition."""
        found = [
            says[key]
            for one in self.mentions
            for key in ("thing", "support", "target")
            for says in one.says
            if key in says
        ]
        return list(dict.fromkeys(found))

    def _ask(self, **more: str) -> Asking | Refusal | str:
        self.named.update(zip(_SLOTS, self._several, strict=False))
        self.named.update(more)
        return ask(self.named)

    def _weighed(self) -> Asking | Refusal | str:
        if self._deeds or len(self._several) > 4 or self.has("ask", "why") or self.has("no"):
            raise _Unclear(_APART)
        names, most = self._several, (self.all("most") or [""])[0]
        compared = (self.all("cmp") or [""])[0]
        if len(self.all("most")) + len(self.all("cmp")) != 1:
            raise _Unclear("it compares in two ways")
        than = next((one.start for one in self.mentions if "than" in _keys(one)), -1)
        if most or self.has("which") or self.has("or") or than < 0:
            return self._ask(form="most", most=most or {"heavier": "heaviest", "lighter": "lightest"}[compared])
        before = [name for name in names if self._first(name) < than]
        if len(names) != 2 or len(before) != 1:
            raise _Unclear("it does not say what is compared with what")
        one, other = before[0], next(name for name in names if name != before[0])
        if compared == "lighter":
            one, other = other, one
        self.named |= {"form": "heavier", "thing": one, "other": other}
        return ask(self.named)

    def _first(self, name: str) -> int:
        return min(
            one.start
            for one in self.mentions
            for says in one.says
            if name in (says.get("thing"), says.get("target"), says.get("support"))
        )

    def _of_several(self) -> Asking | Refusal | str:
        """Which of several things does that, or how many."""
        names = self._several
        if len(names) > 4:
            raise _Unclear(_APART)
        form = "many" if self.has("many") else "which"
        if self.has("property") and not self._deeds:
            return self._ask(form=form, property=self._one("property"))
        claims = self._claims
        if len(claims) != 1:
            raise _Unclear(_UNASKED)
        verb, true = claims[0]
        if not self._deeds:
            if verb not in OF_THING or not true:
                raise _Unclear(_UNDONE)
            return self._ask(form=form, property=OF_THING[verb])
        if form == "many":
            raise _Unclear(_UNDONE)
        named = self._done
        events = [Event({**named, "thing": name}) for name in names]
        for event in events:
            if event.problem:
                raise _Unclear(event.problem)
        self.named |= {**named, "form": "which", "verb": verb} | dict(zip(_SLOTS, names, strict=False))

        def word(said: Answers) -> str | None:
            if any(one is None for one in said):
                return None
            those = [
                name
                for name, event, one in zip(names, events, said, strict=True)
                if _claimed(event, verb, str(one)) == true
            ]
            if not those:
                return "None of them."
            text = " and ".join(THINGS[name].the for name in those)
            return f"{text[0].upper()}{text[1:]}."

        return Asking(tuple(event.happens() for event in events), word)

    def _one(self, key: str) -> str:
        found = self.all(key)
        if len(found) != 1:
            raise _Unclear(_APART if found else _UNASKED)
        return found[0]

    # one thing

    def _of_one(self) -> Asking | Refusal | str:
        if not self.things:
            if "liquid" in self.all_keys and self._action_by_words in ("heat", "cool", "pour"):
                self.things.append(self._one("liquid"))
            else:
                raise _Unclear("it names no thing that was taught")
        if self.has("cmp") or self.has("most") or self.has("common") or self.has("than"):
            raise _Unclear(_APART)
        done = self._done if self._deeds else self._usually
        names = [name for name in self.things if name != done.get("support")]
        if len(names) != 1 or (self.all("target") and set(self.all("target")) - {done.get("support"), names[0]}):
            raise _Unclear("it names several things")
        self.named = {**done, "thing": names[0]}
        if not done:
            return self._of_property()
        event = Event(self.named)
        if event.problem:
            raise _Unclear(event.problem)
        return self._of_event(event)

    @property
    def _usually(self) -> dict[str, str]:
        """Where nothing is said to be done, and it is asked why a thing floats, sinks or rises."""
        if self._form != "why" or len(self._claims) != 1:
            return {}
        verb, _ = self._claims[0]
        return {"rise": {"action": "let go"}}.get(verb) or (
            {"action": "drop", "surface": "water"} if verb in ("float", "sink") else {}
        )

    @cached_property
    def all_keys(self) -> set[str]:
        return {key for one in self.mentions for key in _keys(one)}

    def _of_property(self) -> Asking | Refusal | str:
        if self.has("no") or self.has("ask", "why") or self._form != "whether" or not self._plainly_asked():
            raise _Unclear(_UNDONE)
        if self.has("property"):
            self.named |= {"form": "property", "property": self._one("property")}
        else:
            claims = self._claims
            if len(claims) != 1 or claims[0][0] not in OF_THING or not claims[0][1]:
                raise _Unclear(_UNDONE)
            self.named |= {"form": "property", "property": OF_THING[claims[0][0]]}
        return ask(self.named)

    def _plainly_asked(self) -> bool:
        """Whether the thing stands right after the verb that asks, and nothing else is said in that clause."""
        place = next(place for place, one in enumerate(self.mentions) if "thing" in _keys(one))
        clause = self.mentions[place].clause
        before = self._near(place, -1)
        leads = before is not None and (
            ("be" in _classes(before) and self._near(place, -2) is None)
            or "whether" in {says.get("ask") for says in before.says}
            or before.text == "that"
        )
        plain = {"det", "be", "adverb", "talk", "adjective"}
        rest = [one for one in self.mentions[place:] if one.clause == clause and "aside" in _keys(one)]
        filled = all(_classes(one) & plain and one.text not in _FEELS for one in rest)
        return leads and filled and not any(one.text in ("if", "when", "like", "what", "how") for one in self.mentions)

    # what is done

    @cached_property
    def _acts(self) -> list[str]:
        """Actions that are mentioned and not denied, those of words that say nothing else first."""
        sure, maybe = [], []
        for place, one in enumerate(self.mentions):
            for says in one.says:
                if "act" in says and not self._denied(one):
                    (sure if "verb" not in _keys(one) or self._by_somebody(place) else maybe).append(says["act"])
        if sure or self.has("tool") or self._form in ("whether", "why"):
            return list(dict.fromkeys(sure))
        return list(dict.fromkeys(maybe))[:1]

    def _by_somebody(self, place: int) -> bool:
        """Whether a word that may be an action or an outcome is what somebody does: "I tip it", "when tipped"."""
        before, after = self._near(place, -1), self._near(place, 1)
        if after is not None and ("thing" in _keys(after) or after.text in ("it", "them", "him", "her")):
            return not (
                before is not None and ("thing" in _keys(before) or before.text in ("it", "they", "does", "will"))
            )
        if before is None:
            return False
        subject = before.text in (*_PEOPLE, "he", "she") or _classes(before) == {"person"}
        return subject or ("link" in _classes(before) and before.text in ("when", "if", "once", "after", "by", "on"))

    @cached_property
    def _deeds(self) -> bool:
        return bool(self._acts or {"fell", "put", "tool", "on", "support"} & self.all_keys or self._wet)

    @cached_property
    def _wet(self) -> bool:
        return "water" in self.all("surface") and any(
            "surface" in _keys(one) and one.text.split()[0] in ("in", "into", "on", "to") for one in self.mentions
        )

    @property
    def _action_by_words(self) -> str:
        return self._acts[0] if self._acts else (self.all("tool") or [""])[0]

    @cached_property
    def _done(self) -> dict[str, str]:
        """The action, with where it is done."""
        named: dict[str, str] = {}
        surfaces = self._surfaces
        supports = [
            name
            for name in self.all("support")
            if any("on" in says for one in self.mentions for says in one.says if says.get("support") == name)
        ]
        action = self._action(surfaces, supports)
        named["action"] = action
        if action == "stack":
            others = [name for name in supports if name in self.all("support")]
            if len(others) != 1:
                raise _Unclear("it does not say what the thing is put on")
            named["support"] = others[0]
            surfaces = [one for one in surfaces if one != "floor"]
        elif supports:
            raise _Unclear("it names several things")
        if self.has("off"):
            if action not in ("push", "drop", "tip"):
                raise _Unclear(_APART)
            named |= {"action": "push", "off": "yes", "surface": "table"}
            surfaces = [one for one in surfaces if one not in ("table", "floor")]
        if len(surfaces) > 1:
            raise _Unclear("it names several places")
        if surfaces and surfaces != ["floor"]:
            named["surface"] = surfaces[0]
        heights = self.all("height")
        if len(heights) > 1:
            raise _Unclear("it names several heights")
        if heights and action in (*_FALLING, "pour"):
            named["height"] = heights[0]
        return named

    @cached_property
    def _surfaces(self) -> list[str]:
        found = []
        for one in self.mentions:
            for says in one.says:
                if "surface" in says and "off" not in says:
                    if says["surface"] == "water" and "liquid" in _keys(one) and " " not in one.text:
                        continue
                    found.append(says["surface"])
        return list(dict.fromkeys(found))

    def _action(self, surfaces: Sequence[str], supports: Sequence[str]) -> str:
        acts, tools = list(self._acts), list(dict.fromkeys(self.all("tool")))
        tools = [tool for tool in tools if not self._tool_denied(tool)]
        if acts == ["let go"] and self.has("put") and supports:
            return "stack"
        if acts and set(acts) <= {"drop", "let go"}:
            acts = acts[:1]
        if acts == ["wait"] or (not acts and self.has("put")):
            if self.has("off"):
                return "push"
            if tools:
                return self._single(tools)
            if supports:
                return "stack"
            if "water" in surfaces:
                return "drop"
            if self.has("fell") and not acts:
                return "drop"
            if acts or (surfaces and not self.has("fell")):
                return "wait"
            raise _Unclear(_UNDONE)
        if acts:
            action = self._single(acts)
            if tools and any((action, tool) not in _BY_TOOL for tool in tools):
                raise _Unclear("it names two things that are done")
            if action in ("drop", "let go") and supports:
                raise _Unclear("it names several things")
            return action
        if tools:
            return self._single(tools)
        if supports and not self.has("fell"):
            return "stack"
        if supports:
            raise _Unclear("it names several things")
        if self.has("off"):
            return "push"
        if self.has("fell") or self._wet:
            return "drop"
        raise _Unclear(_UNDONE)

    def _single(self, found: Sequence[str]) -> str:
        if len(set(found)) != 1:
            raise _Unclear("it names two things that are done")
        return found[0]

    def _denied(self, act: Mention) -> bool:
        """Whether it is not done: "no push", "I do not drop it"."""
        before = [one for one in self.mentions if act.start - 3 <= one.start < act.start and one.clause == act.clause]
        between = [one for one in before if "no" in _keys(one) and not {"act", "ask", "or"} & _keys(one)]
        if between and "verb" not in _keys(act):
            self._spent.add(between[-1].start)
            return True
        return False

    def _tool_denied(self, tool: str) -> bool:
        found = [one for one in self.mentions for says in one.says if says.get("tool") == tool]
        return all(self._denied(one) for one in found)

    @cached_property
    def _spent(self) -> set[int]:
        """Where a "not" stands of which it is known what it denies."""
        return set()

    # what comes of it

    @cached_property
    def _claims(self) -> list[tuple[str, bool]]:
        """Outcomes that are asked about or told, and whether they are said to be so."""
        return list(dict.fromkeys(claim for claim, _ in self._said))

    @cached_property
    def _said(self) -> list[tuple[tuple[str, bool], Mention]]:
        acting = self._acts
        found: list[tuple[tuple[str, bool], Mention]] = []
        for one in self.mentions:
            keys = _keys(one)
            if "whole" in keys:
                claim = ("break", False)
            elif "fell" in keys and "verb" in keys and (not acting or acting[0] in _FALLING):
                continue
            elif "verb" in keys and not ("act" in keys and self._is_the_act(one)):
                says = next(says for says in one.says if "verb" in says)
                claim = (says["verb"], "turned" not in says)
            elif "fell" in keys and acting and acting[0] in ("stack", "push", "tip"):
                claim = ("fall", True)
            else:
                continue
            denial = self._denial(one)
            if denial:
                claim = (claim[0], not claim[1])
            found.append((claim, one))
        left = [
            one
            for one in self.mentions
            if "no" in _keys(one) and one.start not in self._spent and "ask" not in _keys(one)
        ]
        if left:
            raise _Unclear(f'"{left[0].text}" changes what is asked')
        return found

    def _is_the_act(self, one: Mention) -> bool:
        """Whether a word that may be an action or an outcome is the action: where no other word is."""
        others = [
            says["act"]
            for other in self.mentions
            if other is not one
            for says in other.says
            if "act" in says and "verb" not in _keys(other)
        ]
        tools = self.all("tool")
        return not others and not tools and self._form not in ("whether", "why")

    def _denial(self, verb: Mention) -> bool:
        before = [
            one
            for one in self.mentions
            if one.start < verb.start and one.clause == verb.clause and one.start not in self._spent
        ]
        for one in reversed(before):
            keys = _keys(one)
            if {"verb", "whole"} & keys and "no" not in keys:
                return False
            if "no" in keys and "ask" not in keys:
                self._spent.add(one.start)
                soft = any(says.get("no") == "soft" for says in one.says)
                return not (
                    soft
                    and self._form == "whether"
                    and not self.has("truth")
                    and verb.sentence == self.mentions[-1].sentence
                )
        return False

    @cached_property
    def _form(self) -> str:
        if self.has("ask", "why"):
            return "why"
        if self.has("or", "yes") and not self._whether_words:
            return "happens"
        if self._whether_words or self._asks_first:
            return "whether"
        for form in ("where", "after", "happens"):
            if self.has("ask", form):
                return form
        if self.has("or", "not") or self._yes_no_order:
            return "whether"
        return ""

    @property
    def _whether_words(self) -> bool:
        return self.has("ask", "whether") or self.has("or", "not")

    @property
    def _wh(self) -> bool:
        return any(re.match(r"(what|how)\b", one.text) for one in self.mentions)

    @cached_property
    def _asks_first(self) -> bool:
        """Whether the last clause that asks begins with its verb: "does it break"."""
        if self._wh or any(self.has("ask", form) for form in ("where", "after")):
            return False
        return self._yes_no_order

    @cached_property
    def _yes_no_order(self) -> bool:
        return any(map(self._opens, range(len(self.mentions))))

    def _opens(self, place: int) -> bool:
        """Whether a yes/no question begins there: "does it", "is my ball"."""
        one, before, after = self.mentions[place], self._near(place, -1), self._near(place, 1)
        if before is None and _ASKS.match(one.text):
            return True
        return bool(
            _ASKS.fullmatch(one.text) and after and re.match(r"(it|they|he|she|the|my|a|an|this|that)\b", after.text)
        )

    # one event

    def _of_event(self, event: Event) -> Asking | Refusal | str:
        form, claims = self._form, self._claims
        if not form:
            raise _Unclear(_UNASKED)
        if form == "why":
            return self._why(claims)
        self.named["form"] = form
        if form == "whether":
            if any(_LONG.search(one.text) for one in self.mentions) and event.action not in ("wait", "cool"):
                raise _Unclear("for so long was not taught")
            if not claims and event.action in CAN and (self.has("can") or self._passive):
                claims = [(CAN[event.action], True)]
            if any(
                one.text in ("what", "how") and self._near(place, -1) is None for place, one in enumerate(self.mentions)
            ):
                raise _Unclear(_UNASKED)
            asked, told = self._asked_and_told(claims)
            if not asked:
                raise _Unclear(_UNASKED)
            return _told(event, asked, told)
        if self.has("or", "yes"):
            return Asking((event.happens(),))
        if self.has("many") and not (form == "happens" and self.has("many", "cut") and event.action == "cut"):
            raise _Unclear(_APART)
        if any(_LONG.search(one.text) for one in self.mentions) and event.action not in ("wait", "cool"):
            raise _Unclear("for so long was not taught")
        asking = ask(self.named)
        if not isinstance(asking, Asking) or not claims:
            return asking
        return _checked(asking, event, claims)

    @property
    def _passive(self) -> bool:
        """Whether it is asked if a thing is cut: "is a stone cut"."""
        return any(
            "act" in _keys(one) and place > 1 and "thing" in _keys(self.mentions[place - 1]) and self._opens(place - 2)
            for place, one in enumerate(self.mentions)
        )

    def _asked_and_told(self, claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
        """The outcomes that are asked about and those that are told before."""
        if len(claims) < 2 or self.has("truth"):
            return list(claims), []
        last = max(one.clause for _, one in self._said)
        clauses = [one.clause for one in self.mentions if "whether" in {says.get("ask") for says in one.says}]
        clauses += [one.clause for place, one in enumerate(self.mentions) if self._opens(place)]
        clause = next((one for one in reversed(clauses) if any(said.clause == one for _, said in self._said)), last)
        asked = list(dict.fromkeys(claim for claim, one in self._said if one.clause == clause))
        return asked, [claim for claim in claims if claim not in asked]

    def _why(self, claims: Sequence[tuple[str, bool]]) -> Asking | Refusal | str:
        if self.has("ask", "why") and any(
            says.get("no") for one in self.mentions for says in one.says if says.get("ask") == "why"
        ):
            claims = [(verb, not true) for verb, true in claims]
        event = Event(self.named)
        if not claims and event.action in CAN:
            claims = [({"cut": "break"}.get(event.action) or CAN[event.action], not self.has("no"))]
        if len(claims) != 1:
            raise _Unclear("it does not say what is to be explained")
        verb, true = claims[0]
        self.named |= {"form": "why", "verb": verb} | ({} if true else {"not": "yes"})
        return ask(self.named)


def _keys(mention: Mention) -> set[str]:
    return {key for says in mention.says for key in says}


def _bare(mention: Mention) -> bool:
    """Whether a mention begins with its own noun: no article or preposition before it."""
    return "fell" not in _keys(mention) and not re.match(
        r"(a|an|the|my|your|our|his|her|their|its|on|in|into|over|above|to|at|with|against|off|from|of)\b", mention.text
    )


def _classes(mention: Mention) -> set[str]:
    return {says["aside"] for says in mention.says if "aside" in says}


def _stands(mention: Mention) -> bool:
    """Whether a surface is named as something that does, and not where something is done."""
    return bool(re.match(r"(the|a|my|your|our|this|that|\w+$)", mention.text)) and "fell" not in _keys(mention)


def _claimed(event: Event, verb: str, happens: str) -> bool:
    """Whether what happens is that outcome."""
    if verb == "stay on top" and event.action != "stack":
        if event.surface == "water" and event.action in _FALLING:
            return holds("float", happens)
        return not holds("move" if event.action in ("push", "tip") else "change", happens)
    return holds(meant(event, verb), happens)


def _told(event: Event, claims: Sequence[Claim], told: Sequence[Claim]) -> Asking:
    """Yes where all that is claimed is so, no where something is not; nothing where what is told is not so."""

    def word(said: Answers) -> str | None:
        if said[0] is None or not all(_is_so(event, verb, said[0]) == true for verb, true in told):
            return None
        right = all(_is_so(event, verb, said[0]) == true for verb, true in claims)
        return f"{'Yes' if right else 'No'}, {lower(said[0])}"

    return Asking((event.happens(),), word)


def _is_so(event: Event, verb: str, happens: str) -> bool:
    if verb == "break" and not any(words in happens for words in ("breaks", "shatters")):
        return any(words in happens for words in GONE)
    return _claimed(event, verb, happens)


def _checked(asking: Asking, event: Event, claims: Sequence[tuple[str, bool]]) -> Asking:
    """With what the question tells of the outcome: an answer only where that is so."""

    def word(said: Answers) -> str | None:
        happens = said[-1]
        if happens is None or not all(_is_so(event, verb, happens) == true for verb, true in claims):
            return None
        return asking.word(said[:-1]) if asking.word else said[0]

    return Asking((*asking.questions, event.happens()), word)
