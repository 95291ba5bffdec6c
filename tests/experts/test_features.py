from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from reverie.experts.features import TAIL, cumulative_features, question_features

STATES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def embed_many(texts: Sequence[Sequence[int]]) -> np.ndarray:
    return np.stack([STATES[: len(ids)].mean(0).numpy() for ids in texts])


@pytest.mark.parametrize("length", [1, TAIL - 1, TAIL, TAIL + 1, 40])
def test_a_question_is_its_mean_and_that_of_its_end(length: int) -> None:
    plain = torch.cat((STATES[:length].mean(0), STATES[max(0, length - TAIL) : length].mean(0)))
    running = cumulative_features(STATES[:length])
    assert running.shape == (length, 12)
    torch.testing.assert_close(running[-1], plain)
    torch.testing.assert_close(cumulative_features(STATES)[length - 1], plain)  # what comes later changes nothing
    found = torch.from_numpy(question_features(embed_many, [range(3), range(length), range(40)]))
    torch.testing.assert_close(found[1], plain, atol=1e-5, rtol=1e-5)
