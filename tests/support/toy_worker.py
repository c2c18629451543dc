"""The program behind ``toys.Training``: a loss a step as JSON lines, a checkpoint at the end."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(request_path: str) -> None:
    request = json.loads(Path(request_path).read_text())
    for step in range(request["num_steps"]):
        if step == request["die_at"]:
            os.kill(os.getpid(), 9)
        loss = {"loss": 1 / (step + 1 + request["seed"])}
        print(json.dumps({"metrics": loss, "step": step}), flush=True)
    if request["gate"]:
        gate = Path(os.environ["TOYS_GATE"])
        (gate / f"{request['gate']}.here").write_text(str(os.getpid()))
        deadline = time.monotonic() + 60
        while not (gate / f"{request['gate']}.go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    if request["exit_status"]:
        print("the loss went up for ever")
        raise SystemExit(request["exit_status"])
    start = json.loads(request["start"])["value"] if request["start"] else 0.0
    value = start + 0.1 * request["num_rows"] * request["learning_rate"] * 10
    checkpoint = {"model": request["model"], "value": value, "seed": request["seed"]}
    Path(request["checkpoint_path"]).write_text(json.dumps(checkpoint))


main(sys.argv[1])
