"""The package's public names: each class is listed once, and imported when it is first used."""

from __future__ import annotations

import dualsafe
from dualsafe import pipelines
from dualsafe.pipelines import families
from dualsafe.pipelines.dual import DualLatentMixin


def test_every_family_is_public_and_every_public_name_is_there():
    known = {family.__name__ for family in DualLatentMixin.families if family.__module__ == families.__name__}
    assert set(families.__all__) == known and known < set(pipelines.__all__) < set(dualsafe.__all__)
    names: dict[str, object] = {}
    exec("from dualsafe import *", names)
    assert names.keys() - {"__builtins__"} == set(dualsafe.__all__)
    assert names["DualLatentPipeline"] is pipelines.DualLatentPipeline and not hasattr(dualsafe, "DualPipeline")
