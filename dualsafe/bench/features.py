"""Features of pictures in a record, and how far apart two sets of them are."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .metrics import Estimate

Array = NDArray[np.float64]
_GROUPS = 20


def packed(features: ArrayLike) -> str:
    """One picture's features as text, in half precision."""
    return base64.b64encode(np.asarray(features, "<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> NDArray[np.float32]:
    """The features that `packed` wrote."""
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def frechet_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Frechet distance of two sets of features (pictures, features), each taken for a Gaussian.

    It is an FID only with Inception's features; with those of picto's judge it is called picto_fid. It grows as
    pictures get fewer, and the interval, a jackknife's over groups of pictures, doesn't know that.

    Of the covariances A'A and B'B it needs tr((A'A B'B)^1/2), which is the sum of the singular values of AB': no
    matrix root, and nothing larger than the fewer of pictures and features.

    Raises:
        ValueError: not two matrices of equal width, or fewer than three pictures.
    """
    a, b = _pair(features, reference)
    if np.array_equal(a, b):
        return Estimate(0.0, 0.0, 0.0, len(a))
    groups, spread = _groups(len(a)), _spread(b)

    def distance(kept: Array) -> float:
        own = _spread(kept)
        shared = np.linalg.svd(own @ spread.T, compute_uv=False).sum()
        apart = np.square(kept.mean(0) - b.mean(0)).sum()
        return float(max(apart + np.square(own).sum() + np.square(spread).sum() - 2 * shared, 0.0))

    without = [distance(a[groups != g]) for g in range(groups.max() + 1)]
    return _jackknifed(distance(a), np.array(without), len(a))


def kernel_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Unbiased squared MMD under the kernel (x.y / F + 1)^3 (Binkowski et al., arXiv 1801.01401); may be under 0.

    Unlike the Frechet distance its mean doesn't hang on how many pictures there are.

    Raises:
        ValueError: as `frechet_distance`.
    """
    a, b = _pair(features, reference)
    if np.array_equal(a, b):
        return Estimate(0.0, 0.0, 0.0, len(a))
    groups = _groups(len(a))
    parts = [a[groups == g] for g in range(groups.max() + 1)]
    # sums of the kernel over pairs of groups, so that no matrix of all pictures is held
    own = np.array([[_kernel(x, y).sum() for y in parts] for x in parts])
    same = np.array([_kernel_diagonal(x).sum() for x in parts])
    across = np.array([sum(_kernel(x, y).sum() for y in np.array_split(b, len(parts))) for x in parts])
    within_b = sum(_kernel(x, y).sum() for x in np.array_split(b, len(parts)) for y in np.array_split(b, len(parts)))
    within_b = (within_b - _kernel_diagonal(b).sum()) / (len(b) * (len(b) - 1))

    def distance(kept: NDArray[np.bool_]) -> float:
        n = sum(len(part) for part, keep in zip(parts, kept) if keep)
        within_a = (own[np.ix_(kept, kept)].sum() - same[kept].sum()) / (n * (n - 1))
        return float(within_a + within_b - 2 * across[kept].sum() / (n * len(b)))

    everything = np.ones(len(parts), bool)
    without = [distance(everything & (np.arange(len(parts)) != g)) for g in range(len(parts))]
    return _jackknifed(distance(everything), np.array(without), len(a))


def _pair(features: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 3:
        raise ValueError(
            f"features have shapes {a.shape} and {b.shape}; both need (at least 3 pictures, same features)"
        )
    return a, b


def _groups(n: int) -> NDArray[np.intp]:
    """A group for each picture."""
    return np.arange(n) % min(_GROUPS, n)


def _jackknifed(value: float, without: Array, n: int) -> Estimate:
    """The value with the jackknife's standard error, from the values without each group."""
    g = len(without)
    reach = 1.96 * float(np.sqrt((g - 1) / g * np.square(without - without.mean()).sum()))
    return Estimate(value, value - reach, value + reach, n)


def _spread(x: Array) -> Array:
    """A matrix A of which A'A is the covariance of `x`, with no more rows than columns."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return centred if len(x) <= x.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def _kernel(x: Array, y: Array) -> Array:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _kernel_diagonal(x: Array) -> Array:
    return (np.square(x).sum(1) / x.shape[1] + 1) ** 3
