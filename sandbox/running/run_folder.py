"""The folder of one run: links to its jobs in the store, and what every job returned."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.store.fingerprint import Element
from sandbox.system.files import write_durably

_PAUSE = 20.0
"""Time between two writes of the outputs, in times of the last one."""


class RunFolder:
    """Files of a run that point into the store.

    <run>/jobs/<job>  jobs/<job>/<index>  jobs_<iteration>/  context_infos.json

    Args:
        path: The folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._links: set[Path] = set()
        self._infos: dict[str, list[str]] = {}
        self._is_behind = False
        self._next_write = 0.0

    def begin_iteration(self, iteration: int) -> None:
        """Put the last iteration's links aside: ``jobs/`` always shows the present one."""
        jobs = self.path / "jobs"
        self._links.clear()
        if iteration > 1 and jobs.exists():
            jobs.rename(self.path / f"jobs_{iteration - 1}")

    def link(self, element: Element) -> None:
        """Link ``jobs/<job>``, or ``jobs/<job>/<index>`` of a mapped job, to the store."""
        name = element.label.replace("[", "/").rstrip("]")
        link = self.path / "jobs" / name
        if link.parent.is_symlink():  # of an earlier run in this folder
            link.parent.unlink()
        try:
            link.symlink_to(element.folder)
        except FileNotFoundError:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(element.folder)
        except FileExistsError:
            _remove_links(link)
            link.symlink_to(element.folder)
        self._links.add(link)

    def check(self) -> None:
        """Check that the folder still holds the links of this iteration.

        Raises:
            FileNotFoundError: Somebody removed them while the run went on.
        """
        for link in self._links:
            if not link.is_symlink():
                raise FileNotFoundError(errno.ENOENT, "was removed while the run went on", link)

    def add_outputs(self, pipeline: str, info: Mapping[str, Any]) -> None:
        """Add a finished job to ``context_infos.json``, in the guide's two levels.

        The file is always whole: it is replaced, never appended to. Because that takes the longer
        the more jobs there are, it is not done for each of many short ones: see :meth:`catch_up`.
        """
        text = json.dumps(info, indent=2, default=str)  # paths as text
        self._infos.setdefault(pipeline, []).append("    " + text.replace("\n", "\n    "))
        self._is_behind = True
        self.catch_up()

    def catch_up(self) -> None:
        """Write ``context_infos.json`` if jobs are missing in it, unless that was just done.

        So a run spends at most a twentieth of its time on it.
        """
        if time.monotonic() >= self._next_write:
            self.write_outputs()

    def write_outputs(self) -> None:
        """Write ``context_infos.json`` if jobs are missing in it."""
        if not self._is_behind:
            return
        began = time.monotonic()
        write_durably(self.path / "context_infos.json", self._infos_text())
        self._is_behind = False
        ended = time.monotonic()
        self._next_write = ended + _PAUSE * (ended - began)

    def _infos_text(self) -> str:
        """Return what ``json.dumps`` would of all jobs, from the texts of each."""
        pipelines = []
        for pipeline, texts in self._infos.items():
            jobs = ",\n".join(texts)
            pipelines.append(f"  {json.dumps(pipeline)}: [\n{jobs}\n  ]")
        return "{\n" + ",\n".join(pipelines) + "\n}"


def _remove_links(path: Path) -> None:
    """Remove what an earlier run has left in a link's place: a link, or a folder of links."""
    if path.is_symlink():
        path.unlink()
        return
    for link in path.iterdir():
        if link.is_symlink():
            link.unlink()
    path.rmdir()
