"""A caller's own rewriter: bounded in time, and never trusted to answer."""

from __future__ import annotations

import time

import pytest

from dualsafe.conditions.rewriter import rewritten_by

PROMPT = "a man with a knife"
FAST = {"num_inference_steps": 4, "output_type": "np", "policy": "picto"}


def test_a_rewriter_is_asked_only_where_something_was_found(tiny_dual, seeds):
    asked = []

    def rewriter(prompt):
        asked.append(prompt)
        return "a man waving"

    output = tiny_dual([PROMPT, "a cat"], rewriter=rewriter, generator=seeds(1, 2), **FAST)
    assert asked == [PROMPT]
    assert [report.safe_prompt for report in output.safety] == ["a man waving", None]
    assert output.safety[0].triggers == ("knife",) and output.safety[0].gate == "prompt"


def test_a_rewriter_is_not_asked_at_level_zero(tiny_dual):
    asked = []
    tiny_dual(PROMPT, rewriter=asked.append, safety_level=0, **FAST)
    assert asked == []


def test_what_the_policy_still_finds_in_the_answer_is_taken_out(tiny_dual):
    output = tiny_dual(PROMPT, rewriter=lambda prompt: "a man with a bomb", **FAST)
    assert output.safety[0].safe_prompt == "a man with a balloon"


@pytest.mark.parametrize(
    "rewriter",
    [lambda p: time.sleep(5), lambda p: 1 / 0, lambda p: None, lambda p: "  ", lambda p: "x" * 100_000],
    ids=["slow", "broken", "nothing", "blank", "endless"],
)
def test_a_rewriter_that_fails_leaves_it_to_the_policy(tiny_dual, rewriter):
    output = tiny_dual(PROMPT, rewriter=rewriter, rewriter_timeout=0.2, **FAST)
    assert output.safety[0].safe_prompt == "a man with a flower"


def test_rewritten_by_gives_the_text():
    assert rewritten_by(str.upper, "a man", 5.0) == "A MAN"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rewriter": "gpt"}, "rewriter='gpt'"),
        ({"rewriter": str, "rewriter_timeout": 0}, "rewriter_timeout=0"),
        ({"rewriter_timeout": True}, "rewriter_timeout=True"),
    ],
)
def test_a_bad_rewriter_is_named(tiny_dual, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_dual(PROMPT, **arguments, **FAST)
