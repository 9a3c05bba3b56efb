#!/usr/bin/env bash
# What launch_tpu.sh has each host do: `prepare REPO COMMIT PYTHON`, then `run COMMAND...`, or `end`.
#
# A run leads a group of processes, whose number is kept in a file: ssh does not pass signals on, and
# a run may outlive the connection that started it.
set -euo pipefail

CLONE=$HOME/hierjax
LAUNCHED=$CLONE/.git/launched

is_running() {
    group=$(cat "$LAUNCHED" 2>/dev/null) && test "/proc/$group/cwd" -ef "$CLONE"
}

# Waits SECONDS at most until a run is there (yes) or gone (no).
await() {
    local is=$1 _
    for _ in $(seq "$2"); do
        if is_running; then test "$is" = no || return 0; else test "$is" = yes || return 0; fi
        sleep 1
    done
}

end_earlier_run() {
    if is_running; then
        kill -TERM -- "-$group"
        await no 120
        if is_running; then kill -KILL -- "-$group"; fi
    fi
}

prepare() {
    if ! test -d "$CLONE"; then git clone --quiet "$1" "$CLONE"; fi
    cd "$CLONE"
    end_earlier_run
    git fetch --quiet origin "$2"
    git checkout --quiet --detach "$2" || exit 2
    "$3" -c 'import platform, sys
sys.version_info >= (3, 11) or sys.exit(
    f"{platform.node()} has Python {platform.python_version()}, and hierjax needs 3.11 or later: "
    "install it with venv on all hosts, and set PYTHON, for instance to python3.11")' || exit 2
    if test .venv/complete -nt setup.cfg && test .venv/complete -nt requirements.txt; then return; fi
    "$3" -m venv --clear .venv || exit 2
    .venv/bin/python -m pip install --quiet --constraint requirements.txt --editable '.[tpu,gcs]'
    touch .venv/complete
}

run() {
    end_earlier_run # Where a connection is lost, gcloud gives the command again by itself.
    cd "$CLONE"
    echo "$$" >"$LAUNCHED"
    PATH=$CLONE/.venv/bin:$PATH exec "$@"
}

end() {
    await yes 30 # It may be about to begin.
    if is_running; then kill -TERM -- "-$group"; fi
}

"$@"
