"""The Transformer of 2017, which translates: an encoder reads the source, a decoder writes the target and attends to it.

    model = Transformer(TransformerConfig(vocab_size=60, n_embd=64, n_layer=2, n_head=4))
    loss, grads = model.loss_and_grads(source, targets)
    model.translate(source, beams=4)

GPT is this decoder without the cross-attention, with its norms in front of the branches and a learned table of positions.
How the best target is searched for is generation/beam.py's; what this model is trained on here, training/translation.py's.
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import weights
from ..config import TransformerConfig
from ..inputs import checked_batch, checked_targets
from ..nn.block import block_backward, block_forward, decoder_block_backward, decoder_block_forward
from ..nn.cross_entropy import IGNORED, cross_entropy_backward, cross_entropy_forward
from ..nn.dropout import dropout_backward, dropout_forward
from ..nn.embedding import (
    embedding_backward,
    embedding_forward,
    sinusoidal_positions,
    unembedding_backward,
    unembedding_forward,
)
from ..nn.scope import Gradients, Pass, Scope
from ..system.text import listed, printable
from .network import Network, Table


def parameter_table(config: TransformerConfig) -> Table:
    """The Transformer's parameters in storage order: [(name, shape, initial)], as network.Network takes them.

    Linear layers start with Glorot and Bengio's standard deviation, √(2/(n_in + n_out)) for each matrix of C × C inside
    c_attn.  The embedding starts with 1/√C, so that a row times √C is about as large as a position's.
    Glorot and Bengio 2010, eq. 16; Vaswani et al. 2017 §3.4.
    """
    C, F = config.n_embd, config.mlp_width
    matrices: list[Any] = []
    vectors: list[Any] = []

    def norm(name: str) -> None:
        vectors.extend([(f"{name}.weight", (C,), "ones"), (f"{name}.bias", (C,), "zeros")])

    def linear(name: str, n_in: int, n_out: int, parts: int = 1) -> None:
        matrices.append((f"{name}.weight", (n_in, parts * n_out), math.sqrt(2 / (n_in + n_out))))
        vectors.append((f"{name}.bias", (parts * n_out,), "zeros"))

    for stack in ("encoder", "decoder"):
        for h in (f"{stack}.h.{i}" for i in range(config.n_layer)):
            norm(f"{h}.ln_1")
            linear(f"{h}.attn.c_attn", C, C, parts=3)
            linear(f"{h}.attn.c_proj", C, C)
            if stack == "decoder":
                norm(f"{h}.ln_cross")
                linear(f"{h}.cross.q_attn", C, C)
                linear(f"{h}.cross.c_attn", C, C, parts=2)
                linear(f"{h}.cross.c_proj", C, C)
            norm(f"{h}.ln_2")
            linear(f"{h}.mlp.c_fc", C, F)
            linear(f"{h}.mlp.c_proj", F, C)
    return [*matrices, ("wte.weight", (config.vocab_size, C), 1 / math.sqrt(C)), *vectors]


class Transformer(Network):
    r"""An encoder and a decoder with hand-written gradients.

        P(y | x) = Π_t P(y_t | y_<t, x),   P(y_t | …) = softmax(W h_t),   h = decoder(√C W[bos, y_<t] + P, encoder(√C W[x] + P))

    One table W is both languages' embedding and the output layer; P are sine and cosine positions, so that there is no longest
    sequence.  Norms stand behind the branches (post-norm), so none stands at the end of a stack: torch.nn.Transformer puts one
    there unless it is given stacks with norm=None.  A source (B, S) is padded with pad_token_id at any side.
    `params`, `grads`, `seed`, `threads` and `fast` as in network.Network; names: parameter_table().
    Vaswani et al. 2017 §3; articles A1 §3.1, A3 §4.2.
    """

    def __init__(self, config: TransformerConfig, seed: Any = 0, dtype: DTypeLike = np.float32, threads: int | None = None,
                 fast: bool = True) -> None:
        self.config = config
        super().__init__(parameter_table(config), seed, dtype, threads, fast)

    def encode(self, source: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray]:
        """Read the source.

        source (B, S) -> what the decoder attends to, memory (B, S, C), and its key_padding_mask (B, S)
        """
        c, encoder = self.config, s.at("encoder")
        key_padding_mask = source != c.pad_token_id
        x = self._embed(source, encoder, s.at("wte"))
        for i in range(c.n_layer):
            x = block_forward(x, encoder.layer("h", i), c.n_head, activation="relu", eps=c.layer_norm_epsilon, pre_norm=False,
                              causal=False, key_padding_mask=key_padding_mask, resid_dropout=c.dropout)
        return x, key_padding_mask

    def decode(
        self, inputs: np.ndarray, memory: np.ndarray, key_padding_mask: np.ndarray, s: Scope, first: int = 0,
        caches: Sequence[tuple[Any, Any]] | None = None,
    ) -> np.ndarray:
        """Score the next token at every position of the target.

        inputs (B, T) at positions first, first + 1, … -> logits (B, T, V).  caches: a pair for each layer, of attn and cross.
        """
        c, decoder = self.config, s.at("decoder")
        x = self._embed(inputs, decoder, s.at("wte"), first)
        for i in range(c.n_layer):
            cache, memory_cache = caches[i] if caches else (None, None)
            x = decoder_block_forward(x, memory, decoder.layer("h", i), c.n_head, eps=c.layer_norm_epsilon,
                                      key_padding_mask=key_padding_mask, resid_dropout=c.dropout, cache=cache,
                                      memory_cache=memory_cache)
        return unembedding_forward(x, s.at("wte"))

    def loss_forward(self, source: np.ndarray, targets: np.ndarray, s: Scope, count: int) -> float:
        """Run the whole model up to the loss: the share of these rows in the mean over `count` targets."""
        before = targets[:, :-1]
        inputs = np.full(targets.shape, self.config.bos_token_id)
        inputs[:, 1:] = np.where(before == IGNORED, self.config.pad_token_id, before)
        return cross_entropy_forward(self._logits(source, inputs, s), targets, s.at("loss"), count)

    def loss_backward(self, dloss: float, s: Scope) -> None:
        """Go back from the loss to every parameter, the mirror of loss_forward."""
        encoder, decoder, L = s.at("encoder"), s.at("decoder"), self.config.n_layer
        dx = unembedding_backward(cross_entropy_backward(dloss, s.at("loss")), s.at("wte"))
        dmemory = np.zeros((), self.dtype)
        for i in reversed(range(L)):
            dx, share = decoder_block_backward(dx, decoder.layer("h", i))
            dmemory = dmemory + share           # every layer of the decoder attended to it
        self._embed_backward(dx, decoder, s.at("wte"))
        dx = dmemory
        for i in reversed(range(L)):
            dx = block_backward(dx, encoder.layer("h", i))
        self._embed_backward(dx, encoder, s.at("wte"))

    def _logits(self, source: np.ndarray, inputs: np.ndarray, s: Scope) -> np.ndarray:
        memory, key_padding_mask = self.encode(source, s)
        return self.decode(inputs, memory, key_padding_mask, s)

    def _embed(self, ids: np.ndarray, s: Scope, wte: Scope, first: int = 0) -> np.ndarray:
        """√C W[ids] + P: ids (B, T) -> (B, T, C).  In the scope of a stack, whose lookup has the table of both."""
        c = self.config
        x = math.sqrt(c.n_embd) * embedding_forward(ids, s.tied("wte", wte))
        x = x + sinusoidal_positions(first + ids.shape[1], c.n_embd, self.dtype)[first:]
        return dropout_forward(x, s.at("drop"), c.dropout)

    def _embed_backward(self, dx: np.ndarray, s: Scope, wte: Scope) -> None:
        dx = math.sqrt(self.config.n_embd) * dropout_backward(dx, s.at("drop"))
        embedding_backward(dx, s.tied("wte", wte))

    def checked(self, source: Any, targets: Any) -> tuple[np.ndarray, np.ndarray, int]:
        """Check a batch: source (B, S) and targets (B, T) as arrays, and the number of targets that count."""
        source = checked_batch(source, self.config.vocab_size, "source")
        targets, count = checked_targets(targets, self.config.vocab_size)
        _check_rows(source, targets, "targets")
        return source, targets, count

    def __call__(self, source: Any, inputs: Any) -> np.ndarray:
        """Scores of the next token at every position of the target so far: (B, T, V), an array of the caller's own.

        source (B, S) integers, inputs (B, T): what the decoder reads, bos_token_id first.
        """
        V = self.config.vocab_size
        source, inputs = checked_batch(source, V, "source"), checked_batch(inputs, V, "inputs")
        _check_rows(source, inputs, "inputs")
        logits = np.empty((*inputs.shape, V), self.dtype)

        def run(s: Scope, batch: slice) -> None:
            logits[batch] = self._logits(source[batch], inputs[batch], s)

        self.map_parts(run, len(source))
        return logits

    def loss(self, source: Any, targets: Any) -> float:
        """Mean cross-entropy in nats: source (B, S), targets (B, T) -> float.

        A row of targets is the translation with eos_token_id at its end, then −100: such targets do not count.  The decoder
        reads bos_token_id and then the targets, one behind; pad_token_id where they are −100.  No dropout.
        """
        source, targets, count = self.checked(source, targets)

        def run(s: Scope, batch: slice) -> float:
            return self.loss_forward(source[batch], targets[batch], s, count)

        return self.finite("loss", sum(self.map_parts(run, len(source))))

    def loss_and_grads(
        self, source: Any, targets: Any, *, scale: float = 1.0, accumulate: bool = False,
        dropout_key: tuple[int, ...] | None = None, first_row: int = 0, finished: Callable[[str], None] | None = None,
    ) -> tuple[float, Gradients]:
        """Mean cross-entropy and its gradient: source (B, S), targets (B, T) as in loss() -> (float, grads).

        scale, accumulate, dropout_key, first_row and what is returned are as in GPT.loss_and_grads(); `finished` is not called.
        """
        source, targets, count = self.checked(source, targets)

        def run(s: Scope, batch: slice) -> float:
            loss = self.loss_forward(source[batch], targets[batch], s, count)
            self.loss_backward(scale, s)
            return loss

        return sum(self.map_parts_with_grads(run, len(source), accumulate, dropout_key, first_row, finished)), self.grads

    def translate(
        self, source: Any, *, beams: int = 1, length_penalty: float = 0.6, max_new_tokens: int | None = None,
    ) -> list[list[int]]:
        """The best target found for each source, without eos_token_id: source (B, S) -> B lists of ids.

        beams=1 is greedy: always the likeliest next token.  More beams: beam.beam_search().
        """
        from ..generation.beam import beam_search  # here: it stands above the models

        tokens, _ = beam_search(self, source, beams=beams, length_penalty=length_penalty, max_new_tokens=max_new_tokens)
        return [row[: row.index(end)] if (end := self.config.eos_token_id) in row else row for row in tokens[:, 0].tolist()]

    def activations(self, source: Any, targets: Any, names: str | Iterable[str] = "*") -> dict[str, np.ndarray]:
        """Activations of a pass by name, copies; `names` is a pattern or several, where * stands for anything.

            model.activations(source, targets, "decoder.h.*.cross.att")     which source words each target word looks at

        source, targets as in loss() -> {"decoder.h.0.cross.att": (B, H, T, S), …} in the order of the pass.  Row t of such a
        map belongs to the prediction of targets[:, t].  Raises ValueError where nothing matches.
        """
        source, targets, count = self.checked(source, targets)
        patterns = [names] if isinstance(names, str) else list(names)
        seen: list[str] = []
        kept: dict[str, np.ndarray] = {}

        def visit(name: str, array: np.ndarray) -> None:
            seen.append(name)
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                kept[name] = array.copy()

        s = Scope(self.params, Gradients(), run=Pass(backward=False, visit=visit))
        self.lock.read(partial(self.loss_forward, source, targets, s, count))
        if not kept:
            raise ValueError(f"names: {', '.join(map(repr, patterns))} match no activation; there are {', '.join(seen[:9])}, …")
        return kept

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors.  Raises OSError; each file is then whole or unchanged."""
        from ..weights.folder import write_folder  # here and below: it stands above the models

        write_folder(folder, self.config.to_json(), asdict(self.config), self.params, None)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], *, dtype: DTypeLike = np.float32, threads: int | None = None,
    ) -> "Transformer":
        """The model that save() wrote.  Raises FileNotFoundError, ConfigError, weights.WeightFormatError."""
        from ..weights.folder import check_together

        config = TransformerConfig.from_file(Path(folder) / "config.json")
        path = Path(folder) / "model.safetensors"
        arrays = weights.load(path)
        shapes = {name: shape for name, shape, _ in parameter_table(config)}
        if wrong := [name for name in shapes.keys() | arrays.keys()
                     if name not in shapes or name not in arrays or arrays[name].shape != shapes[name]]:
            raise weights.WeightFormatError(
                f"{printable(path)}: {listed(sorted(wrong))} missing, unexpected or of another shape, expected what "
                "config.json says; save the model again"
            )
        check_together(path, asdict(config), None)
        model = cls(config, None, dtype, threads)
        for name, array in arrays.items():
            model.params[name][...] = array
        return model


def _check_rows(source: np.ndarray, other: np.ndarray, name: str) -> None:
    if other.ndim != 2 or len(other) != len(source):
        raise ValueError(f"{name}: shape {other.shape}, expected ({len(source)}, time) as source has {len(source)} rows")
