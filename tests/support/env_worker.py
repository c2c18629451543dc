"""A worker whose library only its env has.

python env_worker.py request.json result.json
"""

import json
import sys
from pathlib import Path

import tiny_demo

request = json.loads(Path(sys.argv[1]).read_text())
print(json.dumps({"metrics": {"version": float(tiny_demo.VERSION)}, "step": 1}), flush=True)
Path(request["result_path"]).write_text(f"{tiny_demo.VERSION} {sys.prefix}")
Path(sys.argv[2]).write_text("{}")
