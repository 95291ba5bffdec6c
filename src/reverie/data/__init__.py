"""Files → records that the rest of the house understands; folders of pictures → collections.

Read ``contract.py`` first, then ``registry.py`` and one reader, such as ``wordnet.py``; ``lines.py`` is what all share.
Of pictures, read ``collection.py``, then ``prepare.py``, which makes one.
"""

from reverie.data.contract import NODE_KINDS, BadRow, FactRow, NodeRow, OnBad, Reader, Row
from reverie.data.registry import check_reader, guess_reader, make_reader, reader_names, register_reader

__all__ = [
    "NODE_KINDS",
    "BadRow",
    "FactRow",
    "NodeRow",
    "OnBad",
    "Reader",
    "Row",
    "check_reader",
    "guess_reader",
    "make_reader",
    "reader_names",
    "register_reader",
]
