"""Worker: fetch a model from Hugging Face's hub, or find it in the cache.

Request: ``repo_id``. Result: ``folder``.
"""

from __future__ import annotations

from typing import Any

from worker_start import InputError, start


def main(request: dict[str, Any]) -> dict[str, str]:
    """Fetch the whole model, so that trainings which start together do not fetch it each."""
    from huggingface_hub import snapshot_download

    repo_id = request["repo_id"]
    try:
        return {"folder": snapshot_download(repo_id, etag_timeout=10)}
    except Exception as error:  # the hub's client has a dozen: no such model, no network, no access
        cause = str(error).strip().splitlines()[0]
        raise InputError(
            f"{repo_id} is no local folder, is not in Hugging Face's cache, and cannot be fetched: "
            f"{cause}"
        ) from error


if __name__ == "__main__":
    start(main)
