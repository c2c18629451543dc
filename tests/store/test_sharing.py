"""Files of the store follow the umask, so that the users of a group can share it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest
from toy_project import Project, data_job, experiment


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
