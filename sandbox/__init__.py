"""Sandbox: data-model co-development experiments on Hydra."""
