#!/bin/sh
# The worker line, python migrate_schema.py && python -m live.prod_live, for a container, where this shell is process 1.
# The kernel drops a signal to process 1 that has no handler yet, and a shell alone passes none on: a SIGTERM in the middle
# of a migration, or while Python starts, would be lost, and the worker would trade until it is killed. So the shell stays
# process 1, hands the signal on and ends with the child's exit code.
child=
stops=0

stop() {
    stops=$((stops + 1))
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}

run() {
    [ "$stops" -eq 0 ] || exit 0
    "$@" &
    child=$!
    [ "$stops" -eq 0 ] || kill -TERM "$child" 2>/dev/null
    code=127
    seen=
    while [ "$seen" != "$stops" ]; do # a signal ends a wait, not the child
        seen=$stops
        wait "$child"
        said=$?
        [ "$said" -eq 127 ] || code=$said # 127: the wait before this one was the last
    done
    child=
    return "$code"
}

trap stop TERM INT
run python migrate_schema.py && run python -m live.prod_live
