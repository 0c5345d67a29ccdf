"""The one thing no policy and no level can switch off: sexual content involving minors is refused."""

from __future__ import annotations

import re

from ..errors import PolicyViolation
from .fold import fold

_YOUNG = """
    child children childlike kid kids toddler toddlers infant infants baby babies minor minors underage preteen
    preteens tween tweens teen teens teenage teenager teenagers schoolgirl schoolgirls schoolboy schoolboys
    kindergarten prepubescent juvenile adolescent adolescents preschooler
"""
_YOUNG_PHRASES = r"(?:little|young|small)\s+(?:girl|boy)s?|school\s+(?:girl|boy)s?|elementary\s+school|middle\s+school"
_SEXUAL = """
    nude nudes nudity naked unclothed undressed topless bottomless nsfw porn porno pornographic pornography hentai
    sex sexual sexually sexualized sexualised sexy erotic erotica eroticism lewd seductive aroused orgasm
    masturbating masturbation genitals genitalia penis vagina breasts nipples fetish bdsm lingerie intercourse xxx
"""
_ALWAYS = (
    r"loli|lolis|lolicon|lolita\s+(?:porn|hentai|nude)|shota|shotas|shotacon|jailbait|pedo|pedophil\w+|paedophil\w+"
)

_WORDS_UP_TO_17 = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
)
_AGE = rf"(?:[0-9]|1[0-7]|{_WORDS_UP_TO_17})[\s\-]*(?:years?|yrs?)[\s\-]*(?:old|of\s+age)|(?:[0-9]|1[0-7])\s*y\.?/?o\b"

_IS_YOUNG = re.compile(rf"\b(?:{'|'.join(_YOUNG.split())}|{_YOUNG_PHRASES})\b|(?<![0-9])(?:{_AGE})")
_IS_SEXUAL = re.compile(rf"\b(?:{'|'.join(_SEXUAL.split())})\b")
_IS_ALWAYS = re.compile(rf"\b(?:{_ALWAYS})\b")


def refuse_sexualised_minors(prompt: str) -> None:
    """Checks a prompt before anything is computed.

    Raises:
        PolicyViolation: it asks for sexual content with minors.
    """
    text = fold(prompt).text
    if _IS_ALWAYS.search(text) or (_IS_SEXUAL.search(text) and _IS_YOUNG.search(text)):
        raise PolicyViolation("the prompt asks for sexual content involving minors, which is never generated")
