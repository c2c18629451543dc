"""Environments: directories with a `bin/` and variables, in which programs run."""
