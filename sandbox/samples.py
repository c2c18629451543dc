"""The one door to data pools: everything in the launcher reads samples through this module.

A pool is a file in one of ``FORMATS`` or a folder of such shards. Programs that run in an env of
their own use the same code as their sibling ``workers/sample_files.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # to mypy, the files in workers/ are modules without a package
    from sample_files import *  # noqa: F403
else:
    from sandbox.workers.sample_files import *  # noqa: F403
