"""Check every config that Hydra composes, before Hydra does anything with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal import hydra as hydra_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from sandbox.cli.config_files import limited_config_files
from sandbox.cli.config_shape import composing, shape_problems
from sandbox.cli.hydra_settings import hydra_problems, is_dry_run, typed_in, write_nothing
from sandbox.cli.literal_secrets import secrets_in_config
from sandbox.components.allowed import ALLOWED, our_targets, users_patterns
from sandbox.components.permissions import is_permitted, needs
from sandbox.components.problem import PlanError, Problem
from sandbox.planning.settings import unresolved
from sandbox.system.signals import interrupts_raise

PATTERNS = users_patterns()
"""Class paths that the user allows, read at import like ``ALLOWED``."""


USED: list[Problem] = []
"""Requests of the last config that only the user's permissions allow."""


class CheckedConfigLoader(ConfigLoaderImpl):
    """Hydra's config loader, which refuses configs that ask for what they must not have.

    Loading is the one step that every config passes once and before it is used: Hydra configures
    logging, calls callbacks and writes ``.hydra/`` only afterwards. The configs of trials are
    loaded here too, also in a launcher's other processes: they receive this loader by its name.
    """

    def parse_overrides(self, *args: Any, **kwargs: Any) -> Any:
        with composing([]):
            return super().parse_overrides(*args, **kwargs)

    def _load_configuration(self, *args: Any, **kwargs: Any) -> DictConfig:
        self._read: list[str] = []
        with composing(self._read):
            cfg = self._composed(*args, **kwargs)
            copy = unresolved(cfg)
            hydra = copy.pop("hydra", {})
            _refuse(shape_problems(copy))
        _refuse(secrets_in_config(cfg, copy, hydra, ALLOWED))
        _refuse(_forged_overrides(cfg, kwargs["overrides"]))
        if kwargs.get("activate_config_repository"):  # not for --cfg, --info and --help
            _check(cfg, typed_in(cfg))
            if is_dry_run(cfg):
                write_nothing(cfg)
            interrupts_raise()  # from now on there is something to tidy up
        return cfg

    def _composed(self, *args: Any, **kwargs: Any) -> DictConfig:
        try:
            return super()._load_configuration(*args, **kwargs)
        except KeyError as error:
            if str(error.args[0]) in os.environ:
                raise
            text = f"the variable {error} is not set"
            raise PlanError([Problem("hydra.job.env_copy", "variable", text)]) from error

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        cfg = super().load_sweep_config(master_config, sweep_overrides)
        # The overrides of a trial are also those that a sweeper, and with it a config, has chosen.
        _check(cfg, typed_in(master_config))
        return cfg

    def _process_config_searchpath(
        self, config_name: str | None, parsed_overrides: Any, repo: Any
    ) -> None:
        # A package on the search path would be imported while the config is composed.
        place = "hydra.searchpath"
        primary = repo.load_config(config_path=config_name) if config_name else None
        is_given = any(override.key_or_group == place for override in parsed_overrides)
        if primary is not None and OmegaConf.is_dict(primary.config):
            is_given = is_given or bool(OmegaConf.select(primary.config, place))
        if is_given and not is_permitted("config-sources", ALLOWED):
            raise PlanError([needs("config-sources", place, "reads configs from other places")])
        super()._process_config_searchpath(config_name, parsed_overrides, repo)
        load = repo.load_config

        def noted(config_path: str) -> Any:
            self._read.append(config_path)
            return load(config_path=config_path)

        repo.load_config = noted


def _check(cfg: DictConfig, typed: Collection[str]) -> None:
    is_all_ours = set(ALLOWED) == set(our_targets(ALLOWED))
    rights = [(PATTERNS, ALLOWED)] if is_all_ours else [(PATTERNS, ALLOWED), ((), ())]
    problems, *without = hydra_problems(cfg, typed, *rights)
    _refuse(problems)
    USED[:] = without[0] if without else []


def _forged_overrides(cfg: DictConfig, overrides: Sequence[str]) -> Iterator[Problem]:
    """Yield the problem of a config that pretends that somebody has typed its values."""
    noted = cfg.hydra.overrides
    if len(noted.task) + len(noted.hydra) != len(overrides):
        yield Problem("hydra.overrides", "permission", "cannot be set by a config")


def _refuse(problems: Iterable[Problem]) -> None:
    found = [*problems]
    if found:
        raise PlanError(found)


@contextmanager
def checked_configs() -> Iterator[None]:
    """Let Hydra create our loader: it has no setting for that, only the name in its module."""
    module: Any = hydra_module
    plain = module.ConfigLoaderImpl
    module.ConfigLoaderImpl = CheckedConfigLoader
    try:
        with limited_config_files():
            yield
    finally:
        module.ConfigLoaderImpl = plain
