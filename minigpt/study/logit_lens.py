"""The logit lens: what the model would answer if it stopped in the middle."""

from dataclasses import dataclass

import numpy as np

from ..nn.embedding import unembedding_forward
from ..nn.layernorm import layernorm_forward
from ..nn.scope import Gradients, Scope
from ..nn.softmax import softmax
from .interventions import run
from .pictures import label, lens_grid, likeliest


@dataclass(frozen=True, eq=False)
class LogitLens:
    """What the model would answer if it stopped at a point of the residual stream."""

    names: list[str]            # the points, from the embeddings to the end of the last block
    ids: np.ndarray             # (B, T)
    probs: np.ndarray           # (points, B, T, V)
    tokenizer: object = None    # the model's, for the picture

    @property
    def best(self):
        """The likeliest next token at each point: (points, B, T)"""
        return self.probs.argmax(-1)

    def _repr_html_(self):
        labels = [label(self.tokenizer, id) for id in self.ids[0]]
        table = lens_grid(self.tokenizer, self.names, labels, *likeliest(self.probs[:, 0]))
        return f'<div class="tex2jax_ignore"><p>the likeliest next token, coloured by its probability</p>{table}</div>'


def logit_lens(model, ids):
    r"""Read the residual stream between the blocks as if it were the last: ln_f, then the output layer.

        probs = softmax(ln_f(x) Wᵀ)  for x = h.0.in, h.1.in, …, and the last block's out

    ids (B, T) -> LogitLens.  The last point gives the model's own answer.
    nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    names = lens_points(model.config)
    stream = run(model, ids, names=names)
    probs = np.empty((len(names), *stream.ids.shape, model.config.vocab_size), model.dtype)
    for i, name in enumerate(names):
        probs[i] = read_stream(model, stream[name].value)
    return LogitLens(names, stream.ids, probs, model.tokenizer)


def lens_points(config):
    """The names that the logit lens reads, from the embeddings to the end of the last block"""
    return [f"h.{i}.in" for i in range(config.n_layer)] + [f"h.{config.n_layer - 1}.out"]


def read_stream(model, x):
    """softmax(ln_f(x) Wᵀ), the answer if the residual stream ended with x: (B, T, C) -> (B, T, V)"""
    s = Scope(model.params, Gradients())
    h = layernorm_forward(x, s.at("ln_f"), model.config.layer_norm_epsilon) if model.config.pre_norm else x
    return softmax(unembedding_forward(h, model.head(s)))
