"""The compiled attention and the packed products against plain torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from reverie.engine.attend import attend
from reverie.engine.products import PACKED_ROWS, Matrix, WeightKind, choose_weights, make_product
from reverie.errors import UsageError


@pytest.mark.parametrize(
    ("spans", "drawn", "head_size", "scale"),
    [
        ([(0, 5, 5, 3), (0, 5, 8, 0), (0, 0, 0, 5)], (4, 0, 2), 8, 1.0),
        ([(2, 0, 7, 2), (0, 0, 0, 7), (0, 0, 11, 1)], (0, 3, 0), 6, 1.0),
        ([(0, 9, 0, 0)], (6,), 32, 1.0),
        ([(1, 4, 8, 1), (1, 3, 9, 2)], (3, 3), 2, 40.0),
    ],
)
def test_attention_equals_softmax_over_all_keys(
    spans: list[tuple[int, int, int, int]], drawn: tuple[int, ...], head_size: int, scale: float
) -> None:
    rng = np.random.default_rng(3)
    heads, rows = 3, len(spans)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    qkv, pool = normal(rows, 3, heads, head_size) * scale, normal(2, heads, 12, head_size)
    own, slots = normal(2, heads, rows + 2, max(drawn) + 1, head_size), rng.permutation(rows + 2)[:rows]
    angles = rng.uniform(0, 7, (40, head_size // 2))
    turns = np.stack((np.cos(angles), np.sin(angles)), -1).reshape(40, head_size).astype(np.float32)
    out = np.empty((rows, heads, head_size), np.float32)
    before = own.copy()
    attend(qkv.reshape(rows, -1, head_size), turns, pool, np.array(spans), own, slots, np.array(drawn), out)

    for row, (first, shared, second, rest) in enumerate(spans):
        unit = turns.view(np.complex64)[shared + rest + drawn[row]]
        q, k = ((np.ascontiguousarray(qkv[row, part]).view(np.complex64) * unit).view(np.float32) for part in (0, 1))
        slot, count = slots[row], drawn[row]
        np.testing.assert_allclose(own[0, :, slot, count], k, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(own[1, :, slot, count], qkv[row, 2])
        np.testing.assert_array_equal(own[:, :, slot, :count], before[:, :, slot, :count])
        seen = (pool[:, :, first : first + shared], pool[:, :, second : second + rest], own[:, :, slot, : count + 1])
        keys, values = np.concatenate(seen, axis=2)
        scores = torch.tensor(np.einsum("hd,hpd->hp", q, keys))
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


@pytest.mark.parametrize("kind", ["bf16", "int8"])
@pytest.mark.parametrize("rows", [1, 5])
def test_rounded_weights_give_nearly_the_same_and_each_row_alike(kind: WeightKind, rows: int) -> None:
    rng = torch.Generator().manual_seed(0)
    weight, x, add = (torch.randn(shape, generator=rng) for shape in ((24, 40), (rows, 40), (rows, 24)))
    x[:, 0] = 300.0  # beside which 8 bits lose the others
    weight[:, 0] = 0.0
    bias = torch.randn(24, generator=rng)
    product = make_product(kind, weight, bias)
    truth = x @ weight.t() + bias
    assert float((product(x) - truth).norm() / truth.norm()) < 0.01
    torch.testing.assert_close(product(x, add), product(x) + add)
    alone = torch.cat([product(x[row : row + 1]) for row in range(rows)])
    torch.testing.assert_close(alone, product(x), rtol=0, atol=0.03 if kind == "bf16" else 1e-5)


def test_a_row_of_zeros_stays_one() -> None:
    assert not make_product("int8", torch.randn(8, 16))(torch.zeros(2, 16)).any()


def test_an_unknown_kind_of_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="weights are one of auto, fp32, bf16, int8, got 'int3'"):
        choose_weights("int3")
    assert choose_weights() in ("fp32", "bf16", "int8")
