"""Compare what this machine has with what an experiment needs.

    python -m sandbox doctor                              the machine
    python -m sandbox doctor +experiment=internvl_coco    … and what that experiment misses

Everything missing has a line of remedy. Exit status: 0 nothing needed is missing, 1 something is.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from sandbox.components.trusted import unbelieved_files
from sandbox.envs import managers
from sandbox.system import files, hardware

State = Literal["ok", "-", "missing"]

_PACKAGES = {
    "torch": "models",
    "transformers": "models",
    "py-data-juicer": "data",
    "pycocoevalcap": "caption",
    "optuna": "sweeps",
    "wandb": "",
}
_PROGRAMS = {
    "java": "apt-get install default-jre-headless, for METEOR; or scorer=coco_caption_java_free",
    "ffmpeg": "apt-get install ffmpeg, for videos",
}
_LOW_GB = 2.0
_GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: Name of what was looked for.
        state: ``missing``: needed and not there; ``-``: not there, needed by some experiments.
        detail: What was found, or what is wrong.
        remedy: How to mend it; empty where nothing is to be done.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def main(overrides: Sequence[str] | None = None) -> int:
    """Print the report; return the exit status.

    Args:
        overrides: The command line that a run would get; ``None`` takes this program's.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    given = list(sys.argv[1:] if overrides is None else overrides)
    if {"-h", "--help"} & set(given):
        print(__doc__)
        return 0
    cfg, store, problem = _config(given)
    findings = [*_machine(cfg, store)]
    if problem:
        hint = "`python -m sandbox` lists the experiments"
        findings.append(Finding("config", "missing", problem, hint))
    elif given:
        findings += _look("experiment", lambda: _experiment(cfg, given), "missing")
    print(_table(findings))
    return int(any(finding.state == "missing" for finding in findings))


def _config(overrides: Sequence[str]) -> tuple[Any, Path, str]:
    """Return the composed config and its store; without a config the reason."""
    try:
        import hydra

        from sandbox.hydra_search_path import CONFIG_PATH
        from sandbox.planning.resolvers import register_resolvers

        register_resolvers()
        if Path(CONFIG_PATH).is_dir():
            opened: Any = hydra.initialize_config_dir(CONFIG_PATH, job_name="sandbox")
        else:
            opened = hydra.initialize_config_module("sandbox.conf", job_name="sandbox")
        with opened:
            cfg = hydra.compose("config", overrides=list(overrides))
        return cfg, Path(cfg.store_dir), ""
    except Exception as error:  # whatever is wrong with a command, a config or an installation
        text = f"{error}\n{error.__cause__ or ''}".partition("Config search path")[0]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return None, Path("outputs/store"), "\n".join(lines) or type(error).__name__


def _machine(cfg: Any, store: Path) -> Iterator[Finding]:
    yield from _look("python", _pythons)
    yield from _look("envs", lambda: map(_manager, managers.REMEDIES))
    yield from _look("GPU", _gpus)
    yield from _look("SLURM", _slurm)
    for name, remedy in _PROGRAMS.items():
        yield _found(name, shutil.which(name) or "", remedy)
    for name, extra in _PACKAGES.items():
        yield _package(name, extra)
    yield from _look("store", lambda: [_store(store)])
    yield from _look("disk", lambda: [_disk(store)])
    yield from _look("memory", lambda: [_memory()])
    yield from _look("wandb mode", lambda: [_wandb(cfg)])
    for file in unbelieved_files():
        yield Finding(file.path, "missing", f"is not believed: {file.fault}", "mend or remove it")


def _experiment(cfg: Any, given: Sequence[str]) -> Iterator[Finding]:
    """Yield what a run would refuse to start with, and the envs that it would make."""
    from sandbox.components.allowed import allowed_targets
    from sandbox.components.permissions import with_outputs_dir
    from sandbox.components.problem import PlanError
    from sandbox.planning.plan import plan
    from sandbox.running.explain import env_lines

    allowed = with_outputs_dir(allowed_targets(), str(cfg.outputs_dir))
    try:
        checked = plan(cfg, allowed)
    except PlanError as error:
        for problem in error.problems:
            detail = "; ".join(filter(None, [problem.text, problem.hint]))
            yield Finding("needs", "missing", problem.where, detail)
        return
    for line in env_lines(checked, allowed):
        yield Finding("env", "ok", " ".join(line.split()))
    detail = f"{' '.join(given)}: {len(checked.jobs)} jobs, nothing is missing"
    yield Finding("experiment", "ok", detail)


def _look(name: str, look: Callable[[], Iterable[Finding]], state: State = "-") -> list[Finding]:
    """Return the findings of one look; a failure is a finding itself."""
    try:
        return list(look())
    except Exception as error:  # a file of the system in an unexpected form, say
        return [Finding(name, state, f"could not look: {type(error).__name__}: {error}")]


def _pythons() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()}  {sys.executable}")
    others = ", ".join(managers.interpreters())
    yield Finding("interpreters", "ok", others or "none on the PATH")


def _manager(name: str) -> Finding:
    command = " ".join(managers.find(name) or [])
    return _found(name, command, f"{managers.REMEDIES[name]}, for env={name}")


def _found(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, "ok", detail) if detail else Finding(name, "-", "not found", remedy)


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        wanted = f"'sandbox[{extra}]'" if extra else name
        return Finding(name, "-", "not installed", f"pip install {wanted}")


def _gpus(root: Path = Path("/")) -> Iterator[Finding]:
    models = hardware.gpu_models(root)
    if not models:
        remedy = "small models run on the CPU; larger ones need an NVIDIA GPU and its driver"
        yield Finding("GPU", "-", "none", remedy)
        return
    kinds = ", ".join(sorted(set(models)))
    yield Finding("GPU", "ok", f"{len(models)}: {kinds}".rstrip(": "))
    driver = hardware.gpu_driver(root)
    if driver:
        yield Finding("GPU driver", "ok", driver)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        yield Finding("GPUs visible", "ok", f"CUDA_VISIBLE_DEVICES={visible!r}")
    elif visible is not None:
        yield Finding("GPUs visible", "-", "CUDA_VISIBLE_DEVICES=''", "unset it")
    if _package("torch", "").detail.endswith("+cpu"):
        remedy = "install torch's CUDA build (https://pytorch.org)"
        yield Finding("torch build", "-", "for CPUs only", remedy)


def _slurm() -> Iterator[Finding]:
    from sandbox.compute.slurm import queue

    missing = [tool for tool in queue.TOOLS if not shutil.which(tool)]
    if missing:
        remedy = "start from a login node of the cluster, or compute=local"
        yield Finding("SLURM", "-", f"not found: {', '.join(missing)}", remedy)
        return
    named = Path(os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf"))
    configs = [path for path in (named, Path("/run/slurm/conf/slurm.conf")) if path.is_file()]
    if configs:
        yield Finding("SLURM", "ok", f"{', '.join(queue.TOOLS)}; {configs[0]}")
    else:
        remedy = "no cluster is set up here: compute=local"
        yield Finding("SLURM", "-", f"no {named}", remedy)


def _store(store: Path) -> Finding:
    obstacle = files.obstacle(store)
    if obstacle:
        return Finding("store", "missing", obstacle, "choose another folder: outputs_dir=/a/folder")
    return Finding("store", "ok", f"{store} can be written")


def _disk(store: Path) -> Finding:
    usage = shutil.disk_usage(files.nearest(store))
    detail = f"{usage.free / _GB:.0f} GB free of {usage.total / _GB:.0f}"
    if usage.free / _GB < _LOW_GB:
        remedy = "remove old folders of outputs/, or outputs_dir=/a/larger/disk"
        return Finding("disk", "missing", detail, remedy)
    return Finding("disk", "ok", detail)


def _memory() -> Finding:
    free, total = (size / _GB for size in hardware.memory())
    cores = hardware.available_cpus()
    detail = f"{free:.0f} GB free of {total:.0f}, {cores} CPU cores"
    if free < _LOW_GB:
        return Finding("memory", "-", detail, "end other programs, or +debug=smoke")
    return Finding("memory", "ok", detail)


def _wandb(cfg: Any) -> Finding:
    from sandbox.watchers.wandb_sink import has_key

    mode = str(cfg.watcher.get("mode", "offline")) if cfg is not None else "offline"
    key = "a key was found" if has_key() else "no key, none is needed offline"
    return Finding("wandb mode", "ok", f"{mode}; {key}")


def _table(findings: Sequence[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        texts = [*finding.detail.splitlines()]
        texts += [f"→ {line}" for line in finding.remedy.splitlines()]
        for index, text in enumerate(texts):
            state, name = ("", "") if index else (finding.state, finding.name)
            lines.append(f"{state:<8} {name:<{width}}  {text}")
    return "\n".join(lines)
