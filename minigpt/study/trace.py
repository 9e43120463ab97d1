"""The trace of a pass through a model: every activation and every gradient by name.

    trace = model.trace("To be, or not to be", targets=True)
    trace                               prints a table of all names
    trace["h.0.attn.att"]               value, grad, shape, equation, backward, source, section
    trace["h.0.attn.att"].table()       the numbers, tokens along rows and columns
    trace["h.1.in"].parts               the terms whose sum is its gradient

The values come from the textbook's layers, minigpt/nn/; equations.py describes each name.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import plain
from ..nn.embedding import embedding_backward, unembedding_backward
from ..nn.multihead import merge_heads
from ..nn.scope import Scope
from ..system.columns import columns, to_width
from ..system.text import printable
from .equations import activations, parameters
from .passes import study_pass
from .pictures import array_picture, label, row_of_pictures
from .tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike

    from ..config import GPTConfig
    from .equations import Equation


class Shape(tuple):
    """A shape with a letter for each axis: it equals (1, 4, 8, 8) and prints as (B=1, H=4, T=8, T=8)."""

    letters: tuple[str, ...]

    def __new__(cls, sizes: Iterable[int], letters: Iterable[str]) -> Shape:
        shape = super().__new__(cls, sizes)
        shape.letters = tuple(letters)
        return shape

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What a copy, also a pickled one, is made of"""
        return tuple(self), self.letters

    def __repr__(self) -> str:
        sizes = zip(self.letters, self, strict=True)
        return f"({', '.join(letter if letter == str(size) else f'{letter}={size}' for letter, size in sizes)})"


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One activation or parameter of a trace, with its gradient and where both are computed."""

    name: str
    value: np.ndarray
    equation: str                   # of value
    backward: str                   # the equation of grad
    axes: str                       # a letter for each axis: "B H T T"
    source: tuple[str, str]         # "file:line" of value and of grad
    section: str                    # of the articles
    trace: Trace

    @property
    def shape(self) -> Shape:
        """The value's shape, with letters."""
        return Shape(self.value.shape, self.axes.split())

    @property
    def grad(self) -> np.ndarray:
        """Of the loss with respect to value.  Raises ValueError in a trace without gradients; see Trace.has_grads."""
        return self.trace.grad(self.name)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The terms whose sum is the gradient: {activation that each came through: array}; see Trace.parts()."""
        return self.trace.parts(self.name)

    def table(self, grad: bool = False) -> Table:
        """The numbers of the value, or of the gradient, with tokens along rows and columns; see tables.py."""
        return Table(self, grad)

    def __repr__(self) -> str:
        lines = [
            f"{self.name} {self.shape}", f"  value     {self.equation}", f"            {_numbers(self.value)}",
            f"            {self.source[0]}", f"  gradient  {self.backward}",
        ]
        if self.trace.has_grads:
            lines.append(f"            {_numbers(self.grad)}")
        return "\n".join([*lines, f"            {self.source[1]}", f"  articles  {self.section}"])

    def _repr_html_(self) -> str:
        def side(word: str, array: np.ndarray, equation: str, source: str) -> str:
            numbers = html.escape(_numbers(array))
            return (f"<div><div><b>{word}</b> <code>{html.escape(equation)}</code></div>"
                    f'<div style="font-size:12px;opacity:.7;margin-bottom:4px">{numbers} · {source}</div>'
                    f"{array_picture(array, self.axes, self.trace.labels)}</div>")

        sides = [side("value", self.value, self.equation, self.source[0])]
        if self.trace.has_grads:
            sides.append(side("gradient", self.grad, self.backward, self.source[1]))
        first = f", the first of {len(self.value)} sequences" if self.axes.startswith("B") and len(self.value) > 1 else ""
        of = f"of {printable(self.trace.model_name)} " if self.trace.model_name else ""
        head = html.escape(f"{of}{self.shape}{first} · {self.section}")
        return f'<div class="tex2jax_ignore"><p><b><code>{self.name}</code></b> {head}</p>{row_of_pictures(sides)}</div>'


def _numbers(array: np.ndarray) -> str:
    """One line about an array: its dtype, its range and its root mean square"""
    seen = array[np.isfinite(array)].astype(np.float64)
    if not seen.size:
        return f"{array.dtype}"
    return f"{array.dtype}, from {seen.min():.3g} to {seen.max():.3g}, root mean square {np.sqrt((seen**2).mean()):.3g}"


class Trace(Mapping[str, Step]):
    """The steps of one pass by name, in the order of computation; with targets, the parameters follow.

    `ids` and `targets` (B, T) are the input, B = 1 for a single sequence; `loss` is a float, None without targets.
    """

    def __init__(
        self, model: Any, ids: np.ndarray, targets: np.ndarray | None, loss: float | None, values: dict[str, np.ndarray],
        grads: dict[str, np.ndarray],
    ) -> None:
        self.config, self.ids, self.targets, self.loss = model.config, ids, targets, loss
        self._model, self._values, self._grads = model, values, grads
        table = activations(model.config)
        self._table = {name: table[name] for name in table if name in values}
        if grads:
            self._table |= {name: row for name, row in parameters(model.config).items() if name in grads}

    def __getitem__(self, name: Any) -> Step:
        if not isinstance(name, str) or name not in self._table:
            raise self._unknown(name)
        row = self._table[name]
        value = self._values[name] if name in self._values else self._model.params[name]
        return Step(name, value, row.forward, row.backward, row.axes, row.source(name), row.section, self)

    def _unknown(self, name: object) -> KeyError:
        near = _near(name, self._table)
        hint = f"close are {', '.join(near)}" if near else "print(trace) lists the names"
        return KeyError(f"trace: no {printable(repr(name))} among {len(self)} names; {hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def has_grads(self) -> bool:
        """Whether there are gradients: model.trace() makes them, where it has targets."""
        return bool(self._grads)

    def grad(self, name: str) -> np.ndarray:
        """The gradient of the loss with respect to `name`.  Raises ValueError in a trace without gradients."""
        self._check_grads(name)
        return self._grads[self[name].name]

    @cached_property
    def _known(self) -> dict[str, Equation]:
        """Everything that a trace of this model can hold"""
        return all_names(self.config, True)

    def _check_grads(self, name: str) -> None:
        if not self.has_grads:
            raise ValueError(f"{name}: no gradient in this trace, expected one of model.trace() with targets; "
                             "trace(ids, targets=True) takes the next tokens")

    def select(self, names: str | Iterable[str]) -> Trace:
        """The same pass, restricted to the names that match the given patterns, as in names= of model.trace()."""
        chosen = select(names, self._table)
        values = {name: value for name, value in self._values.items() if name in chosen}
        grads = {name: grad for name, grad in self._grads.items() if name in chosen}
        return Trace(self._model, self.ids, self.targets, self.loss, values, grads)

    def parts(self, name: Any) -> dict[str, np.ndarray]:
        r"""The gradient of `name` as a sum over the paths from it to the loss: {first name on the path: array}.

        {} where there is only one path.

            h.1.in        h.1.mid: the residual connection, and ln_1's three terms
                          h.1.ln_1.xhat: r dx̂,   …mean: −r mean(dx̂),   …rstd: −r x̂ mean(dx̂ ⊙ x̂)
            h.1.ln_1.out  h.1.attn.q: dq W_qᵀ,   …k,   …v
            wte.weight    wte.out: the lookup,   logits: the output layer

        With post-norm blocks (GPT-1), h.1.in has h.1.attn.q, …k, …v and ln_1's terms, h.1.mid has h.1.mlp.pre and ln_2's.
        Raises KeyError where the trace lacks a name that a part is computed from, ValueError for a trace without gradients.
        """
        self._check_grads(name)
        if not isinstance(name, str) or name not in self._known:
            raise self._unknown(name)
        block, _, point = name.rpartition(".")
        pre_norm = self.config.pre_norm
        if name == "wte.weight" and self.config.tie_word_embeddings:
            return {"wte.out": self._lookup_share(), "logits": self._head_share()}
        if point == "out" and block.endswith("ln_1") and pre_norm:
            return self._query_key_value(block.removesuffix("ln_1") + "attn")
        if not block.startswith("h.") or block.count(".") > 1:
            return {}
        i = int(block[2:])
        if point == "in":
            straight = {f"{block}.mid": self.grad(f"{block}.mid")} if pre_norm else self._query_key_value(f"{block}.attn")
            return {**straight, **self._norm_terms(f"{block}.ln_1")}
        if point == "mid":
            straight = {f"{block}.out": self.grad(f"{block}.out")} if pre_norm else self._mlp_share(f"{block}.mlp")
            return {**straight, **self._norm_terms(f"{block}.ln_2")}
        if i + 1 < self.config.n_layer:
            return self.parts(f"h.{i + 1}.in")
        return self._norm_terms("ln_f") if pre_norm else {}

    def _norm_terms(self, norm: str) -> dict[str, np.ndarray]:
        """The three paths through a norm: ∂x̂/∂x = r, ∂μ/∂x = 1/C, ∂r/∂x = −r² x̂/C"""
        xhat, mean, rstd = (self[f"{norm}.{name}"] for name in ("xhat", "mean", "rstd"))
        C = self.config.n_embd
        return {
            xhat.name: rstd.value * self.grad(xhat.name),
            mean.name: np.broadcast_to(self.grad(mean.name) / C, xhat.shape).copy(),
            rstd.name: -self.grad(rstd.name) * rstd.value * rstd.value * xhat.value / C,
        }

    def _query_key_value(self, attn: str) -> dict[str, np.ndarray]:
        """The three paths from a norm into the heads"""
        s = Scope.of()
        weights = np.split(self._model.params[f"{attn}.c_attn.weight"], 3, axis=1)
        names = (f"{attn}.{name}" for name in "qkv")
        return {name: merge_heads([self.grad(name)], s) @ W.T for name, W in zip(names, weights, strict=True)}

    def _mlp_share(self, mlp: str) -> dict[str, np.ndarray]:
        """The path from a norm's output into the MLP"""
        return {f"{mlp}.pre": self.grad(f"{mlp}.pre") @ self._model.params[f"{mlp}.c_fc.weight"].T}

    def _lookup_share(self) -> np.ndarray:
        """What the lookup of ids adds to the gradient of wte.weight"""
        s = Scope.of(weight=self._model.params["wte.weight"])
        s.acts["ids"] = self.ids
        embedding_backward(self.grad("wte.out"), s)
        return s.grads["weight"]

    def _head_share(self) -> np.ndarray:
        """What the output layer adds to the gradient of wte.weight"""
        s = Scope.of(weight=self._model.params["wte.weight"])
        s.acts["h"] = self["ln_f.out" if self.config.pre_norm else f"h.{self.config.n_layer - 1}.out"].value
        unembedding_backward(self.grad("logits"), s)
        return s.grads["weight"]

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, None where it has none."""
        return self._model.tokenizer

    @property
    def labels(self) -> list[str]:
        """The first sequence's tokens as labels for pictures; ids where the model has no tokenizer."""
        return [label(self._model.tokenizer, id) for id in self.ids[0]]

    @property
    def model_name(self) -> str:
        """What the model is called, for pictures; "" where it was not loaded by a name or from a path."""
        return self._model.name

    def _groups(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """(title, rows) of the table: the embeddings, each block, the output, then the parameters likewise"""
        def title(name: str) -> str:
            place = ".".join(name.split(".")[:2]) if name.startswith("h.") else "embeddings" if name[0] == "w" else "output"
            return f"parameters, {place}" if name in self._model.params else place

        return [(name, [self._row(step) for step in steps]) for name, steps in groupby(self._table, title)]

    def _row(self, name: str) -> tuple[str, ...]:
        """(name, shape, equation, equation of the gradient); the last only where there are gradients"""
        row = self._table[name]
        value = self._values[name] if name in self._values else self._model.params[name]
        cells = name, repr(Shape(value.shape, row.axes.split())), row.forward, row.backward
        return cells if self._grads else cells[:3]

    def _head(self) -> tuple[str, ...]:
        return ("name", "shape", "value", "gradient") if self._grads else ("name", "shape", "value")

    def _summary(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4g}"
        return f"{len(self)} names, ids {self.ids.shape}{loss}"

    def __repr__(self) -> str:
        groups = [rows for _, rows in self._groups()]
        groups[0] = [self._head(), *groups[0]]
        widths = [max(map(columns, column)) for column in zip(*(row for rows in groups for row in rows), strict=True)]

        def line(row: Iterable[str]) -> str:
            return "  ".join(to_width(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()

        return f"{self._summary()}\n" + "\n\n".join("\n".join(map(line, rows)) for rows in groups)

    def _repr_html_(self) -> str:
        def line(tag: str, cells: Iterable[str]) -> str:
            style = "text-align:left;padding:2px 10px 2px 0;font-family:monospace;white-space:nowrap"
            return "<tr>" + "".join(f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell in cells) + "</tr>"

        groups = self._groups()
        parts = [f"<p>{html.escape(self._summary())}</p>"]
        for title, rows in groups:
            opened = " open" if len(groups) < 4 or title in ("embeddings", "h.0", "output") else ""   # the blocks are alike
            parts.append(f"<details{opened}><summary>{title}: {len(rows)} names</summary><div style=\"overflow-x:auto\"><table>"
                         f"<thead>{line('th', self._head())}</thead><tbody>{''.join(line('td', row) for row in rows)}</tbody>"
                         "</table></div></details>")
        return f'<div class="tex2jax_ignore">{"".join(parts)}</div>'


def trace(model: Any, ids: ArrayLike, targets: ArrayLike | None = None, names: str | Iterable[str] = "*",
          watch: Callable[[str], None] | None = None) -> Trace:
    """Run a model forward, and with targets backward; return a Trace of everything that `names` match, the caller's own.

        model.trace("To be, or not to be", targets=True, names=["h.*.attn.att", "logits"])

    ids, targets: a batch (B, T) of integers, or what else model.loss() takes; a single sequence is a batch of one, B = 1.
    targets=True: the next tokens.  `names` is a pattern or several; * matches anything.  The pass ends with the last of them.
    Without targets there are no gradients, and memory holds one layer at a time beside what is kept.  With targets it holds the
    activations of a block until the backward has gone through it, and no gradient that `names` do not match.  watch(name) is
    called at every activation and gradient; what it raises ends the pass.
    Raises ValueError for a pattern that matches no name, before anything is computed, and whatever model.loss() raises.
    """
    targets = plain(targets)
    chosen = select(names, all_names(model.config, targets))
    values: dict[str, np.ndarray] = {}
    grads: dict[str, np.ndarray] = {}
    taken: set[int] = set()         # subtle: the arrays stay alive in the two stores, so no id is used again

    def keep_in(store: dict[str, np.ndarray]) -> Callable[[str, np.ndarray], None]:
        def keep(name: str, array: np.ndarray) -> None:
            whole = array.base is None and id(array) not in taken       # h.0.out comes again as h.1.in
            store[name] = array if whole else array.copy()
            taken.add(id(store[name]))

        return keep

    ids, targets, loss, of_params = study_pass(model, ids, targets, chosen, keep_in(values), keep_in(grads), watch)
    return Trace(model, ids, targets, loss, values, {**grads, **of_params})


def all_names(config: GPTConfig, targets: ArrayLike | None) -> dict[str, Equation]:
    """List everything that a trace can hold, with targets or without: {name: Equation}."""
    table = activations(config)
    if targets is None:
        return {name: row for name, row in table.items() if not row.of_targets}
    return table | parameters(config)


def select(names: str | Iterable[str], table: Iterable[str], argument: str = "names") -> set[str]:
    """The names of a table that match one pattern or any of several.

    Raises TypeError for what is no pattern, ValueError for a pattern that matches none, and where there is none.
    """
    given = plain(names)
    patterns = list(given) if np.iterable(given) and not isinstance(given, str) else [given]
    if wrong := [pattern for pattern in patterns if not isinstance(pattern, str)]:
        found = f"{printable(repr(wrong[0]))} of type {type(wrong[0]).__name__}"
        raise TypeError(f"{argument}: {found}, expected a name or a pattern such as 'h.*.attn.att', or several")
    if not patterns:
        raise ValueError(f"{argument}: none, expected at least one name or pattern; '*' is all of them")
    known = dict.fromkeys(table)
    chosen = set()
    for pattern in patterns:
        matches = [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]
        if not matches:
            near = _near(pattern, table)
            hint = f"close are {', '.join(near)}" if near else f"there are {', '.join(list(table)[:3])}, …"
            raise ValueError(f"{argument}: {printable(repr(str(pattern)))} matches no name of this model; {hint}")
        chosen.update(matches)
    return chosen


def _near(name: object, table: Iterable[str]) -> list[str]:
    """Up to three names that are meant by one that is none: those that end in it or hold it, else those that are spelt alike.

        "att" -> h.0.attn.att, h.1.attn.att, …;   "h.0.atn.att" -> h.0.attn.att, …
    """
    meant = name.strip("*.").lower() if isinstance(name, str) else ""
    if not meant:
        return []
    ending = [known for known in table if known.endswith(f".{meant}")]
    near = ending or [known for known in table if meant in known] or difflib.get_close_matches(meant, table, 3)
    return near[:3]
