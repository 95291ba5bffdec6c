"""What a question mentions that was not taught, however much of it was: "a broken plate", "to my sister"."""

from __future__ import annotations

import re

from reverie.worlds.everyday.mentions import PEOPLE, Mentions, Unclear, bare, classes, keys, values
from reverie.worlds.phrasebook import Mention

__all__ = ["FEELS", "refuse_untaught"]

FEELS = frozenset("know feel think want dream love hate mind understand remember worry say talk sing cry laugh".split())
_NO_PARTS = frozenset("computer machine case story test game school class time report song poem king baby".split())
_CALLED = frozenset(  # who may be spoken to right after a thing is named
    """
    mommy mom mum mummy mama daddy dad papa granny grandma gran nana grandpa dear darling honey hon love luv mate dude
    bro sis sir madam miss teacher friend sweetie sweetheart buddy pal man my dear my friend doc professor prof folks
    guys class pupils students uncle auntie
    """.split()
)
_PREPOSITION = re.compile(r"(to|with|by|over|above|in|into|under|on|from|at|using|through|before|near)\b")
_SPEAKERS = (*PEOPLE, "he", "she")


def refuse_untaught(said: Mentions) -> None:
    """Raises Unclear where something in the question changes what is asked."""
    for place, one in enumerate(said):
        if "stop" in keys(one):
            raise Unclear(f'"{one.text}" changes what is asked')
        for rule in _RULES:
            if fault := rule(said, place, one):
                raise Unclear(f'"{fault}" does not go with what was taught')
    undone = [one for one in said if "act" in keys(one) and said.denied(one)]
    if undone and not said.has("act", "wait") and not (said.has("ask", "why") and said.has("act", "cut")):
        raise Unclear("it says what is not done")


def _compound(said: Mentions, place: int, one: Mention) -> str:
    """A paper plate, a water balloon, an apple computer, an egg with two yolks."""
    after = said.near(place, 1)
    if after is None:
        return ""
    both, found, next_ = f"{one.text} {after.text}", keys(one), keys(after)
    if "thing" in found:
        if {"thing", "surface"} & next_ and "verb" not in next_ and bare(after) and not said.has("common"):
            return both
        if after.text in ("of", "with") and not _owned(said, place + 2):
            return both
        if after.text in _NO_PARTS or classes(after) == {"idea"}:
            return both
        if classes(after) == {"person"} and after.text not in _CALLED:
            then = said.near(place, 2)
            return "" if then is not None and {"act", "put", "verb"} & keys(then) else both
    joins = "surface" in found or bool(classes(one) & {"person", "idea"})
    return both if joins and "thing" in next_ and not {"act", "ask"} & next_ and bare(after) else ""


def _owned(said: Mentions, place: int) -> bool:
    """Whether somebody or something taught follows."""
    return place >= len(said.all) or bool(keys(said.all[place]) & {"aside", "thing", "ask", "other", "tool", "act"})


def _state(said: Mentions, place: int, one: Mention) -> str:
    """A broken plate; a frozen egg that is dropped."""
    before, after = said.near(place, -1), said.near(place, 1)
    if before is None or after is None or "det" not in classes(before) or "thing" not in keys(after) or not bare(after):
        return ""
    acts = sum("act" in keys(other) for other in said)
    state = {"verb", "whole", "property"} & keys(one) or ({"act", "fell"} & keys(one) and acts > 1)
    return f"{one.text} {after.text}" if state else ""


def _earlier(said: Mentions, place: int, one: Mention) -> str:
    """What was done before what is asked about: an egg that is already cooked, and then dropped."""
    before = said.near(place, -1)
    others = [two for two in said if "act" in keys(two) and values(two, "act") != values(one, "act")]
    done = before is not None and before.text.endswith("already") and "act" in keys(one) and others
    return f"already {one.text}" if done else ""


def _about_else(said: Mentions, place: int, one: Mention) -> str:
    """What happens to the knife; how somebody does it."""
    before = said.near(place, -1)
    if (
        before is not None
        and "happen" in before.text
        and one.text.startswith("to ")
        and {"tool", "surface"} & keys(one)
    ):
        return f"{before.text} {one.text}"
    if not re.fullmatch(r"(where|what|how)( \w+)?", one.text):
        return ""
    after = [other for step in (1, 2, 3) if (other := said.near(place, step)) is not None]
    if after and re.match(r"(can|could|should) (i|you|one|we)\b", after[0].text):
        return f"{one.text} {after[0].text}"
    if len(after) < 3 or "be" not in classes(after[0]) or after[1].text not in _SPEAKERS:
        return ""
    does = {"act", "put", "can"} & keys(after[2]) or after[2].text in ("do", "make")
    return " ".join(other.text for other in (one, *after)) if does else ""


def _goal(said: Mentions, place: int, one: Mention) -> str:
    """A person to whom something is thrown; down a well; the word order of nobody."""
    before, after = said.near(place, -1), said.near(place, 1)
    if one.text == "well" and before is not None and "det" in classes(before):
        return f"{before.text} well"
    if "act" in keys(one) and after is not None and after.text in ("you", "i", "we", "he", "she"):
        return f"{one.text} {after.text}"
    moved = any(two.clause == one.clause and {"act", "put", "fell"} & keys(two) for two in said.all[:place])
    if "to" not in classes(one) or not moved:
        return ""
    goal = next((two for two in said.all[place + 1 :] if not classes(two) & {"det", "adjective"}), None)
    if goal is not None and classes(goal) and classes(goal) <= {"person", "pronoun", "time"}:
        return f"{one.text} {goal.text}"
    return ""


def _subject(said: Mentions, place: int, one: Mention) -> str:
    """What befalls somebody, or the floor; what a thing feels."""
    before, after = said.near(place, -1), said.near(place, 1)
    asked = before is not None and "be" in classes(before)
    if "thing" in keys(one) and asked and after is not None and after.text in FEELS:
        return f"{one.text} {after.text}"
    befalls = bool({"verb", "fell", "whole"} & keys(one)) and not {"act", "put"} & keys(one)
    done = "act" in keys(one) and not (after is not None and "thing" in keys(after))
    if (befalls or done) and before is not None and re.fullmatch(r"(?!(from|in|by)\b).*\bhands?", before.text):
        return f"{before.text} {one.text}"
    if not befalls:
        return ""
    subject = said.before(place, lambda two: bool(classes(two) & {"be", "adverb"}) or "no" in keys(two))
    if subject is None or subject.clause != one.clause:
        return ""
    both, works = f"{subject.text} {one.text}", after is not None and "thing" in keys(after)
    placed = bool(_PREPOSITION.match(subject.text))
    if subject.text in PEOPLE - {"thou"} or classes(subject) == {"person"}:
        return both
    if subject.text in ("he", "she") and _does(said, subject.text):
        return both
    if "tool" in keys(subject) and not works and not placed and "be cut" not in values(one, "verb"):
        return both
    if "surface" in keys(subject) and re.match(r"(the|a|my|your|our|this|that|\w+$)", subject.text):
        return "" if "fell" in keys(subject) else both
    return both if works and "thing" in keys(subject) else ""


def _does(said: Mentions, who: str) -> bool:
    return any("act" in keys(one) and place and said.all[place - 1].text == who for place, one in enumerate(said))


_RULES = (_compound, _state, _earlier, _about_else, _goal, _subject)
