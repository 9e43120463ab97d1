"""What the lab asks of a pass: predictions and losses, arrays as pictures need them, the logit lens, the way back.

The last passes are kept, so that the views of one text share them.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...nn.cross_entropy import IGNORED
from ...tokenization.formats import END_OF_TEXT
from ..equations import activations, parameters
from ..interventions import run
from ..logit_lens import lens_points, read_stream
from ..pictures import label, likeliest
from ..trace import trace
from .changes import as_edits

if TYPE_CHECKING:
    from ...models.gpt import GPT
    from ..trace import Trace

KEPT = 2                    # passes of each kind
LARGEST = 1 << 30           # bytes of all activations and their gradients
LIKELIEST = 5               # predictions that are shown at each position
Watch = Callable[[str], None]


class Passes:
    """The passes of one model, for the page.

    watch(name) is called at each activation; what it raises ends the pass.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self._kept: OrderedDict[str, Trace] = OrderedDict()
        self._told: tuple[str, dict[str, Any]] = ("", {})       # the last way back, and what it is of

    # Texts

    def ids(self, text: str) -> np.ndarray:
        """The tokens of a text (1, T); without a tokenizer the text is ids with spaces between.  Raises ValueError."""
        row, most = self._encoded(text), self.model.config.n_positions
        if not row:
            raise ValueError("text: empty, expected at least one token; type something")
        if len(row) > most:
            raise ValueError(f"text: {len(row):,} tokens, expected at most {most:,}, all that the model reads at once; shorten "
                             "it")
        return self.model.checked_ids(row)

    def _encoded(self, text: str) -> list[int]:
        tokenizer = self.model.tokenizer
        if tokenizer is not None:
            return tokenizer.encode(text, allowed_special="all")
        words = text.split()
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise ValueError("text: this model has no tokenizer, expected ids with spaces between, such as 17 4 62")
        return [int(word) for word in words]

    def prompt(self, text: str) -> list[int]:
        """The ids from which generation goes on: of an empty text the one where texts start, where the tokenizer has it"""
        start = None if self.model.tokenizer is None else self.model.tokenizer.special_tokens.get(END_OF_TEXT)
        ids = [start] if not text and start is not None else self._encoded(text)
        if not ids:
            raise ValueError("text: empty, expected at least one token; type something")
        return ids

    def tokens(self, ids: np.ndarray) -> list[dict[str, Any]]:
        """[{"id", "label"}] of the first sequence"""
        return [{"id": id, "label": label(self.model.tokenizer, id)} for id in ids[0].tolist()]

    # Answers

    def summary(self, text: str, edits: Sequence[Mapping[str, Any]], watch: Watch) -> dict[str, Any]:
        """The losses of a text, and the likeliest next tokens at each position, with edits or without"""
        ids = self.ids(text)
        found = self._forward(ids, edits, watch, ["probs", *(["nll"] if ids.shape[1] > 1 else [])])
        best = zip(*likeliest(found["probs"].value[0], LIKELIEST), strict=True)
        return {
            "tokens": self.tokens(ids), "loss": found.loss, "nll": losses(found),
            "predictions": [[{"id": id, "label": label(self.model.tokenizer, id), "p": p}
                             for id, p in zip(row.tolist(), shares.tolist(), strict=True)] for row, shares in best],
        }

    def effect(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], watch: Watch) -> Trace:
        """A pass with edits, of which the loss is wanted"""
        return self._forward(ids, edits, watch, ["nll"] if ids.shape[1] > 1 else ["logits"])

    def lens(self, text: str, edits: Sequence[Mapping[str, Any]], watch: Watch) -> dict[str, Any]:
        """The likeliest next token at each position of each point of the residual stream"""
        points = lens_points(self.model.config)
        stream = self._forward(self.ids(text), edits, watch, points)
        best = []
        for name in points:
            watch(name)
            ids, p = likeliest(read_stream(self.model, stream[name].value)[0], 1)
            best.append([{"label": label(self.model.tokenizer, id), "p": share}
                         for id, share in zip(np.ravel(ids).tolist(), np.ravel(p).tolist(), strict=True)])
        return {"points": points, "best": best}

    def backward(self, text: str, of: Any, watch: Watch) -> dict[str, Any]:
        """The norm of the gradient at every activation, in the order of the backward pass, and the ways it came"""
        ids = self.ids(text)
        key = json.dumps([ids.tolist(), of])
        if key != self._told[0]:
            self._told = key, self._way_back(ids, of, watch)
        return self._told[1]

    def _way_back(self, ids: np.ndarray, of: Any, watch: Watch) -> dict[str, Any]:
        found = self._backward(ids, of, watch)
        steps = []
        for name in reversed(list(activations(self.model.config))):
            watch(name)
            parts = [{"through": way, "norm": _norm(part), "per_token": np.linalg.norm(part[0], axis=-1)}
                     for way, part in found.parts(name).items()]
            steps.append({"name": name, "norm": _norm(found.grad(name)), "parts": parts})
        inputs = np.linalg.norm(found.grad("wte.out")[0], axis=-1)
        return {"tokens": self.tokens(ids), "loss": found.loss, "steps": steps, "inputs": inputs}

    def arrays(
        self, text: str, edits: Sequence[Mapping[str, Any]], of: Any, names: Sequence[str], grad: bool, most: int,
        rows: Sequence[int] | None, columns: Sequence[int] | None, watch: Watch,
    ) -> tuple[dict[str, Any], list[tuple[dict[str, Any], np.ndarray]]]:
        """The numbers of some names, and with grad=True their gradients, of at most `most` rows and columns each"""
        ids = self.ids(text)
        if grad and edits:
            raise ValueError("gradients: of a pass with edits, expected one without; switch the edits off to see gradients")
        self._check_room(ids)
        inside = [name for name in names if name not in self.model.params]
        found = self._backward(ids, of, watch) if grad else self._forward(ids, edits, watch, inside or ["logits"])
        out = []
        for name in names:
            is_parameter = name in self.model.params
            step = (trace(self.model, ids, _targets(ids, of), name, watch=watch) if is_parameter and ids.shape[1] > 1
                    else found)[name] if grad or not is_parameter else None
            axes = step.axes if step is not None else parameters(self.model.config)[name].axes
            value = step.value if step is not None else self.model.params[name]
            likely = self._likely(ids, found, most) if "V" in axes.split() else None
            for which, array in [("value", value), *([("gradient", step.grad)] if grad and step is not None else [])]:
                out.append(self._picture(name, which, axes, array, ids, most, rows, columns, likely))
        return {"tokens": self.tokens(ids)}, out

    # Passes

    def _forward(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], watch: Watch, names: Sequence[str]) -> Trace:
        """A pass with edits, which holds `names` at least, and all activations where there is room for them"""
        fits = ids.shape[1] <= self.longest
        targets = True if ids.shape[1] > 1 else None
        table = {name: row for name, row in activations(self.model.config).items() if targets or not row.of_targets}

        def go() -> Trace:
            changed = as_edits(self.model, ids, edits, self.ids)
            return run(self.model, ids, targets, edits=changed, names=list(table) if fits else list(names), watch=watch)

        if unknown := [name for name in names if name not in table]:
            raise ValueError(f"names: {unknown[0]!r}, expected an activation of this pass; a single token has no loss")
        key = json.dumps(["forward", ids.tolist(), list(edits)])
        return self._keep(key, go) if fits else go()

    def _backward(self, ids: np.ndarray, of: Any, watch: Watch) -> Trace:
        if ids.shape[1] < 2:
            raise ValueError("text: one token, expected at least two; the second is the first that has a loss")
        self._check_room(ids)
        names = list(activations(self.model.config))
        return self._keep(json.dumps(["backward", ids.tolist(), of]),
                          lambda: trace(self.model, ids, _targets(ids, of), names, watch=watch))

    def _keep(self, key: str, go: Callable[[], Trace]) -> Trace:
        found = self._kept.pop(key) if key in self._kept else go()
        self._kept[key] = found
        kind = key.partition(",")[0]
        same = [other for other in self._kept if other.partition(",")[0] == kind]
        for old in same[:-KEPT]:
            del self._kept[old]
        return found

    def _check_room(self, ids: np.ndarray) -> None:
        if ids.shape[1] > self.longest:
            raise ValueError(f"text: {ids.shape[1]} tokens, expected at most {self.longest} for this model: the activations "
                             "and gradients of more do not fit into a gigabyte; shorten it")

    @cached_property
    def longest(self) -> int:
        """The most tokens of which all activations and gradients have room"""
        n = self.model.config.n_positions
        low, high = 1, n
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if _bytes(self.model, middle) <= LARGEST else (low, middle - 1)
        return low

    # Pictures

    def _likely(self, ids: np.ndarray, found: Trace, most: int) -> list[int]:
        """The tokens that matter where not all of a vocabulary can be shown: those of the text and likely ones, by id"""
        V = self.model.config.vocab_size
        if most >= V:
            return list(range(V))
        probs = found["probs"].value[0]
        chosen = dict.fromkeys(ids[0].tolist()[:most])
        peak = probs.max(0)
        for id in np.argsort(-peak, kind="stable").tolist():
            if len(chosen) >= most:
                break
            chosen[id] = None
        return sorted(chosen)

    def _picture(
        self, name: str, which: str, axes: str, array: np.ndarray, ids: np.ndarray, most: int, rows: Sequence[int] | None,
        columns: Sequence[int] | None, likely: list[int] | None,
    ) -> tuple[dict[str, Any], np.ndarray]:
        letters = axes.split()
        if letters[:1] == ["B"]:
            letters, array = letters[1:], array[0]
        shape = array.shape
        finite = array[np.isfinite(array)].astype(np.float64)
        if len(letters) == 0:
            letters, array = ["1", "1"], array.reshape(1, 1)
        elif len(letters) == 1:
            letters, array = (["T", "1"], array[:, None]) if letters == ["T"] else (["1", *letters], array[None])
        row_axis, column_axis = letters[-2:]
        shown_rows = _shown(array.shape[-2], most, rows, likely if row_axis == "V" else None)
        shown_columns = _shown(array.shape[-1], most, columns, likely if column_axis == "V" else None)
        array = array[..., shown_rows, :][..., shown_columns]

        def words(axis: str, places: list[int]) -> list[str] | None:
            return [label(self.model.tokenizer, place) for place in places] if axis == "V" else None

        return {
            "name": name, "which": which, "axes": axes, "shape": shape, "shown": array.shape, "rows": shown_rows,
            "columns": shown_columns, "row_axis": row_axis, "column_axis": column_axis,
            "row_labels": words(row_axis, shown_rows), "column_labels": words(column_axis, shown_columns),
            "least": finite.min() if finite.size else None, "greatest": finite.max() if finite.size else None,
            "rms": math.sqrt((finite**2).mean()) if finite.size else None,
        }, array


def losses(found: Trace) -> list[float | None]:
    """The loss of each token, predicted from those before it: [None, nll of the second, …]"""
    if found.loss is None:
        return [None] * found.ids.shape[1]
    return [None, *found["nll"].value[0, :-1].tolist()]


def _targets(ids: np.ndarray, of: Any) -> Any:
    """What the loss is of: True for all next tokens, or token t alone, as targets (1, T)"""
    T = ids.shape[1]
    if of == "all":
        return True
    if not isinstance(of, int) or isinstance(of, bool) or not 1 <= of < T:
        raise ValueError(f'of: {of!r}, expected "all" or a position from 1 to {T - 1}; the first token has no loss')
    targets = np.full(ids.shape, IGNORED)
    targets[0, of - 1] = ids[0, of]
    return targets


def _shown(size: int, most: int, wanted: Sequence[int] | None, chosen: list[int] | None) -> list[int]:
    """The indices that are sent of an axis: at most `most` of them, evenly apart"""
    if chosen is not None:
        return [i for i in chosen if i < size]
    first, last = (0, size) if wanted is None else (max(0, wanted[0]), min(size, wanted[1]))
    if first >= last:
        raise ValueError(f"rows, columns: from {first} to {last}, expected a part of 0 to {size}")
    return list(range(first, last, -(-(last - first) // most)))


def _norm(array: np.ndarray) -> float:
    return math.sqrt(np.square(array, dtype=np.float64).sum())


def _bytes(model: GPT, T: int) -> int:
    """How many bytes the activations of T tokens take, with their gradients"""
    c = model.config
    sizes = {"B": 1, "T": T, "C": c.n_embd, "H": c.n_head, "D": c.n_embd // c.n_head, "V": c.vocab_size, "4C": 4 * c.n_embd,
             "n_inner": c.mlp_width, "1": 1}
    numbers = sum(math.prod(sizes[letter] for letter in row.axes.split()) for row in activations(c).values())
    return 2 * numbers * model.dtype.itemsize
