"""The program behind ``counting.Counting``: count, report every step, and leave checkpoints.

Like our workers it reads a request and writes a result. It imports little, so that it is at work a
few milliseconds after its start. A program whose launcher is gone stays for a while when it has
counted to the end: only being ended in time ends it then.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

LINGER_S = 25


def main(request_path: str, result_path: str) -> None:
    request = json.loads(Path(request_path).read_text())
    if request["is_stubborn"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = Path(request["state_path"])
    path.parent.mkdir(exist_ok=True)
    state = {"step": 0, "sum": request["first"]}
    if path.exists():
        state = json.loads(path.read_text())
    note = ledger(request["key"])
    note("begin", state["step"])
    for step in range(state["step"], request["num_steps"]):
        time.sleep(request["step_ms"] / 1000)
        note("step", step)
        state = {"step": step + 1, "sum": state["sum"] + step}
        print(json.dumps({"metrics": {"sum": state["sum"]}, "step": step}), flush=True)
        is_last = step + 1 == request["num_steps"]
        if is_last or state["step"] % request["steps_per_checkpoint"] == 0:
            replace(path, state)
            note("checkpoint", state["step"])
    if not is_there(request["launcher"]):
        time.sleep(LINGER_S)
    replace(Path(request["checkpoint_path"]), state)
    note("end", state["step"])
    replace(Path(result_path), {"steps": state["step"]})


def ledger(key):
    """Return a function that leaves lines in the ledger."""
    descriptor = os.open(os.environ["COUNTING_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    driver = os.environ["COUNTING_DRIVER"]

    def note(what, step):
        line = {"what": what, "key": key, "driver": driver, "pid": os.getpid(), "step": step}
        os.write(descriptor, f"{json.dumps({**line, 'time': time.time()})}\n".encode())

    return note


def replace(path, state):
    """Write a file at once."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(state))
    new.replace(path)


def is_there(pid):
    """Return True while a process exists; one that was waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


main(*sys.argv[1:3])
