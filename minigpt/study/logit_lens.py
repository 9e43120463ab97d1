"""The logit lens: what the model would predict if it stopped after some of its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..nn.embedding import unembedding_forward
from ..nn.layernorm import layernorm_forward
from ..nn.scope import Gradients, Scope
from ..nn.softmax import softmax
from .interventions import run
from .pictures import label, lens_grid, likeliest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..config import GPTConfig
    from ..models.gpt import GPT


@dataclass(frozen=True, eq=False)
class LogitLens:
    """The model's predictions at each point of the residual stream."""

    names: list[str]            # the points, from the embeddings to the end of the last block
    ids: np.ndarray             # (B, T)
    probs: np.ndarray           # (points, B, T, V)
    tokenizer: object = None    # for the labels of the picture

    @property
    def best(self) -> np.ndarray:
        """The most likely next token at each point: (points, B, T)."""
        return self.probs.argmax(-1)

    def _repr_html_(self) -> str:
        labels = [label(self.tokenizer, id) for id in self.ids[0]]
        table = lens_grid(self.tokenizer, self.names, labels, *likeliest(self.probs[:, 0]))
        return f'<div class="tex2jax_ignore"><p>the most likely next token, colored by its probability</p>{table}</div>'


def logit_lens(model: GPT, ids: ArrayLike) -> LogitLens:
    r"""Read the residual stream between the blocks as if no block followed: apply ln_f, then the output layer.

        probs = softmax(ln_f(x) Wᵀ)  for x = h.0.in, h.1.in, …, and the last block's out

    ids (B, T) -> LogitLens.  The last point gives the model's own prediction.
    nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    names = lens_points(model.config)
    stream = run(model, ids, names=names)
    probs = np.empty((len(names), *stream.ids.shape, model.config.vocab_size), model.dtype)
    for i, name in enumerate(names):
        probs[i] = read_stream(model, stream[name].value)
    return LogitLens(names, stream.ids, probs, model.tokenizer)


def lens_points(config: GPTConfig) -> list[str]:
    """Name the activations that the logit lens reads, from the embeddings to the end of the last block."""
    return [f"h.{i}.in" for i in range(config.n_layer)] + [f"h.{config.n_layer - 1}.out"]


def read_stream(model: GPT, x: np.ndarray) -> np.ndarray:
    """Predict as if the residual stream ended with x, softmax(ln_f(x) Wᵀ): (B, T, C) -> (B, T, V)."""
    s = Scope(model.params, Gradients())
    h = layernorm_forward(x, s.at("ln_f"), model.config.layer_norm_epsilon) if model.config.pre_norm else x
    return softmax(unembedding_forward(h, model.head(s)))
