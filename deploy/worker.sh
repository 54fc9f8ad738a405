#!/bin/sh
# The worker line, python migrate_schema.py && python -m live.prod_live, for a container, where this shell is process 1.
# The kernel drops a signal to process 1 that has no handler yet, and a shell alone passes none on: a SIGTERM in the middle
# of a migration, or while Python starts, would be lost, and the worker would trade until it is killed. So the shell stays
# process 1, hands the signal on and ends with the child's exit code.
child=
stopped=

stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}

run() {
    [ -z "$stopped" ] || exit 0
    "$@" &
    child=$!
    [ -z "$stopped" ] || kill -TERM "$child" 2>/dev/null
    wait "$child"
    code=$?
    while kill -0 "$child" 2>/dev/null; do # the signal ended the wait, not the child
        wait "$child"
        code=$?
    done
    child=
    return "$code"
}

trap stop TERM INT
run python migrate_schema.py && run python -m live.prod_live
