"""Run Data-Juicer's executor: a data set through the operators of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import juicer_ray
import juicer_session
from worker_start import InputError


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Process the data set and return how many samples went in and came out."""
    if request["recipe"].get("executor_type") == "ray":
        return juicer_ray.process(request)
    export_path = Path(request["work_dir"]) / "processed.jsonl"
    with juicer_session.data_set(request) as (dataset_path, num_samples):
        config = juicer_session.configure(
            request, dataset_path, export_path=str(export_path), export_type="jsonl"
        )
        from data_juicer.core import DefaultExecutor

        processed = DefaultExecutor(config).run()
    if len(processed) == 0:
        raise InputError(f"the recipe keeps none of the {num_samples} samples")
    with export_path.open("rb") as file:
        num_written = sum(1 for _ in file)
    if num_written != len(processed):
        raise InputError(f"{len(processed)} samples were kept, {num_written} were written")
    export_path.replace(request["result_path"])
    return {"num_samples_in": num_samples, "num_samples_out": num_written}


if __name__ == "__main__":
    juicer_session.start(main)
