"""`truing keys SECTION`: what may stand there, as docs/configuration.md has it, on the terminal."""

from rich.markup import escape

from jobs.progress import headline, print_table
from truing.config.keys import tables


def show_keys(path: str) -> None:
    """A table for each section that may stand at a dotted path; one row where it is a single key.

    Raises:
        ConfigError: there is no such key.
    """
    for table in tables(path):
        headline(escape(table.title))
        rows = [(key.name, key.takes, key.default, key.meaning) for key in table.keys]
        if rows:
            print_table("", ("key", "takes", "default", "meaning"), rows)
