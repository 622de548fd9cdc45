#!/bin/sh
# Make a virtual environment with the package (editable) and pinned requirements in it, or complete an interrupted one.
#
#   tools/misc/make_venv.sh VENV REQUIREMENTS.txt...
#
# Ends at once when nothing has changed since it last succeeded. PYTHON=... selects the interpreter for a new one.
# Installs with uv where there is one, which takes less than half of pip's seconds, and with pip otherwise.
set -eu
cd "$(dirname "$0")/../.."
venv=$1
shift

# A stamp is written only after success, and any change of what the package needs makes all stamps invalid.
state=$(cat requirements/*.txt setup.py pyproject.toml deepunetto_mm/version.py | sha256sum | cut -c 1-16)
stamp=$venv/.stamp-$state-$(basename -a -s .txt "$@" | tr '\n' '-')
if [ -f "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

# No installer recognises a package that was cut off while its files were written, so after an interruption we start
# again; the downloads are in the installer's cache.
if [ -e "$venv/.installing" ]; then
    echo "== $venv: the last installation did not finish; starting again"
    rm -rf "$venv"
fi
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    for candidate in ${PYTHON:-python3.11 python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "${python:-}" ]; then
        echo "error: no Python 3.11 or newer among: ${PYTHON:-python3.11 python3}. Name one: make PYTHON=/path/to/python ..." >&2
        exit 1
    fi
    echo "== $venv: making it with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

echo "== $venv: installing $* and the package (a few minutes the first time; PyTorch alone is some 3 GB)"
touch "$venv/.installing"
find "$venv" -maxdepth 1 -name '.stamp-*' ! -name ".stamp-$state-*" -delete
for file in "$@"; do
    set -- "$@" --requirement "$file"
    shift
done
# Modules are compiled when they are first imported: to compile all of them takes as long as to install them.
if command -v uv >/dev/null; then
    uv pip install --python "$venv/bin/python" "$@" --editable .
else
    "$venv/bin/python" -m pip install --no-compile --disable-pip-version-check "$@" --editable .
fi
rm "$venv/.installing"
touch "$stamp"
