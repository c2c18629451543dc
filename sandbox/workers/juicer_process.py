"""Worker: run Data-Juicer's executor, a data set through the operators of a recipe.

Request: ``dataset_path``, ``recipe``, ``operator_keys`` (of the operators of its ``process``, in
order), ``num_proc``, ``output_dir``, ``result_path`` (written), ``shared_dir`` or null. Result:
``num_samples_in``, ``num_samples_out``, ``rejected_path`` (written), and by operator that may
remove samples ``num_seen`` and ``num_rejected``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import juicer_ray
import juicer_session
from juicer_rejected import Rejections
from juicer_watch import Watch
from worker_start import InputError

preload = juicer_session.preload


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Process the data set and count the samples that went in and came out."""
    if request["recipe"].get("executor_type") == "ray":
        return juicer_ray.process(request)
    export_path = Path(request["work_dir"]) / "processed.jsonl"
    with juicer_session.data_set(request) as data:
        config = juicer_session.configure(
            request, data.path, export_path=str(export_path), export_type="jsonl"
        )
        from data_juicer.core import DefaultExecutor

        rejections = Rejections(request)
        Watch(rejections, data.num_samples).begin()
        num_kept = len(DefaultExecutor(config).run())
    rejected = rejections.finish()
    juicer_session.check_kept(num_kept, data.num_samples, rejected)
    with export_path.open("rb") as file:
        num_written = sum(1 for _ in file)
    if num_written != num_kept:
        raise InputError(f"{num_kept} samples were kept, {num_written} were written")
    export_path.replace(request["result_path"])
    return {"num_samples_in": data.num_samples, "num_samples_out": num_written, **rejected}


if __name__ == "__main__":
    juicer_session.start(main)
