"""Shared code of the commands in ``tools/``."""
