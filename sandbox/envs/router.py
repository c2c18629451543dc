"""The guide's ``ENV_ROUTER``: which class an env manager's name stands for."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.envs.conda_env import CondaEnv
from sandbox.envs.virtual_env import VirtualEnv

ENV_ROUTER: Mapping[str, type[CondaEnv] | type[VirtualEnv]] = {
    **dict.fromkeys(CondaEnv.MANAGERS, CondaEnv),
    **dict.fromkeys(VirtualEnv.MANAGERS, VirtualEnv),
}
"""For scripts: ``ENV_ROUTER["uv"](env_name="new_env", env_manager="uv")``. Experiments name classes."""
