"""Writes the words that change nothing in a question about the everyday world:
`python recipes/asides.py WORDNET_FOLDER`.

From WordNet 3.0 (Princeton University, free with its licence; Debian's package wordnet-base has it in
/usr/share/wordnet): persons, ideas, utterances and feelings, verbs of saying, thinking and feeling, and adverbs of
manner, of the words that its tagged texts use in no other sense. What also names an object, a stuff, an animal, a
place, or a change is left out, and so is every word that the world's own phrasebooks use.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from reverie.dreaming.english import stem
from reverie.dreaming.parsing import Parser
from reverie.worlds import make_world

_TARGET = Path(__file__).parent.parent / "src/reverie/worlds/everyday/lexicon.txt"
_LETTERS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
# numbers of WordNet's lexicographer files (its manual page lexnames.5) → the class of a word of that kind
_KINDS = {18: "person", 10: "idea", 9: "idea", 12: "idea", 16: "idea", 32: "deed", 31: "deed", 37: "deed", 2: "adverb"}
_NEITHER = frozenset({4, 7, 11, 14, 21, 24, 26, 40, 41, 42})  # of other senses of such a word: acts, states, owning …
_NOT = frozenset(  # these do change what is asked, or what happens
    """
    partly partially nearly hardly barely scarcely simultaneously separately jointly respectively vertically repeatedly
    horizontally diagonally doubly jointly mutually singly half wholly solely merely exclusively inversely conversely
    equally only likely early daily weekly monthly yearly underwater deny refuse doubt disbelieve contradict exclude
    forbid ignore neglect omit forget underestimate prefer compare dimension percentage ratio number amount quantity
    total average maximum minimum zero dozen pair couple million billion thousand hundred copy model version type kind
    sort shape color colour sound noise voice music song cost price speed distance temperature
    weight length size height depth taste smell odor frighten scare shadow image picture vision dream copy animal human
    badge medal coupon flyer pillar poster germ footprint handclasp beacon milestone signpost guidepost roadblock
    pennant manuscript manual patchwork rivet transfix decomposition backbone mountain dragon reset primer pinning
    coon bastard
    bullshit ejaculate ejaculation babe bedamn gender race catch throw hold release protect guard cover save
    rescue repair
    fix support rest stay balance pass point part piece state condition position place line turn end start
    tightly firmly loosely upwards downwards backwards forwards sideways hotly coldly wetly dryly thinly thickly
    """.split()
)


def main(folder: Path) -> None:
    kinds = {letter: dict(_offsets(folder / f"data.{name}")) for name, letter in _LETTERS.items()}
    senses: dict[str, list[tuple[int, list[int]]]] = defaultdict(list)
    for name, letter in _LETTERS.items():
        for word, used, offsets in _words(folder / f"index.{name}"):
            senses[word].append((used, [kinds[letter][offset] for offset in offsets]))
    _TARGET.write_text("", encoding="utf-8")  # what it held is no reason to leave a word out
    book = make_world("Everyday").phrasebook()
    taken = Parser(book.loose().words).words if book and book.loose else frozenset()
    found: dict[str, set[str]] = defaultdict(set)
    other: set[str] = set()
    for word, of in senses.items():
        kind = _kind(word, of)
        if kind:
            found[kind].add(word)
        elif any(used for used, _ in of):
            other.add(stem(word))
    stems = {stem(word) for word in taken}
    lines = ["# Words that change nothing, of WordNet 3.0: recipes/asides.py wrote this file.", "", "@slot wide aside"]
    for kind in sorted(found):
        words = sorted(word for word in found[kind] if stem(word) not in stems | other)
        once = sorted({stem(word): word for word in reversed(words)}.values())
        lines.append(f"{kind} = {'; '.join(once)}")
    _TARGET.write_text("\n".join([*lines, "", "@pieces", "{wide}", ""]), encoding="utf-8")


def _offsets(path: Path) -> Iterator[tuple[str, int]]:
    for line in path.read_text(encoding="latin-1").splitlines():
        if not line.startswith(" "):
            offset, number = line.split(" ", 2)[:2]
            yield offset, int(number)


def _words(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """(word, how many of its senses the tagged texts use, where its senses stand, the most used first)"""
    for line in path.read_text(encoding="latin-1").splitlines():
        fields = line.split()
        if not line.startswith(" ") and fields[0].isalpha() and len(fields[0]) > 3:
            pointers = int(fields[3])
            yield fields[0], int(fields[5 + pointers]), fields[6 + pointers :]


def _kind(word: str, senses: list[tuple[int, list[int]]]) -> str:
    """The class of a word that is used in harmless senses alone; "" for any other."""
    if word in _NOT:
        return ""
    used = [kinds[:count] for count, kinds in senses if count]
    if any(kind not in _KINDS and kind not in _NEITHER for kinds in used for kind in kinds):
        return ""
    named = {_KINDS.get(kinds[0], "") for kinds in used} - {""}
    if named == {"adverb"} and not word.endswith("ly"):
        return ""
    return next((kind for kind in ("person", "deed", "idea", "adverb") if kind in named), "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
