"""GPT-2: the table of parameters, their initialization, and the forward and backward passes, one the mirror of the other."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ..config import GPTConfig
from ..inputs import as_array, as_batch, checked_batch, checked_targets, next_tokens, plain
from ..nn.block import block_backward, block_forward
from ..nn.cross_entropy import cross_entropy_backward, cross_entropy_forward
from ..nn.dropout import dropout_backward, dropout_forward
from ..nn.embedding import embedding_backward, embedding_forward, unembedding_backward, unembedding_forward
from ..nn.layernorm import layernorm_backward, layernorm_forward
from ..nn.scope import Gradients, Scope
from ..system.option_names import names_arguments
from .network import Network, Table
from .shortcuts import Shortcuts

if TYPE_CHECKING:
    from ..tokenization import CharTokenizer, Tokenizer


def parameter_table(config: GPTConfig) -> Table:
    """GPT-2's parameters in storage order: [(name, shape, initial)], initial "zeros", "ones" or a standard deviation.

    Matrices come first, those of the blocks before the embeddings, so that an optimizer's groups are ranges of one buffer.
    lm_head.weight (V, C) is there only when the output layer is not tied to wte.weight.
    Radford et al. 2019 §2.3: the residual projections start smaller, by 1/√(2 n_layer), one for each branch of the network.
    """
    C, F, std = config.n_embd, config.mlp_width, config.initializer_range
    residual = std / math.sqrt(2 * config.n_layer)
    matrices: list[Any] = []
    vectors: list[Any] = []

    def norm(name: str) -> None:
        vectors.append((f"{name}.weight", (C,), "ones"))
        if config.bias:
            vectors.append((f"{name}.bias", (C,), "zeros"))

    def linear(name: str, n_in: int, n_out: int, std: float) -> None:
        matrices.append((f"{name}.weight", (n_in, n_out), std))
        if config.bias:
            vectors.append((f"{name}.bias", (n_out,), "zeros"))

    for i in range(config.n_layer):
        norm(f"h.{i}.ln_1")
        linear(f"h.{i}.attn.c_attn", C, 3 * C, std)
        linear(f"h.{i}.attn.c_proj", C, C, residual)
        norm(f"h.{i}.ln_2")
        linear(f"h.{i}.mlp.c_fc", C, F, std)
        linear(f"h.{i}.mlp.c_proj", F, C, residual)
    if config.pre_norm:
        norm("ln_f")
    embeddings = [("wte.weight", (config.vocab_size, C), std), ("wpe.weight", (config.n_positions, C), std)]
    if not config.tie_word_embeddings:
        embeddings.append(("lm_head.weight", (config.vocab_size, C), std))
    return matrices + embeddings + vectors


class GPT(Shortcuts, Network):
    """A decoder-only Transformer with hand-written gradients.

        model = GPT(GPTConfig(vocab_size=65, n_positions=128, n_embd=128, n_layer=4, n_head=4))
        loss, grads = model.loss_and_grads(ids, targets)
        logits = model(ids)

    `params` and `grads` map GPT-2's names ("h.0.attn.c_attn.weight") to arrays, views of the flat buffers `flat_params` and
    `flat_grads`.  `seed` draws the initial weights; None leaves them zero, for whoever fills them.  `threads` is how many
    cores a pass may use, by default all.  fast=False runs the layers of nn/ as one reads them instead of the engine, nn/fast/.
    Several Python threads may call one model: passes without gradients, generation and scoring run at the same time, each
    with its own memory; loss_and_grads(), an optimizer's step and a Trainer wait until they are alone, and others for them.
    """

    def __init__(self, config: GPTConfig, seed: Any = 0, dtype: DTypeLike = np.float32, threads: int | None = None,
                 fast: bool = True) -> None:
        self.config = config
        super().__init__(self._parameter_table(), seed, dtype, threads, fast)
        self.tokenizer: CharTokenizer | Tokenizer | None = None     # from_pretrained sets it
        self.name = ""                                              # too; pictures show it

    def __repr__(self) -> str:
        c, name = self.config, f" {self.name!r}" if self.name else ""
        return (f"<{type(self).__name__}{name}: {c.n_layer} layers, {c.n_head} heads, {c.n_embd} channels, "
                f"{c.n_positions} positions, {c.vocab_size:,} tokens; {c.n_params:,} parameters>")

    def forward(
        self, ids: np.ndarray, s: Scope, positions: np.ndarray | None = None, key_padding_mask: np.ndarray | None = None,
        caches: Sequence[Any] | None = None, last: int | None = None,
    ) -> np.ndarray:
        """Run the embeddings and all blocks: from tokens to what the output layer reads.

            x = W_te[ids] + W_pe[positions],   x = block_i(x) for each i,   h = ln_f(x)

        ids (B, T) integers -> h (B, T, C); where norms come last (GPT-1) the last block has normalized it already.
        key_padding_mask (B, T) as in nn.multihead_forward().  With caches, one for each layer, `last` asks for the last
        positions alone, h (B, last, C): of the others the last layer needs only keys and values.
        """
        c = self.config
        positions = np.arange(ids.shape[1]) if positions is None else positions
        token = embedding_forward(ids, s.at("wte"))
        position = embedding_forward(positions, s.at("wpe"))
        x = dropout_forward(token + position, s.at("drop"), c.embd_pdrop)
        for i in range(c.n_layer):
            x = block_forward(
                x, s.layer("h", i), c.n_head, activation=c.activation_function, eps=c.layer_norm_epsilon, pre_norm=c.pre_norm,
                causal=c.causal, window=c.window(i), key_padding_mask=key_padding_mask, attn_dropout=c.attn_pdrop,
                attn_scale=c.attention_scale(i), resid_dropout=c.resid_pdrop, cache=caches[i] if caches else None,
                last=last if i == c.n_layer - 1 else None,
            )
        return layernorm_forward(x, s.at("ln_f"), c.layer_norm_epsilon) if c.pre_norm else x

    def head(self, s: Scope) -> Scope:
        """The scope of the output layer, for nn.unembedding_forward(): the embedding's, unless the two are not tied."""
        return s.at("wte" if self.config.tie_word_embeddings else "lm_head")

    def loss_forward(self, ids: np.ndarray, targets: np.ndarray, s: Scope, count: int) -> float:
        """Run the whole model up to the loss.

        ids, targets (B, T) -> the share of these rows in the mean over `count` targets, a float in nats
        """
        logits = unembedding_forward(self.forward(ids, s), self.head(s))
        return cross_entropy_forward(logits, targets, s.at("loss"), count)

    def loss_backward(self, dloss: float, s: Scope) -> None:
        """Go back from the loss to every parameter, the mirror of loss_forward.

        dloss float, the gradient of the loss itself; adds the parameters' to s.grads
        """
        dlogits = cross_entropy_backward(dloss, s.at("loss"))
        dx = unembedding_backward(dlogits, self.head(s))    # where tied, adds to wte.weight's gradient, as the last line does
        if self.config.pre_norm:
            dx = layernorm_backward(dx, s.at("ln_f"))
        for i in reversed(range(self.config.n_layer)):
            dx = block_backward(dx, s.layer("h", i))
            if s.run.finished is not None:
                s.run.finished(f"h.{i}")
        dx = dropout_backward(dx, s.at("drop"))
        embedding_backward(dx.sum(axis=0), s.at("wpe"))     # in the forward one table was added to every sequence
        embedding_backward(dx, s.at("wte"))

    def checked_ids(self, ids: Any) -> np.ndarray:
        """Check what a pass is to read, in any form that loss() takes -> ids (B, T).  Raises TypeError, ValueError."""
        ids = checked_batch(as_batch(ids, self.tokenizer), self.config.vocab_size)
        if ids.shape[1] > self.config.n_positions:
            n = self.config.n_positions
            raise ValueError(f"ids: {ids.shape[1]} tokens exceed n_positions {n}; crop with ids[..., -{n}:]")
        return ids

    def checked(self, ids: Any, targets: Any) -> tuple[np.ndarray, np.ndarray, int]:
        """Check a batch before it is computed: ids and targets (B, T) as arrays, and the number of targets that count.

        Both are what loss() takes.  Raises TypeError, ValueError.
        """
        ids = self.checked_ids(ids)
        targets = plain(targets)
        if targets is None or targets is False:
            raise TypeError(f"targets: {targets}, expected True for the next tokens, or ids {ids.shape}")
        if targets is True:
            self.config.require_causal("targets=True")
            targets = next_tokens(ids)
        targets = as_batch(targets, self.tokenizer, "targets")
        if targets.shape != ids.shape:
            raise ValueError(f"targets: shape {targets.shape}, expected that of ids {ids.shape}, or True for the next tokens")
        targets, count = checked_targets(targets, self.n_outputs)
        return ids, targets, count

    def __call__(self, ids: Any, key_padding_mask: Any = None) -> np.ndarray:
        """Scores of the next token at every position: ids (B, T) integers -> logits (B, T, V), an array of the caller's own.

        ids may also be a text, several, or a single sequence (T,): one sequence is a batch of one, logits (1, T, V).
        key_padding_mask (B, T) booleans: False at padding, which nothing attends to; what is scored there means nothing.
        Raises ValueError for ids outside the vocabulary and for more tokens than n_positions.
        """
        ids = self.checked_ids(ids)
        mask = None if key_padding_mask is None else np.atleast_2d(as_array(key_padding_mask, "key_padding_mask"))
        if mask is not None and (mask.shape != ids.shape or mask.dtype != bool):
            raise ValueError(f"key_padding_mask: {mask.dtype} of shape {mask.shape}, expected bool {ids.shape}")
        logits = np.empty((*ids.shape, self.n_outputs), self.dtype)

        def run(s: Scope, batch: slice) -> None:
            h = self.forward(ids[batch], s, key_padding_mask=None if mask is None else mask[batch])
            logits[batch] = unembedding_forward(h, self.head(s))

        self.map_parts(run, len(ids))
        return logits

    @names_arguments
    def loss(self, ids: Any, targets: Any = True) -> float:
        """Mean cross-entropy in nats: ids, targets (B, T) -> float.  targets[b, t] is the token after ids[b, t].

            model.loss("To be, or not to be")

        Either may also be a text, several of the same number of tokens, or a single sequence (T,).  targets=True: the next
        tokens, of the last none.  Targets of −100 do not count.  No dropout.
        Raises TypeError, ValueError; FloatingPointError for a loss that is not finite.
        """
        ids, targets, count = self.checked(ids, targets)

        def run(s: Scope, batch: slice) -> float:
            return self.loss_forward(ids[batch], targets[batch], s, count)

        return self.finite("loss", sum(self.map_parts(run, len(ids))))

    def loss_and_grads(
        self, ids: Any, targets: Any = True, *, scale: float = 1.0, accumulate: bool = False,
        dropout_key: tuple[int, ...] | None = None, first_row: int = 0, finished: Callable[[str], None] | None = None,
    ) -> tuple[float, Gradients]:
        """Mean cross-entropy and its gradient: ids, targets (B, T), or what else loss() takes -> (float, grads).

        `grads` is model.grads, views that the next call overwrites; with accumulate=True the next call adds to them instead.
        The gradients, not the loss, are multiplied by `scale`: for one step from n batches use scale=1/n and accumulate from
        the second on.  `dropout_key` is a tuple of integers that seeds this pass's dropout masks; without it nothing drops.
        Where these rows are a part of a batch, `first_row` is the number of the first, for the masks; `finished` is called with
        "h.3" and so on as soon as the gradients of that block's matrices are complete.
        A loss that is not finite is returned, with the gradients to look at: first_nonfinite() names where it came from.
        """
        ids, targets, count = self.checked(ids, targets)

        def run(s: Scope, batch: slice) -> float:
            loss = self.loss_forward(ids[batch], targets[batch], s, count)
            self.loss_backward(scale, s)
            return loss

        return sum(self.map_parts_with_grads(run, len(ids), accumulate, dropout_key, first_row, finished)), self.grads

    @property
    def n_outputs(self) -> int:
        """How many scores each position gets."""
        return self.config.vocab_size

    def _parameter_table(self) -> Table:
        return parameter_table(self.config)
