"""Changing activations by name, and what that tells: ablation, patching, the logit lens, and who wrote a logit.

    model.run(ids, edits={"h.3.attn.att": fn, "h.*.mlp.out": 0})
"""

import itertools
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from ..nn.embedding import unembedding_forward
from ..nn.layernorm import layernorm_forward
from ..nn.scope import Gradients, Scope
from ..nn.softmax import softmax
from .pictures import label, lens_grid, likeliest, number_grid
from .trace import Trace, all_names, select, study_pass


def run(model, ids, targets=None, *, edits=None, names=("logits", "probs")):
    """A forward pass with changed activations: a Trace without gradients.

        ablate   {"h.*.mlp.out": 0}                                 a number or an array takes the activation's place
        patch    {"h.2.attn.o": clean["h.2.attn.o"].value}
        change   {"h.0.attn.att": lambda att: att.round()}          a function gets a copy, and what it returns is used

    `edits` maps patterns to what is done, one after the other in their order; what comes later in the pass is computed from
    what they made.  The trace keeps what `names` match, and with targets its `loss`.
    Raises ValueError for a pattern that matches no activation, before anything is computed, and for a value that does not fit.
    """
    table = all_names(model.config, targets)
    editable = {name: row for name, row in table.items() if name not in model.params and name != "loss"}
    edits = dict(edits or {})
    select(edits, editable)
    chosen = select(names, table)
    values: dict[str, np.ndarray] = {}

    def visit(name, array):
        for pattern, edit in edits.items():
            if fnmatchcase(name, pattern):
                _apply(edit, name, array)
        if name in chosen:
            values[name] = array.copy()

    ids, targets, loss, _ = study_pass(model, ids, targets, visit)
    return Trace(model, ids, targets, loss, values, {})


def _apply(edit, name, array):
    value = np.asarray(edit(array.copy()) if callable(edit) else edit)
    try:
        np.copyto(array, value, casting="same_kind")
    except (TypeError, ValueError):
        raise ValueError(
            f"edits: {value.dtype} of shape {value.shape} for {name}, expected something that fits {array.dtype} {array.shape}"
        ) from None


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
    return softmax(unembedding_forward(h, model._head(s)))


class Effects(dict[str, np.ndarray]):
    """{name: (T,) or (H, T)}, a dictionary that a notebook shows as a table of names and tokens."""

    def __init__(self, arrays, labels):
        super().__init__(arrays)
        self.labels = labels        # the tokens of the first sequence

    def _repr_html_(self):
        rows = {f"{name}.{h}" if array.ndim == 2 else name: row
                for name, array in self.items() for h, row in enumerate(np.atleast_2d(array))}
        return f'<div class="tex2jax_ignore">{number_grid(list(rows), self.labels, list(rows.values()), "effect")}</div>'


class Parts(dict[str, np.ndarray]):
    """{name: (B,)}, a dictionary that a notebook shows as a table of blocks and their parts, of the first sequence."""

    def _repr_html_(self):
        places = {name: (".".join(name.split(".")[:2]), name.split(".", 2)[2]) if name.startswith("h.") else ("stream", name)
                  for name in self}
        rows, columns = (list(dict.fromkeys(side)) for side in zip(*places.values(), strict=True))
        numbers = np.full((len(rows), len(columns)), np.nan)
        for name, (row, column) in places.items():
            numbers[rows.index(row), columns.index(column)] = self[name][0]
        return f'<div class="tex2jax_ignore">{number_grid(rows, columns, numbers, "adds")}</div>'


def direct_logit_attribution(model, ids, token, *, against=None, position=-1):
    r"""Who wrote a logit: what each part of the residual stream adds to it, past all later blocks.

        x = Σ parts,   logit = Σ_parts (w ⊙ (part − mean(part)) r) · W[token] + b · W[token]

    The stream before ln_f is a sum: embeddings, each head's output, the biases, each MLP.  With r, the norm's 1/σ, held at
    the value that it has, the logit is a sum over the same parts.
    ids (B, T), token an id or (B,) ids -> {name: (B,)}, which sum up to logits[:, position, token].  With `against` it is about
    the difference to that token's logit.  Names: wte.out, wpe.out, h.0.attn.o.2 (the third head), h.0.attn.c_proj.bias,
    h.0.mlp.out, …, ln_f.bias.  Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".
    """
    config, params = model.config, model.params
    if not config.pre_norm:
        raise ValueError("direct_logit_attribution: pre_norm=False, expected True; norms after each sum mix the parts")
    V = config.vocab_size
    stream = run(model, ids, names=["wte.out", "wpe.out", "h.*.attn.o", "h.*.mlp.out", "ln_f.rstd"])
    B, T = stream.ids.shape
    if not -T <= position < T:
        raise ValueError(f"position: {position}, expected {-T} to {T - 1}")
    W = params["wte.weight" if config.tie_word_embeddings else "lm_head.weight"]
    direction = W[_checked_tokens(token, "token", B, V)]                           # (B, C)
    if against is not None:
        direction = direction - W[_checked_tokens(against, "against", B, V)]
    parts = {"wte.out": stream["wte.out"].value[:, position], "wpe.out": stream["wpe.out"].value[None, position]}
    for i in range(config.n_layer):
        heads = np.split(params[f"h.{i}.attn.c_proj.weight"], config.n_head)       # (D, C) each: the rows that a head uses
        o = stream[f"h.{i}.attn.o"].value[:, :, position]                          # (B, H, D)
        parts |= {f"h.{i}.attn.o.{h}": o[:, h] @ heads[h] for h in range(config.n_head)}
        if config.bias:
            parts[f"h.{i}.attn.c_proj.bias"] = params[f"h.{i}.attn.c_proj.bias"][None]
        parts[f"h.{i}.mlp.out"] = stream[f"h.{i}.mlp.out"].value[:, position]
    scale = params["ln_f.weight"] * stream["ln_f.rstd"].value[:, position]         # (B, C)
    logit = {name: ((part - part.mean(-1, keepdims=True)) * scale * direction).sum(-1) for name, part in parts.items()}
    return Parts(logit | ({"ln_f.bias": direction @ params["ln_f.bias"]} if config.bias else {}))


def activation_patching(model, ids, clean_ids, targets, names):
    r"""Put single activations of another run into this one, and see how the loss changes.

        effect = loss(run on ids with one place's activation from clean_ids) − loss(run on ids)

    ids, clean_ids, targets (B, T) -> {name: effects}; a name of axes (B, T, C) has an effect for each position (T,), one of
    axes (B, H, T, D) for each head and position (H, T).  One forward pass for each effect: choose `names` and texts small.
    Meng et al. 2022 §2.1, who call it causal tracing.
    """
    _check_pair(ids, clean_ids)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    before = run(model, ids, targets, names="logits")
    effects = Effects({}, before.labels)
    for name, step in clean.items():
        effects[name] = np.empty(step.shape[1:-1], model.dtype)
        for place in itertools.product(*map(range, effects[name].shape)):

            def patch(array, value=step.value, place=place):
                array[(slice(None), *place)] = value[(slice(None), *place)]
                return array

            effects[name][place] = run(model, ids, targets, edits={name: patch}, names="logits").loss - before.loss
    return effects


def attribution_patching(model, ids, clean_ids, targets, names):
    r"""All effects of activation_patching() at once, to first order, from one backward pass.

        effect ≈ Σ (clean − value) ⊙ grad,   summed over the batch and the channels

    Arguments and result as for activation_patching().  It is exact as far as the loss is linear between the two runs, and far
    off where a softmax is certain of its choice, since the gradient there is nearly 0: check what it finds by patching.
    Nanda 2023, "Attribution Patching: Activation Patching At Industrial Scale".
    """
    _check_pair(ids, clean_ids)
    clean = run(model, clean_ids, names=names)
    _check_places(clean)
    here = model.trace(ids, targets, names=list(clean))
    with np.errstate(invalid="ignore"):             # masked scores: −∞ − −∞, and a gradient of 0
        return Effects({
            name: np.nan_to_num((step.value - here[name].value) * here[name].grad).sum((0, -1)) for name, step in clean.items()
        }, here.labels)


def _check_pair(ids, clean_ids):
    if np.shape(ids) != np.shape(clean_ids):
        raise ValueError(f"clean_ids: shape {np.shape(clean_ids)}, expected that of ids {np.shape(ids)}; texts of equal length")


def _check_places(clean):
    """Every name must have a batch and positions."""
    for name, step in clean.items():
        if step.value.ndim < 3:
            raise ValueError(f"names: {name} has shape {step.shape}, expected a batch, positions and channels")


def _checked_tokens(token, name, B, V):
    """One id for each of B sequences"""
    tokens = np.asarray(token)
    if tokens.dtype.kind not in "iu" or tokens.shape not in ((), (B,)):
        raise ValueError(f"{name}: {token!r}, expected an id or {B} ids, one for each sequence")
    if tokens.min() < 0 or tokens.max() >= V:
        raise ValueError(f"{name}: {token!r}, expected ids from 0 to {V - 1}")
    return np.broadcast_to(tokens, (B,))
