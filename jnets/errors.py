"""The error that a person can act on. No logic."""


class InputError(ValueError):
    """A value given by the user cannot be used.

    The message names the argument, the value given and what was expected, on one
    line. The command line prints it and exits with status 2; any other exception
    is a defect of jnets and keeps its traceback.
    """
