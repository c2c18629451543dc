"""The config tree; a package so that a wheel carries it as ``sandbox.conf``."""
