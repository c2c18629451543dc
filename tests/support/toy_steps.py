"""The program behind ``toys.Steps``: steps that can be resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from toys import note, wait_at_gate

num_steps, pause_at, end_at = map(int, sys.argv[1:4])
state = Path(sys.argv[4])
begin = int(state.read_text()) if state.exists() else 0
for step in range(begin, num_steps):
    if step == pause_at:
        wait_at_gate("steps")
    if step == end_at:
        wait_at_gate("end")
    note(f"step {step}")
    print(json.dumps({"metrics": {"loss": 1 / (step + 1)}, "step": step}), flush=True)
    if step % 2 == 1:
        partial = state.with_suffix(".partial")
        partial.write_text(f"{step + 1}")
        partial.replace(state)
