"""Attacks of a foreign config on the person who runs it: none may succeed.

    python scripts/campaigns/security.py                      300 attempts, about two minutes
    python scripts/campaigns/security.py --minutes 30 --seed 7

Each attempt is a checkout of its own, with a harmless experiment that one attack of
``security_doors.py`` changes, and a command line in a fork. An attack succeeds if its code runs, if
a file outside of the checkout changes, if a program gets its option, or if a secret is printed or
written. Exit status 1 then, with the reproduction.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from campaign import campaign, forked
from security_doors import OPTIONS, SECRET, Attack, attack_of, merged

EXPERIMENT: dict[str, Any] = {
    "experiment_name": "harmless",
    "pipelines": {"main": {"execution_jobs": ["merge"]}},
    "jobs": {"merge": {"manipulator": {"dataset_paths": ["pool.jsonl"]}}},
    "watcher": {"mode": "disabled"},
}
DEFAULTS: list[Any] = [{"/job@jobs.merge": "merging"}]
POOL = '{"text": "a"}\n{"text": "b"}\n'
PROGRAMS = ("uv", "conda", "micromamba", "mamba", "sbatch", "squeue", "scontrol", "scancel", "srun")
STAND_IN = """#!/bin/sh
for word in "$0" "$@"; do printf '%s\\n' "$word"; done >> "$CAMPAIGN_CALLS"
exit 1
"""
FOREIGN_USER = 65534


def main() -> int:
    """Make the attempts; return 1 if one succeeded."""
    tries = campaign("security", 300)
    warm_up()
    with tempfile.TemporaryDirectory(prefix="security-") as folder:
        for number, draw in tries.tries():
            place = Path(folder, str(number))
            attack = attack_of(draw)
            code, output, successes = attempt(attack, place)
            tries.figures["attempts"] += 1
            tries.figures[f"  {attack.door}"] += 1
            tries.figures[f"exit status {code}"] += 1
            if "Traceback" in output:
                tries.figures["tracebacks"] += 1
                print(f"traceback in attempt {number}, {attack.door}: {output[-300:]}")
            for success in successes:
                tries.fail(number, f"{attack.door}: {success}", f"{attack}\n{output[-2000:]}")
            shutil.rmtree(place)
    return tries.end()


def warm_up() -> None:
    """Import what every attempt needs, and let nothing of this program's environment count."""
    for name in [*os.environ]:
        if name.startswith(("SANDBOX_", "PYTHONPATH", "XDG_")):
            del os.environ[name]
    from hydra.core.plugins import Plugins

    import sandbox.cli.run
    import sandbox.evaluators.perplexity
    import sandbox.executors.causal_lm
    import sandbox.executors.data_juicer
    import sandbox.pools.merging  # noqa: F401
    from sandbox.recipes.operators import operators

    Plugins.instance()
    operators()


def attempt(attack: Attack, place: Path) -> tuple[int | None, str, list[str]]:
    """Make one attempt in a new folder; return exit status, output, and what succeeded."""
    checkout, home, output = place / "checkout", place / "home", place / "output.txt"
    before = prepare(attack, checkout, home)
    variables = {
        "HOME": str(home),
        "CAMPAIGN_HOME": str(home),
        "CAMPAIGN_UP": "../..",
        "CAMPAIGN_CALLS": str(place / "calls"),
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "UV_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "HF_HUB_OFFLINE": "1",
        **{name: filled(value, checkout) for name, value in attack.variables.items()},
    }
    words = ["+experiment=evil", *attack.words]
    code = forked(command_line(checkout, variables, words), output)
    text = output.read_text(encoding="utf-8", errors="replace")
    return code, text, successes(attack, place, before, text)


def command_line(
    checkout: Path, variables: Mapping[str, str], words: list[str]
) -> Callable[[], int]:
    """Return a function that is ``sandbox WORDS`` as if it had just been started."""

    def run() -> int:
        from sandbox.__main__ import main
        from sandbox.cli import config_loader
        from sandbox.cli import run as run_module
        from sandbox.components import allowed

        os.chdir(checkout)
        os.environ.update(variables)
        sys.argv = ["sandbox", *words]
        # Read once, when the modules are imported.
        allowed.ALLOWED = allowed.allowed_targets()
        config_loader.ALLOWED = run_module.ALLOWED = allowed.ALLOWED
        config_loader.PATTERNS = allowed.users_patterns()
        return main()

    return run


def prepare(attack: Attack, checkout: Path, home: Path) -> dict[str, str]:
    """Write the checkout and the user's files; return the texts of all files by path."""
    files = {f"bin/{name}": STAND_IN for name in PROGRAMS}
    body = merged(EXPERIMENT, attack.body)
    body["defaults"] = [*DEFAULTS, *attack.body.get("defaults", []), "_self_"]
    text = json.dumps(body, ensure_ascii=False)
    write(checkout / "conf/experiment/evil.yaml", f"# @package _global_\n{text}\n", checkout)
    write(checkout / "pool.jsonl", POOL, checkout)
    write(home / "precious.txt", "precious", checkout)
    for name, content in files.items():
        write(checkout.parent / name, content, checkout)
        (checkout.parent / name).chmod(0o755)
    for name, content in attack.files.items():
        write(checkout / name, content, checkout)
        if "/bin/" in name:
            (checkout / name).chmod(0o755)
    return contents(checkout.parent)


def write(path: Path, content: str | bytes, checkout: Path) -> None:
    """Write a file of a checkout: a link to what follows ``->``, somebody else's after ``!``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content.startswith("-> "):
        path.symlink_to(content.removeprefix("-> "))
    else:
        path.write_text(filled(content.removeprefix("!"), checkout), encoding="utf-8")
    if isinstance(content, str) and content.startswith("!"):
        path.chmod(0o666)
        if os.geteuid() == 0:
            os.chown(path, FOREIGN_USER, FOREIGN_USER)


def filled(text: str, checkout: Path) -> str:
    """Return a text with the checkout's own path."""
    return text.replace("CHECKOUT", str(checkout))


def contents(place: Path) -> dict[str, str]:
    """Return the texts of all files by path."""
    return {
        str(path.relative_to(place)): path.read_text(encoding="utf-8", errors="replace")
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def successes(attack: Attack, place: Path, before: Mapping[str, str], output: str) -> list[str]:
    """Return what an attempt has reached, a sentence each."""
    after = contents(place)
    changed = [name for name, text in after.items() if before.get(name) != text]
    calls = after.get("calls", "").splitlines()
    found = [f"{name} was written" for name in changed if name.startswith("home/")]
    found += [f"{name} was written" for name in changed if name.endswith("PWNED")]
    found += [f"{name} is gone" for name in before if name not in after]
    found += [f"{name} was changed" for name in changed if name in before]
    found += [f"a program got the option {call}" for call in calls if is_foreign_option(call)]
    if attack.door == "file of packages":  # each of them asks for more than packages by name
        found += [f"an installer was started: {call}" for call in calls[:1]]
    found += ["the secret was printed"] if SECRET in output else []
    found += [f"{name} holds the secret" for name in changed if SECRET in after[name]]
    outside = [name for name in changed if name.count("/") and name not in before]
    allowed = ("checkout/outputs/", "checkout/", "home/", "output.txt", "calls")
    return found + [f"{name} was written" for name in outside if not name.startswith(allowed)]


def is_foreign_option(call: str) -> bool:
    """Return True for a word of a command that an attack has made an option."""
    return call.lstrip().startswith(OPTIONS)


if __name__ == "__main__":
    sys.exit(main())
