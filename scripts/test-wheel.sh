#!/bin/sh
# Installs a wheel as users do, into an empty environment, and runs the contract suite on it.
#
#     scripts/test-wheel.sh WHEEL VERSION PIP [pytest arguments]
#
# VERSION: of Python, as 3.12; where it is not installed, this says so and ends well. PIP: a Python whose pip installs
# the test tools. Without pytest arguments the suite is not run. For an older Python than the package takes: that pip
# refuses the wheel.
set -eu
wheel=$1 version=$2 pip=$3
shift 3
cd "$(dirname "$0")/.."

python=$(scripts/find-python.sh "$version")
if [ -z "$python" ]; then
    echo "test-wheel: Python $version skipped, since it was not found"
    exit 0
fi
environment=.venv-wheel$(echo "$version" | tr -d .)
"$python" -m venv --clear "$environment"
bin=$environment/bin

if "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then
    if said=$("$bin/python" -m pip install --no-index --disable-pip-version-check "$wheel" 2>&1); then
        echo "test-wheel: pip of Python $version installed $wheel, which is not for it" >&2
        exit 1
    fi
    echo "$said" | grep "is not a supported wheel on this platform"
    echo "test-wheel: Python $version refuses it, as it should"
    exit 0
fi

# No index: nothing else can come along.
"$bin/python" -m pip install --quiet --no-index --disable-pip-version-check "$wheel"
(cd / && "$OLDPWD/$bin/python" -I "$OLDPWD/scripts/check_installed.py" "$OLDPWD/$environment")
if [ $# -eq 0 ]; then
    exit 0
fi

"$pip" -m pip --python "$bin/python" install --quiet --disable-pip-version-check --group contract
# The tests import what was installed, not the folder python/ beside them.
"$bin/python" -c '
import pathlib, sys, TetherDB
home, file = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(TetherDB.__file__).resolve()
sys.exit(None if home in file.parents else f"test-wheel: the tests would import {file}")
' "$environment"
echo "test-wheel: the contract suite on Python $version, from $environment"
"$bin/python" -m pytest tests/contract "$@"
