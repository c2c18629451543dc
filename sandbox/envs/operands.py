"""Values of a config that become arguments of a program: none may be read as an option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def operand(name: str, text: str) -> str:
    """Return ``text`` as it is passed to a program, without blanks around it.

    Raises:
        ValueError: It is empty, begins with ``-`` and would be read as an option, or holds signs
            that cannot be printed, such as a line break.
    """
    settled = text.strip()
    if not settled or settled.startswith("-") or not settled.isprintable():
        raise ValueError(
            f"{name}: given {text!r}, expected one line of printable text without a leading -"
        )
    return settled


def check_operands(values: Mapping[str, str | Iterable[str] | None]) -> None:
    """Check values by the names of their arguments; ``None`` is not passed on.

    Raises:
        ValueError: As of :func:`operand`.
    """
    for name, value in values.items():
        texts = [value] if isinstance(value, str) else value or []
        for text in texts:
            operand(name, str(text))
