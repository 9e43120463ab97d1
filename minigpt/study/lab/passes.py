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
from ..pictures import likeliest
from ..trace import trace
from .arrays import Part, picture, tokens_that_matter
from .changes import as_edits
from .labels import Labels

if TYPE_CHECKING:
    from ...models.gpt import GPT
    from ..trace import Trace

KEPT = 2                    # passes of each kind
MOST_ALONE = 1000           # losses of one edit each
LARGEST = 1 << 30           # bytes of all activations and their gradients
LARGEST_LENS = 1 << 24      # probabilities that the lens computes at once
LIKELIEST = 5               # predictions that are shown at each position
Watch = Callable[[str], None]
Named = tuple[str, str, str, np.ndarray]        # a name, "value" or "gradient", letters of the axes, the array
WayBack = tuple[dict[str, Any], list[tuple[dict[str, Any], np.ndarray]]]


class TooLong(ValueError):
    """A text of more tokens than a view can show; `most` is how many it can."""

    def __init__(self, sentence: str, most: int) -> None:
        super().__init__(sentence)
        self.most = most


class Passes:
    """The passes of one model, for the page.

    watch(name) is called at each activation; what it raises ends the pass.
    """

    def __init__(self, model: GPT) -> None:
        self.model, self.labels = model, Labels(model.tokenizer)
        self._kept: OrderedDict[str, Trace] = OrderedDict()
        self._alone: dict[str, float | None] = {}
        self._told: tuple[str, WayBack] = ("", ({}, []))        # the last way back, and what it is of

    # Texts

    def ids(self, text: str) -> np.ndarray:
        """The tokens of a text (1, T); without a tokenizer the text is ids with spaces between.  Raises ValueError."""
        row, most = self._encoded(text), self.model.config.n_positions
        if not row:
            raise ValueError("text: empty, expected at least one token; type something")
        if len(row) > most:
            raise TooLong(f"text: {len(row):,} tokens, expected at most {most:,}, all that the model reads at once; shorten it",
                          most)
        return self.model.checked_ids(row)

    def _encoded(self, text: str) -> list[int]:
        tokenizer = self.model.tokenizer
        if tokenizer is not None:
            return tokenizer.encode(text, allowed_special="all")
        words = text.split()
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise ValueError("text: this model has no tokenizer, expected ids with spaces between, such as 17 4 62")
        return [int(word) for word in words]

    def last(self, text: str, most: int) -> str:
        """The end of a text, of as many tokens as there may be, from the first whole character on"""
        row, tokenizer = self._encoded(text), self.model.tokenizer
        if tokenizer is None:
            return " ".join(map(str, row[-most:]))
        for n in range(min(most, len(row)), 0, -1):
            end = tokenizer.decode(row[-n:]).lstrip("\ufffd")
            if len(self._encoded(end)) <= most:         # subtle: cut within a word, it may become more tokens
                return end
        return ""

    def prompt(self, text: str) -> list[int]:
        """The ids from which generation goes on: of an empty text the one where texts start, where the tokenizer has it"""
        start = None if self.model.tokenizer is None else self.model.tokenizer.special_tokens.get(END_OF_TEXT)
        ids = [start] if not text and start is not None else self._encoded(text)
        if not ids:
            raise ValueError("text: empty, expected at least one token; type something")
        return ids

    def tokens(self, ids: np.ndarray) -> list[dict[str, Any]]:
        """[{"id", "label"}] of the first sequence"""
        row = ids[0].tolist()
        return [{"id": id, "label": word} for id, word in zip(row, self.labels.of_text(row), strict=True)]

    # Answers

    def summary(self, text: str, edits: Sequence[Mapping[str, Any]], watch: Watch) -> dict[str, Any]:
        """The losses of a text, and the likeliest next tokens at each position, with edits or without"""
        ids = self.ids(text)
        found = self._forward(ids, edits, watch, ["probs", *(["nll"] if ids.shape[1] > 1 else [])])
        best = zip(*likeliest(found["probs"].value[0], LIKELIEST), strict=True)
        return {
            "tokens": self.tokens(ids), "loss": found.loss, "nll": losses(found),
            "predictions": [[{"id": id, "label": self.labels.of(id), "p": p}
                             for id, p in zip(row.tolist(), shares.tolist(), strict=True)] for row, shares in best],
        }

    def effect(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], watch: Watch) -> Trace:
        """A pass with edits, of which the loss is wanted and nothing else is kept"""
        key = _key("forward", ids, list(edits))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return self._run(ids, edits, watch, ["nll"] if ids.shape[1] > 1 else ["logits"])

    def loss_alone(self, ids: np.ndarray, edit: Mapping[str, Any], watch: Watch) -> float | None:
        """The loss with one edit; it is kept, since the next click asks for those of the edits before it again"""
        key = _key("alone", ids, edit)
        if key not in self._alone:
            self._alone[key] = self.effect(ids, [edit], watch).loss
            if len(self._alone) > MOST_ALONE:
                del self._alone[next(iter(self._alone))]
        return self._alone[key]

    def lens(self, text: str, edits: Sequence[Mapping[str, Any]], part: Sequence[int] | None, watch: Watch) -> dict[str, Any]:
        """The likeliest next token at each position of each point of the residual stream, or at those of `part` alone"""
        ids, points = self.ids(text), lens_points(self.model.config)
        stream = self._forward(ids, edits, watch, points)
        first, last = (0, ids.shape[1]) if part is None else (part[0], min(part[1], ids.shape[1]))
        if first >= last:
            raise ValueError(f"positions: from {first} to {last}, expected a part of 0 to {ids.shape[1]}")
        best: list[list[dict[str, Any]]] = [[] for _ in points]
        step = max(1, LARGEST_LENS // self.model.config.vocab_size)
        for name, row in zip(points, best, strict=True):            # as logit_lens() does, to the bit
            for start in range(first, last, step):
                watch("lens")
                probs = read_stream(self.model, stream[name].value[:, start : min(start + step, last)])[0]
                row += [{"label": self.labels.of(id), "p": share}
                        for id, share in zip(probs.argmax(-1).tolist(), probs.max(-1).tolist(), strict=True)]
        return {"points": points, "first": first, "best": best}

    def backward(self, text: str, of: Any, watch: Watch) -> WayBack:
        """The norm of the gradient at every activation, in the order of the backward pass, and the ways it came.

        The arrays are norms at each token: of a step's ways, as many rows, and of the gradient that reaches the inputs.
        """
        ids = self.ids(text)
        key = _key("way back", ids, of)
        if key != self._told[0]:
            self._told = key, self._way_back(ids, of, watch)
        return self._told[1]

    def _way_back(self, ids: np.ndarray, of: Any, watch: Watch) -> WayBack:
        found = self._backward(ids, of, watch)
        steps, arrays = [], [({"name": "inputs", "shown": ids.shape}, np.linalg.norm(found.grad("wte.out"), axis=-1))]
        for name in reversed(list(activations(self.model.config))):
            watch(name)
            parts = found.parts(name)
            ways = [{"through": way, "norm": _norm(part)} for way, part in parts.items()]
            steps.append({"name": name, "norm": _norm(found.grad(name)), "parts": ways})
            if parts:
                norms = np.stack([np.linalg.norm(part[0], axis=-1) for part in parts.values()])
                arrays.append(({"name": name, "shown": norms.shape}, norms))
        return {"tokens": self.tokens(ids), "loss": found.loss, "steps": steps}, arrays

    def arrays(self, text: str, edits: Sequence[Mapping[str, Any]], of: Any, names: Sequence[str], grad: bool, part: Part,
               watch: Watch) -> tuple[dict[str, Any], list[tuple[dict[str, Any], np.ndarray]]]:
        """The numbers of some names, and with grad=True their gradients, each with what a picture tells of it"""
        ids = self.ids(text)
        self._check_room(ids)
        if grad and edits:
            raise ValueError("gradients: of a pass with edits, expected one without; switch the edits off to see gradients")
        found = self._with_gradients(ids, of, names, watch) if grad else self._values(ids, edits, names, watch)
        if any("V" in axes.split() for _, _, axes, _ in found):
            probs = self._forward(ids, edits, watch, ["probs"])["probs"].value[0]
            part = part.of_vocabulary(tokens_that_matter(ids[0], probs, part.most))
        return {"tokens": self.tokens(ids)}, [picture(*one, part, self.labels.of) for one in found]

    def _values(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], names: Sequence[str], watch: Watch) -> list[Named]:
        """Activations of a pass, and parameters as they are"""
        inside = [name for name in names if name not in self.model.params]
        found = self._forward(ids, edits, watch, inside) if inside else {}
        table = parameters(self.model.config)
        return [(name, "value", found[name].axes, found[name].value) if name in found else
                (name, "value", table[name].axes, self.model.params[name]) for name in names]

    def _with_gradients(self, ids: np.ndarray, of: Any, names: Sequence[str], watch: Watch) -> list[Named]:
        """Activations and parameters, each followed by its gradient"""
        weights = [name for name in names if name in self.model.params]
        of_weights = trace(self.model, ids, _targets(ids, of), weights, watch=watch) if weights else {}
        inside = self._backward(ids, of, watch) if len(weights) < len(names) else {}
        steps = [of_weights[name] if name in of_weights else inside[name] for name in names]
        return [(step.name, which, step.axes, array) for step in steps
                for which, array in (("value", step.value), ("gradient", step.grad))]

    # Passes

    def _forward(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], watch: Watch, names: Sequence[str]) -> Trace:
        """A pass with edits, which holds `names` at least, and all activations where there is room for them"""
        fits = ids.shape[1] <= self.longest
        table = [name for name, row in activations(self.model.config).items() if ids.shape[1] > 1 or not row.of_targets]
        if unknown := [name for name in names if name not in table]:
            raise ValueError(f"names: {unknown[0]!r}, expected an activation of this pass; a single token has no loss")
        if not fits:
            return self._run(ids, edits, watch, names)
        return self._keep(_key("forward", ids, list(edits)), lambda: self._run(ids, edits, watch, table))

    def _run(self, ids: np.ndarray, edits: Sequence[Mapping[str, Any]], watch: Watch, names: Sequence[str]) -> Trace:
        changed = as_edits(self.model, ids, edits, self.ids)
        return run(self.model, ids, True if ids.shape[1] > 1 else None, edits=changed, names=names, watch=watch)

    def _backward(self, ids: np.ndarray, of: Any, watch: Watch) -> Trace:
        if ids.shape[1] < 2:
            raise ValueError("text: one token, expected at least two; the second is the first that has a loss")
        self._check_room(ids)
        names = list(activations(self.model.config))
        return self._keep(_key("backward", ids, of),
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
            raise TooLong(f"text: {ids.shape[1]} tokens, expected at most {self.longest} for this model: the activations "
                          "and gradients of more do not fit into a gigabyte; shorten it", self.longest)

    @cached_property
    def longest(self) -> int:
        """The most tokens of which all activations and gradients have room"""
        n = self.model.config.n_positions
        low, high = 1, n
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if _bytes(self.model, middle) <= LARGEST else (low, middle - 1)
        return low


def _key(kind: str, ids: np.ndarray, of: Any) -> str:
    return json.dumps([kind, ids.tolist(), of])


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


def _norm(array: np.ndarray) -> float:
    return math.sqrt(np.einsum("i,i->", array.ravel(), array.ravel(), dtype=np.float64))


def _bytes(model: GPT, T: int) -> int:
    """How many bytes the activations of T tokens take, with their gradients"""
    c = model.config
    sizes = {"B": 1, "T": T, "C": c.n_embd, "H": c.n_head, "D": c.n_embd // c.n_head, "V": c.vocab_size, "4C": 4 * c.n_embd,
             "n_inner": c.mlp_width, "1": 1}
    numbers = sum(math.prod(sizes[letter] for letter in row.axes.split()) for row in activations(c).values())
    return 2 * numbers * model.dtype.itemsize
