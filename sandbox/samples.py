"""The one door to data pools: everything in the launcher reads samples through this module.

A pool is a file in one of ``FORMATS`` or a folder of such shards. Programs that run in an env of
their own use the same code as their sibling ``workers/sample_files.py``.
"""

from __future__ import annotations

from sandbox.workers.coco_annotations import CocoAnnotations, CocoCaption, read_coco, write_coco
from sandbox.workers.sample_files import (
    FORMATS,
    MEDIA_KEYS,
    POOL_SUFFIXES,
    STATS,
    SampleError,
    base_name,
    format_of,
    is_pool,
    is_relative,
    json_chunks,
    media_folder,
    media_of,
    numbered_lines,
    parquet_batches,
    parse_sample,
    read_lines,
    read_samples,
    shards,
    shown,
    stats_beside,
    text_of,
    texts,
)

__all__ = [
    "FORMATS",
    "MEDIA_KEYS",
    "POOL_SUFFIXES",
    "STATS",
    "CocoAnnotations",
    "CocoCaption",
    "SampleError",
    "base_name",
    "format_of",
    "is_pool",
    "is_relative",
    "json_chunks",
    "media_folder",
    "media_of",
    "numbered_lines",
    "parquet_batches",
    "parse_sample",
    "read_coco",
    "read_lines",
    "read_samples",
    "shards",
    "shown",
    "stats_beside",
    "text_of",
    "texts",
    "write_coco",
]
