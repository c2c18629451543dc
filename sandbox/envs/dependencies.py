"""Python packages to install: a list, a requirements file, the folder of a code base."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.envs.operands import check_operands, operand
from sandbox.job import NoUrlPassword

# Options of a requirements file that name another file.
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", re.MULTILINE)
_PROJECT_FILES = ("pyproject.toml", "setup.py")


@dataclass(frozen=True)
class Dependencies:
    """Python packages to install.

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
        """Recognise a list of packages, a requirements file or the folder of a code base.

        Raises:
            ValueError: ``deps`` is none of the three.
        """
        if not isinstance(deps, (str, Path)):
            return cls(packages=tuple(deps))
        path = Path(deps)
        if path.is_dir():
            return cls(code_dir=path)
        if path.is_file():
            return cls(requirements_path=path)
        raise ValueError(
            f"deps: {str(deps)!r} is neither a requirements file nor the folder of a code base; "
            f"packages are given as a list: [{str(deps)!r}]"
        )

    def check(self) -> None:
        """Check that everything can be installed.

        Raises:
            ValueError: An item is missing, of another kind, or a URL in it holds a password.
        """
        for package in self.packages:
            try:
                operand("dependencies", package)
            except ValueError:
                raise ValueError(
                    f"dependencies: {package!r} is not a package; expected a name, a requirement "
                    "such as six>=1.16, or a URL"
                ) from None
            # Arguments are checked by the plan; packages given to install_py_deps only here.
            if not NoUrlPassword().is_met_by(package):
                raise ValueError(
                    "dependencies: the URL of a package holds a login, which would be recorded; "
                    "use ${NAME} in a requirements file, or ~/.netrc"
                )
        paths = {"requirements_path": self.requirements_path, "code_dir": self.code_dir}
        check_operands({name: str(path) for name, path in paths.items() if path})
        if self.requirements_path and not self.requirements_path.is_file():
            raise ValueError(f"requirements_path: {self.requirements_path} is not a file")
        if self.code_dir:
            _check_code_base(self.code_dir)

    def items(self) -> Mapping[str, list[str]]:
        """Return the installer's arguments by the name under which each item is recorded.

        A requirements file is recorded by its content and that of the files it includes; a code
        base by its folder and its build files, because its code is not copied.

        Raises:
            ValueError: As :meth:`check`.
        """
        self.check()
        packages = [operand("dependencies", package) for package in self.packages]
        found = {package: [package] for package in packages}
        if self.requirements_path:
            digest = _digest(_with_included(self.requirements_path))
            found[f"-r {digest}"] = ["-r", str(self.requirements_path)]
        if self.code_dir:
            folder = self.code_dir.absolute()
            found[f"-e {folder} {_digest(_build_files(folder))}"] = ["-e", str(folder)]
        return found

    def __str__(self) -> str:
        options = {"-r": self.requirements_path, "-e": self.code_dir}
        paths = [f"{option} {path}" for option, path in options.items() if path]
        return ", ".join([*self.packages, *paths])


def _check_code_base(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"code_dir: {folder} is not a folder; expected a code base")
    if not any((folder / name).is_file() for name in _PROJECT_FILES):
        raise ValueError(
            f"code_dir: {folder} has neither {' nor '.join(_PROJECT_FILES)}; "
            "expected a code base that pip can install"
        )


def _build_files(folder: Path) -> list[Path]:
    names = (*_PROJECT_FILES, "setup.cfg")
    paths = [*(folder / name for name in names), *sorted(folder.glob("requirements*.txt"))]
    return [path for path in paths if path.is_file()]


def _with_included(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    yield path
    # Files may include each other in a circle.
    for name in _INCLUDE.findall(path.read_text(encoding="utf-8")):
        included = path.parent / name
        if included.is_file() and included not in above:
            yield from _with_included(included, (*above, path))


def _digest(paths: Iterable[Path]) -> str:
    content = b"\0".join(path.read_bytes() for path in paths)
    return hashlib.sha256(content).hexdigest()[:16]
