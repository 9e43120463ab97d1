"""GPT-2: the table of parameters, their initialisation, and the forward and backward passes, one the mirror of the other."""

import math

import numpy as np

from ..config import GPTConfig
from ..nn.block import block_backward, block_forward
from ..nn.cross_entropy import cross_entropy_backward, cross_entropy_forward
from ..nn.dropout import dropout_backward, dropout_forward
from ..nn.embedding import embedding_backward, embedding_forward, unembedding_backward, unembedding_forward
from ..nn.layernorm import layernorm_backward, layernorm_forward
from ..tokenization.tokenizer import CharTokenizer, Tokenizer
from .network import Network, checked_ids, checked_targets


def parameter_table(config):
    """GPT-2's parameters in storage order: [(name, shape, initial)], initial "zeros", "ones" or a standard deviation.

    Matrices come first, those of the blocks before the embeddings, so that an optimizer's groups are ranges of one buffer.
    lm_head.weight (V, C) is there only when the output layer is not tied to wte.weight.
    Radford et al. 2019 §2.3: the residual projections start smaller, by 1/√(2 n_layer), one for each branch of the network.
    """
    C, F, std = config.n_embd, config.mlp_width, config.initializer_range
    residual = std / math.sqrt(2 * config.n_layer)
    matrices, vectors = [], []

    def norm(name):
        vectors.append((f"{name}.weight", (C,), "ones"))
        if config.bias:
            vectors.append((f"{name}.bias", (C,), "zeros"))

    def linear(name, n_in, n_out, std):
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


class GPT(Network):
    """A decoder-only Transformer with hand-written gradients.

        model = GPT(GPTConfig(vocab_size=65, n_positions=128, n_embd=128, n_layer=4, n_head=4))
        loss, grads = model.loss_and_grads(ids, targets)
        logits = model(ids)

    `params` and `grads` map GPT-2's names ("h.0.attn.c_attn.weight") to arrays, views of the flat buffers `flat_params` and
    `flat_grads`.  `seed` draws the initial weights; None leaves them zero, for whoever fills them.  `threads` is how many
    cores a pass may use, by default all.  fast=False runs the layers of nn/ as one reads them instead of the engine, nn/fast/.
    """

    def __init__(self, config: GPTConfig, seed=0, dtype=np.float32, threads=None, fast=True):
        self.config = config
        super().__init__(self._parameter_table(), seed, dtype, threads, fast)
        self.tokenizer: CharTokenizer | Tokenizer | None = None     # from_pretrained sets it

    def __call__(self, ids, key_padding_mask=None):
        """Scores of the next token at every position: ids (B, T) integers -> logits (B, T, V), an array of the caller's own.

        key_padding_mask (B, T) booleans: False at padding, which nothing attends to; what is scored there means nothing.
        Raises ValueError for ids outside the vocabulary and for more tokens than n_positions.
        """
        ids = self.checked(ids)
        mask = None if key_padding_mask is None else np.asarray(key_padding_mask)
        if mask is not None and (mask.shape != ids.shape or mask.dtype != bool):
            raise ValueError(f"key_padding_mask: {mask.dtype} of shape {mask.shape}, expected bool {ids.shape}")
        logits = np.empty((*ids.shape, self.n_outputs), self.dtype)

        def run(s, batch):
            h = self.forward(ids[batch], s, key_padding_mask=None if mask is None else mask[batch])
            logits[batch] = unembedding_forward(h, self.head(s))

        self._split(run, len(ids), backward=False)
        return logits

    def loss(self, ids, targets):
        """Mean cross-entropy in nats: ids, targets (B, T) -> float.  targets[b, t] is the token after ids[b, t].

        Targets of −100 do not count.  No dropout.
        """
        ids, targets, count = self.checked(ids, targets)

        def run(s, batch):
            return self.loss_forward(ids[batch], targets[batch], s, count)

        return sum(self._split(run, len(ids), backward=False))

    def loss_and_grads(self, ids, targets, *, scale=1.0, accumulate=False, dropout_key=None):
        """Mean cross-entropy and its gradient: ids, targets (B, T) -> (float, grads).

        `grads` is model.grads, views that the next call overwrites; with accumulate=True the next call adds to them instead.
        The gradients, not the loss, are multiplied by `scale`: for one step from n batches use scale=1/n and accumulate from
        the second on.  `dropout_key` is a tuple of integers that seeds this pass's dropout masks; without it nothing drops.
        """
        ids, targets, count = self.checked(ids, targets)

        def run(s, batch):
            loss = self.loss_forward(ids[batch], targets[batch], s, count)
            self.loss_backward(scale, s)
            return loss

        if not accumulate:
            self.grads.reset()
        return sum(self._split(run, len(ids), backward=True, dropout_key=dropout_key)), self.grads

    @classmethod
    def from_pretrained(cls, name_or_folder, *, dtype=np.float32, threads=None, fast=True, strict=False) -> "GPT":
        """The model of a folder in Hugging Face's layout, or by name: "gpt2" is downloaded, "shakespeare-char" comes along.

        Its `tokenizer` attribute is the folder's.  strict=True refuses weights that are not finite, else they warn.
        Errors: pretrained.from_pretrained.
        """
        from ..weights.pretrained import from_pretrained  # here, since pretrained builds on this module

        return from_pretrained(name_or_folder, dtype=dtype, threads=threads, fast=fast, strict=strict)

    @classmethod
    def from_state_dict(
        cls, tensors, config, linear_layout="in_out", *, dtype=np.float32, threads=None, fast=True, strict=False
    ) -> "GPT":
        """A model with the weights of GPT-2's, nanoGPT's or minGPT's state dict: arrays by name, copied.

        linear_layout="out_in" is that of torch.nn.Linear, which nanoGPT and minGPT use.  strict as in from_pretrained().
        Errors: pretrained.from_state_dict.
        """
        from ..weights.pretrained import from_state_dict

        return from_state_dict(tensors, config, linear_layout, dtype=dtype, threads=threads, fast=fast, strict=strict)

    def save_pretrained(self, folder):
        """Write config.json, model.safetensors and the tokenizer, if there is one, as Hugging Face lays them out."""
        from ..weights.pretrained import save_pretrained

        save_pretrained(self, folder, self.tokenizer)

    def generate(self, ids, max_new_tokens=100, **options):
        """Continue a sequence (T,) or several at once, (B, T) or a list of B lists -> prompts with what follows them.

            model.generate(ids, 50, temperature=0.8, top_k=40, seed=1)

        Options are the fields of sampling.Sampling: temperature, top_k, top_p, min_p, repetition_penalty, stop_ids, seed and
        others.
        """
        from ..generation.generate import (
            generate,  # here, not above: sampling stands above the model and reads the model's parts
        )

        return generate(self, ids, max_new_tokens, **options)

    def stream(self, ids, max_new_tokens=100, **options):
        """The new tokens of generate() one by one, each as soon as it is drawn: ints, for several sequences arrays (B,)."""
        from ..generation.generate import stream  # as in generate()

        return stream(self, ids, max_new_tokens, **options)

    def stream_text(self, prompt, max_new_tokens=100, **options):
        """The text that follows a prompt, piece by piece, each as soon as it is certain; it can end at strings.

            for piece in model.stream_text("ROMEO:", 200, stop_strings=["JULIET"]): print(piece, end="")

        Options: text.stream_text() and the fields of sampling.Sampling.
        """
        from ..generation.streaming import stream_text  # as in generate()

        return stream_text(self, prompt, max_new_tokens, **options)

    def score(self, text, start_id=None, progress=False):
        """The log-probability of every token of a text or of ids (T,), with mean and perplexity: scoring.score()."""
        from ..generation.scoring import score  # as in generate()

        return score(self, text, start_id, progress)

    def choose(self, prompt, answers, normalize=None):
        """The answers to a prompt, the likeliest first, each with its probability among them: scoring.choose().

            model.choose("My gracious ", ["lord", "lady", "lion"])[0].answer
        """
        from ..generation.scoring import choose  # as in generate()

        return choose(self, prompt, answers, normalize)

    def trace(self, ids, targets=None, names="*"):
        """Every activation by name, and with targets every gradient: study.trace.trace().

            trace = model.trace(ids, targets);  trace["h.0.attn.att"].value;  trace["h.0.attn.att"].grad
        """
        from ..study.trace import trace  # as in generate()

        return trace(self, ids, targets, names)

    def run(self, ids, targets=None, *, edits=None, names=("logits", "probs")):
        """A pass in which activations are changed by name, a trace without gradients: study.edits.run().

            model.run(ids, edits={"h.*.mlp.out": 0, "h.3.attn.att": lambda att: att.round()})["logits"].value
        """
        from ..study.interventions import run  # as in generate()

        return run(self, ids, targets, edits=edits, names=names)

    @property
    def n_outputs(self):
        """How many scores each position gets"""
        return self.config.vocab_size

    def _parameter_table(self):
        return parameter_table(self.config)

    def forward(self, ids, s, positions=None, key_padding_mask=None, caches=None, last=None):
        """ids (B, T) -> the last layer's output (B, T, C), normalised: by ln_f, or by the block itself where norms come last

        With caches, `last` asks for the last positions alone, (B, last, C): of the others the last layer needs only keys and
        values: 5 % off the time of reading a prompt.
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
                resid_dropout=c.resid_pdrop, cache=caches[i] if caches else None, last=last if i == c.n_layer - 1 else None,
            )
        return layernorm_forward(x, s.at("ln_f"), c.layer_norm_epsilon) if c.pre_norm else x

    def head(self, s):
        """The scope of the output layer: the embedding's, unless the two are not tied"""
        return s.at("wte" if self.config.tie_word_embeddings else "lm_head")

    def loss_forward(self, ids, targets, s, count):
        """This part's share of the mean over `count` targets"""
        logits = unembedding_forward(self.forward(ids, s), self.head(s))
        return cross_entropy_forward(logits, targets, s.at("loss"), count)

    def loss_backward(self, dloss, s):
        """The mirror of _loss: from the loss to every parameter"""
        dlogits = cross_entropy_backward(dloss, s.at("loss"))
        dx = unembedding_backward(dlogits, self.head(s))
        if self.config.pre_norm:
            dx = layernorm_backward(dx, s.at("ln_f"))
        for i in reversed(range(self.config.n_layer)):
            dx = block_backward(dx, s.layer("h", i))
        dx = dropout_backward(dx, s.at("drop"))
        embedding_backward(dx.sum(axis=0), s.at("wpe"))     # in the forward one table was added to every sequence
        embedding_backward(dx, s.at("wte"))

    def checked(self, ids, targets=None):
        """ids as an array (B, T) that can be looked up; with targets also those and the number that count"""
        V = self.config.vocab_size
        ids = checked_ids(ids, V)
        if ids.shape[1] > self.config.n_positions:
            n = self.config.n_positions
            raise ValueError(f"ids: {ids.shape[1]} tokens exceed n_positions {n}; crop with ids[:, -{n}:]")
        if targets is None:
            return ids
        if np.shape(targets) != ids.shape:
            raise ValueError(f"targets: shape {np.shape(targets)}, expected that of ids {ids.shape}")
        return ids, *checked_targets(targets, self.n_outputs)
