"""NorMuon: Muon with a step of its own for each neuron."""

from collections.abc import Mapping

import numpy as np

from ..models.network import Network
from ..nn.scope import Store
from .distributed import ALONE, Alone
from .optim import Matrix, Muon

EPS = 1e-10     # beside v, which is about 1/max(rows, columns)


class NorMuon(Muon):
    r"""Muon whose update moves all neurons of a matrix equally far over time.

        r_j = 1/n Σ_i o_ij²,   v = β v + (1 − β) r,   o_ij = s o_ij/√(v_j + ε),   s: such that ‖o‖ stays what it was

    o is Muon's orthogonal(u); i counts the n inputs of a neuron, j the neurons, which are columns in GPT-2's layout.  Rows and
    columns of an orthogonal matrix that is not square, or not quite orthogonal, differ in length: some neurons would learn
    faster than others.  A bias correction of v would be taken back by s.
    group: as for Muon.
    Li et al. 2025, NorMuon (arXiv 2510.05491), algorithm 1; with the norm kept, as in github.com/microsoft/dion/pull/19.
    """

    def __init__(self, model: Network, *, momentum: float = 0.9, beta2: float = 0.95, weight_decay: float = 0.1,
                 iterations: int = 4, group: Alone = ALONE) -> None:
        super().__init__(model, momentum=momentum, weight_decay=weight_decay, iterations=iterations, group=group)
        self.beta2 = beta2
        self.v = np.zeros(sum(_neurons(matrix) for matrix in super()._matrices()), model.dtype)

    def _matrices(self) -> list[Matrix]:
        found, start = [], 0
        for matrix in super()._matrices():
            stop = start + _neurons(matrix)
            found.append(matrix._replace(v=np.expand_dims(self.v[start:stop], matrix.inputs)))
            start = stop
        return found

    def _direction(self, matrix: Matrix, u: np.ndarray, scratch: Store) -> np.ndarray:
        o, v = super()._direction(matrix, u, scratch), matrix.v
        squares = np.multiply(o, o, out=scratch.empty("squares", o.shape, o.dtype))
        r = squares.mean(matrix.inputs, keepdims=True)
        v *= self.beta2
        v += (1 - self.beta2) * r
        size2, size2_after = float(r.sum()), float((r / (v + EPS)).sum())
        o *= (size2 / max(size2_after, EPS)) ** 0.5 / np.sqrt(v + EPS)      # a gradient of 0 makes both sizes 0
        return o

    def gather(self) -> None:
        """Get the moments of the matrices that other processes update, for a checkpoint."""
        super().gather()
        self.group.exchange([matrix.v for matrix in self._matrices()])

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs, after gather(): arrays by name, views."""
        return {**super().state(), "v": self.v}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from state()."""
        super().load_state(arrays)
        self.v[...] = arrays["v"]


def _neurons(matrix: Matrix) -> int:
    return matrix.w.shape[1 - matrix.inputs]
