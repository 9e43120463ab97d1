"""Generation a token at a time, for a page that may go on, go back, or take another token than the one drawn.

    next_token(text, forced, drawn=0)       the first token after the prompt and the forced tokens
    next_token(text, forced, drawn=1)       the second, …

Each answer depends on its question alone: the generators that are kept only spare work.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...generation.candidates import Candidates, candidates
from ...generation.characters import whole_characters
from ...generation.generate import with_ends
from ...inputs import checked_row
from .labels import Labels

if TYPE_CHECKING:
    from ...models.gpt import GPT

OPTIONS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
MOST_DRAWN = 10_000         # tokens after a prompt
SHOWN = 12                  # candidates of a token
KEPT = 4                    # generators


class Drawing:
    """The generators of one model, the last few of them."""

    def __init__(self, model: GPT) -> None:
        self.model, self._labels = model, Labels(model.tokenizer)
        self._kept: OrderedDict[str, tuple[Iterator[Candidates], list[Candidates]]] = OrderedDict()

    def next_token(self, prompt: list[int], forced: Sequence[int], drawn: int, options: Mapping[str, Any],
                   watch: Callable[[str], None]) -> dict[str, Any]:
        """The token after `drawn` others, with its candidates and what each option made of them.

        prompt: ids, as generate() begins.  forced: ids that follow it, whatever the model thinks of them.
        """
        model, tokenizer = self.model, self.model.tokenizer
        if unknown := sorted(options.keys() - set(OPTIONS)):
            raise ValueError(f"options: {unknown[0]!r:.80}, expected some of {', '.join(OPTIONS)}")
        forced = checked_row(list(forced), model.config.vocab_size, "forced")
        chosen = {name: value for name, value in options.items() if value is not None}
        key = json.dumps([prompt, forced, chosen], sort_keys=True)
        if key in self._kept:
            steps, seen = self._kept.pop(key)
        else:
            steps = candidates(model, [*prompt, *forced], MOST_DRAWN, n_candidates=SHOWN, sliding_window=True,
                               **with_ends(tokenizer, chosen))
            seen = []
        while len(seen) <= drawn:
            watch("token")
            step = next(steps, None)
            if step is None:
                raise ValueError(f"drawn: {drawn}, but the text ended after {len(seen)} tokens")
            seen.append(step)
        self._kept[key] = steps, seen
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        ends = with_ends(tokenizer, chosen)["stop_ids"]
        step = seen[drawn]
        output = [*forced, *(step.token for step in seen[: drawn + 1])]
        shown = [id for id in output if id not in ends]
        stages = list(step.probabilities)
        return {
            "token": {"id": step.token, "label": self._labels.of(step.token)},
            "output": "".join(whole_characters(tokenizer, shown)) if tokenizer is not None else " ".join(map(str, shown)),
            "stages": stages, "possible": step.possible, "ended": step.token in ends,
            "candidates": [{"id": id, "label": self._labels.of(id), "p": [step.probabilities[name][i] for name in stages]}
                           for i, id in enumerate(step.ids.tolist())],
        }
