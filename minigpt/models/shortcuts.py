"""What a model does that is computed on the floors above: loading, saving, generating, scoring, looking inside.

A method imports its function when it is called, so that nothing below depends on anything above.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

if TYPE_CHECKING:
    from ..config import GPTConfig
    from ..generation.scoring import Choice, Score
    from ..study.interventions import Edit
    from ..study.trace import Trace
    from .gpt import GPT


class Shortcuts:
    """model.generate(…) instead of generation.generate(model, …), and so on."""

    tokenizer: Any      # the model's

    @classmethod
    def from_pretrained(
        cls, what: str | os.PathLike[str], *,
        dtype: DTypeLike = np.float32, threads: int | None = None, fast: bool = True, strict: bool = False,
    ) -> "GPT":
        """The model of a folder or a file, or by name: "gpt2" is downloaded, "shakespeare-char" is bundled.

        Its `tokenizer` attribute is the one found there, or None.  strict=True refuses weights that are not finite, else they
        warn.
        Errors: weights.pretrained.from_pretrained.
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
        Errors: weights.pretrained.from_state_dict.
        """
        from ..weights.pretrained import from_state_dict

        return from_state_dict(tensors, config, linear_layout, dtype=dtype, threads=threads, fast=fast, strict=strict)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, model.safetensors and the tokenizer, if there is one, as Hugging Face lays them out."""
        from ..weights.pretrained import save_pretrained

        save_pretrained(cast("GPT", self), folder, self.tokenizer)

    def generate(self, ids: Any, max_new_tokens: int = 100, **options: Any) -> Any:
        """Continue a sequence (T,) or several at once, (B, T) or a list of B lists -> prompts with what follows them.

            model.generate(ids, 50, temperature=0.8, top_k=40, seed=1)

        Options are the fields of generation.options.Sampling: temperature, top_k, top_p, min_p, repetition_penalty, stop_ids,
        seed and others.
        """
        from ..generation.generate import generate

        return generate(self, ids, max_new_tokens, **options)

    def stream(self, ids: Any, max_new_tokens: int = 100, **options: Any) -> Iterator[Any]:
        """The new tokens of generate() one by one, each as soon as it is drawn: ints, for several sequences arrays (B,)."""
        from ..generation.generate import stream

        return stream(self, ids, max_new_tokens, **options)

    def stream_text(self, prompt: str, max_new_tokens: int = 100, **options: Any) -> Iterator[str]:
        """The text that follows a prompt, piece by piece, each as soon as it is certain; it can end at strings.

            for piece in model.stream_text("ROMEO:", 200, stop_strings=["JULIET"]): print(piece, end="")

        Options: generation.streaming.stream_text() and the fields of generation.options.Sampling.
        """
        from ..generation.streaming import stream_text

        return stream_text(self, prompt, max_new_tokens, **options)

    def score(self, text: Any, start_id: int | None = None, progress: bool = False) -> "Score":
        """The log-probability of every token of a text or of ids (T,), with mean and perplexity: generation.scoring.score()."""
        from ..generation.scoring import score

        return score(self, text, start_id, progress)

    def choose(self, prompt: str, answers: Collection[str], normalize: str | None = None) -> "list[Choice]":
        """The answers to a prompt, the likeliest first, each with its probability among them: generation.scoring.choose().

            model.choose("My gracious ", ["lord", "lady", "lion"])[0].answer
        """
        from ..generation.scoring import choose

        return choose(self, prompt, answers, normalize)

    def trace(self, ids: ArrayLike, targets: ArrayLike | None = None, names: str | Iterable[str] = "*") -> "Trace":
        """Every activation by name, and with targets every gradient: study.trace.trace().

            trace = model.trace(ids, targets);  trace["h.0.attn.att"].value;  trace["h.0.attn.att"].grad
        """
        from ..study.trace import trace

        return trace(self, ids, targets, names)

    def run(
        self, ids: ArrayLike, targets: ArrayLike | None = None, *, edits: "Mapping[str, Edit] | None" = None,
        names: str | Iterable[str] = ("logits", "probs"),
    ) -> "Trace":
        """A pass in which activations are changed by name, a trace without gradients: study.interventions.run().

            model.run(ids, edits={"h.*.mlp.out": 0, "h.3.attn.att": lambda att: att.round()})["logits"].value
        """
        from ..study.interventions import run

        return run(self, ids, targets, edits=edits, names=names)
