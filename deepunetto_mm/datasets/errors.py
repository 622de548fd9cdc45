"""The error that a user's data can cause."""


class DataError(ValueError):
    """A file or a row of a dataset cannot be used; the message names it and says how to mend it."""
