"""What the lab answers: a name and an object of JSON -> JSON or packed arrays.

One computation at a time: requests wait in a line, and what the page has given up leaves it or stops where it is.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...colors import BLUE, GRAY, GRAY_OPACITY, ORANGE, UNDER_TEXT
from ...inputs import is_whole
from ...system.text import printable
from ...weights.pretrained import from_pretrained
from ..equations import activations, parameters
from .arrays import Part
from .changes import as_code
from .drawing import Drawing
from .packing import as_json, packed
from .passes import Passes, losses
from .runs import Run, is_ready

if TYPE_CHECKING:
    from ...models.gpt import GPT

JSON, BYTES = "application/json", "application/octet-stream"
LONGEST_TEXT = 100_000      # characters
LARGEST_SIDE = 1024         # rows or columns of one array


class Abandoned(Exception):
    """The page no longer waits for the answer."""


class UnknownRequest(ValueError):
    """There is nothing of this name."""


class Lab:
    """One model, and a training run's folder where there is one, behind the requests of the page.

    Several threads may call answer(); one at a time computes, the others wait in the order in which they came.
    Raises ValueError for a model whose attention looks ahead.
    """

    def __init__(self, model: GPT, run: str | os.PathLike[str] | None = None) -> None:
        model.config.require_causal("the lab")
        self.run = None if run is None else Path(run)
        self._run = None if self.run is None else Run(self.run)
        self._models = {"start": (Passes(model), Drawing(model))}
        self.waiting: deque[object] = deque()      # in the order in which they came; the first computes
        self._turn = threading.Condition()
        self._use("start")

    def _use(self, which: str) -> None:
        """Turn to the model that a request is about; each tab has its own."""
        if which not in self._models:
            raise ValueError("model: not open, expected one that this server has opened; reload the page")
        self._opened, (self._passes, self._drawing) = which, self._models[which]
        self.model = self._passes.model

    def answer(self, name: str, request: Mapping[str, Any], is_gone: Callable[[], bool] = lambda: False) -> tuple[str, bytes]:
        """The content type and the bytes of an answer.

        is_gone: asked during a wait and at each activation of a pass; where it is True the request ends with Abandoned.
        Raises UnknownRequest, and ValueError or TypeError that says what is wrong with the request.
        """
        found = REQUESTS.get(name)
        if found is None:
            raise UnknownRequest(f"{printable(name, 80)}: no such request; there are {', '.join(REQUESTS)}")

        def watch(name: str) -> None:
            if is_gone():
                raise Abandoned

        fields = _Fields(request)
        if name == "training":              # of a folder, not of a model: it waits for none
            return found(self, fields, watch)
        with self._alone(is_gone):
            self._use("start" if fields.get("model", None) is None else fields.one_of("model", ("start", "run")))
            return found(self, fields, watch)

    @contextmanager
    def _alone(self, is_gone: Callable[[], bool]) -> Iterator[None]:
        ticket = object()
        with self._turn:
            self.waiting.append(ticket)
        try:
            with self._turn:
                while self.waiting[0] is not ticket:
                    if is_gone():
                        raise Abandoned
                    self._turn.wait(0.05)
            yield
        finally:
            with self._turn:
                self.waiting.remove(ticket)
                self._turn.notify_all()

    # Requests

    def _model(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        config = self.model.config
        rows = [("activation", name, row) for name, row in activations(config).items()]
        rows += [("parameter", name, row) for name, row in parameters(config).items()]
        names = []
        for kind, name, row in rows:
            source = row.source(name)
            names.append({
                "name": name, "kind": kind, "axes": row.axes, "forward": row.forward, "backward": row.backward,
                "section": row.section, "source": source, "code": [_code(place) for place in source],
                "editable": kind == "activation" and not row.of_targets,
            })
        models = [{"key": "start", "name": self._name("start")}]
        if self.run is not None and is_ready(self.run):
            models.append({"key": "run", "name": printable(self.run)})
        facts = ("n_layer", "n_head", "n_embd", "n_positions", "vocab_size", "pre_norm", "activation_function")
        return JSON, as_json({
            "name": self._name(self._opened), "opened": self._opened, "models": models,
            "run": None if self.run is None else printable(self.run),
            "parameters": config.n_params,
            "config": {**{name: getattr(config, name) for name in facts}, "tied": config.tie_word_embeddings},
            "text": self._text(), "longest": self._passes.longest, "version": __version__, "names": names,
            "colors": {"blue": BLUE, "orange": ORANGE, "gray": GRAY, "gray_opacity": GRAY_OPACITY, "under_text": UNDER_TEXT},
        })

    def _name(self, which: str) -> str:
        name = self._models[which][0].model.name
        return printable(name) if name else "model"

    def _text(self) -> str:
        """A text to begin with that the model can read"""
        for text in ("To be, or not to be, that is the question", "ab"):
            try:
                if self._passes.ids(text).shape[1] > 1:
                    return text
            except ValueError:
                continue
        tokenizer, V = self.model.tokenizer, self.model.config.vocab_size
        some = [V // 2, V // 3, V // 4][: self.model.config.n_positions]
        return " ".join(map(str, some)) if tokenizer is None else tokenizer.decode([id % tokenizer.vocab_size for id in some])

    def _open(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        which = fields.one_of("which", ("start", "run"))
        if which == "run":
            if self.run is None or not is_ready(self.run):
                raise ValueError("open: no model in the run's folder yet, expected one after its first evaluation")
            model = from_pretrained(self.run)                   # anew each time: the best one may be another by now
            self._models["run"] = Passes(model), Drawing(model)
        self._use(which)
        return self._model(fields, watch)

    def _pass(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        return JSON, as_json(self._passes.summary(fields.text(), fields.list("edits"), watch))

    def _lens(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        return JSON, as_json(self._passes.lens(fields.text(), fields.list("edits"), fields.span("positions"), watch))

    def _backward(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        return BYTES, packed(*self._passes.backward(fields.text(), fields.get("of", "all"), watch))

    def _last(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        return JSON, as_json({"text": self._passes.last(fields.text(), fields.whole("most", 1, 1, LONGEST_TEXT))})

    def _arrays(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        known = {*activations(self.model.config), *self.model.params}
        names = fields.list("names")
        if not names or not all(isinstance(name, str) and name in known for name in names):
            raise ValueError(f"names: {printable(repr(names), 80)}, expected some of this model's names, such as logits")
        return BYTES, packed(*self._passes.arrays(
            fields.text(), fields.list("edits"), fields.get("of", "all"), names, bool(fields.get("grad", False)),
            Part(fields.whole("most", 256, 1, LARGEST_SIDE), fields.span("rows"), fields.span("columns")), watch,
        ))

    def _edits(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        text, edits, passes = fields.text(), fields.list("edits"), self._passes
        ids = passes.ids(text)
        after, before = (passes.effect(ids, some, watch) for some in (edits, []))       # the last one asked for is kept longest
        if before.loss is None or after.loss is None:
            raise ValueError("text: one token, expected at least two; the second is the first that has a loss")
        alone = [after.loss if len(edits) == 1 else passes.loss_alone(ids, edit, watch) for edit in edits]
        return JSON, as_json({
            "tokens": passes.tokens(ids), "before": {"loss": before.loss, "nll": losses(before)},
            "rows": [{"loss": loss, "change": (loss or 0.0) - before.loss} for loss in alone],
            "all": {"loss": after.loss, "change": after.loss - before.loss, "nll": losses(after)},
            "code": as_code(self.model, text, ids, edits),
        })

    def _next(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        text, forced = fields.text(), fields.list("forced")
        drawn = fields.whole("drawn", 0, 0, 10_000)
        options = fields.get("options", {})
        if not isinstance(options, dict):
            raise ValueError(f"options: {printable(repr(options), 80)}, expected an object")
        return JSON, as_json(self._drawing.next_token(self._passes.prompt(text), forced, drawn, options, watch))

    def _training(self, fields: _Fields, watch: Callable[[str], None]) -> tuple[str, bytes]:
        if self._run is None:
            raise UnknownRequest("training: the lab shows no run, expected one; start it with --run FOLDER")
        return JSON, as_json({"run": printable(self.run), **self._run.training()})


REQUESTS: dict[str, Callable[[Lab, _Fields, Callable[[str], None]], tuple[str, bytes]]] = {
    "model": Lab._model, "open": Lab._open, "pass": Lab._pass, "arrays": Lab._arrays, "lens": Lab._lens,
    "backward": Lab._backward, "edits": Lab._edits, "next": Lab._next, "last": Lab._last,
    "training": Lab._training,
}


class _Fields:
    """The fields of a request, each checked when it is read.  Raises ValueError that names it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def get(self, name: str, default: Any) -> Any:
        return self._fields.get(name, default)

    def text(self) -> str:
        text = self._fields.get("text")
        if not isinstance(text, str):
            raise ValueError(f"text: {printable(repr(text), 80)}, expected a text")
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"text: {len(text):,} characters, expected at most {LONGEST_TEXT:,}; shorten it")
        return text

    def list(self, name: str) -> list[Any]:
        value = self._fields.get(name, [])
        if not isinstance(value, list):
            raise ValueError(f"{name}: {printable(repr(value), 80)}, expected a list")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self._fields.get(name, default)
        if not is_whole(value, least, most):
            raise ValueError(f"{name}: {printable(repr(value), 80)}, expected a whole number from {least} to {most}")
        return int(value)

    def span(self, name: str) -> tuple[int, int] | None:
        value = self._fields.get(name)
        if value is None:
            return None
        if not (isinstance(value, list) and len(value) == 2 and all(is_whole(end, 0) for end in value)):
            raise ValueError(f"{name}: {printable(repr(value), 80)}, expected [from, until]")
        return value[0], value[1]

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._fields.get(name)
        if value not in choices:
            raise ValueError(f"{name}: {printable(repr(value), 80)}, expected {' or '.join(choices)}")
        return str(value)


@cache
def _code(place: str) -> str:
    """The line of source at "minigpt/nn/mlp.py:18"; "" where it cannot be read"""
    file, _, line = place.rpartition(":")
    try:
        if file.startswith("minigpt/"):
            text = resources.files("minigpt").joinpath(file.removeprefix("minigpt/")).read_text(encoding="utf-8")
        else:
            text = Path(file).read_text(encoding="utf-8")
        return text.splitlines()[int(line) - 1].strip()
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
