"""Refuse configs of a shape that nothing can read: too deep, in a circle, or with odd values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from sandbox.components.problem import PlanError, Problem
from sandbox.components.tree import children, joined

_DEEPEST = 40
"""Deepest nesting; OmegaConf needs about eight of Python's thousand frames a level."""

_CIRCLE = 20
"""Names of configs, the last ones read, in which one that leads to itself occurs again."""

_HARMLESS = 8192
"""Bytes of a file that cannot end the YAML library: it bears 16,000 brackets."""

_COMMAND = "command line"
_UNNAMED = (ValueError, TypeError, AttributeError, LookupError, AssertionError, OSError)
_VALUES = (str, int, float, type(None))  # bool is an int


@contextmanager
def composing(read: Sequence[str]) -> Iterator[None]:
    """Name the config that was read last in errors that name none.

    Args:
        read: Names of the configs that were read until then; filled while the block goes on.

    Raises:
        PlanError: Defaults lists lead in a circle, something is nested too deeply, or a file cannot
            be read.
    """
    try:
        yield
    except (OmegaConfBaseException, PlanError):  # these name a file or a place
        raise
    except RecursionError:
        raise PlanError([_overflow(read)]) from None
    except _UNNAMED as error:
        if isinstance(error, OSError) and error.filename:
            raise
        where = read[-1] if read else _COMMAND
        raise PlanError([Problem(where, "setting", f"cannot be read: {error}")]) from error


def check_depth(path: Path, name: str) -> None:
    """Refuse a file that is nested so deeply that the YAML library would end the process.

    Args:
        path: The file.
        name: Its name as a config.

    Raises:
        PlanError: It is.
    """
    import yaml

    if not path.is_file() or path.stat().st_size < _HARMLESS:
        return
    depth = 0
    with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError), path.open("rb") as file:
        # Events come one by one; the tree is what a stack is needed for.
        for event in yaml.parse(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise PlanError([Problem(name, "setting", f"nested more than {_DEEPEST} deep")])


def _overflow(read: Sequence[str]) -> Problem:
    if not read:
        return Problem(_COMMAND, "setting", f"nested more than {_DEEPEST} deep")
    last = read[-_CIRCLE:]
    if last.count(read[-1]) > 1 and len(read) > _CIRCLE:
        names = " and ".join(sorted(set(last)))
        return Problem(read[-1], "setting", f"the defaults lists of {names} lead in a circle")
    text = f"nested more than {_DEEPEST} deep, or a value on the command line is"
    return Problem(read[-1], "setting", text)


def shape_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield values that are nested too deeply, or that are neither text, number nor truth value.

    YAML has tags for others, such as ``!!binary``; they could be neither shown nor recorded.

    Args:
        raw: A config as plain data, unresolved, without ``hydra``, which has a schema of its own.
    """
    waiting: list[tuple[str, Any, int]] = [("", raw, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > _DEEPEST:
            top = ".".join(place.split(".")[:4])
            yield Problem(top, "setting", f"nested more than {_DEEPEST} deep")
        elif isinstance(value, (dict, list)):
            waiting += [(joined(place, key), child, depth + 1) for key, child in children(value)]
        elif not isinstance(value, _VALUES):
            kind = type(value).__name__
            text = f"given a value of the kind {kind}, expected text, a number, true, false or null"
            yield Problem(place, "setting", text)
