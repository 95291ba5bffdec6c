"""How people ask about walks on the lake: by that a question without a map is told that it lacks one."""

from __future__ import annotations

from reverie.worlds.phrasebook import Bindings, Pattern, Phrasebook

__all__ = ["PHRASEBOOK"]

_WAY = "(left|right|up|down|upwards|downwards|north|south|east|west)"
_WALKER = "(you|i|we|it|he|she|the elf|an elf|elf|the player|the agent|the character)"
_LAKE = {"lake": "yes"}


def _ask(named: Bindings) -> str:
    if "lake" not in named:
        return "it says too little"
    return "this is about a walk in the world FrozenLake, and there is no map or picture of the lake to look at"


PHRASEBOOK = Phrasebook(
    slots={},
    macros={},
    patterns=(
        Pattern(f"[{_WALKER}] [will|do|can] (go|walk|move|step|head|run|turn) [to the|one step|two steps|a step] {_WAY}", _LAKE),
        Pattern(f"[the|an] elf [go|walk|move|be|stand|do|fall|reach]", _LAKE),
        Pattern(f"(a step|one step|step|move|moves|path) [to the] [of] {_WAY}", _LAKE),
        Pattern("(on|across|over) [the] [frozen] (lake|ice)", _LAKE),
        Pattern("[the|a] (hole|goal|frozen lake)", {}),
        Pattern(f"[the] (end up|reach|fall in|fall in to|fall|land|stay safe|be safe|arrive at) [{_WALKER}]", {}),
    ),
    fillers=(
        _WAY, "(what|where) [do|will|can|be] [happen|end up|it|you|i|the elf|land]", "if", "when", "after", "and", "then", "is it", "safe", "to", "can",
        "do", "will", _WALKER, "without", "in", "in to", "what if", "how many", "move", "step", "moves of", "of", "until", "be at", "in which", "row", "place",
        "direction", "which way", "lie", "from", "there", "beside", "next to", "still", "stand", "one", "two", "three", "four", "five", "six", "seven", "again", "name", "the", "be", "twice", "now",
    ),
    adverbs=frozenset(),
    spelled=frozenset(),
    ask=_ask,
)  # fmt: skip
