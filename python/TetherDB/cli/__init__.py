"""The command ``tetherdb``: reading and writing records from a shell.

- :mod:`app`: the commands by name, and what happens when one fails; :mod:`failing`: errors as one line.
- :mod:`settings`: the options that all have, and the store that they name.
- :mod:`given`: what is typed or piped in.
- :mod:`output`: what is printed, to a person, a pipe or a machine.
- :mod:`pages`: all records of a bucket, a page at a time.
- one file for each group of commands.

Nothing of it is imported by ``import TetherDB``.
"""

import sys

NEEDED = (
    "the command line needs packages that are not installed ({name} is missing). "
    'Install them: pip install "tetherdb[cli]"'
)


def main() -> None:
    """What the command runs."""
    try:
        # rich and textual are imported where they are needed.
        import click
    except ModuleNotFoundError as missing:
        print(f"tetherdb: {NEEDED.format(name=missing.name)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    del click
    try:
        from TetherDB.cli.app import run

        sys.exit(run())
    except KeyboardInterrupt:
        # Before a command ran, or after it.
        sys.exit(130)
