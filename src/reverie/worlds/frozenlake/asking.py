"""Reads the walk that a free question speaks of: "two steps right and then down" is right, right, down.

Every word must be one that questions about walks are made of, and every number must count something; what is not plain
is refused with the words at fault, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reverie.tokens.questions import clean_question
from reverie.worlds.contract import Heard
from reverie.worlds.frozenlake.maps import ACTIONS
from reverie.worlds.frozenlake.narrator import QUESTIONS
from reverie.worlds.frozenlake.questions import ARRIVES, DIRECTION, HOLES, MAX_STEPS, PLACE, STILL, WHEN

__all__ = ["MAX_WALK", "hear"]

MAX_WALK = 100  # moves of a walk that a question may speak of

_WAYS = {
    "left": "left leftward leftwards west westward westwards ←",
    "down": "down downward downwards south southward southwards ↓",
    "right": "right rightward rightwards east eastward eastwards →",
    "up": "up upward upwards north northward northwards ↑",
}
_WAY = {word: way for way, words in _WAYS.items() for word in words.split()}
_NUMBERS = {
    word: number
    for number, word in enumerate(
        "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
    )
    if number
} | {"a": 1, "another": 1}
_TIMES = {"once": 1, "twice": 2, "thrice": 3}
_UNITS = frozenset("x × * time times step steps cell cells square squares field fields tile tiles move moves "
                   "space spaces place places".split())  # fmt: skip
_SIGNS = frozenset("x×*")
_BETWEEN = frozenset("to towards toward the your its my more further".split())
_FALLS = frozenset("fall falls falling fallen fell break breaks".split())
_GOES = frozenset(
    "go goes going gone went walk walks walking walked move moves moving moved step steps stepping stepped head heads "
    "heading headed run runs running ran travel travels travelling traveling proceed proceeds continue continues "
    "advance advances wander wanders stroll strolls hop hops tread treads turn turns turning take takes taking took "
    "make makes making made do does doing did".split()
)
_WORDS = (
    frozenset(
        "a an the this that these those there here it its he she they we you i me us him her them my your our their "
        "elf player agent character figure someone somebody one lake ice frozen icy map picture image board grid hole "
        "holes water pit goal flag gift present finish exit start cell square field tile position spot place row "
        "what where how which when whether why will would could can should shall may might must does do did is are am "
        "be been being was were has have had get gets getting got happen happens happening happened occur occurs "
        "become becomes befall befalls result outcome consequence effect end ends ending ended wind winds land lands "
        "landing landed reach reaches reaching arrive arrives arriving come comes coming stay stays staying remain "
        "remains remaining stand stands standing survive survives surviving live lives die dies dying dead alive "
        "drown drowns drowning safe safely unharmed dry dangerous danger risky risk wise okay ok fine harm hurt "
        "if in into on onto at to of off from by for with without as and then next after afterwards afterward "
        "followed following first second third finally lastly last later subsequently before until so now plus also "
        "once again more further suppose supposing assume assuming imagine say let lets case please tell know wonder "
        "think path route way walk moves steps move step sequence course order direction directions "
        "beside near nearby adjacent lie lies still not never no many long far alright all or any "
        "manage manages able possible succeed".split()
    )
    | _GOES
    | _FALLS
    | _UNITS
    | _SIGNS
    | _BETWEEN
    | frozenset(_WAY)
    | frozenset(_NUMBERS)
    | frozenset(_TIMES)
)
_PUNCTUATION = frozenset(",;:.?!-–—()\"'/+&>")
_NO = frozenset("not never dont doesnt didnt wont wouldnt cannot cant without instead avoid".split())
_AUXILIARY = re.compile(r"\b(do|does|did|wo|would|could|should|ca|is|are|was)n['’]?t\b")


def hear(question: str) -> Heard:
    """The walk that ``question`` speaks of, of no moves where it speaks of none."""
    asked = clean_question(question)
    taught = _taught(asked)
    if taught is not None:
        return taught
    words = _words(asked)
    walk = _Walk(words)
    form = _form(words)
    limit = MAX_WALK if form in QUESTIONS else MAX_STEPS
    problem = walk.problem
    if not problem and len(walk.moves) > limit:
        problem = f"such a question may be about at most {limit} moves, and this one is about more"
    seen = not walk.strange and (bool(walk.moves) or "elf" in words)
    return Heard(form, tuple(walk.moves), problem, walk.strange, seen)


def _taught(asked: str) -> Heard | None:
    """A question in the very words that were taught."""
    for form, pattern in _patterns():
        if (found := re.fullmatch(pattern, asked)) is not None:
            moves = tuple(found["path"].split(", "))
            return Heard(form.replace("{n}", found.groupdict().get("n") or ""), moves, seen=True)
    return None


def _patterns() -> list[tuple[str, str]]:
    way = f"(?:{'|'.join(ACTIONS)})"
    found = []
    for form in (*QUESTIONS, *PLACE, *HOLES, *DIRECTION, *WHEN, *ARRIVES, *STILL):
        pattern = re.escape(clean_question(form)).replace(r"\{path\}", f"(?P<path>{way}(?:, {way})*)")
        found.append((form, pattern.replace(r"\{n\}", r"(?P<n>\w+)")))
    return found


def _words(asked: str) -> list[str]:
    """Words, numbers and punctuation, contractions spelled out; "rrd" is right, right, down."""
    asked = _AUXILIARY.sub(lambda found: f"{found[1]}nt", asked)
    asked = re.sub(r"['’](s|d|ll|re|ve|m)\b", "", asked)
    asked = re.sub(r"(\d)\s*x\b", r"\1 x", re.sub(r"\bx(\d)", r"x \1", asked))
    words: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+|[^\w\s]", asked):
        if len(word) > 1 and set(word) <= set("ldru"):
            words += [way for letter in word for way in ACTIONS if way[0] == letter]
        else:
            words.append(word)
    return words


class _Walk:
    """The moves that words name, in order; ``strange``: words that no question about a walk is made of."""

    def __init__(self, words: Sequence[str]):
        self._words = words
        self.moves: list[str] = []
        self.problem = ""
        self._said = 0  # "two steps: ..."
        self.strange = tuple(dict.fromkeys(word for word in words if not _familiar(word)))
        at = 0
        while at < len(words):
            at = self._read(at)
        self._check()

    def _read(self, at: int) -> int:
        """Read on from a word; where the next piece begins."""
        count, end = self._count(at)
        if count is not None:
            way = self._skip(end, _BETWEEN)
            if self._way(way):
                self._go(_WAY[self._words[way]], count)
                return way + 1
            if self._words[at] not in ("a", "one", "another") and self._words[at : at + 2] != ["one", "of"]:
                self._said += count
            return max(end, at + 1)
        if self._way(at):
            return self._moved(at)
        if self._word(at) == "again" and self._word(at - 1) in ("and", "then", ",") and self.moves:
            self.moves.append(self.moves[-1])
        return at + 1

    def _moved(self, at: int) -> int:
        """A way, and how often it is gone: "right twice", "right 3 times", "right x 3"."""
        way, start = _WAY[self._words[at]], at + 1 + (self._word(at + 1) == "by")
        first = self._word(start)
        if first in _SIGNS and self._word(start + 1).isdigit():
            self._go(way, int(self._word(start + 1)[:9]))
            return start + 2
        count, end = (None, start) if first in ("a", "another") else self._count(start)  # "right, a step down"
        self._go(way, 1 if count is None else count)
        if count is None:
            return at + 1
        following = self._skip(end, _BETWEEN)
        listed = end == start + 1 and self._word(following + 1).isdigit()  # "right 2 down 3"
        if self._way(following) and first not in _TIMES and not listed:
            self.problem = f"'{' '.join(self._words[at : following + 1])}' can be read in two ways"
        return end

    def _go(self, way: str, times: int) -> None:
        self.moves += [way] * min(times, MAX_WALK + 1)

    def _count(self, at: int) -> tuple[int | None, int]:
        """A number and what it counts: (None, ``at``) where there is none."""
        word = self._word(at)
        if word in _TIMES:
            return _TIMES[word], at + 1
        number = min(int(word[:9]), 10**6) if word.isdigit() else _NUMBERS.get(word)
        if number is None or (word in ("a", "another", "one") and self._word(at + 1) not in _UNITS | {"more"}):
            return None, at
        return number, self._skip(at + 1, _UNITS | {"more"})

    def _skip(self, at: int, some: frozenset[str]) -> int:
        while self._word(at) in some:
            at += 1
        return at

    def _word(self, at: int) -> str:
        return self._words[at] if 0 <= at < len(self._words) else ""

    def _way(self, at: int) -> bool:
        """Whether a word names a way, as in "go right", and not something else, as in "right now" or "end up"."""
        word, before, after = self._word(at), self._word(at - 1), self._word(at + 1)
        if word not in _WAY:
            return False
        if word == "up":
            return before not in ("end", "ends", "ending", "ended", "wind", "winds", "land", "lands", "what", "is")
        if word == "down":
            return before not in _FALLS
        if word == "right":
            to_do = after == "to" and self._word(at + 2) in _GOES
            return not (after in ("now", "away") or to_do or before in ("all", "is", "be"))
        if word == "left":
            return after not in ("over", "behind", "of") and before not in ("is", "was", "has", "have", "what", "be")
        return True

    def _check(self) -> None:
        words = self._words
        ways = [at for at in range(len(words)) if self._way(at)]
        if self.problem:
            return
        if not self.moves:
            self.problem = "it names no way to go: left, right, up or down"
        elif self.strange:
            self.problem = f"this is not understood: {', '.join(self.strange[:5])}"
        elif self._said and self._said != len(self.moves):
            self.problem = f"it speaks of {self._said} moves and names {len(self.moves)}"
        elif any(word == "or" for word in words[ways[0] : ways[-1]]):
            self.problem = "it asks about two walks at once"
        elif any(words[at] in _NO and _GOES & set(words[at + 1 : at + 4]) for at in range(len(words))):
            self.problem = "it says where one does not go"
        elif any(words[at : at + 2] in (["right", "after"], ["right", "before"]) for at in range(len(words))):
            self.problem = "'right' can be read in two ways"
        elif any(words[at] == "after" for at in range(ways[0] + 1, ways[-1])):
            self.problem = "it does not say plainly in which order the moves come"


def _familiar(word: str) -> bool:
    return word in _WORDS or word in _PUNCTUATION or word in _NO or word.isdigit()


def _form(words: Sequence[str]) -> str:
    """The taught question that asks the same, with a place for the path."""
    said = set(words)
    holes, goal = said & {"hole", "holes"}, said & {"goal", "flag", "gift", "present", "finish", "exit"}
    if "row" in said:
        return PLACE[0]
    if holes and said & {"beside", "near", "nearby", "adjacent", "next"} and not said & _FALLS:
        return HOLES[0]
    counted = "when" in words[:1] or ("how" in said and said & {"many", "long"})
    if counted and (holes or said & _FALLS):
        return WHEN[0]
    if counted and goal:
        return ARRIVES[0]
    if goal and said & {"lie", "lies", "direction"}:
        return DIRECTION[0]
    if "where" in said:
        return QUESTIONS[2]
    return QUESTIONS[3] if said & {"safe", "safely", "dangerous", "risky"} else QUESTIONS[0]
