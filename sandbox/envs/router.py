"""The guide's ``ENV_ROUTER``: classes by the name of their env manager."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.envs import conda_env, virtual_env
from sandbox.envs.conda_env import CondaEnv
from sandbox.envs.virtual_env import VirtualEnv

ENV_ROUTER: Mapping[str, type[CondaEnv] | type[VirtualEnv]] = {
    **dict.fromkeys(conda_env.MANAGERS, CondaEnv),
    **dict.fromkeys(virtual_env.MANAGERS, VirtualEnv),
}
"""For scripts: ``ENV_ROUTER["uv"](env_name="new_env", env_manager="uv")``."""
