"""One env while it is created or changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.envs import record
from sandbox.envs.record import EnvRecord
from sandbox.system import process
from sandbox.system.process import ProcessError

if TYPE_CHECKING:
    from sandbox.envs.dependencies import Dependencies
    from sandbox.envs.isolated import IsolatedEnv

log = getLogger(__name__)

# The programs that create envs must not see the settings of the launcher's own interpreter.
_VARIABLES: Mapping[str, str | None] = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")),
    "PYTHONSAFEPATH": "1",  # nor modules of the working directory
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


@dataclass(frozen=True)
class Installation:
    """The work on the folder of one env.

    Args:
        env: The env.
        folder: Folder of the env, fixed here: a requirements file may change while it is installed.
        own_folder: Folder in which this project creates the env; differs from ``folder`` where
            somebody else created it.
        log_path: Log of the manager and the installer.
        echo: Also write their output to the console.
    """

    env: IsolatedEnv
    folder: Path
    own_folder: Path
    log_path: Path
    echo: bool

    @property
    def is_ours(self) -> bool:
        """True if this project creates the env."""
        return self.folder == self.own_folder

    async def ensure(self, wanted: Dependencies) -> None:
        """Create the env unless it exists, and install what is not recorded as installed."""
        items = wanted.items()
        found = self._record()
        if found and items.keys() <= set(found.asked):
            return
        # Before the lock: nobody should wait for an env that cannot be created.
        self.env.check()
        async with self._held():
            # Read again: another process may have finished the work in the meantime.
            found = self._record() or await self._create()
            missing = {name: argv for name, argv in items.items() if name not in found.asked}
            if missing:
                await self._install(found, missing)

    def _record(self) -> EnvRecord | None:
        found = record.read(self.folder)
        if found or self.is_ours:
            return found
        # Somebody else's env is complete, but nothing is known about its packages.
        self.env.check_env(self.folder)
        return EnvRecord(str(self.folder), self.env.env_manager, [], 0)

    async def _create(self) -> EnvRecord:
        # Managers refuse, or reuse, a folder with the remains of an earlier attempt.
        if self.folder.exists():
            log.info("%s is incomplete and is created again", self.env)
            shutil.rmtree(self.folder)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        await self._start(f"{self.env}: creating it", self.env.creation(self.folder))
        return record.write(self.folder, self.env.env_manager, [])

    async def _install(self, found: EnvRecord, missing: Mapping[str, list[str]]) -> None:
        # Packages installed before are named again, so that their versions keep fitting.
        before = [name for name in found.asked if not name.startswith("-")]
        untouched = record.snapshot(self.folder)
        record.delete(self.folder)
        files = [part for argv in missing.values() if len(argv) > 1 for part in argv]
        packages = [argv[0] for argv in missing.values() if len(argv) == 1]
        operands = [*before, *packages]
        # After `--` no package is read as an option.
        arguments = [*files, *(["--", *operands] if operands else [])]
        what = f"{self.env}: installing {', '.join(' '.join(argv) for argv in missing.values())}"
        try:
            await self._start(what, [*self.env.installer(self.folder), *arguments])
        except ProcessError:
            if record.snapshot(self.folder) == untouched:
                record.write(self.folder, self.env.env_manager, found.asked)
            raise
        record.write(self.folder, self.env.env_manager, [*found.asked, *missing])

    async def _start(self, what: str, argv: Sequence[str | Path]) -> None:
        log.info("%s", what)
        started = time.monotonic()
        indexes = self.env.indexes
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(f"{what}\n$ {' '.join(map(str, argv))}\n")
        start = self.log_path.stat().st_size
        try:
            await process.run_async(
                argv,
                log_path=self.log_path,
                variables={**_VARIABLES, **_settings_of_uv(), **indexes.variables()},
                # The log can be cleaned afterwards, the console cannot.
                echo=self.echo and not indexes.credentials,
            )
        except ProcessError as error:
            message = indexes.hide_in_text(f"{what} failed: {_cause(error)}{error}")
            # Without its cause, whose text may hold the password.
            raise ProcessError(message, error.returncode) from None
        finally:
            indexes.hide_in_log(self.log_path, start)
        log.info("%s: done in %.1f s", self.env, time.monotonic() - started)

    @contextlib.asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Hold the env, so that no other process creates or changes it; wait for its holder.

        The kernel releases the lock when its holder ends, however that happens. Programs inherit
        it, so that an installer which survives a killed launcher still holds the env.
        """
        from filelock import AsyncFileLock, Timeout

        own = self.own_folder
        own.parent.mkdir(parents=True, exist_ok=True)
        lock = AsyncFileLock(
            own.with_name(f"{own.name}.claim"), on_acquired=_sign, run_in_executor=False
        )
        try:
            await lock.acquire(blocking=False)
        except Timeout:
            holder = Path(lock.lock_file).read_text(encoding="utf-8").strip() or "unknown"
            log.info("env %s: process %s creates it; waiting to use it", own.name, holder)
            await lock.acquire()
        try:
            yield
        finally:
            await lock.release()


def _settings_of_uv() -> dict[str, str]:
    """Let uv read the user's settings, and none of a checkout: they choose where Python is from."""
    if {"UV_CONFIG_FILE", "UV_NO_CONFIG"} & os.environ.keys():
        return {}
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "uv/uv.toml"
    found = [path for path in (own, Path("/etc/uv/uv.toml")) if path.is_file()]
    return {"UV_CONFIG_FILE": str(found[0].absolute())} if found else {"UV_NO_CONFIG": "1"}


def _sign(lock: int) -> None:
    os.set_inheritable(lock, True)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _cause(error: ProcessError) -> str:
    """Return the last line that begins with "error": uv prints hints after it."""
    lines = [line for line in str(error).splitlines() if line.lower().startswith("error")]
    return f"{lines[-1]}\n" if lines else ""
