"""Edits of a pass, as the page sends them, as functions for model.run(), and as the Python that does the same.

    {"name": "h.0.attn.o", "head": 2, "position": null, "how": "off"}
    {"name": "h.1.mlp.out", "head": null, "position": 5, "how": "scale", "factor": 0.5}
    {"name": "h.2.in", "head": null, "position": 5, "how": "patch", "from": "another text, of as many tokens"}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inputs import is_number, is_whole
from ..equations import activations
from ..interventions import run

if TYPE_CHECKING:
    from ...models.gpt import GPT

    Edit = Callable[[np.ndarray], np.ndarray]

MOST = 16       # edits at once


@dataclass(frozen=True)
class Change:
    """One edit: which numbers of which activation, and what becomes of them."""

    name: str
    axes: tuple[str, ...]       # letters of the activation's axes
    sizes: tuple[int, ...]      # and their sizes
    head: int | None
    position: int | None
    how: str
    factor: float
    text: str                   # that a patch comes from

    def mask(self) -> np.ndarray | None:
        """Where it changes something, in a shape that goes with the activation; None for everywhere"""
        mask = None
        for wanted, axis in ((self.head, self._axis("H")), (self.position, self._axis("T"))):
            if wanted is not None:
                one = (np.arange(self.sizes[axis]) == wanted).reshape(-1, *[1] * (len(self.sizes) - 1 - axis))
                mask = one if mask is None else mask & one
        return mask

    def mask_code(self) -> str:
        """The same as Python; "" for everywhere"""
        parts = []
        for wanted, axis in ((self.head, self._axis("H")), (self.position, self._axis("T"))):
            if wanted is not None:
                below = ", None" * (len(self.sizes) - 1 - axis)
                parts.append(f"(np.arange({self.sizes[axis]}) == {wanted})" + (f"[:{below}]" if below else ""))
        return " & ".join(parts)

    def _axis(self, letter: str) -> int:
        """The axis of heads or positions, the queries' where there are two; −1 where there is none"""
        return self.axes.index(letter) if letter in self.axes else -1


def checked(model: GPT, T: int, edits: Sequence[Any]) -> list[Change]:
    """The edits of a request for a text of T tokens.  Raises ValueError that says which is wrong and why."""
    config, table = model.config, activations(model.config)
    if len(edits) > MOST:
        raise ValueError(f"edits: {len(edits)}, expected at most {MOST}; remove some")
    changes = []
    for i, edit in enumerate(edits):
        if not isinstance(edit, Mapping):
            raise ValueError(f"edits[{i}]: {edit!r:.80}, expected an object")
        name, how = edit.get("name"), edit.get("how")
        if not isinstance(name, str) or name not in table or name == "loss" or table[name].of_targets:
            raise ValueError(f"edits[{i}].name: {name!r:.80}, expected an activation that a pass without targets has")
        if how not in ("off", "scale", "patch"):
            raise ValueError(f"edits[{i}].how: {how!r:.80}, expected off, scale or patch")
        axes = tuple(table[name].axes.split())
        known = {"B": 1, "T": T, "H": config.n_head}
        for field, letter in (("head", "H"), ("position", "T")):
            value = edit.get(field)
            if value is not None and (letter not in axes or not is_whole(value, 0, known[letter] - 1)):
                expected = f"0 to {known[letter] - 1}" if letter in axes else f"none, for {name} has no {field}s"
                raise ValueError(f"edits[{i}].{field}: {value!r:.80}, expected {expected}")
        factor = edit.get("factor", 0.0)
        if how == "scale" and not (is_number(factor) and math.isfinite(factor)):
            raise ValueError(f"edits[{i}].factor: {factor!r:.80}, expected a finite number")
        text = edit.get("from", "")
        if how == "patch" and not isinstance(text, str):
            raise ValueError(f"edits[{i}].from: {text!r:.80}, expected a text")
        sizes = tuple(known.get(letter, 0) for letter in axes)
        changes.append(Change(name, axes, sizes, edit.get("head"), edit.get("position"), how, float(factor), text))
    return changes


def as_edits(model: GPT, ids: np.ndarray, edits: Sequence[Any], encode: Callable[[str], np.ndarray]) -> dict[str, Edit]:
    """Edits of a request as `edits` of model.run(); those of one name follow one another.  Raises ValueError."""
    functions: dict[str, Edit] = {}
    for change in checked(model, ids.shape[1], edits):
        functions[change.name] = _after(functions.get(change.name), change, _new(model, ids, change, encode))
    return functions


def _new(model: GPT, ids: np.ndarray, change: Change, encode: Callable[[str], np.ndarray]) -> Edit:
    """What takes the place of an activation, before the mask"""
    if change.how == "off":
        return np.zeros_like
    if change.how == "scale":
        return lambda x: change.factor * x
    other = encode(change.text)
    if other.shape != ids.shape:
        n, T = other.shape[1], ids.shape[1]
        raise ValueError(f"from: {n} token{'s' * (n != 1)}, expected {T}, as many as the text has; a patch goes from each "
                         "position to the same one")
    value = run(model, other, names=change.name)[change.name].value
    return lambda x: value


def _after(before: Edit | None, change: Change, new: Edit) -> Edit:
    mask = change.mask()

    def edit(x: np.ndarray) -> np.ndarray:
        x = x if before is None else before(x)
        return new(x) if mask is None else np.where(mask, new(x), x)

    return edit


def as_code(model: GPT, text: str, ids: np.ndarray, edits: Sequence[Any]) -> str:
    """Python that computes the loss under the same edits, with `model` as in GPT.from_pretrained()"""
    lines, expressions = ["import numpy as np", ""], dict[str, str]()

    def shown(text: str) -> str:
        return repr(text) if model.tokenizer is not None else repr([int(word) for word in text.split()])

    for i, change in enumerate(checked(model, ids.shape[1], edits)):
        x, mask = expressions.get(change.name, "x"), change.mask_code()
        if change.how == "patch":
            lines.append(f"other_{i} = model.run({shown(change.text)}, names={change.name!r})[{change.name!r}].value")
            new = f"other_{i}"
        else:
            new = f"np.zeros_like({x})" if change.how == "off" else f"{change.factor!r} * {x}"
        expressions[change.name] = f"np.where({mask}, {new}, {x})" if mask else new
    listed = "".join(f"    {name!r}: lambda x: {expression},\n" for name, expression in expressions.items())
    edits_code = "{\n" + listed + "}" if listed else "{}"
    return "\n".join([*lines, f"model.run({shown(text)}, targets=True, edits={edits_code}).loss"])
