"""The frame of every worker program: read the request, write the result, report mistakes.

Workers are scripts, ``python <worker>.py request.json result.json``, that import each other as
siblings.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sample_files import SampleError


class InputError(Exception):
    """A mistake of the user's, reported in one clear line without a traceback."""


def start(main: Callable[[dict[str, Any]], Mapping[str, Any] | None]) -> None:
    """Call ``main`` with the request and write what it returns as the result.

    Both files are named on the command line. An :class:`InputError` or ``SampleError`` ends the
    program with status 1 and its message as the last line. Under torchrun the first process writes
    the result.
    """
    request_path, result_path = map(Path, sys.argv[1:3])
    try:
        result = main(json.loads(request_path.read_text(encoding="utf-8")))
    except (InputError, SampleError) as error:
        # A data loader's own process wraps the message into a traceback: the last line is ours.
        message = str(error).rsplit("InputError: ", 1)[-1].strip()
        _report_to_torchrun(message)
        raise SystemExit(message) from None
    except Exception as error:
        _report_to_torchrun(f"{type(error).__name__}: {error}")
        raise
    if os.environ.get("RANK", "0") == "0":  # torchrun numbers its processes
        result_path.write_text(json.dumps(result or {}), encoding="utf-8")


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage during heavy imports, nor ever look at the objects that they make.

    That saves a fifth of the import time of torch and transformers.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def safe_loading(model_path: str) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that let a checkpoint run no code.

    Pickled weights are read as plain tensors, and only from a folder without safetensors: the
    launcher has asked for permission before.
    """
    folder = Path(model_path)
    is_pickled = folder.is_dir() and not any(True for _ in folder.glob("*.safetensors"))
    return {
        "trust_remote_code": False,  # else transformers asks on the terminal
        "use_safetensors": not is_pickled,
        "weights_only": True,
    }


def report(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Print one line of metrics for the launcher; only the first of several processes may."""
    event: dict[str, Any] = {"metrics": {name: float(value) for name, value in metrics.items()}}
    if step is not None:
        event["step"] = step
    print(json.dumps(event), flush=True)


def prepare_for_trainer() -> None:
    """Set the environment that transformers' Trainer needs; call it before torch is imported."""
    # Threads of the tokenizer could hang the processes that a data loader forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # In a single process, more than one visible GPU would make Trainer choose DataParallel.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "WORLD_SIZE" not in os.environ and visible != "":
        os.environ["CUDA_VISIBLE_DEVICES"] = (visible or "0").split(",")[0]


def _report_to_torchrun(message: str) -> None:
    """Name the cause in torchrun's report, which otherwise ends the log without it."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
