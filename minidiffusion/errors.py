r"""The one kind of error that is shown without a traceback."""


class UserError(ValueError):
    r"""What a user gave cannot be used. The message is one sentence: what was given, and what is valid.

    The command line prints it and ends with status 2; the studio shows it next to the prompt. Any other exception is a
    fault of the program (or of the machine) and keeps its traceback.
    """
