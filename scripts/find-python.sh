#!/bin/sh
# Prints the path of a Python of version $1 that runs, or nothing.
version=$1
for candidate in "python$version" "$(pyenv prefix "$version" 2>/dev/null)/bin/python" \
    "$(uv python find --no-python-downloads "$version" 2>/dev/null)"; do
    if "$candidate" -c "import sys, sqlite3; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
        "$candidate" -c "import sys; print(sys.executable)"
        exit 0
    fi
done
exit 0
