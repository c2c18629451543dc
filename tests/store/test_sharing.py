"""Files of the store follow the umask, so that the users of a group can share it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from toy_project import CHAIN, Project, data_job, experiment


@pytest.fixture(params=[0o002, 0o027], ids=["group writes", "group reads"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_and_folder_follows_the_umask(umask: int, chain: Project) -> None:
    chain.run("chain")
    chain.run("chain", "force=[train]")
    job = data_job("Unstable", error_once_done=True)
    chain.write("broken", experiment({"make": job}))
    (chain.gate / "break").touch()
    with pytest.raises(RuntimeError, match="broke after writing"):
        chain.run("broken")
    store = chain.root / "outputs/store"
    found = [store, *store.rglob("*")]
    assert {path.name for path in found} >= {"record.json", "owner.json", "hashes.jsonl", "1.log"}
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, path


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_another_user_owns_can_be_read(
    chain: Project, caplog: pytest.LogCaptureFixture
) -> None:
    chain.run("chain")
    chain.ran()
    store = chain.root / "outputs/store"
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    (store / "hashes.jsonl").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    try:
        os.utime(store / "data")
        assert chain.run("chain", "dry_run=true") is None
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert chain.ran() == []


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root may become another user"
)
def test_two_users_of_a_group_share_a_store() -> None:
    """The first user begins; the second one reuses, repeats, takes over and adds."""
    # Not in pytest's folder, which is for one user alone.
    with TemporaryDirectory(prefix="sandbox-shared-") as folder:
        _share(Project(Path(folder)))


def _share(chain: Project) -> None:
    umask = 0o002
    chain.write("chain", CHAIN)
    group, (first, second) = 31000, (31001, 31002)
    chain.write("broken", experiment({"make": data_job("Unstable", error_once_done=True)}))
    for path in [chain.root, *chain.root.rglob("*")]:
        os.chown(path, first, group)
        path.chmod(0o2775 if path.is_dir() else 0o664)
    (chain.gate / "break").touch()

    def as_user(user: int, *words: str) -> tuple[int, str]:
        # Reading is free, because this interpreter may lie in root's own folder; writing is not.
        ids = ["--reuid", str(user), "--regid", str(group), "--groups", str(group)]
        reads = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        command = [sys.executable, "-m", "sandbox", *words, "watcher.mode=disabled"]
        done = subprocess.run(
            ["setpriv", *ids, *reads, *command],
            cwd=chain.root,
            env={**os.environ, **chain.variables, "HOME": str(chain.root / f"home{user}")}
            | {"XDG_CONFIG_HOME": ""},
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def ran() -> list[str]:
        lines = chain.ran()
        chain.ledger_path.touch()
        chain.ledger_path.chmod(0o666)
        return lines

    ran()
    force = ["force=[train]", "compute=local"]
    for user, code, jobs, words in (
        (first, 0, 3, ["+experiment=chain"]),
        (second, 0, 0, ["+experiment=chain"]),
        (second, 0, 1, ["+experiment=chain", *force]),
        (first, 0, 1, ["+experiment=chain", *force]),
        (first, 1, 1, ["+experiment=broken"]),
    ):
        found, text = as_user(user, *words)
        assert (found, len(ran())) == (code, jobs), (user, words, text)
    (chain.gate / "break").unlink()
    for user, words in ((second, []), (first, ["force=[make]"])):
        found, text = as_user(user, "+experiment=broken", *words)
        assert found == 0 and ran() == ["unstable"], text
