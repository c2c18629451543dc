"""``python -m sandbox doctor``: what this machine has, against what an experiment needs.

    python -m sandbox doctor                              the machine
    python -m sandbox doctor +experiment=internvl_coco    … and what that experiment lacks, as a run would say

Every lack has a line of remedy. Exit status: 0 nothing needed is lacking, 1 something is.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from sandbox.envs import managers

_PACKAGES = {
    "torch": "models",
    "transformers": "models",
    "py-data-juicer": "data",
    "pycocoevalcap": "caption",
    "optuna": "sweeps",
    "wandb": "",
}
_LOW_DISK_GB = 2.0
_LOW_MEMORY_GB = 2.0
_GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was looked for.
        state: ``lacks``: needed and not there; ``-``: not there, needed by some.
        detail: What was found, or what is wrong.
        remedy: What to do about it; empty where nothing is to be done.
    """

    name: str
    state: Literal["ok", "-", "lacks"]
    detail: str
    remedy: str = ""


def main(overrides: Sequence[str] | None = None) -> int:
    """Print the report; returns the exit status.

    Args:
        overrides: What a run would be given on its command line; ``None`` takes this program's.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    given = list(sys.argv[1:] if overrides is None else overrides)
    if {"-h", "--help"} & set(given):
        print(__doc__)
        return 0
    cfg, store, problem = _config(given)
    findings = [*_machine(cfg, store)]
    if problem:
        findings.append(
            Finding("config", "lacks", problem, "`python -m sandbox` lists the experiments")
        )
    elif given:
        findings += _looked_at("experiment", lambda: _experiment(cfg, given), "lacks")
    try:
        print(_table(findings), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
    return int(any(finding.state == "lacks" for finding in findings))


def _config(overrides: Sequence[str]) -> tuple[Any, Path, str]:
    """The composed config and its store, or why there is none."""
    try:
        import hydra

        from sandbox.hydra_search_path import CONFIG_PATH
        from sandbox.planning.resolvers import register_resolvers

        register_resolvers()

        is_folder = Path(CONFIG_PATH).is_dir()
        opened = (
            hydra.initialize_config_dir(CONFIG_PATH, job_name="sandbox")
            if is_folder
            else hydra.initialize_config_module("sandbox.conf", job_name="sandbox")
        )
        with opened:
            cfg = hydra.compose("config", overrides=list(overrides))
        return cfg, Path(cfg.store_dir), ""
    except Exception as error:  # whatever is wrong with a command, a config or an installation
        text = f"{error}\n{error.__cause__ or ''}".partition("Config search path")[0]
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return None, Path("outputs/store"), "\n".join(lines) or type(error).__name__


def _machine(cfg: Any, store: Path) -> Iterator[Finding]:
    yield from _looked_at("python", _pythons)
    yield from _looked_at("envs", lambda: map(_manager, managers.REMEDIES))
    yield from _looked_at("GPU", _gpus)
    yield from _looked_at("SLURM", _slurm)
    meteor = "apt-get install default-jre-headless, for METEOR; or scorer=coco_caption_java_free"
    yield from _looked_at("java", lambda: [_program("java", meteor)])
    yield from _looked_at(
        "ffmpeg", lambda: [_program("ffmpeg", "apt-get install ffmpeg, for videos")]
    )
    for name, extra in _PACKAGES.items():
        yield _package(name, extra)
    yield from _looked_at("store", lambda: [_store(store)])
    yield from _looked_at("disk", lambda: [_disk(store)])
    yield from _looked_at("memory", lambda: [_memory()])
    yield from _looked_at("wandb mode", lambda: [_wandb(cfg)])


def _experiment(cfg: Any, given: Sequence[str]) -> Iterator[Finding]:
    """What a run would refuse to start with, and the envs that it would make."""
    from sandbox.components.allowed import allowed_targets
    from sandbox.planning.plan import PlanError, plan
    from sandbox.running.explain import env_lines

    allowed = allowed_targets()
    try:
        checked = plan(cfg, allowed)
    except PlanError as error:
        for problem in error.problems:
            what = "; ".join(filter(None, [problem.text, problem.hint]))
            yield Finding("needs", "lacks", problem.where, what)
        return
    for line in env_lines(checked, allowed):
        yield Finding("env", "ok", " ".join(line.split()))
    yield Finding(
        "experiment", "ok", f"{' '.join(given)}: {len(checked.jobs)} jobs, nothing is lacking"
    )


def _looked_at(
    name: str, look: Callable[[], Iterable[Finding]], state: Literal["-", "lacks"] = "-"
) -> list[Finding]:
    """The findings of one look; one that fails is a finding itself."""
    try:
        return list(look())
    except Exception as error:  # a file of the system's that is other than expected, say
        return [Finding(name, state, f"could not look: {type(error).__name__}: {error}")]


def _pythons() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()}  {sys.executable}")
    names = {path.name for folder in os.get_exec_path() for path in Path(folder).glob("python3.*")}
    others = sorted(
        (n for n in names if n.removeprefix("python3.").isdigit()), key=lambda n: int(n[8:])
    )
    yield Finding("interpreters", "ok", ", ".join(others) or "none on the PATH")


def _manager(name: str) -> Finding:
    command = managers.find(name)
    return _found(
        name, " ".join(command) if command else "", f"{managers.REMEDIES[name]}, for env={name}"
    )


def _program(name: str, remedy: str) -> Finding:
    return _found(name, shutil.which(name) or "", remedy)


def _found(name: str, detail: str, remedy: str) -> Finding:
    return Finding(name, "ok", detail) if detail else Finding(name, "-", "not found", remedy)


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        wanted = f"'sandbox[{extra}]'" if extra else name
        return Finding(name, "-", "not installed", f"pip install {wanted}")


def _gpus(root: Path = Path("/")) -> Iterator[Finding]:
    driver = root / "proc/driver/nvidia/version"
    models = []
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        models.append(lines.get("Model", "?").strip())
    devices = [path for path in (root / "dev").glob("nvidia[0-9]*") if path.name[6:].isdigit()]
    if not models and not devices:
        yield Finding(
            "GPU",
            "-",
            "none",
            "small models run on the CPU; larger ones want an NVIDIA GPU and driver",
        )
        return
    yield Finding(
        "GPU", "ok", f"{len(models) or len(devices)}: {', '.join(sorted(set(models)))}".rstrip(": ")
    )
    if driver.is_file():
        text = driver.read_text().splitlines()[0]
        number = re.search(r"\d+\.\d+[.\d]*", text)
        yield Finding("GPU driver", "ok", number[0] if number else text)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield Finding(
            "GPUs visible",
            "ok" if visible else "-",
            f"CUDA_VISIBLE_DEVICES={visible!r}",
            "" if visible else "unset it",
        )
    if _package("torch", "").detail.endswith("+cpu"):
        yield Finding(
            "torch build", "-", "for CPUs only", "install torch's CUDA build (https://pytorch.org)"
        )


def _slurm() -> Iterator[Finding]:
    programs = [name for name in ("sbatch", "srun", "sacct") if shutil.which(name)]
    if "sbatch" not in programs:
        yield Finding(
            "SLURM", "-", "no sbatch", "start from a login node of the cluster, or compute=local"
        )
        return
    configs = [
        Path(os.environ.get("SLURM_CONF", "/etc/slurm/slurm.conf")),
        Path("/run/slurm/conf/slurm.conf"),
    ]
    config = next((path for path in configs if path.is_file()), None)
    detail = ", ".join(programs)
    if config is None:
        yield Finding(
            "SLURM", "-", f"{detail}; no {configs[0]}", "no cluster is set up here: compute=local"
        )
    else:
        yield Finding("SLURM", "ok", f"{detail}; {config}")


def _store(store: Path) -> Finding:
    there = next(path for path in (store.absolute(), *store.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("store", "ok", f"{store} can be written")
    what = "cannot be written" if there.is_dir() else "is a file"
    return Finding(
        "store", "lacks", f"{there} {what}", "choose another folder: outputs_dir=/a/folder"
    )


def _disk(store: Path) -> Finding:
    there = next(path for path in (store.absolute(), *store.absolute().parents) if path.is_dir())
    usage = shutil.disk_usage(there)
    detail = f"{usage.free / _GB:.0f} GB free of {usage.total / _GB:.0f}"
    if usage.free / _GB < _LOW_DISK_GB:
        return Finding(
            "disk", "lacks", detail, "remove old folders of outputs/, or outputs_dir=/a/larger/disk"
        )
    return Finding("disk", "ok", detail)


def _memory() -> Finding:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (
        int(lines[name].split()[0]) * 1024 / _GB for name in ("MemTotal", "MemAvailable")
    )
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and limit.read_text().strip().isdigit():
        used = int(limit.with_name("memory.current").read_text())
        total = min(total, int(limit.read_text()) / _GB)
        free = min(free, total - used / _GB)
    detail = f"{free:.0f} GB free of {total:.0f}, {len(os.sched_getaffinity(0))} CPU cores"
    low = free < _LOW_MEMORY_GB
    return Finding(
        "memory", "-" if low else "ok", detail, "end other programs, or +debug=smoke" if low else ""
    )


def _wandb(cfg: Any) -> Finding:
    mode = str(cfg.watcher.get("mode", "offline")) if cfg is not None else "offline"
    netrc = Path("~/.netrc").expanduser()
    has_key = "WANDB_API_KEY" in os.environ or (
        netrc.is_file() and "api.wandb.ai" in netrc.read_text()
    )
    return Finding(
        "wandb mode",
        "ok",
        f"{mode}; {'a key is there' if has_key else 'no key, none is needed offline'}",
    )


def _table(findings: Sequence[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        told = [
            *finding.detail.splitlines(),
            *(f"→ {line}" for line in finding.remedy.splitlines()),
        ]
        lines += [
            f"{'' if i else finding.state:<6} {'' if i else finding.name:<{width}}  {line}"
            for i, line in enumerate(told)
        ]
    return "\n".join(lines)
