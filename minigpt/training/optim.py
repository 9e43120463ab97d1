"""From gradients to new parameters: AdamW, Muon, the gradient norm and the schedules of the learning rate."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..models.network import Network, Table, named_views
from ..nn.fast.ops import CHUNK
from ..nn.scope import Store
from ..system.rwlock import ReadWriteLock
from ..system.threads import WorkerPool
from .distributed import ALONE, Alone


class Learner(Protocol):
    """What AdamW needs of a model, such as models.network.Network: what learns and its gradients, each in one buffer."""

    @property
    def table(self) -> Table: ...

    @property
    def flat_params(self) -> np.ndarray: ...

    @property
    def flat_grads(self) -> np.ndarray: ...

    @property
    def pool(self) -> WorkerPool: ...

    @property
    def lock(self) -> ReadWriteLock: ...


def gradient_norm(grads: np.ndarray, pool: WorkerPool) -> float:
    """The length of a gradient, over all parameters together.

        ‖g‖ = √Σ g²

    grads (N,) -> float
    """

    def sum_of_squares(start: int, stop: int) -> float:
        parts = (grads[i : min(i + CHUNK, stop)] for i in range(start, stop, CHUNK))
        return sum(float(np.dot(part, part)) for part in parts)

    return math.sqrt(sum(pool.run_ranges(sum_of_squares, grads.size)))


def clip_scale(norm: float, max_norm: float | None) -> float:
    """The factor that brings a gradient of this norm to at most max_norm; 1 where that is None.

        min(1, max_norm/‖g‖)

    Pascanu et al. 2013 §3.2.
    """
    return 1.0 if max_norm is None else min(1.0, max_norm / (norm + 1e-6))


class AdamW:
    r"""Adam with decoupled weight decay, over one flat range of a model's parameters.

        m = β₁ m + (1 − β₁) g,   v = β₂ v + (1 − β₂) g²
        w = w − η λ w − η m̂/(√v̂ + ε),   m̂ = m/(1 − β₁ᵗ),   v̂ = v/(1 − β₂ᵗ)

    Only matrices decay (λ); norms and biases do not.  `m` and `v` omit the factors 1 − β; these are folded, with the bias
    corrections, into two scalars per step.
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(self, model: Learner, *, start: int = 0, betas: tuple[float, float] = (0.9, 0.95), eps: float = 1e-8,
                 weight_decay: float = 0.1) -> None:
        self.model, self.start = model, start
        matrices = sum(math.prod(shape) for _, shape, _ in model.table if len(shape) == 2)
        self.decay_stop = max(0, matrices - start)      # matrices come first in the buffer
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.t = 0
        self.m = np.zeros_like(self.params)
        self.v = np.zeros_like(self.params)
        self._scratch = Store()

    @property
    def params(self) -> np.ndarray:
        """What it updates, a view of the model's flat_params."""
        return self.model.flat_params[self.start :]

    @property
    def grads(self) -> np.ndarray:
        """Their gradients, a view of the model's flat_grads."""
        return self.model.flat_grads[self.start :]

    def step(self, lr: float, scale: float = 1.0) -> None:
        """One update with learning rate `lr`; gradients are multiplied by `scale` on the way.

        Ctrl-C leaves all or none of it.
        """
        t = self.t + 1
        b1, b2 = self.betas
        c1 = (1 - b1) / (1 - b1**t)                        # m̂/(√v̂ + ε) is c1 m/(c2 √v + ε) with m and v as they are kept
        c2 = math.sqrt((1 - b2) / (1 - b2**t))
        params, grads = self.params, self.grads

        def update(start: int, stop: int) -> None:
            self.t = t
            spare = self._scratch.empty(f"update from {start}", (min(CHUNK, stop - start),), params.dtype)
            for i in range(start, stop, CHUNK):        # pieces that fit the cache
                j = min(i + CHUNK, stop)
                w, g, m, v, x = params[i:j], grads[i:j], self.m[i:j], self.v[i:j], spare[: j - i]
                m *= b1
                m += np.multiply(g, scale, out=x)
                v *= b2
                v += np.multiply(x, x, out=x)
                np.sqrt(v, out=x)
                x += self.eps / c2
                np.divide(m, x, out=x)
                x *= lr * c1 / c2
                w[: max(0, self.decay_stop - i)] *= 1 - lr * self.weight_decay
                w -= x

        self.model.lock.write(partial(self.model.pool.run_ranges, update, params.size, whole=True))

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs: arrays by name, views."""
        return {"m": self.m, "v": self.v, "t": np.array([self.t])}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from state()."""
        self.m[...], self.v[...], self.t = arrays["m"], arrays["v"], int(arrays["t"][0])


class Matrix(NamedTuple):
    """What Muon updates at a time, as it lies in memory"""

    w: np.ndarray       # parameters
    g: np.ndarray       # gradient
    b: np.ndarray       # momentum
    inputs: int         # the axis along which the inputs of a neuron lie
    v: Any = None       # NorMuon's second moment of each neuron


class Muon:
    r"""Momentum whose update is made orthogonal: every direction of a matrix learns at the same rate.

        b = μ b + g,   u = g + μ b   (Nesterov),   W = W − η λ W − η · 0.2 √max(rows, columns) · orthogonal(u)

    For the matrices inside the blocks; c_attn is three matrices, one each for queries, keys and values, and two where the
    queries have their own.  The factor makes an entry of the update about as large as one of AdamW's, so that λ means the same.
    group: the processes that share the work; each updates its share of the matrices and gets the others'.
    Jordan et al. 2024 (kellerjordan.github.io/posts/muon); the factor: Liu et al. 2025, §2.2.
    """

    def __init__(self, model: Network, *, momentum: float = 0.95, weight_decay: float = 0.1, iterations: int = 4,
                 group: Alone = ALONE) -> None:
        self.momentum, self.weight_decay, self.iterations, self.model = momentum, weight_decay, iterations, model
        self.group = group
        self.table = [row for row in model.table if ".h." in f".{row[0]}" and len(row[1]) == 2]
        self.stop = sum(math.prod(shape) for _, shape, _ in self.table)      # they come first in the buffer
        self.buffer = np.zeros(self.stop, model.dtype)
        self._scratch = [Store() for _ in range(model.pool.threads)]

    def _matrices(self) -> list[Matrix]:
        """The matrices that are made orthogonal"""
        found = []
        for name, b in named_views(self.table, self.buffer).items():
            arrays: tuple[np.ndarray, ...] = self.model.params[name], self.model.grads[name], b
            transposed = b.flags.f_contiguous       # taken as it lies in memory: orthogonal(uᵀ) is orthogonal(u)ᵀ
            if transposed:
                arrays = tuple(array.T for array in arrays)
            parts = b.shape[1] // b.shape[0] if name.endswith("c_attn.weight") else 1
            found += [Matrix(w, g, b, int(transposed))
                      for w, g, b in zip(*(np.split(array, parts, axis=1) for array in arrays), strict=True)]
        return found

    def step(self, lr: float) -> None:
        """One update with learning rate `lr`.  Ctrl-C leaves all or none of it."""
        matrices, n = self._matrices(), self.model.pool.threads
        own = matrices[self.group.rank :: self.group.size]

        def update(worker: int) -> None:
            scratch = self._scratch[worker]
            for matrix in own[worker::n]:
                w, b = matrix.w, matrix.b
                b *= self.momentum
                b += matrix.g
                u = np.multiply(b, self.momentum, out=scratch.empty("u", b.shape, b.dtype))
                u += matrix.g
                o = self._direction(matrix, u, scratch)
                o *= lr * 0.2 * math.sqrt(max(w.shape))
                w *= 1 - lr * self.weight_decay
                w -= o

        tasks = [partial(update, worker) for worker in range(n)]
        self.model.lock.write(partial(self.model.pool.run, tasks, whole=True))
        self.group.exchange([matrix.w for matrix in matrices])

    def _direction(self, matrix: Matrix, u: np.ndarray, scratch: Store) -> np.ndarray:
        """A matrix's update but for its size, as an array in `scratch`"""
        return orthogonalize(u, self.iterations, scratch)

    def gather(self) -> None:
        """Get the momentum of the matrices that other processes update, for a checkpoint."""
        self.group.exchange([matrix.b for matrix in self._matrices()])

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs, after gather(): arrays by name, views."""
        return {"buffer": self.buffer}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from state()."""
        self.buffer[...] = arrays["buffer"]


def orthogonalize(x: np.ndarray, iterations: int = 4, scratch: Store | None = None) -> np.ndarray:
    r"""Bring all singular values of a matrix near 1 and leave its directions: for X = U S Vᵀ about U Vᵀ.

    Newton–Schulz steps X ← a X + b X Xᵀ X + c X Xᵀ X Xᵀ X, after dividing X by its norm.  With G = X Xᵀ a step is
    X ← P X, P = a I + b G + c G², and G ← P² G, so all steps are done on the smaller Gram matrix G, (n, n) for n the
    shorter side, and X is multiplied once.  After 4 steps what was above 0.01 lies between 0.6 and 1.2.
    x (m, n) -> (m, n).  The coefficients are Jordan's.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    scratch = Store() if scratch is None else scratch
    out = scratch.empty("out", x.shape, x.dtype)
    x, out_rows = (x, out) if x.shape[0] <= x.shape[1] else (x.T, out.T)     # wide: the Gram matrix of the rows is smaller
    n = len(x)
    gram, square, product, p, total = (
        scratch.empty(name, (n, n), x.dtype) for name in ("gram", "square", "product", "p", "total")
    )
    np.matmul(x, x.T, out=gram)
    norm2 = float(np.trace(gram)) + 1e-14                                    # ‖X‖²
    gram *= 1 / norm2
    for i in range(iterations):
        np.matmul(gram, gram, out=square)
        np.multiply(gram, b, out=p)
        p += np.multiply(square, c, out=square)
        p.reshape(-1)[:: n + 1] += a                                         # P = a I + b G + c G²
        if i == 0:
            np.copyto(total, p)
        else:
            np.copyto(total, np.matmul(p, total, out=square))
        if i < iterations - 1:
            np.matmul(p, gram, out=product)
            np.matmul(product, p, out=gram)                                  # G ← P G P
    total *= 1 / math.sqrt(norm2)
    np.matmul(total, x, out=out_rows)
    return out


def schedule(name: str, progress: float) -> float:
    """The learning rate as a fraction of its peak, from the share of the training that is done.

        linear 1 − p,   cosine (1 + cos πp)/2,   constant 1

    name: one of SCHEDULES; progress p, what lies outside 0 … 1 counts as its nearer end -> 0 … 1
    """
    progress = min(1.0, max(0.0, progress))
    if name == "linear":
        return 1 - progress
    if name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1.0


SCHEDULES = ("linear", "cosine", "constant")
OPTIMIZERS = ("normuon", "muon", "adamw")
