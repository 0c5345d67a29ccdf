"""Features of pictures in a record, and how far apart two sets of them are."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .metrics import Estimate

Array = NDArray[np.float64]
Rows = NDArray[np.floating]
_GROUPS = 20


def packed(features: ArrayLike) -> str:
    """One picture's features as text, in half precision."""
    return base64.b64encode(np.asarray(features, "<f2").tobytes()).decode("ascii")


class Kept:
    """Features of pictures as they stand in a record, in a file without a name: a task has more than fit in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._count = self._width = 0

    def add(self, text: str) -> None:
        """Takes in one picture's, as `packed` wrote them.

        Raises:
            ValueError: fewer or more than the others have.
        """
        row = base64.b64decode(text)
        self._file = self._file or TemporaryFile()  # noqa: SIM115  # goes with the last who reads it
        if self._count and len(row) != self._width:
            raise ValueError(f"a picture has {len(row) // 2} features, the others {self._width // 2}")
        self._file.write(row)
        self._count, self._width = self._count + 1, len(row)

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Rows:
        """(pictures, features) in half precision, read from the file as they are used."""
        if self._file is None:
            return np.zeros((0, 0), "<f2")
        self._file.flush()
        return np.memmap(self._file, "<f2", "r", shape=(self._count, self._width // 2))


def frechet_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Frechet distance of two sets of features (pictures, features), each taken for a Gaussian.

    It is an FID only with Inception's features; with those of picto's judge it is called picto_fid. It grows as
    pictures get fewer, and the interval, a jackknife's over groups of pictures, does not know that.

    Of the covariances A'A and B'B it needs tr((A'A B'B)^1/2), which is the sum of the singular values of AB': no
    matrix root, and nothing larger than the fewer of pictures and features.

    Raises:
        ValueError: not two matrices of equal width, or fewer than three pictures.
    """
    a, b = _pair(features, reference)
    if np.array_equal(a, b):
        return Estimate(0.0, 0.0, 0.0, len(a))
    parts = _groups(a)
    mean, spread = _moments(_groups(b))

    def distance(kept: Sequence[Rows]) -> float:
        middle, own = _moments(kept)
        shared = np.linalg.svd(own @ spread.T, compute_uv=False).sum()
        apart = np.square(middle - mean).sum()
        return float(max(apart + np.square(own).sum() + np.square(spread).sum() - 2 * shared, 0.0))

    without = [distance([*parts[:g], *parts[g + 1 :]]) for g in range(len(parts))]
    return _jackknifed(distance(parts), np.array(without), len(a))


def kernel_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Unbiased squared MMD under the kernel (x.y / F + 1)^3 (Binkowski et al., arXiv 1801.01401); may be under 0.

    Unlike the Frechet distance its mean does not hang on how many pictures there are.

    Raises:
        ValueError: as `frechet_distance`.
    """
    a, b = _pair(features, reference)
    if np.array_equal(a, b):
        return Estimate(0.0, 0.0, 0.0, len(a))
    parts, others = _groups(a), _groups(b)
    # sums of the kernel over pairs of groups, so that no matrix of all pictures is held
    own = np.array([[_kernel(x, y).sum() for y in parts] for x in parts])
    same = np.array([_kernel_diagonal(x).sum() for x in parts])
    across = np.array([sum(_kernel(x, y).sum() for y in others) for x in parts])
    within_b = sum(_kernel(x, y).sum() for x in others for y in others)
    within_b = (within_b - sum(_kernel_diagonal(x).sum() for x in others)) / (len(b) * (len(b) - 1))

    def distance(kept: NDArray[np.bool_]) -> float:
        n = sum(len(part) for part, keep in zip(parts, kept) if keep)
        within_a = (own[np.ix_(kept, kept)].sum() - same[kept].sum()) / (n * (n - 1))
        return float(within_a + within_b - 2 * across[kept].sum() / (n * len(b)))

    everything = np.ones(len(parts), bool)
    without = [distance(everything & (np.arange(len(parts)) != g)) for g in range(len(parts))]
    return _jackknifed(distance(everything), np.array(without), len(a))


def _pair(features: ArrayLike, reference: ArrayLike) -> tuple[Rows, Rows]:
    a, b = np.asarray(features), np.asarray(reference)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 3:
        raise ValueError(
            f"features have shapes {a.shape} and {b.shape}; both need (at least 3 pictures, same features)"
        )
    return a, b


def _groups(x: Rows) -> list[Rows]:
    """The pictures in groups, one of every so many; views, so that no more than a group is held at a time."""
    count = min(_GROUPS, len(x))
    return [x[first::count] for first in range(count)]


def _jackknifed(value: float, without: Array, n: int) -> Estimate:
    """The value with the jackknife's standard error, from the values without each group."""
    g = len(without)
    reach = 1.96 * float(np.sqrt((g - 1) / g * np.square(without - without.mean()).sum()))
    return Estimate(value, value - reach, value + reach, n)


def _moments(parts: Sequence[Rows]) -> tuple[Array, Array]:
    """The mean of all parts' rows, and a matrix A of no more rows than columns of which A'A is their covariance."""
    count = sum(map(len, parts))
    mean = np.sum([part.sum(0, dtype=np.float64) for part in parts], axis=0) / count
    held = np.zeros((0, len(mean)))
    for part in parts:
        held = np.concatenate([held, part - mean])
        if len(held) > len(mean):
            held = np.asarray(np.linalg.qr(held, mode="r"))
    return mean, held / np.sqrt(count - 1)


def _kernel(x: Rows, y: Rows) -> Array:
    return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3


def _kernel_diagonal(x: Rows) -> Array:
    return (np.square(x, dtype=np.float64).sum(1) / x.shape[1] + 1) ** 3
