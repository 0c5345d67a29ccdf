"""A report in words: why a picture looks as it does."""

from __future__ import annotations

from ..config import PRESETS
from ..pipelines.output import SafetyReport
from ..policy import Policy, Trigger, rewrite


def sentences(report: SafetyReport, prompt: str, policy: Policy) -> list[str]:
    """What happened to a picture, and why, one sentence an entry; plain text, with the prompt's own words in it.

    Args:
        report: the picture's.
        prompt: what was asked for.
        policy: what decided.
    """
    return [*_cause(report, prompt, policy), *_effect(report), _cost(report)]


def caption(level: float, report: SafetyReport, flagged: bool) -> str:
    """What stands under a picture of the ladder: its level, and why it is not what the dial alone makes of it.

    Args:
        flagged: whether the judge says that it is unsafe.
    """
    if report.withheld:
        return f"{level:g}, withheld"
    if report.gate == "verify":
        return f"{level:g}, redrawn at {report.level:g}"
    return f"{level:g}, unsafe" if flagged else f"{level:g}"


def level_name(level: float) -> str:
    """A level with its name, or with the names it lies between: "0.80, between high and max"."""
    names = {value: name for name, value in PRESETS.items()}
    if level in names:
        return f"{level:g} ({names[level]})"
    below, above = max(v for v in names if v < level), min(v for v in names if v > level)
    return f"{level:g} (between {names[below]} and {names[above]})"


def _cause(report: SafetyReport, prompt: str, policy: Policy) -> list[str]:
    triggers = list({trigger.text: trigger for trigger in rewrite(policy, prompt).triggers}.values())
    if report.decision == "off":
        named = f" although the policy names {_listed([f'“{t.text}”' for t in triggers])}" if triggers else ""
        return [f"The safety level is 0, so this is the stock picture{named}; it stays blurred until you ask."]
    if report.decision == "benign" and not report.withheld:
        also = _unseen(report)
        return [f"Nothing in the prompt is named by the policy “{policy.id}”{also}: this is the stock picture."]
    causes = [_replaced(trigger, policy) for trigger in triggers]
    if report.seen:
        where = "half-drawn" if report.gate == "preview" else "finished"
        causes.append(f"The judge saw {_listed(list(report.seen))} in the {where} picture.")
    if report.gate == "watch":
        named = _listed([f"“{name}”" for name in report.categories])
        causes.append(
            f"No word of the prompt is named by the policy “{policy.id}”, but what was about to be drawn looked like "
            f"something that it names under {named}."
        )
    if report.gate == "latent":
        causes.append("Both prompts lead to the same picture here, so this is the stock picture.")
    return causes


def _unseen(report: SafetyReport) -> str:
    """What else was looked at, in vain."""
    if report.score is not None:
        return " and the judge saw nothing in the picture"
    return " and what was about to be drawn looked like nothing that it names" if report.watched is not None else ""


def _replaced(trigger: Trigger, policy: Policy) -> str:
    done = f"replaced by “{trigger.counterpart}”" if trigger.counterpart else "taken out"
    return f"“{trigger.text}” was {done} because the policy “{policy.id}” names it under {trigger.category}."


def _effect(report: SafetyReport) -> list[str]:
    if report.withheld:
        still = (
            "The model still saw it in what was drawn"
            if report.gate == "watch"
            else "The judge still flagged what was drawn"
        )
        why = still if report.tries else "Nothing safe could be drawn in its place"
        return [f"{why}, so the picture is withheld and a blank one shown instead."]
    if report.decision != "dual" or report.gate == "latent":
        return []
    again = f" It was drawn again {_times(report.tries)}." if report.tries else ""
    told = f"The safe picture was told “{report.safe_prompt}”, " if report.safe_prompt else "It was drawn "
    return [
        f"{told}at level {level_name(report.level)}.{again}",
        f"{report.mask_area:.0%} of the picture was allowed to change.",
    ]


def _cost(report: SafetyReport) -> str:
    return f"It took {report.denoiser_rows} passes through the model; the seed is {report.seed}."


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
