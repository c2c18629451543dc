"""What every worker program does around its own work: read the request, import cheaply, report numbers.

Workers are run as scripts, ``python <worker>.py request.json``, and import each other as siblings.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class InputError(Exception):
    """A mistake of the user's that the worker found: one clear line, no traceback."""


def start(main: Callable[[dict[str, Any]], None]) -> None:
    """Call ``main`` with the request that the command line names; an :class:`InputError` exits with 1."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    _keep_one_gpu()
    # Collecting garbage while torch and transformers are imported costs a fifth of their import time.
    gc.disable()
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        main(request)
    except InputError as error:
        # A data loader's own process wraps the message into a traceback: the last line is ours.
        message = str(error).rsplit("InputError: ", 1)[-1].strip()
        _tell_launcher(message)
        raise SystemExit(message) from None
    except Exception as error:
        _tell_launcher(f"{type(error).__name__}: {error}")
        raise


def imports_done() -> None:
    """Collect garbage again, but never look at what the imports made."""
    gc.freeze()
    gc.enable()


def report(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Print one line of metrics for the launcher; only the first process of a launch may call this."""
    event: dict[str, Any] = {"metrics": {name: float(value) for name, value in metrics.items()}}
    if step is not None:
        event["step"] = step
    print(json.dumps(event), flush=True)


def _tell_launcher(message: str) -> None:
    """Name the cause in torchrun's report, which otherwise ends the log without it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))


def _keep_one_gpu() -> None:
    """Without torchrun a worker is one process: more than one visible GPU would start DataParallel."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "WORLD_SIZE" not in os.environ and visible != "":
        os.environ["CUDA_VISIBLE_DEVICES"] = (visible or "0").split(",")[0]
