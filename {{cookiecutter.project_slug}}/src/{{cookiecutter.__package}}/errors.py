"""The one kind of error that is a person's mistake and not ours."""


class UserError(Exception):
    """What was wrong, where, and what to do next, in one or two lines.

    The command line prints the message alone and exits with code 2; any other
    exception is a bug of this project and keeps its traceback.
    """
