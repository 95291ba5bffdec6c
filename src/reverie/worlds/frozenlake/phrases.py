"""How people ask about walks on the lake: by that a question without a map is told that it lacks one."""

from __future__ import annotations

from functools import cache

from reverie.worlds.phrasebook import Bindings, Phrasebook, Refusal, read_phrasebook

__all__ = ["phrasebook"]

_TEXT = """
@macros
way = (left|right|up|down|upwards|downwards|north|south|east|west)
walker = (you|i|we|it|he|she|[the|an] elf|the player|the agent|the character)

@pieces lake=yes
[<walker>] [will|do|can] (go|walk|move|step|head|run|turn) [to the|one step|two steps|a step] <way>;
[the|an] elf [go|walk|move|be|stand|do|fall|reach]; (a step|one step|step|move|path) [to the] [of] <way>;
(on|across|over) [the] [frozen] (lake|ice)

@fillers
<way>; <walker>; (what|where) [do|will|can|be] [happen|end up|it|you|i|the elf|land]; if; when; after; and; then;
is it; safe; to; can; do; will; without; in; in to; what if; how many; move; step; moves of; of; until; be at;
in which; row; place; direction; which way; lie; from; there; beside; next to; still; stand; one; two; three; four;
five; six; seven; again; name; the; be; twice; now; [the|a] (hole|goal|frozen lake);
[the] (end up|reach|fall in|fall in to|fall|land|stay safe|be safe|arrive at) [<walker>]
"""


@cache
def phrasebook() -> Phrasebook:
    return read_phrasebook(_TEXT, _ask)


def _ask(named: Bindings) -> Refusal:
    if "lake" not in named:
        return Refusal("it says too little")
    return Refusal(
        "this is about a walk in the world FrozenLake, and there is no lake to look at: give a map (--map SFF,FHF,FFG) "
        "or a picture (--image)",
        "scene",
    )
