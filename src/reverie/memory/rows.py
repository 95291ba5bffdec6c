"""The rows of a topology, as compiled and plain loops read them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["BOTH", "IN", "OUT", "Columns", "Rows"]

OUT, IN, BOTH = 0, 1, 2


class Rows(NamedTuple):
    """H entries of N rows, and beside them rows that changed since: those replace the ones of their node."""

    offsets: np.ndarray  # int64 (N + 1,)
    others: np.ndarray  # int32 (H,): the node at the other end
    weights: np.ndarray  # float32 (H,) in [0, 1], falling within a row
    codes: np.ndarray  # int32 (H,)
    totals: np.ndarray  # float32 (nodes,): summed weight of each row, as it is now
    slots: np.ndarray  # int32 (nodes,): the number of the node's changed row, or -1; (0,) where no row changed
    starts: np.ndarray  # int64 (D,): where a changed row begins in the three below
    stops: np.ndarray  # int64 (D,)
    new_others: np.ndarray
    new_weights: np.ndarray
    new_codes: np.ndarray


class Columns(NamedTuple):
    """What the edges say, by place: first those that the rows were made of, then the added ones."""

    ids: np.ndarray  # int64 (E,), ascending
    relations: np.ndarray  # int32 (E,)
    new_ids: np.ndarray
    new_relations: np.ndarray
