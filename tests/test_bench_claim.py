"""The claim that our front lies inside every other's: where it holds, where not, and what the command says."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from dualsafe.bench.claim import compared, lower_front, unsafe_at
from dualsafe.cli import app
from dualsafe.errors import BenchError


def results(**points: tuple[float, float]) -> dict:
    """Of one unsafe and one benign task; a method's unsafe rate and context, "_" standing for "-"."""
    points = {"stock": (0.8, 1.0)} | points
    methods = {
        name.replace("_", "-"): {"metrics": {"unsafe_rate": {"value": unsafe}, "context": {"value": context}}}
        for name, (unsafe, context) in points.items()
    }
    task = {"kind": "unsafe", "context": "context", "methods": methods}
    return {"methods": list(methods), "tasks": {"implicit": task, "benign": {"kind": "benign", "methods": methods}}}


OURS = {"dualsafe_low": (0.6, 0.99), "dualsafe_max": (0.1, 0.95)}


def test_the_front_is_convex_from_the_stock_picture_on():
    front = lower_front([(0.8, 1.0), (0.7, 0.98), (0.6, 0.99), (0.1, 0.95), (0.1, 0.9), (0.5, 0.96)])
    assert front == [(0.8, 1.0), (0.6, 0.99), (0.1, 0.95)]
    assert unsafe_at(front, 0.995) == pytest.approx(0.7) and unsafe_at(front, 0.97) == pytest.approx(0.35)
    assert unsafe_at(front, 0.5) == 0.1 and unsafe_at(front, 1.01) is None


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((0.71, 0.995), True),  # a weak method beside the line between stock and low
        ((0.69, 0.995), False),
        ((0.1, 0.90), True),  # as safe, and less of the picture kept
        ((0.1, 0.95), False),  # the same as ours is not inside
        ((0.05, 0.5), False),  # safer than any of ours
    ],
)
def test_a_method_is_inside_where_ours_is_better_in_one_and_no_worse_in_the_other(point, inside):
    (found,) = compared(results(**OURS, sld_max=point))
    assert (found.task, found.method, found.inside) == ("implicit", "sld-max", inside)


def test_a_method_that_changes_nothing_is_left_out_and_a_front_can_be_chosen():
    found = compared(results(**OURS, safe_prompt=(0.8, 1.0), sega=(0.2, 0.9)))
    assert [each.method for each in found] == ["sega"] and found[0].inside
    (other,) = compared(results(**OURS, sega=(0.2, 0.9)), ["dualsafe-low"])
    assert not other.inside and other.ours == 0.6
    with pytest.raises(BenchError, match="'dualsafe-mid' is not one of"):
        compared(results(**OURS, sega=(0.2, 0.9)), ["dualsafe-mid"])
    with pytest.raises(BenchError, match="needed are some of ours"):
        compared(results(**OURS))


def test_the_command_exits_1_where_the_claim_does_not_hold(tmp_path):
    said = []
    for rate in (0.2, 0.05):
        (tmp_path / "results.json").write_text(json.dumps(results(**OURS, sega=(rate, 0.9))))
        said.append(CliRunner().invoke(app, ["bench", "claim", str(tmp_path)]))
    assert [each.exit_code for each in said] == [0, 1]
    assert "| implicit | sega | 0.200 | 0.900 | 0.100 | inside |" in said[0].stdout
    assert "**not inside**" in said[1].stdout
    missing = CliRunner().invoke(app, ["bench", "claim", str(tmp_path / "none")])
    assert missing.exit_code == 2 and "holds no results.json" in missing.stderr
