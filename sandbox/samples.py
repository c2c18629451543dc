"""The one door to data pools: everything in the launcher reads samples through this module.

A pool is a file in one of ``FORMATS`` or a folder of such shards. The code is in ``workers/``,
because programs that run in an env of their own read pools with it too.
"""

from __future__ import annotations

from sandbox.workers.coco_annotations import *  # noqa: F403
from sandbox.workers.sample_files import *  # noqa: F403
