"""What pictures, captions and samples are measured with. Plain arrays in, plain numbers out; none knows a network.

Pictures are uint8 (N, side, side, 3) in [0, 255]; features are float (N, D), one row a picture. NaN stands where there
is too little to count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reverie.errors import MissingExtraError

__all__ = [
    "Nearest",
    "chance_at",
    "distinct_share",
    "diversity",
    "fid",
    "kid",
    "kid_deviation",
    "mean_distance",
    "ms_ssim",
    "nearest",
    "psnr",
    "recall_at",
    "thumbnails",
]

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest first
_SHARPEST = 100.0  # dB: what an equal picture counts
_CHUNK = 512  # rows of a distance table worked on at a time


# likeness of one picture to another ----------------------------------------------------------------------------------


def psnr(real: np.ndarray, painted: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio, in dB; equal pictures count 100 dB.

    Raises ValueError where the two differ in shape.
    """
    _demand_pairs(real, painted)
    if not len(real):
        return float("nan")
    errors = [np.square(a.astype(np.float64) - b).mean() for a, b in zip(real, painted, strict=True)]
    return float(np.minimum(10 * np.log10(255**2 / np.maximum(errors, 1e-12)), _SHARPEST).mean())


def ms_ssim(real: np.ndarray, painted: np.ndarray) -> float:
    """Mean multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003), at most 1.

    Five scales need 176 px. Smaller pictures are looked at on as many of the finest scales as fit, their weights made
    to add up to 1 again (four from 99 px, three from 44 px, two from 22 px), and below 11 px through a narrower window:
    figures of one side compare with each other alone. Raises MissingExtraError without torchmetrics.
    """
    try:
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as similarity
    except ImportError as error:
        raise MissingExtraError("MS-SSIM", "train") from error
    import torch

    _demand_pairs(real, painted)
    if not len(real):
        return float("nan")
    scales, sigma, window = _scales(real.shape[1])
    weights = np.array(_SCALE_WEIGHTS[:scales]) / sum(_SCALE_WEIGHTS[:scales])
    found = []
    for start in range(0, len(real), 32):
        a, b = (
            torch.from_numpy(part[start : start + 32].copy()).permute(0, 3, 1, 2).float() for part in (real, painted)
        )
        found += similarity(
            b, a, sigma=sigma, kernel_size=window, reduction="none", data_range=255.0, betas=tuple(weights),
            normalize="relu",
        ).tolist()  # fmt: skip
    return float(np.mean(found))


def _scales(side: int) -> tuple[int, float, int]:
    """How many scales fit a side, the window's standard deviation and its width: no window hangs over an edge.

    The square is torchmetrics' own, stricter rule.
    """
    sigma, window = (1.5, 11) if side >= 11 else (0.6, 5)
    fitting = [n for n in range(1, 6) if side // max(2 ** (n - 1), (n - 1) ** 2) >= window]
    if not fitting:
        raise ValueError(f"structural similarity needs pictures of 5 px a side or more, got {side}")
    return max(fitting), sigma, window


def _demand_pairs(real: np.ndarray, painted: np.ndarray) -> None:
    if real.shape != painted.shape:
        raise ValueError(f"pictures are compared one by one, got {real.shape} beside {painted.shape}")


# likeness of one set to another --------------------------------------------------------------------------------------


def kid(real: np.ndarray, sampled: np.ndarray) -> float:
    """Kernel distance of two sets of features: the unbiased squared maximum mean discrepancy with the kernel
    (x·y / D + 1)³ (Bińkowski et al., arXiv:1801.01401), over all rows at once rather than over random subsets.

    About 0, on either side, for two sets of the same kind, however few rows there are.
    """
    num_real, num_sampled = len(real), len(sampled)
    if num_real < 2 or num_sampled < 2:
        return float("nan")
    x, y = real.astype(np.float64), sampled.astype(np.float64)
    within_real = _off_diagonal_mean(_kernel(x, x))
    within_sampled = _off_diagonal_mean(_kernel(y, y))
    return float(within_real + within_sampled - 2 * _kernel(x, y).mean())


def kid_deviation(real: np.ndarray, sampled: np.ndarray, draws: int = 50, seed: int = 0) -> float:
    """Standard deviation of ``kid`` over halves of both sets, drawn without repeats, brought to the whole sets' size.

    Halving doubles the variance of a mean, so the spread of halves is divided by the square root of 2.
    """
    half_real, half_sampled = len(real) // 2, len(sampled) // 2
    if half_real < 2 or half_sampled < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    x, y = real.astype(np.float64), sampled.astype(np.float64)
    xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    values = []
    for _ in range(draws):
        rows = rng.choice(len(x), half_real, replace=False)
        columns = rng.choice(len(y), half_sampled, replace=False)
        within = _off_diagonal_mean(xx[np.ix_(rows, rows)]) + _off_diagonal_mean(yy[np.ix_(columns, columns)])
        values.append(within - 2 * xy[np.ix_(rows, columns)].mean())
    return float(np.std(values, ddof=1) / np.sqrt(2))


def fid(real: np.ndarray, sampled: np.ndarray) -> float:
    """Fréchet distance of two sets of features, each taken for a Gaussian (Heusel et al., arXiv:1706.08500).

    |m₁ - m₂|² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½. With fewer rows than features both covariances are singular, where
    the usual matrix root fails. But with C = AᵀA the last trace is the sum of the singular values of A₁A₂ᵀ: no root,
    no shrinkage, nothing added to a diagonal. Few rows bias the distance upwards: hold it beside a floor of as many.
    """
    if len(real) < 2 or len(sampled) < 2:
        return float("nan")
    x, y = real.astype(np.float64), sampled.astype(np.float64)
    first, second = _covariance_root(x), _covariance_root(y)
    between = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    means = np.square(x.mean(0) - y.mean(0)).sum()
    return float(max(means + np.square(first).sum() + np.square(second).sum() - 2 * between, 0.0))


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """A (min(N, D), D) with AᵀA the covariance of ``features`` (N, D)."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kernel: np.ndarray = (a @ b.T / a.shape[1] + 1) ** 3
    return kernel


def _off_diagonal_mean(square: np.ndarray) -> float:
    n = len(square)
    return float((square.sum() - np.trace(square)) / (n * (n - 1)))


# do two sides belong together ----------------------------------------------------------------------------------------


def recall_at(asking: np.ndarray, answering: np.ndarray, k: int) -> float:
    """Share of rows of ``asking`` whose partner, the same row of ``answering``, is among the ``k`` most alike.

    Both are (N, M) unit vectors. Where several answers are equally alike (equal captions, or an encoder that says the
    same of all), the partner's place among them is a matter of luck, and its chance counts: vectors that know nothing
    get exactly ``chance_at(k, N)``.
    """
    if asking.shape != answering.shape:
        raise ValueError(f"matched vectors come in pairs, got {asking.shape} beside {answering.shape}")
    if not len(asking):
        return float("nan")
    likeness = asking.astype(np.float64) @ answering.astype(np.float64).T  # (N, N)
    own = np.diag(likeness)[:, None]
    ahead = (likeness > own + 1e-6).sum(1)
    equal = (np.abs(likeness - own) <= 1e-6).sum(1)  # itself with them
    return float(np.clip((k - ahead) / equal, 0, 1).mean())


def chance_at(k: int, count: int) -> float:
    """``recall_at`` of vectors that know nothing, among ``count`` rows."""
    return min(k, count) / count if count else float("nan")


# are samples different from each other, and from what was learned ---------------------------------------------------


def mean_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance of two different rows."""
    if len(features) < 2:
        return float("nan")
    total = sum(_distances(part, features).sum() for part in _parts(features))
    return float(total / (len(features) * (len(features) - 1)))


def diversity(sampled: np.ndarray, real: np.ndarray) -> float:
    """``mean_distance`` of sampled features as a share of that of real ones; 1: as different as real pictures."""
    among_real = mean_distance(real)
    return mean_distance(sampled) / among_real if among_real else float("nan")


def distinct_share(items: Sequence[str] | Sequence[np.ndarray] | np.ndarray) -> float:
    """Different ones among pictures (to the last bit) or captions, as a share of all."""
    if not len(items):
        return float("nan")
    return len({item.tobytes() if isinstance(item, np.ndarray) else item for item in items}) / len(items)


@dataclass(frozen=True)
class Nearest:
    """For each row asked about: which known row is nearest, and how far it is."""

    places: np.ndarray  # int (N,)
    distances: np.ndarray  # float (N,)


def nearest(asked: np.ndarray, known: np.ndarray) -> Nearest:
    """The row of ``known`` (K, D), K at least 1, nearest to each row of ``asked`` (N, D), by Euclidean distance."""
    places, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for part in _parts(asked):
        table = _distances(part, known)
        places.append(table.argmin(1))
        distances.append(table.min(1))
    return Nearest(np.concatenate(places), np.concatenate(distances))


def thumbnails(pictures: np.ndarray, side: int = 32) -> np.ndarray:
    """Pictures as rows of grey values, (N, side²) float32, scaled so that distances are RMS differences in [0, 1].

    Small, so that a shift by a pixel or a little noise does not hide that two pictures are the same.
    """
    import torch
    from torch.nn import functional as F

    grey = torch.from_numpy(np.asarray(pictures, np.uint8).astype(np.float32).mean(-1) / 255)[:, None]
    small = F.interpolate(grey, (side, side), mode="area") if len(grey) else grey
    rows: np.ndarray = small.flatten(1).numpy() / side
    return rows


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) Euclidean distances."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    squares[squares < 1e-9 * max(1.0, float(np.square(y).sum(1).max(initial=0)))] = 0.0  # rounding of equal rows
    roots: np.ndarray = np.sqrt(squares)
    return roots


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
