"""Shared code of all folders: errors that a user can fix, files, and the configs of the package."""
