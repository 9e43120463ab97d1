"""The numbers of a trace as files for other programs: CSV and npz.

    write_csv(trace.select("h.0.*"), "h.0.csv")     a line for each number
    write_npz(trace, "all.npz", grad=True)          numpy.load("all.npz")["h.0.attn.att.grad"]

On a terminal they are shown by tables.py.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..system.files import write_atomic
from ..weights import npz
from .pictures import label
from .tables import Axis, axes_of

if TYPE_CHECKING:
    from .trace import Trace

_COLUMNS = ("sequence", "head", "position", "token", "key", "key_token", "id", "id_token", "input", "channel")
_TOKENS = {"position": "token", "key": "key_token", "id": "id_token"}


def write_csv(trace: Trace, path: str | os.PathLike[str], grad: bool = False) -> None:
    """Write every number of a trace on a line of its own, with what it belongs to; `grad` adds the gradients.

        name,head,position,token,key,key_token,value
        h.0.attn.att,0,1,O,0,R,0.68817484

    The columns are those of the axes that there are: sequence where there are several, head, position of a token, key (the
    position attended to), id of the vocabulary, input (the channel of a weight's input), channel.  The file is whole or, after
    an error, unchanged.  Raises ValueError for gradients that the trace lacks, OSError.
    """
    write_atomic(path, (piece.encode() for piece in csv_pieces(trace, grad)))


def write_npz(trace: Trace, path: str | os.PathLike[str], grad: bool = False) -> None:
    """Write the arrays of a trace by name, their gradients as NAME.grad, and the text as "tokens" (B, T).

    The file is whole or, after an error, unchanged.  Raises ValueError for gradients that the trace lacks, OSError.
    """
    arrays = {name: step.value for name, step in trace.items()}
    if grad:
        arrays |= {f"{name}.grad": step.grad for name, step in trace.items()}
    tokens = np.array([[label(trace.tokenizer, int(id)) for id in row] for row in trace.ids])
    npz.save(path, {**arrays, "tokens": tokens}, None)


def csv_pieces(trace: Trace, grad: bool = False) -> Iterator[str]:
    """The lines of write_csv(), several at a time."""
    axes = {name: axes_of(step) for name, step in trace.items()}
    used = {axis.name for several in axes.values() for axis in several if axis.name != "sequence" or axis.size > 1}
    used |= {_TOKENS[name] for name in used & _TOKENS.keys()}
    header = ["name", *(name for name in _COLUMNS if name in used), "value", *["gradient"] * grad]
    yield ",".join(header) + "\n"
    for name, step in trace.items():
        shape = [axis.size for axis in axes[name]] or [1]
        arrays = [array.reshape(shape) for array in ([step.value, step.grad] if grad else [step.value])]
        for index in np.ndindex(*shape[:-1]):
            sequence = index[0] if axes[name][:1] and axes[name][0].name == "sequence" else 0
            first = {"name": name, **_fields(axes[name][:-1], index, sequence)}
            piece = io.StringIO()
            lines = csv.DictWriter(piece, header, extrasaction="ignore", lineterminator="\n")
            for j, numbers in enumerate(zip(*(array[index] for array in arrays), strict=True)):
                last = _fields(axes[name][-1:], (j,), sequence)
                lines.writerow({**first, **last, **dict(zip(("value", "gradient"), numbers, strict=False))})
            yield piece.getvalue()


def _fields(axes: list[Axis], index: tuple[int, ...], sequence: int) -> dict[str, object]:
    """What a line of CSV says of some axes: the index along each, and the token there"""
    fields: dict[str, object] = {}
    for axis, i in zip(axes, index, strict=False):       # a single number has no axes
        fields[axis.name] = i
        if axis.token is not None:
            fields[_TOKENS[axis.name]] = axis.token(sequence, i)
    return fields
