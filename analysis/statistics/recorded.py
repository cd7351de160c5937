"""Verdicts that records hold in English, told again in the language of the reader."""

from __future__ import annotations

import re
from functools import cache

from analysis.words import ENGLISH, Later, language, later, translated

TEMPLATES: tuple[Later, ...] = (
    later("Certified: {means} are below {goal}, {at}."),
    later("Not certified: {means}; below {goal} is not shown {at}. {advice}"),
    later("mean training loss {train} and mean test loss {test} over {n} fresh draws"),
    later("at level {level} (look {number} at fresh draws; over all {n} at most {most})"),
    later("at level {level}"),
    later(
        "{n} draws cannot show it of losses of up to {largest}: ask for at least {needed} in [certificates] n_replicas "
        "of another sweep."
    ),
    later(
        "Go on with a larger budget (--trials above {n}, --until budget), which looks at fresh draws, a wider space, "
        "or a higher goal."
    ),
    later("No certificate was asked for: the best trial was chosen by the very figures shown for it."),
    later("Nothing certified: {why}; look at the trials' reasons, or widen the space."),
    later("every trial failed"),
    later("the networks of every certificate diverged"),
    later("no trial could be certified"),
    later("All {n} cells trained; {n_claims} claims judged."),
    later("All {n} networks trained."),
)
"""How verdicts are worded where they are made; what stands in a placeholder is told again in the same way."""


def retold(text: str) -> str:
    """Return a recorded sentence in the language of the reader; as it stands where it has other words than these."""
    if language() == ENGLISH:
        return text
    for template in TEMPLATES:
        found = _pattern(template).fullmatch(text)
        if found is not None:
            return translated(template).format(**{name: retold(part) for name, part in found.groupdict().items()})
    return text


@cache
def _pattern(template: Later) -> re.Pattern[str]:
    """Return what matches a template's sentences, a group for each placeholder."""
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(re.escape(part) if i % 2 == 0 else f"(?P<{part}>.+?)" for i, part in enumerate(parts)))
