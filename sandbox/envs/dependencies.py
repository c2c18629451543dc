"""What is to be installed: packages, a requirements file, the folder of a code base."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The words by which a run also removes what Hydra wrote of a config that holds a secret.
NO_LITERAL = "a secret may only be given as ${oc.env:NAME}, never as a literal"

_USER_INFO = re.compile(r"https?://[^/\s@]*@|://[^/\s@:]*:[^/\s@]+@")
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", re.MULTILINE)
_BUILD_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True)
class Dependencies:
    """Python packages that are asked for, each item known by what it names and not by where it lies.

    Args:
        packages: Packages as pip names them.
        requirements_path: A requirements file.
        code_dir: Folder of a code base, installed editable.
    """

    packages: tuple[str, ...] = ()
    requirements_path: Path | None = None
    code_dir: Path | None = None

    @classmethod
    def of(cls, deps: Path | str | Sequence[str]) -> Dependencies:
        """One of the three by what it is.

        Raises:
            ValueError: It is neither a list, nor a file, nor a folder with a project in it.
        """
        if not isinstance(deps, (str, Path)):
            found = cls(packages=tuple(deps))
        elif Path(deps).is_dir():
            found = cls(code_dir=Path(deps))
        elif Path(deps).is_file():
            found = cls(requirements_path=Path(deps))
        else:
            raise ValueError(
                f"deps: {str(deps)!r} is neither a requirements file nor the folder of a code base; "
                f"packages are given as a list: [{str(deps)!r}]"
            )
        found.check()
        return found

    def check(self) -> None:
        """Raises ValueError: an item is not there, is none, or holds a secret."""
        for package in self.packages:
            if not isinstance(package, str) or not package.strip() or package.startswith("-"):
                raise ValueError(f"dependencies: {package!r} is no package as pip names them")
        refuse_secrets("dependencies", self.packages)
        if self.requirements_path and not self.requirements_path.is_file():
            raise ValueError(f"requirements_path: there is no file {self.requirements_path}")
        if self.code_dir and not any(
            (self.code_dir / name).is_file() for name in ("pyproject.toml", "setup.py")
        ):
            what = (
                "has neither pyproject.toml nor setup.py"
                if self.code_dir.is_dir()
                else "is no folder"
            )
            raise ValueError(
                f"code_dir: {self.code_dir} {what}; expected the folder of a code base that pip can install"
            )

    def items(self) -> Mapping[str, list[str]]:
        """Arguments for the installer, by what stands for each item in a record.

        A requirements file is known by its content, with that of the files that it includes; a code
        base by its place and its build files, because its code is not copied.

        Raises:
            ValueError: As :meth:`check`.
        """
        self.check()
        found = {package.strip(): [package.strip()] for package in self.packages}
        if self.requirements_path:
            found[f"-r {_digest(_requirements(self.requirements_path))}"] = [
                "-r",
                str(self.requirements_path),
            ]
        if self.code_dir:
            folder = self.code_dir.absolute()
            files = [folder / name for name in _BUILD_FILES] + sorted(
                folder.glob("requirements*.txt")
            )
            found[f"-e {folder} {_digest(path for path in files if path.is_file())}"] = [
                "-e",
                str(folder),
            ]
        return found

    def __str__(self) -> str:
        paths = {"-r": self.requirements_path, "-e": self.code_dir}
        return ", ".join(
            [*self.packages, *(f"{option} {path}" for option, path in paths.items() if path)]
        )


def refuse_secrets(argument: str, urls: Sequence[str]) -> None:
    """Raises ValueError: a URL holds a name or a password, which would stand in records."""
    for url in urls:
        if _USER_INFO.search(url):
            raise ValueError(
                f"{argument}: an address holds a name or password; {NO_LITERAL} (index_credentials, or "
                "${NAME} inside a requirements file, or ~/.netrc)"
            )


def _requirements(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """A requirements file and those that it includes."""
    yield path
    for name in _INCLUDE.findall(path.read_text(encoding="utf-8")):
        included = path.parent / name
        if included.is_file() and included not in above:
            yield from _requirements(included, (*above, path))


def _digest(paths: Iterator[Path]) -> str:
    content = b"\0".join(path.read_bytes() for path in paths)
    return hashlib.sha256(content).hexdigest()[:16]
