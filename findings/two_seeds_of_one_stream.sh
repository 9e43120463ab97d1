#!/usr/bin/env bash
# Different seeds with the same random numbers: NumPy 2.4.6's default_rng and PyTorch 2.13.0's manual_seed on the CPU.
#
# Guessed before: default_rng([seed, rank]) is a stream of its own for each rank, rank 0 included, and another than
# default_rng(seed); torch.manual_seed takes 64 bits, as it says, and all of them count.
# Seen: NumPy fills the seed with zeros up to 128 bits.  [7, 0] is 7, and [7, 0, 0] too; 7 + 2**32 is [7, 1].  So rank 0,
# step 0 or epoch 0 draws what the model's initialization drew from the plain seed.  A list of five numbers and more is a
# stream of its own, and so are SeedSequence(7, spawn_key=(0,)) and children of spawn. PyTorch's CPU generator is seeded by
# the lowest 32 bits: 1 and 1 + 2**32 are the same stream, though initial_seed() tells them apart; (run << 32) + rank gives
# each run the same numbers.
#
# Put the number that may be 0 first, [rank, seed] with a seed that is not 0, or use spawn_key.
#
# Usage: findings/two_seeds_of_one_stream.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "torch==2.13.0"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch


def numpy_draws(seed):
    return np.random.default_rng(seed).integers(1000, size=6).tolist()


def torch_draws(seed):
    return torch.randint(1000, (6,), generator=torch.Generator().manual_seed(seed)).tolist()


print("numpy", np.__version__)
for seed, like in (([7, 0], 7), ([7, 0, 0, 0], 7), (7 + 2**32, [7, 1]), ([7, 0, 0, 0, 0], None), ([0, 7], None)):
    found = numpy_draws(seed)
    same = [other for other in (7, [7, 1]) if numpy_draws(other) == found]
    print(f"default_rng({seed}): {found}, the same as {same}")
    assert same == [like] * (like is not None), "changed"
child = np.random.SeedSequence(7, spawn_key=(0,))
print(f"default_rng(SeedSequence(7, spawn_key=(0,))): {numpy_draws(child)}")
assert numpy_draws(7) != numpy_draws(child) == numpy_draws(np.random.SeedSequence(7).spawn(1)[0]), "changed"

print("torch", torch.__version__)
for seed, same in ((1 + 2**32, True), ((5 << 32) + 1, True), (2, False)):
    print(f"manual_seed({seed}): {torch_draws(seed)}; manual_seed(1): {torch_draws(1)}")
    assert (torch_draws(seed) == torch_draws(1)) == same, "changed"
    assert torch.Generator().manual_seed(seed).initial_seed() == seed, "changed"
PYTHON
