"""Features of pictures in a record, and how far apart two sets of them are."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .metrics import TAIL, Estimate

Array = NDArray[np.float64]
_RESAMPLES = 50  # each is an eigenvalue problem or two


def packed(features: ArrayLike) -> str:
    """One picture's features as text, in half precision."""
    return base64.b64encode(np.asarray(features, "<f2").tobytes()).decode("ascii")


def unpacked(text: str) -> NDArray[np.float32]:
    """The features that `packed` wrote."""
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def frechet_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Frechet distance of two sets of features (pictures, features), each taken for a Gaussian.

    It is an FID only with Inception's features; with those of picto's judge it is called picto_fid.

    Raises:
        ValueError: not two matrices of equal width, or fewer than two pictures.
    """
    return _estimated(_frechet, features, reference)


def kernel_distance(features: ArrayLike, reference: ArrayLike) -> Estimate:
    """Unbiased squared MMD under the kernel (x.y / F + 1)^3 (Binkowski et al., arXiv 1801.01401); may be under 0.

    Unlike the Frechet distance its mean doesn't hang on how many pictures there are.

    Raises:
        ValueError: as `frechet_distance`.
    """
    return _estimated(_kernel, features, reference)


def _estimated(distance: Callable[[Array, Array], float], features: ArrayLike, reference: ArrayLike) -> Estimate:
    """With a bootstrap interval over the pictures of `features`; nothing apart if both are the same."""
    a, b = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"features have shapes {a.shape} and {b.shape}; both need (at least 2 pictures, same features)"
        )
    if np.array_equal(a, b):
        return Estimate(0.0, 0.0, 0.0, len(a))
    rng, value = np.random.default_rng(0), distance(a, b)
    drawn = [distance(a[rng.integers(len(a), size=len(a))], b) for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL])
    return Estimate(value, min(float(low), value), max(float(high), value), len(a))


def _frechet(a: Array, b: Array) -> float:
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()  # trace of (cov_a cov_b)^(1/2)
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared
    return float(max(distance, 0.0))


def _kernel(a: Array, b: Array) -> float:
    within_a, within_b, across = ((x @ y.T / x.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    own_a = (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
    own_b = (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(own_a + own_b - 2 * across.mean())
