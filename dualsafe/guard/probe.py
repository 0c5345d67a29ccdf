"""The linear probe that guards are trained as: logistic regression on a vision tower's frozen features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..judges.trained import Head
from ..judges.vision import Tower
from ..optional import needed


class Probe:
    """Logistic regression on standardised features.

    Args:
        C: inverse of the L2 penalty. It stays at scikit-learn's default for every size and arm: choosing it would take
            labelled pictures beside those that the size counts.
    """

    def __init__(self, tower: Tower, C: float = 1.0):
        self.tower, self._C = tower, C
        self.about = {"name": "probe", "C": C, "standardised": True}

    def fit(self, x: NDArray[Any], unsafe: NDArray[np.bool_]) -> Head:
        """The head for features (N, F) of pictures; the solver has no randomness."""
        linear, scaling = needed("sklearn.linear_model", "guard"), needed("sklearn.preprocessing", "guard")
        scaler = scaling.StandardScaler().fit(x)
        model = linear.LogisticRegression(C=self._C, max_iter=1000).fit(scaler.transform(x), unsafe)
        weight = model.coef_[0] / scaler.scale_
        bias = model.intercept_[0] - weight @ scaler.mean_
        return Head(torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32))

    def logits(self, head: Head, x: NDArray[Any]) -> NDArray[np.float64]:
        """The head's logit of each picture being unsafe, (N,)."""
        return x @ head.weight.numpy().astype(float) + float(head.bias)
