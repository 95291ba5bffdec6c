"""Reverie pictures what will happen before it answers, and shows what the answer rests on.

``reverie.load("nano").ask("What happens when you drop an egg?")`` is the whole of it; ``docs/tour.md`` walks through
the house in eight stops, from the words of a question to the picture of an answer. Importing this package loads no
network and no torch: every name below arrives when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*__all__, "__version__"])


def __dir__() -> list[str]:
    return __all__
