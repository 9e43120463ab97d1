"""What could have been drawn: at each token the likeliest ones, and what each option makes of their probabilities.

    for step in model.candidates("ROMEO:", 3, n_candidates=4, temperature=0.7, top_k=3, seed=1):
        print(step)

Here one watches; the loop that draws is in generate.py, the options and their order in options.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..inputs import check_count, only_row, plain
from ..nn.softmax import softmax
from ..system.columns import columns, to_width
from ..system.option_names import check_options
from .generate import begin, options_for
from .options import OPTION_NAMES, Sampling


@dataclass(frozen=True, eq=False, repr=False)
class Candidates:
    """A token that was drawn, among those that could have been; printed, a table of their probabilities."""

    token: int                              # the one that was drawn
    ids: np.ndarray                         # (K,) the candidates, the likeliest first; the drawn one is among them
    # {"model": (K,) before any option, then after each that is asked for, by its name and in their order: "temperature", …}
    probabilities: dict[str, np.ndarray]
    possible: dict[str, int]                # of the whole vocabulary, how many tokens have a probability above 0 then
    tokenizer: Any = None                   # the model's, for the table

    def __repr__(self) -> str:
        from ..study.pictures import label  # here, since the numbers need no labels

        words = [label(self.tokenizer, id) for id in self.ids.tolist()]
        first = max(map(columns, words))
        widths = {name: max(len(name), 6) for name in self.probabilities}
        lines = [" " * first + "".join(f"  {name:>{width}}" for name, width in widths.items())]
        for i, (id, word) in enumerate(zip(self.ids.tolist(), words, strict=True)):
            shares = "".join(f"  {p[i]:{widths[name]}.4f}" for name, p in self.probabilities.items())
            lines.append(to_width(word, first) + shares + "  <- drawn" * (id == self.token))
        return "\n".join(lines)


def candidates(model: Any, prompt: Any, max_new_tokens: int = 100, *, n_candidates: int = 10,
               **options: Any) -> Iterator[Candidates]:
    r"""Yield the new tokens of generate(), each with what else could have been drawn.

        p_model = softmax(logits),   p after an option = softmax of the logits that it and those before it made

        step = next(candidates(model, "ROMEO:", top_k=3, seed=1))
        step.token, step.ids, step.probabilities["model"], step.probabilities["top_k"], step.possible["top_k"]

    prompt: a text or ids, one sequence.  n_candidates: of how many tokens the probabilities are kept, those that are the
    likeliest before or after any option; the drawn one comes last where it is not among them.  options: the fields of Sampling
    for one row.  The same seed draws the same tokens as generate().  At a temperature of 0 the likeliest token has all of the
    probability; a temperature of 1 changes nothing and is not listed.
    Raises what generate() does; arguments are checked by the call, not by the first step.
    """
    check_options(options, ["max_new_tokens", "n_candidates", *OPTION_NAMES], "candidates()")
    n_candidates = plain(n_candidates)
    check_count(n_candidates, 1, "n_candidates", "1 keeps the likeliest")
    prompt = only_row(prompt, "prompt", "call candidates() for each")
    sampling = Sampling(**options_for(model, prompt, options))
    if sampling.num_samples != 1 or sampling.logprobs:
        raise ValueError("candidates: num_samples or logprobs, expected neither; stream() gives several rows")
    probabilities: dict[str, np.ndarray] = {}       # of one step, over the whole vocabulary

    def watch(name: str, logits: np.ndarray) -> None:
        if name != "temperature" or sampling.temperature != 1:
            probabilities[name] = softmax(logits[0].astype(np.float64))

    _, _, steps = begin(model, prompt, max_new_tokens, sampling, watch)

    def watched() -> Iterator[Candidates]:
        for tokens, _ in steps:
            token = int(tokens[0])
            if sampling.temperature == 0:
                probabilities["temperature"] = (np.arange(model.config.vocab_size) == token).astype(np.float64)
            best = np.max([*probabilities.values()], axis=0)
            ids = np.argsort(-best, kind="stable")[:n_candidates].copy()    # stable: ties break low; a view would keep all V
            ids = ids if token in ids else np.append(ids, token)
            possible = {name: int(np.count_nonzero(p)) for name, p in probabilities.items()}
            yield Candidates(token, ids, {name: p[ids] for name, p in probabilities.items()}, possible, model.tokenizer)
            probabilities.clear()

    return watched()
