"""The errors that a user can mend: one line on stderr and an exit code each (see `cli.run`)."""


class InputError(Exception):
    """Bad data, a bad file or an unfit environment; the message names file, key and remedy."""

    exit_code = 1


class UsageError(InputError):
    """Options that contradict each other or make no sense together; found after parsing."""

    exit_code = 2


class NonFiniteLossError(InputError):
    """A loss became NaN or infinite; the message names the loss and the step."""

    exit_code = 3
