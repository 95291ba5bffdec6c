"""FrozenLake: an elf on maps of ice and holes.

Read ``world.py`` first. Below it lie ``maps.py`` (maps, moves, what people write), ``pictures.py``, ``narrator.py``,
``walks.py`` and ``questions.py`` (what experts learn), ``documents.py`` (what models are trained on), ``finding.py`` on
``cells.py`` (lakes in pictures that people bring) and ``asking.py`` (walks in free questions).
"""

from __future__ import annotations

from reverie.worlds.frozenlake.maps import (
    ACTIONS,
    in_test_split,
    map_hash,
    parse_actions,
    parse_map,
    random_map,
    shortest_plan,
)
from reverie.worlds.frozenlake.pictures import CELL_PX, paint
from reverie.worlds.frozenlake.world import FrozenLake

__all__ = [
    "ACTIONS",
    "CELL_PX",
    "FrozenLake",
    "in_test_split",
    "map_hash",
    "paint",
    "parse_actions",
    "parse_map",
    "random_map",
    "shortest_plan",
]
