"""The one exception that a user is meant to read."""


class CchError(Exception):
    """Bad input or a failed step, said in one line.

    The message names the file or key, says what is wrong, and says what to do.
    Entry points (scripts, the command line, the Snakefile) print it without a traceback.
    """

    def __init__(self, where: object, what: str, todo: str = "") -> None:
        self.where, self.what, self.todo = str(where), what, todo
        super().__init__(f"{self.where}: {what}" + (f"; {todo}" if todo else ""))
