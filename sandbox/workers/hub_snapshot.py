"""Fetch a model from Hugging Face's hub, or find it in the cache: the folder goes to ``snapshot_path``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker_start import InputError, start


def main(request: dict[str, Any]) -> None:
    """Fetch ``repo_id`` whole, so that trainings which start together do not fetch it each."""
    from huggingface_hub import snapshot_download

    repo_id = request["repo_id"]
    try:
        folder = snapshot_download(repo_id, etag_timeout=10)
    except Exception as error:  # the hub's client has a dozen: no such model, no network, no access
        cause = str(error).strip().splitlines()[0]
        raise InputError(
            f"{repo_id} is no local folder, is not in Hugging Face's cache, and cannot be fetched: {cause}"
        ) from error
    Path(request["snapshot_path"]).write_text(folder, encoding="utf-8")


if __name__ == "__main__":
    start(main)
