"""Evaluate a model."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.hooks import EvaluationHook


@dataclass(frozen=True, kw_only=True)
class EvaluateModelHook(EvaluationHook):
    """Evaluate a model or its output with ``evaluator``; arguments as of ``EvaluationHook``."""
