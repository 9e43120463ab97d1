"""What a model does that is computed on the floors above: loading, saving, generating, scoring, looking inside.

A method imports its function when it is called, so that nothing below depends on anything above.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..system.option_names import names_arguments

if TYPE_CHECKING:
    from ..config import GPTConfig
    from ..generation.candidates import Candidates
    from ..study.interventions import Edit
    from ..study.trace import Trace
    from .gpt import GPT


class Shortcuts:
    """model.generate(…) instead of generation.generate(model, …), and so on.

    Tokens are given as a text, which the model's tokenizer encodes, as ids (T,), list or array, or several at once: as (B, T),
    a list of texts or a list of rows.  What generates, scores or chooses gives for one sequence one result, and for several a
    list or an array of them.  What shows a pass, trace() and run() like model(ids) and loss(), takes one sequence as a batch of
    one: its arrays have B = 1.
    """

    tokenizer: Any      # the model's
    name: str = ""      # as from_pretrained calls it; here for models that were pickled before they had one

    @classmethod
    def from_pretrained(
        cls, what: str | os.PathLike[str], *,
        dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    ) -> "GPT":
        """The model of a folder or a file, or by name: "gpt2" is downloaded, "shakespeare-char" is bundled.

        Its `tokenizer` attribute is the one found there, or None.  strict=True refuses weights that are not finite, else they
        warn.
        Raises what weights.pretrained.from_pretrained() does.
        """
        from ..weights.pretrained import from_pretrained

        return from_pretrained(what, dtype=dtype, threads=threads, fast=fast, strict=strict)

    @classmethod
    def from_state_dict(
        cls, tensors: Mapping[str, np.ndarray], config: "GPTConfig", linear_layout: str = "in_out", *,
        dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    ) -> "GPT":
        """A model with the weights of GPT-2's, nanoGPT's or minGPT's state dict: arrays by name, copied.

        linear_layout="out_in" is that of torch.nn.Linear, which nanoGPT and minGPT use.  strict as in from_pretrained().
        Raises what weights.pretrained.from_state_dict() does.
        """
        from ..weights.pretrained import from_state_dict

        return from_state_dict(tensors, config, linear_layout, dtype=dtype, threads=threads, fast=fast, strict=strict)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, model.safetensors and the tokenizer, if there is one, as Hugging Face lays them out."""
        from ..weights.pretrained import save_pretrained

        save_pretrained(cast("GPT", self), folder, self.tokenizer)

    def generate(self, ids: Any, max_new_tokens: int = 100, **options: Any) -> Any:
        """Continue a text, ids (T,), or several at once -> prompts with what follows them, in the form they were given.

            model.generate("ROMEO:", 50, temperature=0.8, top_k=40, seed=1)        a text
            model.generate(model.tokenizer.encode("ROMEO:"), 50)                    an array of ids

        Options are the fields of generation.options.Sampling: temperature, top_k, top_p, min_p, repetition_penalty, stop_ids,
        seed and others.
        """
        from ..generation.generate import generate

        return generate(self, ids, max_new_tokens, **options)

    def stream(self, ids: Any, max_new_tokens: int = 100, **options: Any) -> Iterator[Any]:
        """The new tokens of generate() one by one, each as soon as it is drawn: ints, for several sequences arrays (B,).

        The text of them: stream_text().  What else could have been drawn: candidates().
        """
        from ..generation.generate import stream

        return stream(self, ids, max_new_tokens, **options)

    def stream_text(self, prompt: Any, max_new_tokens: int = 100, **options: Any) -> Iterator[str]:
        """The text that follows a prompt, piece by piece, each as soon as it is certain; it can end at strings.

            for piece in model.stream_text("ROMEO:", 200, stop_strings=["JULIET"]): print(piece, end="")

        Options: generation.streaming.stream_text() and the fields of generation.options.Sampling.
        """
        from ..generation.streaming import stream_text

        return stream_text(self, prompt, max_new_tokens, **options)

    def candidates(self, prompt: Any, max_new_tokens: int = 100, *, n_candidates: int = 10,
                   **options: Any) -> "Iterator[Candidates]":
        """The new tokens of generate(), each with the likeliest ones and what every option made of their probabilities.

            for step in model.candidates("ROMEO:", 5, temperature=0.7, top_k=3, seed=1): print(step)

        step.token, step.ids and step.probabilities["model"], …["temperature"], …["top_k"]: generation.candidates.candidates().
        """
        from ..generation.candidates import candidates

        return candidates(self, prompt, max_new_tokens, n_candidates=n_candidates, **options)

    @names_arguments
    def score(self, text: Any, start_id: int | None = None, progress: bool = False) -> Any:
        """The log-probability of every token of a text or of ids (T,), with mean and perplexity; of several a list.

        generation.scoring.score()
        """
        from ..generation.scoring import score

        return score(self, text, start_id, progress)

    @names_arguments
    def choose(self, prompt: Any, answers: Collection[Any], normalize: str | None = None) -> Any:
        """The answers to a prompt, the likeliest first, each with its probability among them: generation.scoring.choose().

            model.choose("My gracious ", ["lord", "lady", "lion"])[0].answer
        """
        from ..generation.scoring import choose

        return choose(self, prompt, answers, normalize)

    @names_arguments
    def trace(self, ids: ArrayLike, targets: ArrayLike | None = None, names: str | Iterable[str] = "*") -> "Trace":
        """Every activation by name, and with targets every gradient: study.trace.trace().

            trace = model.trace("To be", targets=True)      # the next tokens
            trace["h.0.attn.att"].value;  trace["h.0.attn.att"].grad
        """
        from ..study.trace import trace

        return trace(self, ids, targets, names)

    @names_arguments
    def run(
        self, ids: ArrayLike, targets: ArrayLike | None = None, *, edits: "Mapping[str, Edit] | None" = None,
        names: str | Iterable[str] = ("logits", "probs"),
    ) -> "Trace":
        """A pass in which activations are changed by name, a trace without gradients: study.interventions.run().

            model.run("To be", edits={"h.*.mlp.out": 0, "h.3.attn.att": lambda att: att.round()})["logits"].value
        """
        from ..study.interventions import run

        return run(self, ids, targets, edits=edits, names=names)
