"""Measure what training on several processes costs: a step's time, the part of it that is waiting, the bytes that are sent.

Start it once by `mpiexec -n 2 python scripts/benchmark_mpi.py` and once alone with --threads 2.  Waiting is what the backward
pass could not hide of the sums' way, and the difference between the ranks' own speeds.  The bytes tell what a step takes
on other networks.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from bench.training import SIZES
from minigpt import GPT, GPTConfig
from minigpt.commands.common import command_parser
from minigpt.models.network import Network
from minigpt.training.batches import Batches
from minigpt.training.distributed import Alone, Ranks, ranks
from minigpt.training.optim import AdamW, Muon
from minigpt.training.step import training_step


def bytes_of_step(model: GPT, muon: Muon) -> int:
    """What a ring sends in a step, in the limit of many ranks: gradients there and back, and Muon's matrices once."""
    return model.dtype.itemsize * (2 * model.flat_params.size + muon.stop)


class Late(Ranks):
    """Ranks that send all gradients after the backward pass, to compare with."""

    def block_done(self, model: Network, name: str) -> None:
        pass


def measured(group: Alone, size: str, threads: int, steps: int) -> tuple[float, float, int]:
    """Seconds of a step, the median; of these the part in which this rank waited; bytes"""
    sizes, batch_size, _ = SIZES[size]
    config = GPTConfig(**sizes)
    model = GPT(config, seed=0, threads=threads)
    ids = np.random.default_rng(0).integers(config.vocab_size, size=20_000)
    batches, muon = Batches(ids, batch_size, config.n_positions), Muon(model, group=group)
    adamw = AdamW(model, start=muon.stop)
    took, waited = [], []
    for _ in range(steps + 2):
        start, before = time.perf_counter(), getattr(group, "waited", 0.0)
        training_step(model, batches, adamw, 1e-3, clip=1.0, seed=0, when="", muon=muon, muon_lr=0.01, group=group)
        took.append(time.perf_counter() - start)
        waited.append(getattr(group, "waited", 0.0) - before)
    return statistics.median(took[2:]), statistics.median(waited[2:]), bytes_of_step(model, muon)


def main() -> int:
    parser = command_parser("benchmark_mpi.py", __doc__, "python scripts/benchmark_mpi.py --size M --threads 2")
    parser.add_argument("--size", choices=SIZES, default="S", help="of scripts/benchmark.py")
    parser.add_argument("--threads", type=int, metavar="N", default=1, help="of each process")
    parser.add_argument("--steps", type=int, metavar="N", default=40, help="to take the median of")
    args = parser.parse_args()
    group = ranks()
    step, waited, sent = measured(group, args.size, args.threads, args.steps)
    slowest, waits = (group.total(value)[0] / group.size for value in (step, waited))
    late = group.total(measured(Late(), args.size, args.threads, args.steps)[1])[0] / group.size if group.size > 1 else 0.0
    library = group._mpi.Get_library_version().split("\n")[0].strip() if isinstance(group, Ranks) else "no MPI"
    if not group.leads:
        return 0
    print(f"{args.size}, {group.size} × {args.threads} threads, {library}: {1000 * slowest:.1f} ms a step, of which "
          f"{1000 * waits:.1f} ms ({waits / slowest:.0%}) waiting; {sent / 1e6:.2f} MB sent by each rank")
    if group.size > 1:
        print(f"{1000 * late:.1f} ms waiting where nothing is sent before the backward pass is over")
        compute = (slowest - waits) * group.size        # of the whole batch, by one rank
        print("\nwith this batch, a rank on each node and nothing hidden:")
        for speed, name in ((1e9, "1 Gbit/s"), (1e10, "10 Gbit/s")):
            for nodes in (4, 16, 64):
                seconds = compute / nodes + sent * (nodes - 1) / nodes * 8 / speed
                print(f"{nodes:3} nodes, {name:>9}: {1000 * seconds:7.1f} ms a step, {compute / seconds:5.2f} × one's speed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
