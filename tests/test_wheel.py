"""The wheel holds the config tree and runs outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import ROOT, SUPPORT, Project


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel built from a copy of the checkout is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = ["pyproject.toml", "README.md", "conf", "sandbox"]
    source.mkdir()
    for name in files:
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    try:
        import setuptools  # noqa: F401
    except ImportError:
        pytest.skip("building without isolation needs setuptools")
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", folder / "dist", source],
        check=True,
    )
    (wheel,) = (folder / "dist").glob("sandbox-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.mark.slow
def test_an_installed_wheel_lists_composes_and_runs(installed: Path, chain: Project) -> None:
    paths = {"PYTHONPATH": os.pathsep.join([str(installed), str(SUPPORT)])}
    where = subprocess.run(
        [sys.executable, "-c", "import sandbox; print(sandbox.__file__)"],
        cwd=chain.root,
        env={**os.environ, **chain.variables, **paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    listed = chain.command(**paths)
    for path in (ROOT / "conf/experiment").glob("*.yaml"):
        assert f"+experiment={path.stem}" in listed.out
    assert "+experiment=chain" in listed.out
    assert chain.command("+experiment=demo", "dry_run=true", **paths).code == 0
    done = chain.main("chain", **paths)
    assert done.code == 0 and "objective score.accuracy = 0.4" in done.text


@pytest.mark.slow
def test_the_wheel_holds_every_config_and_every_module(installed: Path) -> None:
    for folder, inside in (("conf", "sandbox/conf"), ("sandbox", "sandbox")):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".yaml", ".py", ".typed"):
                assert (installed / inside / path.relative_to(ROOT / folder)).is_file(), path
    assert not [
        path.name for path in installed.iterdir() if path.name in ("tests", "conf", "scripts")
    ]
