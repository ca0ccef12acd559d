"""``python -m TetherDB``: the same as the command ``tetherdb``."""

from TetherDB.cli import main

if __name__ == "__main__":
    main()
