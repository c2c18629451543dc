"""Reason of a filter for removing a sample: statistic, its value, and the bound that it broke."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sample_files import STATS


def reasons(
    operators: Mapping[str, Any],
    arguments: Mapping[str, Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Yield for every removed sample a mapping with ``operator`` and what decided it.

    - ``statistic``, ``value``: of the sample; of a list of numbers the first that breaks a bound.
    - ``bound``: argument and value, such as ``min_len 10``; all arguments of a filter that keeps
      samples by something else than a range.

    All three are ``None`` for operators that are no filters. A filter decides again here, with its
    numbers replaced by equal ones that know their names: only it knows how it compares them.

    Args:
        operators: The operator by its key; several that were fused into one.
        arguments: Their arguments in the recipe, by key.
        samples: Samples with the statistics that the operator saw.
    """
    with contextlib.ExitStack() as stack:
        filters = {
            key: stack.enter_context(_recorded(operator))
            for key, operator in operators.items()
            if hasattr(operator, "get_keep_boolean")
        }
        for sample in samples:
            yield _reason(filters, operators, arguments, sample)


def _reason(
    filters: Mapping[str, _Comparisons],
    operators: Mapping[str, Any],
    arguments: Mapping[str, Mapping[str, Any]],
    sample: Mapping[str, Any],
) -> dict[str, Any]:
    unknown: dict[str, Any] = {
        "operator": list(operators)[-1],
        "statistic": None,
        "value": None,
        "bound": None,
    }
    for key, comparisons in filters.items():
        stats = _Statistics(sample.get(STATS) or {})
        comparisons.broken.clear()
        if _keeps(operators[key], {**sample, STATS: stats}):
            continue
        if comparisons.broken:
            value, bounds = comparisons.broken[0]
            statistic = getattr(value, "name", None) or stats.last_read
            bound = ", ".join(_written(each, arguments[key]) for each in bounds)
        else:
            statistic = stats.last_read
            value = None if statistic is None else stats[statistic]
            bound = ", ".join(f"{name} {each}" for name, each in arguments[key].items())
        plain = value.given if isinstance(value, _Named) else value
        return {"operator": key, "statistic": statistic, "value": plain, "bound": bound or None}
    return unknown


def _keeps(operator: Any, sample: Mapping[str, Any]) -> bool:
    if operator.is_batched_op():
        batch = {key: [value] for key, value in sample.items()}
        return all(operator.process_batched(batch))
    return bool(operator.process_single(sample))


class _Named(float):
    """A number that knows which argument or statistic it is."""

    name: str
    given: Any

    @classmethod
    def of(cls, name: str, given: Any) -> _Named:
        number = cls(given)
        number.name, number.given = name, given
        return number


class _Statistics(dict[str, Any]):
    """The statistics of a sample as named numbers; keeps in mind which was read last."""

    last_read: str | None = None

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__({name: _named(name, value) for name, value in given.items()})

    def __getitem__(self, name: str) -> Any:
        self.last_read = name
        return super().__getitem__(name)


def _named(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_named(name, each) for each in value]
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return _Named.of(name, value) if is_number else value


@dataclass
class _Comparisons:
    """The values that a filter found outside its range, each with the bounds that it broke."""

    broken: list[tuple[Any, list[Any]]]


@contextlib.contextmanager
def _recorded(operator: Any) -> Iterator[_Comparisons]:
    """Record a filter's comparisons."""
    found = _Comparisons([])
    original = operator.get_keep_boolean
    before = dict(vars(operator))

    def compare(value: Any, low: Any = None, high: Any = None) -> bool:
        if original(value, low, high):
            return True
        if operator.reversed_range:
            broken = [low, high]
        elif low is not None and not original(value, low, None):
            broken = [low]
        else:
            broken = [high]
        found.broken.append((value, [each for each in broken if each is not None]))
        return False

    for name, value in before.items():
        is_bound = name.startswith(("min_", "max_")) or name.endswith("_threshold")
        if is_bound and not isinstance(value, bool) and isinstance(value, numbers.Real):
            setattr(operator, name, _Named.of(name, value))
    operator.get_keep_boolean = compare
    try:
        yield found
    finally:
        vars(operator).clear()
        vars(operator).update(before)


def _written(bound: Any, arguments: Mapping[str, Any]) -> str:
    """Write a bound as the recipe gives it, such as ``min_size 10kb``."""
    if not isinstance(bound, _Named):
        return str(bound)
    given = arguments.get(bound.name)
    return f"{bound.name} {bound.given if given is None else given}"
