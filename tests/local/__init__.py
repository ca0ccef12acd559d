"""The local file: the one that dbm.sqlite3 keeps, wherever it lies and whatever happens to it."""
