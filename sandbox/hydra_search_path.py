"""Adds a user's own ``conf/`` in the working directory to Hydra's search path."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

CONF = Path(__file__).parents[1] / "conf"
CONFIG_PATH = str(CONF) if (CONF / "config.yaml").is_file() else "pkg://sandbox.conf"


class WorkingDirectorySearchPath(SearchPathPlugin):
    """Append ``./conf``: a project adds experiments and components, and cannot shadow ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        own = Path.cwd() / "conf"
        if own.is_dir() and own != CONF:
            search_path.append("working-directory", f"file://{own}")
