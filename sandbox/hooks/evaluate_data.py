"""Evaluate data."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.hooks import EvaluationHook


@dataclass(frozen=True, kw_only=True)
class EvaluateDataHook(EvaluationHook):
    """Evaluate a data set with ``evaluator``; arguments as of ``EvaluationHook``."""
