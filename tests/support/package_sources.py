"""A package index, a code base and a requirements file of the tests' own, without a network."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

BACKEND = """
import pathlib, time, zipfile
HERE = pathlib.Path(__file__).parent
WHEEL = "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    gate = HERE / "gate"
    while gate.exists():
        (HERE / "here").touch()
        time.sleep(0.02)
    name = "code_base-0.1-py3-none-any.whl"
    info = "code_base-0.1.dist-info/"
    files = {
        "code_base.pth": str(HERE / "source"),
        info + "METADATA": "Metadata-Version: 2.1\\nName: code-base\\nVersion: 0.1\\n",
        info + "WHEEL": WHEEL,
    }
    files[info + "RECORD"] = "".join(f"{file},,\\n" for file in [*files, info + "RECORD"])
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return name
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return build_editable(wheel_directory)
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "code-base"
version = "0.1"
"""


@dataclass(frozen=True)
class Sources:
    """Sources of packages.

    Args:
        index_url: An index that has ``tiny-demo`` 1.0 and 2.0 and ``other-demo`` 1.0.
        requirements_path: Asks for ``other-demo``.
        code_dir: A code base with the module ``code_base``; its build waits while a file ``gate``
            exists in it.
    """

    index_url: str
    requirements_path: Path
    code_dir: Path


def write_sources(folder: Path) -> Sources:
    """Write an index, a requirements file and a code base into a folder."""
    simple = folder / "simple"
    for name, version in (("tiny_demo", "1.0"), ("tiny_demo", "2.0"), ("other_demo", "1.0")):
        package_dir = simple / name.replace("_", "-")
        package_dir.mkdir(parents=True, exist_ok=True)
        _wheel(package_dir, name, version)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in package_dir.glob("*.whl")]
        (package_dir / "index.html").write_text(
            f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        )
    requirements_path = folder / "requirements.txt"
    requirements_path.write_text("# what the library needs\nother-demo==1.0\n")
    code_dir = folder / "code base"
    (code_dir / "source").mkdir(parents=True)
    (code_dir / "source" / "code_base.py").write_text("WHERE = __file__\n")
    (code_dir / "pyproject.toml").write_text(PYPROJECT)
    (code_dir / "backend.py").write_text(BACKEND)
    return Sources(simple.as_uri(), requirements_path, code_dir)


def _wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info/"
    metadata = ["Metadata-Version: 2.1", f"Name: {name.replace('_', '-')}", f"Version: {version}"]
    tags = ["Wheel-Version: 1.0", "Generator: t", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}METADATA": "\n".join([*metadata, ""]),
        f"{info}WHEEL": "\n".join([*tags, ""]),
    }
    files[f"{info}RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
