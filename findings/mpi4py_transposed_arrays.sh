#!/usr/bin/env bash
# Transposed matrices in mpi4py 4.1.2's calls for arrays (Allreduce, Bcast), with MPICH 5.0.2.
#
# Expected: a view that is not in C order is copied, or refused, as every second element of a vector is: BufferError, "buffer
# is not contiguous".
# Seen: memory in Fortran order counts as contiguous.  The numbers travel in the order in which they lie in memory, so a
# transposed matrix arrives in a fresh array of the same shape with its numbers in other places, on every rank, without an error.
#
# Gradients of linear layers are often such views, x.T @ dy kept as its transpose.  Send flat buffers in C order, or
# np.ascontiguousarray(x).
#
# Usage: findings/mpi4py_transposed_arrays.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "mpi4py==4.1.2" "mpich==5.0.2" "numpy==2.2.6"
cat > "$folder/transposed.py" <<'PYTHON'
import numpy as np
from mpi4py import MPI

world = MPI.COMM_WORLD
matrix = np.arange(6, dtype=np.float32).reshape(2, 3)


def summed(view):
    result = np.empty(view.shape, view.dtype)
    try:
        world.Allreduce(view, result)
    except BufferError as error:
        return f"BufferError: {error}"
    return "right" if np.array_equal(result, world.size * view) else f"{result.tolist()} instead of {(world.size * view).tolist()}"


found = {"rows": summed(matrix), "transposed": summed(matrix.T), "every second column": summed(matrix[:, ::2])}
sent = matrix.T if world.rank == 0 else np.empty((3, 2), np.float32)
world.Bcast(sent)
arrived = world.gather(np.array_equal(sent, matrix.T))
if world.rank == 0:
    for name, outcome in found.items():
        print(f"Allreduce of {name}: {outcome}", flush=True)
    print(f"Bcast of transposed: right on each rank: {arrived}", flush=True)
    assert found["rows"] == "right" and found["transposed"].startswith("[["), "changed"
    assert found["every second column"].startswith("BufferError") and arrived == [True, False], "changed"
PYTHON
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" -m mpi4py "$folder/transposed.py"
