"""Four stores, one name: where a layer finds its parameters and leaves what its backward needs.

Every array has a dotted name, and the same name in four stores:

    params["h.0.ln_1.weight"]     grads["h.0.ln_1.weight"]      parameters and their gradients
    acts["h.0.attn.att"]          dacts["h.0.attn.att"]         activations and their gradients

A Scope is the four stores seen from one place; s.at("ln_1") descends. What a layer computes is in the other modules of
this folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

S = TypeVar("S", bound="Store")
Visitor = Callable[[str, np.ndarray], object]


class Store(MutableMapping[str, np.ndarray]):
    """Arrays by dotted name, seen from a prefix.

        acts = Store();  acts["h.0.x"] = x;  acts.at("h.0")["x"] is x   ->  True

    Iterating gives the names below the prefix. Stores made by at() share their arrays.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        self._arrays = {} if arrays is None else dict(arrays)
        self._buffers: dict[str, np.ndarray] = {}       # what empty() gave last, and the memory behind it
        self._memory: dict[str, np.ndarray] = {}
        self._prefix = ""

    def at(self: S, name: str) -> S:
        """The same arrays seen from one name further down."""
        below = object.__new__(type(self))
        below.__dict__.update(self.__dict__)
        below._prefix = f"{self._prefix}{name}."
        return below

    def empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """For the engine: an array with arbitrary contents, the same memory as last time wherever it is large enough."""
        key = self._prefix + name
        array = self._buffers.get(key)
        if array is None or array.shape != shape or array.dtype != dtype:
            size = math.prod(shape)
            memory = self._memory.get(key)              # flat, at least as large as any view of it so far
            if memory is None or memory.size < size or memory.dtype != dtype:
                memory = self._memory[key] = np.empty(size, dtype)
            array = self._buffers[key] = memory[:size].reshape(shape)
        self._arrays[key] = array
        return array

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[self._prefix + name]

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        self._arrays[self._prefix + name] = array

    def __delitem__(self, name: str) -> None:
        del self._arrays[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._arrays

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (key[start:] for key in list(self._arrays) if key.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return "\n".join(f"{name:32} {array.shape!s:20} {array.dtype}" for name, array in self.items())


class Gradients(Store):
    """Parameter gradients. They add up, over uses of a parameter and over backward passes, until reset() is called.

    Gradients go into `arrays` where these have the name.  The names in `frozen` are of parameters that do not learn; nothing
    is added to them.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None, frozen: Iterable[str] = ()) -> None:
        super().__init__(arrays)
        self._given = frozenset(self)
        self._frozen = frozenset(frozen)

    def reset(self) -> None:
        """Begin again at 0."""
        for name in self:
            if self._prefix + name in self._given:
                self[name].fill(0)
            else:
                del self[name]

    def add(self, name: str, value: np.ndarray) -> None:
        """Add a contribution, grads[name] += value, an array of the layer's own: the first one is kept, not copied."""
        if self.is_frozen(name):
            return
        if self._prefix + name in self._given:
            self[name] += value
        else:
            self[name] = self[name] + value if name in self else value

    def add_product(self, name: str, a: np.ndarray, b: np.ndarray) -> None:
        """Add a product of matrices, grads[name] += a @ b, a (K, M), b (M, N); that of a frozen name is not computed."""
        if not self.is_frozen(name):
            self.add(name, a @ b)

    def add_rows(self, name: str, shape: tuple[int, ...], ids: np.ndarray, values: np.ndarray) -> None:
        """Add to rows of a table of this shape, grads[name][ids[i]] += values[i] for each i; 0 where nothing is added."""
        if self.is_frozen(name):
            return
        if name not in self:
            self[name] = np.zeros(shape, values.dtype)
        np.add.at(self[name], ids, values)

    def is_frozen(self, name: str) -> bool:
        """Tell whether this parameter does not learn."""
        return self._prefix + name in self._frozen


@dataclass
class Pass:
    """What holds for one whole pass, in every scope."""

    fast: bool = False            # run the engine, nn/fast/, instead of the textbook
    visit: Visitor | None = None        # the textbook calls visit(name, array) with each activation as it is made,
    visit_grad: Visitor | None = None   # and visit_grad(name, array) with each gradient
    backward: bool = True         # a backward will follow, so keep what it needs
    dropout_key: tuple[int, ...] | None = None      # the integers that seed this pass's dropout masks; None: no dropout
    first_row: int = 0            # where the pass's rows begin in their batch, which dropout masks are drawn for
    finished: Callable[[str], None] | None = None   # is told which layer's gradients are complete, and may use them
    scratch: Store = field(default_factory=Store)  # the engine's: contents nobody needs afterwards, shared by all layers


class Scope:
    """The four stores seen from one place. State is passed to a layer as a Scope, never hidden.

        s = Scope.of(weight=w, bias=b)
        y = layernorm_forward(x, s);  dx = layernorm_backward(dy, s)
        s.acts["xhat"], s.grads["weight"]

    `saved` holds the few facts that are not arrays and that a backward needs, such as the number of heads.
    """

    def __init__(
        self, params: Store, grads: Gradients, acts: Store | None = None, dacts: Store | None = None, run: Pass | None = None,
        name: str = "",
    ) -> None:
        self.params = params
        self.grads = grads
        self.acts = Store() if acts is None else acts
        self.dacts = Store() if dacts is None else dacts
        self.run = Pass() if run is None else run
        self.name = name
        self.saved: dict[str, Any] = {}
        self._below: dict[str, Scope] = {}

    @classmethod
    def of(cls, *, fast: bool = False, dropout_key: tuple[int, ...] | None = None, **params: np.ndarray) -> Scope:
        """A scope over arrays of one's own, in which everything that a layer records stays to be looked at.

        Nested names go in by dictionary: Scope.of(**{"c_attn.weight": w, "c_proj.weight": v}).  fast=True runs the engine,
        which records nothing, and whose results the next call on the same scope overwrites.
        """
        from .fast.gradients import FastGradients  # here, since the engine builds on this module

        grads = FastGradients() if fast else Gradients()
        return cls(Store(params), grads, run=Pass(fast=fast, dropout_key=dropout_key))

    def at(self, name: str) -> Scope:
        """The scope one name further down: s.at("ln_1").params["weight"] is s.params["ln_1.weight"]."""
        if name not in self._below:
            self._below[name] = self._descend(name, self.acts.at(name), self.dacts.at(name))
        return self._below[name]

    def tied(self, name: str, owner: Scope) -> Scope:
        """The scope one name further down, with the parameters of another place: acts of its own, gradients that add up there.

            s.at("encoder").tied("wte", s.at("wte"))        a table that encoder and decoder share
        """
        if name not in self._below:
            acts, dacts = self.acts.at(name), self.dacts.at(name)
            self._below[name] = Scope(owner.params, owner.grads, acts, dacts, self.run, f"{self.name}{name}.")
        return self._below[name]

    def layer(self, stack: str, i: int) -> Scope:
        """Layer i of a stack of equal layers: s.layer("h", 3) is s.at("h.3").

        Where no backward will read a layer's acts, the next layer's take their place; in the engine the dacts always do.
        """
        name = f"{stack}.{i}"
        key = name if self.run.backward else f"{name}, acts shared"
        if key not in self._below:
            acts = self.acts.at(name if self.run.backward else stack)
            dacts = self.dacts.at(stack if self.run.fast else name)
            self._below[key] = self._descend(name, acts, dacts)
        return self._below[key]

    def _descend(self, name: str, acts: Store, dacts: Store) -> Scope:
        return Scope(self.params.at(name), self.grads.at(name), acts, dacts, self.run, f"{self.name}{name}.")

    def record(self, name: str, array: np.ndarray) -> np.ndarray:
        """Keep an activation that is complete, acts[name] = array -> the array.  The engine keeps nothing.

        A visitor may keep it or change it in place, so its layer writes to it no more.
        """
        if not self.run.fast:
            self.acts[name] = array
            if self.run.visit is not None:
                self.run.visit(self.name + name, array)
        return array

    def record_grad(self, name: str, array: np.ndarray) -> np.ndarray:
        """Keep a gradient, dacts[name] = array -> the array.  The engine keeps nothing.

        A visitor gets it instead, so that it lives no longer than needed.
        """
        if not self.run.fast:
            if self.run.visit_grad is None:
                self.dacts[name] = array
            else:
                self.run.visit_grad(self.name + name, array)
        return array

    def scratch(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """A buffer of the engine's for this moment only: any other layer may overwrite it."""
        return self.run.scratch.empty(name, shape, dtype)
