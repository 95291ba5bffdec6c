"""Facts out of plain English sentences, by what stands between two names: few, and only where the words are clear.

``An oak is a kind of tree.`` says (oak, IsA, tree). Questions, guesses, words that point elsewhere ("it", "this") and
whatever is longer than a name say nothing here. Relations have ConceptNet's names (Speer et al. 2017,
arXiv:1612.03975) where it has them, else their own words, as ``relation_patterns`` reads them in questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reverie.nouns import CAUSES

__all__ = ["read_facts", "sentence_spans", "sentences"]

Said = tuple[str, str, str]  # subject, relation, object, in words

_ARTICLE = r"(?:(?:an?|the|some|most|all|many|every|each)\s+)?"
_BE = r"(?:is|are|was|were)"
_PATTERNS = tuple(
    (re.compile(rf"^(?P<subject>.+?)\s+{words}\s+(?P<object>.+)$", re.IGNORECASE), relation)
    for words, relation in (
        (rf"{_BE}\s+(?:an?\s+)?(?:kind|type|sort|form|species|breed|example)s?\s+of", "IsA"),
        (rf"{_BE}\s+(?:often\s+|commonly\s+|usually\s+|mainly\s+)?used\s+(?:for|to|in|as)", "UsedFor"),
        (rf"{_BE}\s+(?:mainly\s+|usually\s+)?made\s+(?:of|from|out\s+of|up\s+of)", "MadeOf"),
        (rf"{_BE}\s+(?:an?\s+)?(?:important\s+)?part\s+of", "PartOf"),
        (rf"{_BE}\s+(?:usually\s+|often\s+)?(?:found|located|kept|situated)\s+(?:in|on|at|near)", "AtLocation"),
        (rf"{_BE}\s+the\s+opposite\s+of", "Antonym"),
        (rf"{_BE}\s+(?:the\s+)?(?:capital(?:\s+city)?)\s+of", "capital of"),
        *(
            (rf"{_BE}\s+{done}\s+by", f"{done} by")
            for done in "written directed composed founded published painted".split()
        ),
        (rf"{_BE}\s+(?:invented|discovered|created)\s+by", "CreatedBy"),
        (rf"{_BE}\s+born\s+in", "born in"),
        (r"(?:causes?|leads?\s+to|results?\s+in)", CAUSES),
        (r"(?:needs?|requires?)", "HasPrerequisite"),
        (r"(?:cannot|can\s*not|can['’]t)", "NotCapableOf"),
        (r"can(?!\s+not\b)", "CapableOf"),
        (rf"{_BE}\s+an?", "IsA"),
        (r"(?:contains?|ha(?:s|ve)(?=\s+(?:an?|the|one|two|three|four|many|several|\d+)\s)(?:\s+an?)?)", "HasA"),
    )
)
_OF = re.compile(
    r"^(?:the\s+)?(?P<relation>capital|currency|author|inventor|colou?r|opposite)\s+of\s+(?P<subject>.+?)\s+"
    rf"{_BE}\s+(?P<object>.+)$",
    re.IGNORECASE,
)
_RELATIONS = {"color": "HasProperty", "colour": "HasProperty", "opposite": "Antonym"}  # others have their own words
_WHEN = re.compile(
    r"^(?:if|when|whenever)\s+(?:you\s+|someone\s+|we\s+|one\s+)?(?P<subject>[^,]+),\s+(?:then\s+)?(?P<object>.+)$",
    re.IGNORECASE,
)
_SENTENCE, _CODE = re.compile(r"(?<=[.!?])\s+"), re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LINE = re.compile(r"\S(?:[^\n]*\S)?")
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)])\s+")
_MARKS = re.compile(r"[*_`#]+|(?:^|(?<=\s))(?:\([^()]{0,200}\)|\[[^\[\]]{0,200}\])")
_CLAUSE = re.compile(
    r"[,;:–—]|\s(?:and|or|but|because|since|so|that|which|who|whose|where|when|while|if|as|by|such|including|into|with|for|from|"
    r"due|through|during|until|after|before|to\s+(?:be|the\s+point))\b",
    re.IGNORECASE,
)
_GUESS = re.compile(
    r"\b(?:maybe|perhaps|might|could|may|would|should|probably|possibly|sometimes|seems?|appears?|think|believe|guess|"
    r"unsure|sure|supposed|allegedly|some\s+people|not|never|no|neither|hardly|if|whether|unlike|before|almost)\b|n['’]t\b",
    re.IGNORECASE,
)
_POINTS = frozenset(
    """i you he she it we they this that these those there here who whom which what where when why how one someone
    something anything everything nothing another others both either such his her its their my your our let as if in on
    at by for with from to of and but or so because while although though however also then yes no not only""".split()
)
_EMPTY = frozenset(
    """way thing things lot lots part parts kind type example set number variety range result reason problem question
    answer great good bad new different various several few important common popular very more most less""".split()
)
_LEFT = re.compile(r"\s+(?:\w+ed|made|found|known|seen|held|grown|born|built|taught|written|being|\w+ly)$")
_ABBREVIATED = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Jr|Sr|Co|Inc|Ltd|No|vs|etc)\.$")  # it goes on
_THAT_ONE = re.compile(r"^[Tt]he\s+[a-z]\w*(?:\s+[a-z]\w*)?\s+(?:was|were)\b")  # of which it was spoken before
_ROW = re.compile(r"^(?:an?\s+)?[\w-]+,\s+(?!(?:and|or|but|which|who|that|where|while|with|as|so)\b)[\w-]+")
_MOST_SUBJECT, _MOST_OBJECT, _LONGEST = 4, 6, 220  # words of a name, of an object; characters of a sentence


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, without marks of Markdown; not what stands between fences of code."""
    for start, end in sentence_spans(text):
        if plain := " ".join(_MARKS.sub("", text[start:end]).split()):
            yield plain


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where its sentences begin and end in a text, as it stands there; some may hold nothing but marks."""
    plain = _CODE.sub(lambda code: "\n" * len(code[0]), text)
    for line in _LINE.finditer(plain):
        start, end = line.span()
        if bullet := _BULLET.match(line[0]):
            start += bullet.end()
        for gap in _SENTENCE.finditer(plain, start, end):
            yield start, gap.start()
            start = gap.end()
        yield start, end


def read_facts(sentence: str) -> list[Said]:
    """What one sentence says; mostly nothing."""
    odd = _ABBREVIATED.search(sentence) or _THAT_ONE.match(sentence) or not sentence.endswith((".", "!"))
    if len(sentence) > _LONGEST or odd or any(mark in sentence for mark in '"()[]'):
        return []
    sentence = sentence.rstrip(".! ")
    if found := _WHEN.match(sentence):
        return _caused(found["subject"], found["object"])
    if found := _OF.match(sentence):
        relation = found["relation"].lower()
        return _said(found["subject"], _RELATIONS.get(relation, relation), found["object"])
    for pattern, relation in _PATTERNS:
        if found := pattern.match(sentence):
            return _said(found["subject"], relation, found["object"])
    return []


def _said(subject: str, relation: str, object_: str) -> list[Said]:
    name, said = _name(subject), _object(object_, relation == "IsA")
    guessed = _GUESS.search(subject) or _GUESS.search(said)
    return [(name, relation, said)] if name and said and not guessed and name.casefold() != said.casefold() else []


def _caused(cause: str, outcome: str) -> list[Said]:
    """``if you drop an egg, it breaks``: (drop an egg, Causes, the egg breaks)."""
    words, said = cause.split(), outcome.split()
    if not 1 < len(words) <= 6 or len(said) > 7 or _GUESS.search(f"{cause} {outcome}"):
        return []
    if said[0].casefold() in ("it", "they"):
        thing = re.search(r"\b(?:an?|the)\s+(\w+)$", cause, re.IGNORECASE)
        if thing is None:
            return []
        said = ["the", thing[1], *said[1:]]
    pointing = {word.casefold() for word in (*words, *said)} & (
        _POINTS - {"in", "on", "at", "to", "of", "from", "with"}
    )
    if pointing or "," in outcome or len(said) < 2:
        return []
    return [(cause.strip(), CAUSES, " ".join(said))]


def _name(words: str) -> str:
    """``words`` without an article, where they can be a name; else ""."""
    plain = re.sub(rf"^{_ARTICLE}", "", words.strip(), count=1, flags=re.IGNORECASE).strip()
    parts = plain.casefold().split()
    if not 0 < len(parts) <= _MOST_SUBJECT or parts[0] in _POINTS | _EMPTY or _CLAUSE.search(f" {plain}"):
        return ""
    return "" if set(parts) & (_POINTS - {"of", "in"}) else plain


def _object(words: str, kind: bool) -> str:
    """The beginning of ``words``, up to where another clause begins, where that is short enough; else "". A ``kind`` of
    thing is not cut in a row of words, behind which its noun may stand: "a private, liberal college"."""
    cut = _CLAUSE.search(f" {words}")
    if kind and (_ROW.match(words) or (cut and cut.group().strip() in ("and", "or", "but"))):
        return ""
    plain = words[: max(cut.start() - 1, 0)].strip() if cut else words.strip()
    plain = _LEFT.sub("", re.sub(r"^(?:an?|the)\s+", "", plain, flags=re.IGNORECASE)).strip()
    parts = plain.casefold().split()
    if not 0 < len(parts) <= _MOST_OBJECT or parts[0] in _POINTS or parts[-1] in _POINTS or set(parts) <= _EMPTY:
        return ""
    return plain
