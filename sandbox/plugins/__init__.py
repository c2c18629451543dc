"""Hydra plugins of this project, found through the entry point group ``hydra.plugins``."""
