"""Generation a token at a time, for a page that may go on, go back, or take another token than the one drawn.

    next_token(text, forced, drawn=0)       the first token after the prompt and the forced tokens
    next_token(text, forced, drawn=1)       the second, …

An answer holds what its token adds to the text, not the whole text, so that the ten-thousandth is as quick as the
first.  Each depends on its question alone: the generations that are kept only spare work.
"""

from __future__ import annotations

import codecs
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...generation.candidates import Candidates, candidates
from ...generation.characters import bytes_of
from ...generation.generate import with_ends
from ...inputs import checked_row
from .labels import Labels

if TYPE_CHECKING:
    from ...models.gpt import GPT

OPTIONS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
MOST_DRAWN = 10_000         # tokens after a prompt
SHOWN = 12                  # candidates of a token
KEPT = 4                    # generations


class Writing:
    """One generation: its steps, and what each adds to the text, in pieces that never end within a character.

    before: {"text", "open"} of the forced tokens; "open" is what stands for a character that has begun.
    """

    def __init__(self, tokenizer: Any, steps: Iterator[Candidates], forced: Sequence[int], ends: Collection[int]) -> None:
        self.steps: list[Candidates] = []
        self.pieces: list[dict[str, str]] = []
        self._more, self._tokenizer, self._ends = steps, tokenizer, ends
        self._decoder, self._is_empty = codecs.getincrementaldecoder("utf-8")("replace"), True
        before = [self._piece(id) for id in forced]
        self.before = {"text": "".join(piece["text"] for piece in before), "open": before[-1]["open"] if before else ""}

    def go_on(self) -> bool:
        """Draw one token more; whether there was one"""
        step = next(self._more, None)
        if step is not None:
            self.steps.append(step)
            self.pieces.append(self._piece(step.token))
        return step is not None

    def _piece(self, id: int) -> dict[str, str]:
        if id in self._ends:
            return {"text": "", "open": ""}
        if self._tokenizer is None:
            text, self._is_empty = str(id) if self._is_empty else f" {id}", False
            return {"text": text, "open": ""}
        text = self._decoder.decode(bytes_of(self._tokenizer, id))
        return {"text": text, "open": "\ufffd" if self._decoder.getstate()[0] else ""}


class Drawing:
    """The generations of one model, the last few of them."""

    def __init__(self, model: GPT) -> None:
        self.model, self._labels = model, Labels(model.tokenizer)
        self._kept: OrderedDict[str, Writing] = OrderedDict()

    def next_token(self, prompt: list[int], forced: Sequence[int], drawn: int, options: Mapping[str, Any],
                   watch: Callable[[str], None]) -> dict[str, Any]:
        """The token after `drawn` others, with its candidates and what each option made of them.

        prompt: ids, as generate() begins.  forced: ids that follow it, whatever the model thinks of them.
        """
        if unknown := sorted(options.keys() - set(OPTIONS)):
            raise ValueError(f"options: {unknown[0]!r:.80}, expected some of {', '.join(OPTIONS)}")
        forced = checked_row(list(forced), self.model.config.vocab_size, "forced")
        chosen = with_ends(self.model.tokenizer, {name: value for name, value in options.items() if value is not None})
        key = json.dumps([prompt, forced, chosen], sort_keys=True)
        writing = self._kept.pop(key, None) or Writing(
            self.model.tokenizer, candidates(self.model, [*prompt, *forced], MOST_DRAWN, n_candidates=SHOWN,
                                             sliding_window=True, **chosen), forced, chosen["stop_ids"])
        while len(writing.steps) <= drawn:
            watch("token")
            if not writing.go_on():
                raise ValueError(f"drawn: {drawn}, but the text ended after {len(writing.steps)} tokens")
        self._kept[key] = writing
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        step = writing.steps[drawn]
        stages = list(step.probabilities)
        return {
            "token": {"id": step.token, "label": self._labels.of(step.token)}, "before": writing.before,
            "piece": writing.pieces[drawn], "ended": step.token in chosen["stop_ids"] or drawn + 1 == MOST_DRAWN,
            "stages": stages, "possible": step.possible,
            "candidates": [{"id": id, "label": self._labels.of(id), "p": [step.probabilities[name][i] for name in stages]}
                           for i, id in enumerate(step.ids.tolist())],
        }
