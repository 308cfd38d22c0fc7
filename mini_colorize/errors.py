"""What goes wrong and is no fault of the program."""


class UserError(Exception):
    """Something that the person can mend. One line, which says what."""
