"""Reverie pictures what will happen before it answers, and shows what the answer rests on.

``reverie.load("nano").ask("What happens when you drop an egg?")`` is the whole of it; ``docs/tour.md`` walks through
the house in eight stops, from the words of a question to the picture of an answer. Importing this package loads no
network and no torch: every name below arrives when it is first used.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # without typing, so that the command line soon stands where it can be stopped by Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from reverie.bundles import load as load
    from reverie.dreaming import Reverie as Reverie
    from reverie.dreaming.preview import PreviewConfig as PreviewConfig
    from reverie.dreaming.preview import RuntimeConfig as RuntimeConfig
    from reverie.errors import ReverieError as ReverieError
    from reverie.memory import Memory as Memory
    from reverie.nouns import Answer as Answer
    from reverie.nouns import Dream as Dream
    from reverie.nouns import Fact as Fact
    from reverie.nouns import Frame as Frame
    from reverie.nouns import Part as Part
    from reverie.nouns import Triplet as Triplet
    from reverie.nouns import Verdict as Verdict

__version__ = "0.1.0"

_HOME = {
    "Answer": "reverie.nouns",
    "Dream": "reverie.nouns",
    "Fact": "reverie.nouns",
    "Frame": "reverie.nouns",
    "Memory": "reverie.memory",
    "Part": "reverie.nouns",
    "PreviewConfig": "reverie.dreaming.preview",
    "Reverie": "reverie.dreaming",
    "ReverieError": "reverie.errors",
    "RuntimeConfig": "reverie.dreaming.preview",
    "Triplet": "reverie.nouns",
    "Verdict": "reverie.nouns",
    "load": "reverie.bundles",
}

__all__ = [
    "Answer",
    "Dream",
    "Fact",
    "Frame",
    "Memory",
    "Part",
    "PreviewConfig",
    "Reverie",
    "ReverieError",
    "RuntimeConfig",
    "Triplet",
    "Verdict",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'reverie' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
