"""The command ``tetherdb``: reading, writing and moving records from a shell.

- :mod:`app`: the commands by name, and what happens when one fails; :mod:`failing`: errors as one line.
- :mod:`settings`: the options that all have, and the store that they name.
- :mod:`output`: what is printed, to a person, a pipe or a machine; :mod:`progress`: how far long work is.
- one file for each group of commands.

Nothing of it is imported by ``import TetherDB``.
"""

import sys

NEEDED = """\
tetherdb: the command line needs packages that are not installed ({name} is missing). Install them with:
    pip install "tetherdb[cli]"\
"""


def main() -> None:
    """What the command runs."""
    try:
        import click
        import rich
    except ModuleNotFoundError as missing:
        print(NEEDED.format(name=missing.name), file=sys.stderr)
        sys.exit(2)
    del click, rich
    from TetherDB.cli.app import run

    sys.exit(run())
