# What a test may install, and where. Sourced by the tests' `run`; expects E2E_CACHE, which the driver sets.
#
# Each function does nothing when the thing is there, and ends the test with a sentence when it cannot be had.

set -euo pipefail
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cannot() {
    echo "e2e: $1 is not installed and cannot be installed" >&2
    exit 1
}

# a package of the distribution
install_package() {
    echo "installing $1"
    local log=$E2E_CACHE/apt.log install=(apt-get install -y --no-install-recommends "$1")
    # the lists may be old, or not there yet
    { "${install[@]}" || { apt-get update && "${install[@]}"; }; } >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        cannot "$1"
    }
}

# a program, and the package that has it
need_program() {
    command -v "$1" >/dev/null || install_package "$2"
}

# A file of pinned requirements: sets `python` to the interpreter of a virtual environment that has exactly these. Its
# name holds what it was made from, so that another pin makes another one.
need_python() {
    need_program python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_package python3-venv
    local made_from folder
    made_from=$({ python3 --version; cat "$1"; } | sha256sum | cut -c 1-12)
    folder=$E2E_CACHE/python-$made_from
    if [ ! -e "$folder/complete" ]; then
        echo "installing $(grep -c '^[a-z]' "$1") Python packages"
        rm -rf "$folder"
        { python3 -m venv "$folder" && "$folder/bin/pip" install -q --disable-pip-version-check -r "$1"; } \
            >"$folder.log" 2>&1 || {
            tail -n 5 "$folder.log" >&2
            cannot "what $1 lists"
        }
        touch "$folder/complete"
    fi
    python=$folder/bin/python
    export PYTHONPATH=$support PYTHONDONTWRITEBYTECODE=1
}
