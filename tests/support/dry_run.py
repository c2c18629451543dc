"""Read the output of ``dry_run=true``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_JOB = re.compile(
    r"  (?P<label>\S+)(?: \((?P<title>.*?)\))? +(?P<component>\S+)  +(?P<compute>\S+)  +"
    r"(?P<reason>\S.*)"
)
_WIRE = re.compile(r"(?P<argument>\S+) <- (?P<source>(previous )?[^\s,]+)")


@dataclass(frozen=True)
class ShownJob:
    """A job or element as ``dry_run=true`` prints it."""

    place: str
    component: str
    compute: str
    reason: str
    inputs: Mapping[str, str]
    title: str = ""


def shown_jobs(out: str) -> dict[str, ShownJob]:
    """Jobs by label, in printed order, of the first run in ``out``."""
    jobs: dict[str, ShownJob] = {}
    place = ""
    last: dict[str, str] = {}
    for line in out.splitlines():
        found = _JOB.fullmatch(line)
        if found is not None:
            label, title, component, compute, reason = found.groups()
            last = {}
            jobs[label] = ShownJob(place, component, compute, reason, last, title or "")
        elif line.startswith("      "):
            last.update({wire["argument"]: wire["source"] for wire in _WIRE.finditer(line)})
        else:
            place = line
    return jobs
