"""Find what in a requirements or environment file needs the same permission as an argument."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.job import NoUrlPassword

Asked = tuple[str, str]
"""Permission and reason."""

_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(?P<path>\S.*)")
# Of indexes, and of how packages are chosen. Others name code, or pass text on to its build.
_OPTION = re.compile(
    r"(?:-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--pre|--prefer-binary"
    r"|--no-binary|--only-binary|--require-hashes)(?:[\s=]\s*[^\s'\"]+)?"
)
# A name with versions, and markers and hashes behind it.
_PACKAGE = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(?:\[[\w\s,.-]*\])?\s*(?:\(?[\w\s,.*+!<>=~]*\)?)\s*"
    r"(?:;[^@]*?)?(?:\s+--hash[=\s]\S+)*"
)
_CONDA_PACKAGE = re.compile(r"(?:[\w./-]+::)?[\w.-]+\s*[\w\s,.*+!<>=~|\[\]'\"-]*")
_ARCHIVE = re.compile(r".*\.(?:whl|egg|zip|conda|tgz|tbz2?|tar(?:\.\w+)?)(?:\[.*)?")
_CONDA_KEYS = {"name", "channels", "dependencies", "prefix", "variables"}
_DEEPEST = 10


def asked_by_file(path: Path, depth: int = 0) -> Iterator[Asked]:
    """Yield what a requirements file, or conda's environment file, asks for.

    What cannot be read as plain names of packages counts as code of the file's choice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield "code-folder", f"{path} cannot be read: {error}"
        return
    if path.suffix in (".yml", ".yaml"):
        yield from _asked_by_environment(path, text)
        return
    if depth > _DEEPEST:
        yield "code-folder", f"{path} is included too deep"
        return
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        yield from _asked_by_line(path, re.sub(r"(^|\s)#.*", "", line).strip(), depth)


def _asked_by_line(path: Path, line: str, depth: int) -> Iterator[Asked]:
    included = _INCLUDE.fullmatch(line)
    if included:
        yield from asked_by_file(path.parent / included["path"].strip("'\""), depth + 1)
    elif "${" in line:
        beginning = line.partition("${")[0]
        yield "credentials", f"{path} reads an environment variable after {beginning!r}"
    elif line and not line.startswith("@") and not _is_plain(line):
        shown = line if NoUrlPassword().is_met_by(line) else "a URL with a login"
        yield "code-folder", f"{path} names {shown!r}, which is no name of a package"


def _is_plain(line: str) -> bool:
    is_package = _PACKAGE.fullmatch(line) and not _ARCHIVE.fullmatch(line)
    return bool(_OPTION.fullmatch(line) or is_package)


def _asked_by_environment(path: Path, text: str) -> Iterator[Asked]:
    import yaml

    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        content = None
    if not isinstance(content, dict) or not content.keys() <= _CONDA_KEYS:
        yield "code-folder", f"{path} is no environment file of plain packages"
        return
    if content.get("variables"):
        yield "env-variables", f"{path} sets environment variables"
    dependencies = content.get("dependencies")
    for item in dependencies if isinstance(dependencies, list) else ():
        yield from _asked_by_dependency(path, item)


def _asked_by_dependency(path: Path, item: Any) -> Iterator[Asked]:
    if isinstance(item, dict):
        lines = [line for value in item.values() for line in _listed(value)]
        for line in lines:
            yield from _asked_by_line(path, str(line).strip(), 0)
    elif not _CONDA_PACKAGE.fullmatch(str(item)) or _ARCHIVE.fullmatch(str(item)):
        yield "code-folder", f"{path} names {item!r}, which is no name of a package"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
