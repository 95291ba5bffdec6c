"""The compiled attention and the packed products against plain torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from reverie.engine.attend import attend
from reverie.engine.products import PACKED_ROWS, Matrix


@pytest.mark.parametrize(
    ("common", "lengths", "drawn", "head_size", "scale"),
    [(5, (3, 0), 4, 8, 1.0), (0, (2, 7, 1), 0, 6, 1.0), (9, (0,), 6, 32, 1.0), (4, (1, 2), 3, 2, 40.0)],
)
def test_attention_equals_softmax_over_all_keys(
    common: int, lengths: tuple[int, ...], drawn: int, head_size: int, scale: float
) -> None:
    rng = np.random.default_rng(3)
    heads, width = 3, 2
    rows = width * len(lengths)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    qkv, own = normal(rows, 3, heads, head_size) * scale, normal(2, heads, rows, drawn + 2, head_size)
    trunk, lanes = normal(2, heads, common, head_size), normal(2, heads, len(lengths), max(lengths), head_size)
    angles = rng.uniform(0, 7, (40, head_size // 2))
    turns = np.stack((np.cos(angles), np.sin(angles)), -1).reshape(40, head_size).astype(np.float32)
    positions = np.arange(rows) + 20
    out = np.empty((rows, heads, head_size), np.float32)
    before = own.copy()
    attend(qkv, turns, positions, trunk, lanes, np.array(lengths), own, drawn, out)

    unit = turns.view(np.complex64)[positions][:, None]
    q, k = ((np.ascontiguousarray(qkv[:, part]).view(np.complex64) * unit).view(np.float32) for part in (0, 1))
    np.testing.assert_allclose(own[0, :, :, drawn], k.transpose(1, 0, 2), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(own[1, :, :, drawn], qkv[:, 2].transpose(1, 0, 2))
    np.testing.assert_array_equal(own[:, :, :, :drawn], before[:, :, :, :drawn])
    for row in range(rows):
        lane = row // width
        seen = (trunk, lanes[:, :, lane, : lengths[lane]], own[:, :, row, : drawn + 1])
        keys, values = np.concatenate(seen, axis=2)
        scores = torch.tensor(np.einsum("hd,hpd->hp", q[row], keys))
        expected = np.einsum("hp,hpd->hd", torch.softmax(scores, -1).numpy(), values)
        np.testing.assert_allclose(out[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, PACKED_ROWS, 33])
def test_products_equal_plain_ones(rows: int) -> None:
    rng = torch.Generator().manual_seed(0)
    weight, x, add = (torch.randn(shape, generator=rng) for shape in ((24, 40), (rows, 40), (rows, 24)))
    matrix = Matrix(weight)
    torch.testing.assert_close(matrix(x), x @ weight.T, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix(x, add), x @ weight.T + add, rtol=1e-5, atol=1e-5)


def test_products_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    weight, x = torch.randn(5, 7), torch.randn(8, 7)
    torch.testing.assert_close(Matrix(weight)(x), x @ weight.T)


def test_it_works_where_no_compiled_code_can_be_kept() -> None:
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from reverie.compiled import compiled\n"
        "print(compiled(lambda x: x + 1)(2), compiled(fastmath=True)(lambda x: x * 2.0)(2.0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("3 4.0\n", "")
