"""A pass through a model with every activation and every gradient by name.

    trace = model.trace(ids, targets)
    trace                               a table of all names
    trace["h.0.attn.att"]               value, grad, shape, equation, backward, source, section
    trace["h.1.in"].parts               what its gradient is the sum of

The values are those of the layers in nn/, the textbook; study.equations says what each name is.
"""

import difflib
import html
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

import numpy as np

from ..nn.cross_entropy import IGNORED
from ..nn.embedding import embedding_backward, unembedding_backward
from ..nn.scope import Gradients, Pass, Scope
from ..system.threads import use_blas_threads
from .equations import activations, parameters
from .pictures import array_picture, label, side_by_side


class Shape(tuple):
    """A shape with its letters: it equals (1, 4, 8, 8) and shows as (B=1, H=4, T=8, T=8)."""

    letters: tuple[str, ...]

    def __new__(cls, sizes, letters):
        shape = super().__new__(cls, sizes)
        shape.letters = tuple(letters)
        return shape

    def __repr__(self):
        sizes = zip(self.letters, self, strict=True)
        return f"({', '.join(letter if letter == str(size) else f'{letter}={size}' for letter, size in sizes)})"


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One activation or parameter of a trace."""

    name: str
    value: np.ndarray
    grad: np.ndarray | None         # of the loss with respect to value; None without targets
    equation: str                   # how value came about
    backward: str                   # how grad did
    axes: str
    source: tuple[str, str]         # file and line of both
    section: str                    # of the articles
    trace: "Trace"

    @property
    def shape(self):
        """The value's shape, with letters"""
        return Shape(self.value.shape, self.axes.split())

    @property
    def parts(self):
        """{path: array}: what the gradient is the sum of, by the name it came through.  Trace.parts()."""
        return self.trace.parts(self.name)

    def __repr__(self):
        lines = [
            f"{self.name} {self.shape}", f"  value     {self.equation}", f"            {_numbers(self.value)}",
            f"            {self.source[0]}", f"  gradient  {self.backward}",
        ]
        if self.grad is not None:
            lines.append(f"            {_numbers(self.grad)}")
        return "\n".join([*lines, f"            {self.source[1]}", f"  articles  {self.section}"])

    def _repr_html_(self):
        def side(word, array, equation, source):
            numbers = html.escape(_numbers(array))
            return (f"<div><div><b>{word}</b> <code>{html.escape(equation)}</code></div>"
                    f'<div style="font-size:12px;opacity:.7;margin-bottom:4px">{numbers} · {source}</div>'
                    f"{array_picture(array, self.axes, self.trace.labels)}</div>")

        sides = [side("value", self.value, self.equation, self.source[0])]
        if self.grad is not None:
            sides.append(side("gradient", self.grad, self.backward, self.source[1]))
        first = f", the first of {len(self.value)} sequences" if self.axes.startswith("B") and len(self.value) > 1 else ""
        head = html.escape(f"{self.shape}{first} · {self.section} · blue above 0, orange below")
        return f'<div class="tex2jax_ignore"><p><b><code>{self.name}</code></b> {head}</p>{side_by_side(sides)}</div>'


def _numbers(array):
    """An array in a line: its type, its range, its size"""
    seen = array[np.isfinite(array)].astype(np.float64)
    if not seen.size:
        return f"{array.dtype}"
    return f"{array.dtype}, from {seen.min():.3g} to {seen.max():.3g}, root mean square {np.sqrt((seen**2).mean()):.3g}"


class Trace(Mapping[str, Step]):
    """The steps of one pass by name, in the order of the pass; then, where there were targets, the parameters.

    `ids` and `targets` are the input, `loss` the loss as a float (None without targets).
    """

    def __init__(self, model, ids, targets, loss, values, grads):
        self.config, self.ids, self.targets, self.loss = model.config, ids, targets, loss
        self._model, self._values, self._grads = model, values, grads
        table = activations(model.config)
        self._table = {name: table[name] for name in table if name in values}
        if grads:
            self._table |= {name: row for name, row in parameters(model.config).items() if name in grads}

    def __getitem__(self, name):
        if name not in self._table:
            close = difflib.get_close_matches(str(name), self._table, 3)
            hint = f"; close are {', '.join(close)}" if close else "; print(trace) lists the names"
            raise KeyError(f"trace: no {name!r} among {len(self)} names{hint}")
        row = self._table[name]
        value = self._values[name] if name in self._values else self._model.params[name]
        grad = self._grads.get(name)
        return Step(name, value, grad, row.forward, row.backward, row.axes, row.source(name), row.section, self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self):
        return len(self._table)

    def select(self, names):
        """The same pass with only the names that match: patterns as in names= of model.trace()."""
        chosen = select(names, self._table)
        values = {name: value for name, value in self._values.items() if name in chosen}
        grads = {name: grad for name, grad in self._grads.items() if name in chosen}
        return Trace(self._model, self.ids, self.targets, self.loss, values, grads)

    def parts(self, name):
        r"""{path: array}, where the gradient of `name` is a sum over the ways from it to the loss; {} where there is one way.

            h.1.in        h.1.mid: the residual connection, and ln_1's three terms
                          h.1.ln_1.xhat: r dx̂,   …mean: −r mean(dx̂),   …rstd: −r x̂ mean(dx̂ ⊙ x̂)
            h.1.ln_1.out  h.1.attn.q: dq W_qᵀ,   …k,   …v
            wte.weight    wte.out: the lookup,   logits: the output layer

        Where norms come last (GPT-1), h.1.in has h.1.attn.q, …k, …v and ln_1's terms, h.1.mid has h.1.mlp.pre and ln_2's.

        The names that a part is computed from must be in the trace, else KeyError.
        """
        if self.targets is None:
            raise ValueError("parts: this trace has no gradients; give model.trace() targets")
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
            straight = {f"{block}.mid": self[f"{block}.mid"].grad} if pre_norm else self._query_key_value(f"{block}.attn")
            return {**straight, **self._norm_terms(f"{block}.ln_1")}
        if point == "mid":
            straight = {f"{block}.out": self[f"{block}.out"].grad} if pre_norm else self._mlp_share(f"{block}.mlp")
            return {**straight, **self._norm_terms(f"{block}.ln_2")}
        if i + 1 < self.config.n_layer:
            return self.parts(f"h.{i + 1}.in")
        return self._norm_terms("ln_f") if pre_norm else {}

    def _norm_terms(self, norm):
        """The three ways through a norm: ∂x̂/∂x = r, ∂μ/∂x = 1/C, ∂r/∂x = −r² x̂/C"""
        xhat, mean, rstd = (self[f"{norm}.{name}"] for name in ("xhat", "mean", "rstd"))
        C = self.config.n_embd
        return {
            xhat.name: rstd.value * xhat.grad,
            mean.name: np.broadcast_to(mean.grad / C, xhat.shape).copy(),
            rstd.name: -rstd.grad * rstd.value * rstd.value * xhat.value / C,
        }

    def _query_key_value(self, attn):
        """The three ways from a norm into the heads"""
        weights = np.split(self._model.params[f"{attn}.c_attn.weight"], 3, axis=1)
        steps = (self[f"{attn}.{name}"] for name in "qkv")
        return {step.name: _side_by_side(step.grad) @ W.T for step, W in zip(steps, weights, strict=True)}

    def _mlp_share(self, mlp):
        """The way from a norm's output into the MLP"""
        pre = self[f"{mlp}.pre"]
        return {pre.name: pre.grad @ self._model.params[f"{mlp}.c_fc.weight"].T}

    def _lookup_share(self):
        """What the lookup of ids adds to the gradient of wte.weight"""
        s = Scope.of(weight=self._model.params["wte.weight"])
        s.acts["ids"] = self.ids
        embedding_backward(self["wte.out"].grad, s)
        return s.grads["weight"]

    def _head_share(self):
        """What the output layer adds to it"""
        s = Scope.of(weight=self._model.params["wte.weight"])
        s.acts["h"] = self["ln_f.out" if self.config.pre_norm else f"h.{self.config.n_layer - 1}.out"].value
        unembedding_backward(self["logits"].grad, s)
        return s.grads["weight"]

    @property
    def labels(self):
        """The tokens of the first sequence as words that a picture can show; ids where the model has no tokenizer"""
        return [label(self._model.tokenizer, id) for id in self.ids[0]]

    def _groups(self):
        """(title, rows) of the table: the embeddings, each block, the output, then the parameters likewise"""
        def title(name):
            place = ".".join(name.split(".")[:2]) if name.startswith("h.") else "embeddings" if name[0] == "w" else "output"
            return f"parameters, {place}" if name in self._model.params else place

        return [(name, [self._row(step) for step in steps]) for name, steps in groupby(self._table, title)]

    def _row(self, name):
        """(name, shape, equation, equation of the gradient); the last only where there are gradients"""
        row = self._table[name]
        value = self._values[name] if name in self._values else self._model.params[name]
        cells = name, repr(Shape(value.shape, row.axes.split())), row.forward, row.backward
        return cells if self._grads else cells[:3]

    def _head(self):
        return ("name", "shape", "value", "gradient") if self._grads else ("name", "shape", "value")

    def _summary(self):
        loss = "" if self.loss is None else f", loss {self.loss:.4g}"
        return f"{len(self)} names, ids {self.ids.shape}{loss}"

    def __repr__(self):
        groups = [rows for _, rows in self._groups()]
        groups[0] = [self._head(), *groups[0]]
        widths = [max(map(_width, column)) for column in zip(*(row for rows in groups for row in rows), strict=True)]

        def line(row):
            return "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()

        return f"{self._summary()}\n" + "\n\n".join("\n".join(map(line, rows)) for rows in groups)

    def _repr_html_(self):
        def line(tag, cells):
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


def _width(text):
    """Columns that a text takes: the hat of x̂ takes none"""
    return sum(not unicodedata.combining(c) for c in text)


def trace(model, ids, targets=None, names="*"):
    """Run a model forward, and with targets backward, and keep what `names` match: a Trace of copies.

        model.trace(ids, targets, names=["h.*.attn.att", "logits"])

    ids, targets (B, T) integers as in model.loss().  `names` is a pattern or several, where * stands for anything.  Without
    targets there are no gradients, and no more memory is taken than for one layer and what is kept.  With them the whole
    pass's activations are held as well, until the trace is made.
    Raises ValueError for a pattern that matches no name, before anything is computed, and what model.loss() raises.
    """
    chosen = select(names, all_names(model.config, targets))
    values: dict[str, np.ndarray] = {}
    grads: dict[str, np.ndarray] = {}

    def keep_in(store):
        def keep(name, array):
            if name in chosen:
                store[name] = array.copy()

        return keep

    ids, targets, loss, s = study_pass(model, ids, targets, keep_in(values), keep_in(grads))
    if targets is not None:
        grads |= {name: s.grads[name] for name in s.params if name in chosen}
    return Trace(model, ids, targets, loss, values, grads)


def all_names(config, targets):
    """{name: Equation} of all that a trace can hold, with targets or without"""
    table = activations(config)
    if targets is None:
        return {name: row for name, row in table.items() if not row.of_targets}
    return table | parameters(config)


def study_pass(model, ids, targets, visit, visit_grad=None):
    """One pass of the model by the textbook's layers: (ids, targets, loss, scope), loss None without targets.

    visit(name, array) gets every activation as it is made, under its name in study.equations, and may change it in place;
    visit_grad(name, array), if there is one, every gradient.  The layers record logp alone; probs is exp(logp) here, and
    what a visitor changes in it is changed in logp.
    """
    if targets is None:
        ids, count, visit_grad = model.checked(ids), 1, None
        wanted = np.full(ids.shape, IGNORED)
    else:
        ids, targets, count = model.checked(ids, targets)
        wanted = targets

    logp = np.empty(0)      # the array recorded, for watch_grad(); subtle: taken from the scope it would be a cycle, freed late

    def watch(name, array):
        nonlocal logp
        name = name.removeprefix("loss.")
        visit(name, array)
        if name == "logp":
            logp = array
            probs = np.exp(array)
            before = probs.copy()
            visit("probs", probs)
            changed = probs != before
            with np.errstate(divide="ignore"):          # −∞ for a token that is held impossible
                array[changed] = np.log(probs[changed])

    def watch_grad(name, array):
        name = name.removeprefix("loss.")
        visit_grad(name, array)
        if name == "logp":
            dprobs, target = np.zeros_like(array), array != 0
            with np.errstate(over="ignore"):
                dprobs[target] = array[target] * np.exp(-logp[target])
            visit_grad("probs", dprobs)

    backward = visit_grad is not None
    run = Pass(backward=backward, visit=watch, visit_grad=watch_grad if backward else None)
    s = Scope(model.params, Gradients(), run=run)
    with use_blas_threads(model.solo_pool.threads):
        loss = model.loss_forward(ids, wanted, s, count)
        if targets is not None:
            visit("loss", np.array(loss, model.dtype))
        if backward:
            visit_grad("loss", np.ones((), model.dtype))
            model.loss_backward(1.0, s)
    return ids, targets, None if targets is None else loss, s


def _side_by_side(heads):
    """heads (B, H, T, D) -> (B, T, C)"""
    B, H, T, D = heads.shape
    return heads.transpose(0, 2, 1, 3).reshape(B, T, H * D)


def select(names, table):
    """The names of a table that match a pattern or any of several; ValueError for a pattern that matches none."""
    patterns = [names] if isinstance(names, str) else list(names)
    chosen = set()
    for pattern in patterns:
        matches = [name for name in table if fnmatchcase(name, pattern)]
        if not matches:
            close = difflib.get_close_matches(pattern, table, 3)
            hint = f"close are {', '.join(close)}" if close else f"there are {', '.join(list(table)[:3])}, …"
            raise ValueError(f"names: {pattern!r} matches no name of this model; {hint}")
        chosen.update(matches)
    return chosen

