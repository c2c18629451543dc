"""Pickled weights run no code even where a person permits them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WORKERS = Path(__file__).parents[2] / "sandbox/workers"
GPT2 = """{"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 1, "vocab_size": 8,
 "architectures": ["GPT2LMHeadModel"], "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M",
 "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", null]}}"""


class Evil:
    """An object that touches a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch PWNED",)


@pytest.mark.slow
def test_a_checkpoint_with_a_malicious_pickle_and_code_runs_nothing(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(GPT2)
    (model / "evil.py").write_text("open('PWNED', 'w')\nC = M = T = object\n")
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    (model / "adapter_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    code = (
        "import torch, causal_lm_model as lm, internvl_model\n"
        "for load in (lm.load, internvl_model.load_model, internvl_model.load_processor):\n"
        "    try:\n        load('model')\n"
        "    except Exception as error:\n        print(type(error).__name__, error)\n"
        "try:\n    torch.load('model/pytorch_model.bin', weights_only=True)\n"
        "except Exception as error:\n    print('torch', type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(WORKERS), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "not a checkpoint of a causal language model" in done.stdout
    assert "torch UnpicklingError" in done.stdout
    assert not (tmp_path / "PWNED").exists() and not (model / "PWNED").exists()
