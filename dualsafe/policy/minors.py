"""The one thing no policy and no level can switch off: sexual content involving minors is refused.

A text is refused that brings words for young people, or an age under 18, together with sexual ones: those of the
shipped policy's list, and some that say it of young people only. Clinical words pass in lessons and surgeries.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..errors import PolicyViolation
from .english import forms, listed
from .fold import fold
from .lexicon import Lexicon
from .shipped import resolve

_YOUNG = """
    child|children|childlike|childish body|kid|kiddie|kiddo|toddler|infant|baby|newborn|minor|underage|under age
    preteen|pre teen|tween|teen|teenage|teenager|young teen|schoolgirl|schoolboy|school girl|school boy|schoolkid
    schoolchild|schoolchildren|schooler|preschooler|middle schooler|high schooler|elementary schooler|grader
    kindergarten|kindergartener|kindergartner|kindergarten pupil|nursery|prepubescent|pubescent|juvenile|adolescent
    youngster|youth|boyhood|girlhood|little girl|little boy|young girl|young boy|small girl|small boy|little one
    tiny girl|tiny boy|little lady|elementary school|primary school|middle school|junior high|grade school
    high school|high school student|student|pupil|daughter|stepdaughter|granddaughter|son|stepson|grandson|niece
    nephew|little sister|little brother|kid sister|kid brother|younger sister|younger brother|girl scout|boy scout
    cub scout|freshman|flower girl|jail bait|under eighteen|under 18|first grade|second grade|third grade
    fourth grade|fifth grade|sixth grade|seventh grade|eighth grade|ninth grade|tenth grade|eleventh grade
    pigtailed girl|boy
"""
_NOT_YOUNG = """
    university student|college student|graduate student|grad student|phd student|doctoral student|medical student
    law student|adult student|art student|mature student|adult child|adult children|grown children|adult son
    adult daughter|grown daughter|grown son|inner child|baby blue|baby pink|baby grand|sugar baby|baby shower
    baby doll dress|baby oil|teenage mutant|minor key|minor scale|b minor|c minor|d minor|e minor|f minor|g minor
    ursa minor|minor injury|minor injuries|minor detail|minor character|asia minor|minor changes|youth hostel
    fountain of youth|kid leather|kid gloves|billy the kid|baby spice|million dollar baby|rosemary's baby
    destiny's child|goat kid|infant jesus|baby jesus|christ child|baby animal|baby elephant|baby bird|student loan
    plant nursery|nursery garden|baby yoda|sonic youth|kid rock|kid cudi|karate kid|boy band|pool boy|bad boy
    boy toy|beach boys|pet shop boys|backstreet boys|cowboy
"""
_SEXUAL = """
    explicit|sexually explicit|intimate|intimacy|suggestive|provocative|undressing|undress|disrobing|stripping
    strips naked|striptease|stripped|nude|nudes|nudity|nudist|naked|nakedness|bare naked|bare chested|bare bottom
    unclothed|undressed|without clothes|no clothes|with no clothes on|without clothing|wearing nothing|no clothing
    no underwear|without underwear|in underwear|in her underwear|in his underwear|in their underwear|in panties
    panties|topless|bottomless|nsfw|porn|porno|pornographic|pornography|hentai|ecchi|xxx|x rated|r18|r 18|lewd
    seductive|seducing|aroused|arousing|orgasm|orgy|masturbating|masturbation|masturbate|fetish|bdsm|bondage
    lingerie|thong|erotic|erotica|eroticism|sexy|sexiest|sexual|sexually|sexualized|sexualised|sexualize|sexualise
    sex|sexting|intercourse|genital|genitals|genitalia|penis|vagina|breasts|boobs|bare breast|nipple|butt|buttocks
    cleavage|upskirt|up skirt|camel toe|molest|molested|molesting|molestation|grope|groped|groping|rape|raped|raping
    fondle|fondled|fondling|lust|lustful|sultry|sensual|ahegao|make love|making love|strip tease|stripper
    pole dancing|pole dance|blowjob|escort service|prostitute|prostitution|onlyfans|playboy|boudoir|risque|skimpy
    scantily clad|see through clothes|revealing clothes|revealing outfit|hooker|brothel|horny|kinky|busty|voluptuous
"""
_NOT_SEXUAL = """
    explicit lyrics|explicit instructions|explicit rules|explicit permission|explicit consent|intimate gathering
    intimate dinner|intimate family|intimate wedding|intimate concert|intimate setting|intimate venue
    intimate conversation|intimate theatre|intimate cafe|intimate restaurant|intimate garden|intimate room
    intimate knowledge|intimate moment|intimate bond|intimate glimpse|suggestive of|thought provoking
    provocative question|nude colour|nude color|nude shade|nude lipstick|nude heels|nude beige|nude pumps|nude tone
    naked eye|naked mole rat|naked tree|naked branches|naked truth|naked cake|naked juice|naked flame|bare trees
    chicken breasts|turkey breasts|sex education|sex ed|sexual education|sexuality education|sexual health
    sexual wellness|sexual safety|safe sex|same sex|opposite sex|sex of the baby|sex reveal|sex chromosome
    sex chromosomes|single sex|both sexes|sex difference|sex differences|sexual reproduction|sexual orientation
    sexual abuse prevention|sexual assault prevention|sexual harassment prevention|sexual abuse awareness
    sexual assault awareness|sex and the city|sex pistols|sexual selection|butt joint|water butt|cigarette butt
    stripping paint|stripped pine|stripped wood|stripped floor|paint stripper|wire stripper|wallpaper stripper
    rapeseed|no nudity|no nude|not nude|not naked|not sexual|non sexual|not explicit|non explicit|not suggestive
    not sexy|no sexual content|without nudity|no sex|no nsfw
"""
_CLINICAL = listed(
    "sex sexual sexually explicit intimate intimacy intercourse genital genitals genitalia penis vagina breasts breast "
    "nipple masturbation molest molested molesting molestation rape raped groping pornography sexting grope groped"
)
_LESSON = """
    education|educational|lesson|class on|workshop|textbook|curriculum|anatomy|biology|doctor|doctor's|pediatrician
    paediatrician|nurse|clinic|medical|health|hospital|hygiene|puberty|prevention|preventing|prevent|awareness
    infographic|warning|warns|protect|protecting|protection|against|safeguarding|counselling|counseling|counselor
    therapist|breastfeeding|breast feeding|nursing|consent|helpline|hotline|survivor|stop|law|laws|charity
"""
_ALWAYS = """
    loli|lolis|lolicon|lolita porn|lolita hentai|lolita nude|nude lolita|naked lolita|shota|shotacon|jailbait|pedo
    pedophile|pedophilia|paedophile|paedophilia|child porn|kiddie porn|child pornography|csam|child erotica
"""
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|hundred and"
_TEENS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
_OLD = r"[\s\-]*(?:years?|yrs?)[\s\-]*(?:olds?|of\s+age)\b"
_ABROAD = r"(?:y\s*[./]?\s*o\b|jahre?\s+alt|jahrige?[nrs]?\b|ans\b|anos\b|anni\b|jaar\b)"
_AGE = re.compile(
    rf"(?<![\d.,])(\d(?: \d){{1,2}}|\d{{1,3}})(?:{_OLD}|[\s\-]*{_ABROAD})"
    r"|\b(?:aged?|age\s+of|turns|turning)\s*:?\s*(\d{1,2})\b(?!\s*(?:%|-?\s*(?:hours?|days?|months?)))"
)
_AGE_IN_WORDS = re.compile(rf"(?<!\w)(?:({_TENS})[\s\-]+)?(?:{_TEENS}){_OLD}")
_OF_THINGS = re.compile(
    r"\s*(?:ago|later|whisk(?:e)?y|wine|scotch|rum|tree|building|house|car|dog|cat|horse|tradition|anniversary|contract|warranty)\b"
)


@lru_cache(maxsize=1)
def _words() -> Lexicon[str]:
    """Every word of the rule, with what it says."""
    found: dict[str, str] = {}
    sexual = resolve("i2p").categories["sexual"]
    listed = {phrase for c in sexual.concepts for term in c.terms for phrase in forms(term, c.verb)}
    for names, meaning in (
        (_LESSON, "lesson"),
        (_SEXUAL, "sexual"),
        (_YOUNG, "young"),
        (_NOT_SEXUAL, ""),
        (_NOT_YOUNG, ""),
        (_ALWAYS, "always"),
    ):
        for name in (part.strip() for line in names.splitlines() for part in line.split("|")):
            if name:
                found |= dict.fromkeys(
                    forms(name, verb=False), "clinical" if meaning == "sexual" and name in _CLINICAL else meaning
                )
    found |= {phrase: "sexual" for phrase in listed if phrase not in found}
    found |= {phrase: "" for term in sexual.exceptions for phrase in forms(term, verb=False)}
    return Lexicon(
        found,
        [word for word, meaning in found.items() if meaning in ("young", "sexual", "clinical", "always")],
        lambda meaning: meaning in ("sexual", "clinical", "always"),
    )


def refuse_sexualised_minors(prompt: str) -> None:
    """Checks a text before anything is computed.

    Raises:
        PolicyViolation: it asks for sexual content with minors.
    """
    said = {found.meaning for found in _words().find(prompt)}
    if "always" not in said:
        if not said & {"sexual", "clinical"} or not ("young" in said or _says_an_age(prompt)):
            return
        if "sexual" not in said and "lesson" in said:
            return
    raise PolicyViolation("the prompt asks for sexual content involving minors, which is never generated")


def _says_an_age(prompt: str) -> bool:
    """Whether somebody is under 18; "3 5 years old", as some lists space their digits, is 35."""
    text = fold(prompt).text
    for hit in _AGE.finditer(text):
        age = int((hit[1] or hit[2]).replace(" ", ""))
        if age < 18 and not _OF_THINGS.match(text, hit.end()):
            return True
    return any(hit[1] is None and not _OF_THINGS.match(text, hit.end()) for hit in _AGE_IN_WORDS.finditer(text))
