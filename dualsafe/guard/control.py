"""The control: can a learner tell an edited picture from one that no editor touched? If so, guards may learn that."""

from __future__ import annotations

import numpy as np

from ..bench.metrics import Estimate, bootstrap_interval
from .features import Sides
from .metrics import placements
from .probe import Probe

FOLDS = 5


def real_or_edited(probe: Probe, nulls: Sides, seed: int = 0) -> Estimate:
    """AUC of telling the edited sides of null edits from their originals, of the same label; 0.5 is no cue.

    Cross-validated: no family is scored by a head that was trained on it. The interval is a bootstrap over families.

    Raises:
        ValueError: fewer families than folds.
    """
    from sklearn.model_selection import GroupKFold

    if len(set(nulls.families.tolist())) < FOLDS:
        raise ValueError(f"the control needs null edits of at least {FOLDS} prompt families")
    x, edited = nulls.x, np.array([False, True])
    logits = np.empty((len(nulls), 2))
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed).split(logits, groups=nulls.families)
    for train, test in folds:
        head = probe.fit(x[train].reshape(-1, *x.shape[2:]), np.tile(edited, len(train)))
        logits[test] = probe.logits(head, x[test].reshape(-1, *x.shape[2:])).reshape(-1, 2)
    return bootstrap_interval(placements(logits[:, 1], logits[:, 0]), nulls.families)
