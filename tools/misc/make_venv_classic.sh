#!/bin/sh
# Make a virtual environment with the package, the tests' requirements and the classic OpenMMLab stack, or finish one
# that was begun.
#
#   tools/misc/make_venv_classic.sh VENV
#
# mmcv is compiled, which takes a C++ compiler and half an hour of one core (MAX_JOBS=... compiles that many files at a
# time); after an interruption it starts again. The wheel is kept in ~/.cache/deepunetto-mm, so that it is
# compiled once. PYTHON=... selects the interpreter for a new environment.
set -eu
cd "$(dirname "$0")/../.."
venv=$1
version() { sed -n "s/^$1==\([0-9.]*\).*/\1/p" requirements/openmmlab*.txt; }
mmcv=mmcv-$(version mmcv)
# The name of a wheel says what Python it is for, and not what torch.
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/deepunetto-mm/torch-$(version torch)

export PYTHON="${PYTHON:-python3.11}"
if ! [ -x "$venv/bin/python" ] && ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    echo "error: the pinned classic stack takes Python 3.11, which $PYTHON is not: torch $(version torch) has no build for" \
        "later ones. Name one: make test-classic PYTHON=/path/to/python3.11" >&2
    exit 1
fi

if [ -z "$(find "$wheels" -name "$mmcv-cp311-*.whl" 2>/dev/null)" ]; then
    tools/misc/make_venv.sh "$venv" requirements/openmmlab_build.txt
    echo "== compiling $mmcv in $wheels (half an hour of one core, once)"
    mkdir -p "$wheels"
    if ! [ -d "$wheels/$mmcv" ]; then
        rm -rf "$wheels/sdist"
        "$venv/bin/python" -m pip download --disable-pip-version-check --no-deps --no-binary mmcv \
            --no-build-isolation --dest "$wheels/sdist" "$(echo "$mmcv" | sed 's/-/==/')"
        tar -xzf "$wheels/sdist/$mmcv.tar.gz" -C "$wheels/sdist"
        mv "$wheels/sdist/$mmcv" "$wheels/$mmcv"
    fi
    # In its own folder, and not by name: pip would take from its cache what another environment compiled.
    MMCV_WITH_OPS=1 PATH="$(cd "$venv/bin" && pwd):$PATH" "$venv/bin/python" -m pip wheel --disable-pip-version-check --no-deps \
        --no-build-isolation --wheel-dir "$wheels/sdist" "$wheels/$mmcv"
    mv "$wheels/sdist/$mmcv"-*.whl "$wheels"
    rm -rf "$wheels/sdist" "$wheels/$mmcv"
fi

PIP_FIND_LINKS="$wheels ${PIP_FIND_LINKS:-}" UV_FIND_LINKS="$wheels" tools/misc/make_venv.sh "$venv" requirements/openmmlab.txt requirements/tests.txt
