"""Four stores, one name: where a layer finds its parameters and leaves what its backward needs.

Every array has a dotted name, and the same name in four stores:

    params["h.0.ln_1.weight"]     grads["h.0.ln_1.weight"]      parameters and their gradients
    acts["h.0.attn.att"]          dacts["h.0.attn.att"]         activations and their gradients

A Scope is the four stores seen from one place; s.at("ln_1") descends. Stores hand out the same buffer again for the same
name, so that a second pass allocates nothing. What a layer computes stands in the other modules of this folder.
"""

import functools
import math
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field

import numpy as np

BLOCK = 2**21  # elements of a gradient that are worked on at once; with half as many a step of GPT-2 takes 1.006 of its time


class Store(MutableMapping):
    """Arrays by dotted name, seen from a prefix.

        acts = Store();  acts["h.0.x"] = x;  acts.at("h.0")["x"] is x   ->  True

    Iterating gives the names below the prefix. Stores made by at() share their arrays.
    """

    def __init__(self, arrays=None):
        self._arrays = {} if arrays is None else dict(arrays)
        self._buffers: dict[str, np.ndarray] = {}
        self._prefix = ""

    def at(self, name):
        """The same arrays seen from one name further down."""
        below = object.__new__(type(self))
        below.__dict__.update(self.__dict__)
        below._prefix = f"{self._prefix}{name}."
        return below

    def empty(self, name, shape, dtype):
        """The array of this name with arbitrary contents: the same memory as last time wherever it is large enough."""
        key = self._prefix + name
        array = self._buffers.get(key)
        if array is None or array.shape != shape or array.dtype != dtype:
            size = math.prod(shape)
            memory = None if array is None else array.base          # flat, at least as large as any view of it so far
            if memory is None or memory.size < size or memory.dtype != dtype:
                memory = np.empty(size, dtype)
            array = self._buffers[key] = memory[:size].reshape(shape)
        self._arrays[key] = array
        return array

    def __getitem__(self, name):
        return self._arrays[self._prefix + name]

    def __setitem__(self, name, array):
        self._arrays[self._prefix + name] = array

    def __delitem__(self, name):
        del self._arrays[self._prefix + name]

    def __contains__(self, name):
        return self._prefix + name in self._arrays

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (key[start:] for key in list(self._arrays) if key.startswith(self._prefix))

    def __len__(self):
        return sum(1 for _ in self)

    def __repr__(self):
        return "\n".join(f"{name:32} {array.shape!s:20} {array.dtype}" for name, array in self.items())


class Gradients(Store):
    """Parameter gradients. They add up, over uses of a parameter and over backward passes, until reset() is called.

    NumPy's products cannot add to their output, so the first contribution after a reset is written and only later ones are
    added, in blocks, so that a product that is to be added never takes much memory.  What is added to a `frozen`
    name is not even computed.
    """

    def __init__(self, arrays=None, frozen=()):
        super().__init__(arrays)
        self._frozen = frozenset(frozen)
        self._written: dict[str, int] = {}      # the names since reset(), and in which pass each came first
        self._spare = Store()

    def reset(self):
        """Forget all contributions; costs nothing, since the next pass overwrites."""
        self._written.clear()

    def add(self, name, value):
        """grads[name] += value"""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty_like(value)
        out = self[name]
        if not out.flags.c_contiguous:       # as in add_product()
            out, value = out.T, value.T
        first, turn = self._join(name)
        for block, where in enumerate(blocks(out)):
            self._wait(name, block, turn)
            if first:
                out[where] = value[where]
            else:
                out[where] += value[where]
            self._pass_on(name, block, turn)

    def add_product(self, name, a, b):
        """grads[name] += a @ b for matrices a (K, M), b (M, N)"""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty((a.shape[0], b.shape[1]), a.dtype)
        out = self[name]
        if not out.flags.c_contiguous:       # as it lies in memory: (a b)ᵀ = bᵀ aᵀ
            a, b, out = b.T, a.T, out.T
        first, turn = self._join(name)
        for block, (rows, columns) in enumerate(blocks(out)):
            part = out[rows, columns]
            if first:
                self._wait(name, block, turn)
                np.matmul(a[rows], b[:, columns], out=part)
            else:
                product = self._spare.empty("product", part.shape, out.dtype)
                np.matmul(a[rows], b[:, columns], out=product)
                self._wait(name, block, turn)
                part += product
            self._pass_on(name, block, turn)

    def add_rows(self, name, shape, ids, values):
        """grads[name][ids[i]] += values[i] for each i; name is a table of this shape, 0 where nothing is added."""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.empty(shape, values.dtype)
        table = self[name]
        n = len(blocks(table))
        first, turn = self._join(name, as_a_whole=False)
        for block in range(n):
            self._wait(name, block, turn)
        if first:
            table.fill(0)
        for id, value in zip(ids.tolist(), values, strict=True):
            table[id] += value
        for block in range(n):
            self._pass_on(name, block, turn)

    def is_frozen(self, name):
        """Whether this parameter does not learn"""
        return self._prefix + name in self._frozen

    def _join(self, name, as_a_whole=True):
        """Whether this is the first contribution since reset(), and which turn it has.  as_a_whole=False: it is added piece by
        piece.  Between _wait and _pass_on it goes into one block; with threads parallel.SharedGradients waits there."""
        key = self._prefix + name
        first = key not in self._written
        self._written[key] = 0
        return first, 0

    def _wait(self, name, block, turn):
        pass

    def _pass_on(self, name, block, turn):
        pass


def blocks(array):
    """Where an array's blocks of at most BLOCK elements are, cut across its longer side: [(rows, columns), …] of a matrix

    Across the shorter side the blocks of a wide matrix would be a few rows each, and BLAS slow on them.
    """
    return _blocks(array.shape, BLOCK)


@functools.lru_cache(maxsize=256)
def _blocks(shape, most):
    n = max(shape)
    axis = shape.index(n)
    step = max(1, most * n // math.prod(shape))
    before, after = (slice(None),) * axis, (slice(None),) * (len(shape) - axis - 1)
    return [(*before, slice(start, start + step), *after) for start in range(0, n, step)]


@dataclass
class Pass:
    """What holds for one whole pass, in every scope."""

    study: bool = False           # every layer keeps its own dacts, and nothing that was computed is overwritten
    visit: Callable | None = None       # in study mode: visit(name, array) is called with each activation as it is made;
    visit_grad: Callable | None = None  # visit_grad(name, array) with each gradient. Then layers may share their buffers
    backward: bool = True         # a backward will follow, so keep what it needs
    dropout_key: tuple | None = None  # the integers that seed this pass's dropout masks; None: no dropout
    scratch: Store = field(default_factory=Store)  # buffers whose contents nobody needs afterwards, shared by all layers


class Scope:
    """The four stores seen from one place. State is passed to a layer as a Scope, never hidden.

        s = Scope.of(weight=w, bias=b)
        y = layernorm_forward(x, s);  dx = layernorm_backward(dy, s)
        s.acts["xhat"], s.grads["weight"]

    `saved` holds the few facts that are not arrays and that a backward needs, such as the number of heads.
    """

    def __init__(self, params, grads, acts=None, dacts=None, run=None, name=""):
        self.params = params
        self.grads = grads
        self.acts = Store() if acts is None else acts
        self.dacts = Store() if dacts is None else dacts
        self.run = Pass() if run is None else run
        self.name = name
        self.saved: dict = {}
        self._below: dict[str, Scope] = {}

    @classmethod
    def of(cls, *, study=True, dropout_key=None, **params):
        """A scope over arrays of one's own, in study mode: everything a layer computes stays to be looked at.

        Nested names go in by dictionary: Scope.of(**{"c_attn.weight": w, "c_proj.weight": v}).
        """
        return cls(Store(params), Gradients(), run=Pass(study=study, dropout_key=dropout_key))

    def at(self, name):
        """The scope one name further down: s.at("ln_1").params["weight"] is s.params["ln_1.weight"]."""
        if name not in self._below:
            self._below[name] = self._descend(name, self.acts.at(name), self.dacts.at(name))
        return self._below[name]

    def tied(self, name, owner):
        """The scope one name further down, with the parameters of another place: acts of its own, gradients that add up there.

            s.at("encoder").tied("wte", s.at("wte"))        a table that encoder and decoder share
        """
        if name not in self._below:
            acts, dacts = self.acts.at(name), self.dacts.at(name)
            self._below[name] = Scope(owner.params, owner.grads, acts, dacts, self.run, f"{self.name}{name}.")
        return self._below[name]

    def layer(self, stack, i):
        """Layer i of a stack of equal layers: s.layer("h", 3) is s.at("h.3").

        The layers write their dacts into the same buffers, since each is done with when the next begins; their acts too,
        where no backward will read them.  Only in study mode without visitors does every layer keep its own.
        """
        name = f"{stack}.{i}"
        keeps = self.run.study and self.run.visit is None
        forgetful = not keeps and not self.run.backward
        key = f"{name}, acts shared" if forgetful else name
        if key not in self._below:
            acts, dacts = self.acts.at(stack if forgetful else name), self.dacts.at(name if keeps else stack)
            self._below[key] = self._descend(name, acts, dacts)
        return self._below[key]

    def _descend(self, name, acts, dacts):
        return Scope(self.params.at(name), self.grads.at(name), acts, dacts, self.run, f"{self.name}{name}.")

    def leave(self, name, array):
        """In study mode: acts[name] = array, now that it is complete; a visitor may copy it or change it in place."""
        if self.run.study:
            self.acts[name] = array
            if self.run.visit is not None:
                self.run.visit(self.name + name, array)
        return array

    def leave_grad(self, name, array):
        """dacts[name], as leave() does for acts."""
        if self.run.study:
            self.dacts[name] = array
            if self.run.visit_grad is not None:
                self.run.visit_grad(self.name + name, array)
        return array

    def reuse(self, name, array):
        """acts[name] as an array to overwrite: `array` itself on the fast path, a copy of it in study mode."""
        return self._overwrite(self.acts, name, array)

    def reuse_grad(self, name, array):
        """dacts[name], as reuse() does for acts."""
        return self._overwrite(self.dacts, name, array)

    def _overwrite(self, store, name, array):
        if self.run.study:
            copy = store.empty(name, array.shape, array.dtype)
            np.copyto(copy, array)
            return copy
        store[name] = array
        return array

    def scratch(self, name, shape, dtype):
        """A buffer for this moment only: any other layer may overwrite it."""
        return self.run.scratch.empty(name, shape, dtype)
