"""The folder of one run: links to its jobs in the store, and what every job returned."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.store.fingerprint import Element
from sandbox.system.files import write_durably


class RunFolder:
    """Files of a run that point into the store.

    <run>/jobs/<job>  jobs/<job>/<index>  jobs_<iteration>/  context_infos.json

    Args:
        path: The folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._infos: dict[str, list[Mapping[str, Any]]] = {}
        self._links: set[Path] = set()

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
        mapped = [*link.iterdir()] if link.is_dir() and not link.is_symlink() else []
        # an earlier run in this folder may have left links of another shape
        for earlier in (*mapped, link, link.parent):
            if earlier.is_symlink():
                earlier.unlink()
        if mapped:
            link.rmdir()
        link.parent.mkdir(parents=True, exist_ok=True)
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
        """Append a finished job to ``context_infos.json``, in the guide's two levels."""
        self._infos.setdefault(pipeline, []).append(info)
        text = json.dumps(self._infos, indent=2, default=str)  # paths as text
        write_durably(self.path / "context_infos.json", text)
