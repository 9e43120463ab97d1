r"""Checks of a GPT, each a question with an answer in words: what a mistake in a forward or backward pass cannot hide from.

    causality(model)      -> Finding("∂logits[t]/∂x[j] is exactly 0 for all j > t, and only there", ok=True)

first_loss, causality, gradients and one_batch examine a fresh model; weights, vocabulary, text_loss, cache and again causality
a trained one.  They go through a model's public face alone.
"""

import math
from typing import NamedTuple

import numpy as np

from ..nn.cross_entropy import IGNORED
from ..training.optim import AdamW
from .gradcheck import GradientError, check_model

LEARNED = 0.05          # the loss, as a fraction of ln V, at which a batch counts as learned by heart
TRAINED = 0.75          # the loss, as a fraction of ln V, below which a model has learned something of a text
UNCAUSAL = "every position sees the tokens after it (causal=False)"
HAMLET = """To be, or not to be, that is the question:
Whether 'tis nobler in the mind to suffer
The slings and arrows of outrageous fortune,
Or to take arms against a sea of troubles
And by opposing end them. To die, to sleep,
No more; and by a sleep to say we end
The heart-ache and the thousand natural shocks
That flesh is heir to: 'tis a consummation
Devoutly to be wish'd.
"""


class Finding(NamedTuple):
    """What was found, in words, and whether it is well; None where it is neither well nor wrong."""

    text: str
    ok: bool | None = None


# A fresh model


def first_loss(model, seed=0) -> Finding:
    r"""Before it has learned anything, a model gives all V tokens about the same probability: its loss is about ln V.

    Well is within a tenth of ln V.  Far above, the first scores differ too much: the weights start too large.  Below, the
    model knows what it cannot know.
    """
    V, T = model.config.vocab_size, min(64, model.config.n_positions)
    loss = model.loss(*_random_batch(V, 4, T, seed))
    blind = math.log(V)
    text = f"{loss:.2f} nats per token; blind guessing costs ln {V} = {blind:.2f}"
    if loss > 1.1 * blind:
        return Finding(f"{text}: the first scores differ too much, so the weights start too large", False)
    if not loss >= 0.9 * blind:
        return Finding(f"{text}: a fresh model cannot know more, so it sees what it should predict", False)
    return Finding(text, True)


def causality(model, seed=0) -> Finding:
    r"""What is predicted at position t depends on the positions up to t and on no other; where causal is False, on all.

        ∂loss_t/∂wpe[j] = 0 exactly for j > t,   and not for j ≤ t

    loss_t is the loss at position t alone; row j of wpe.weight is added to position j and to no other, so its gradient is
    that of the input there.
    """
    T = min(70, model.config.n_positions)       # two tiles of attention.py
    ids, targets = _random_batch(model.config.vocab_size, 1, T, seed)
    for t in sorted({0, T // 2, max(0, T - 2)}):
        alone = np.full_like(targets, IGNORED)
        alone[0, t] = targets[0, t]
        _, grads = model.loss_and_grads(ids, alone)
        seen = np.flatnonzero(np.any(grads["wpe.weight"] != 0, axis=1))     # a NaN is not 0 either
        last = t if model.config.causal else T - 1
        if seen.size and seen[-1] > last:
            return Finding(f"what is predicted at position {t} depends on position {seen[-1]}, which comes later: the mask "
                           "lets the future through", False)
        if missing := sorted({*range(last + 1)} - {*seen.tolist()}):
            return Finding(f"what is predicted at position {t} does not depend on position {missing[-1]}: attention or the "
                           "positions' gradient is cut off", False)
    if not model.config.causal:
        return Finding("it is not causal (causal=False): each of ∂logits[t]/∂x[j] is other than 0", True)
    return Finding("∂logits[t]/∂x[j] is exactly 0 for all j > t, and only there", True)


def gradients(model, seed=0) -> Finding:
    r"""Every parameter's gradient against a central difference along a random direction: gradcheck.check_model().

    The model must be in float64.  The parameters are looked through as the backward pass goes, from the end of the model to
    its beginning, so that the first wrong one names the place: what is wrong there is wrong in all that follow.
    """
    batch = _random_batch(model.config.vocab_size, 2, min(70, model.config.n_positions), seed)
    # ReLU's slope jumps at 0, for some tokens between the two points of a difference
    tolerance = 0.03 if model.config.activation_function == "relu" else 1e-5
    try:
        check = check_model(model, *batch, tolerance=tolerance, samples=0, seed=seed)
    except GradientError as error:
        if error.check is None:
            raise
        check = error.check
    rows = sorted(check.rows, key=lambda row: _backward_rank(model.config, row.name))
    if check.wrong:
        first = next(i for i, row in enumerate(rows) if row in check.wrong)
        right = rows[first - 1].name if first else "the loss"
        return Finding(f"{len(check.wrong)} of {len(rows)} arrays are wrong, on the way back first {rows[first].name}, by "
                       f"{rows[first].error:.2g} of its usual size; {right} is still right", False)
    worst = max(row.error for row in rows)
    return Finding(f"{len(rows)} arrays agree with central differences (float64) to {worst:.0e}", True)


def one_batch(model, seed=0, steps=300, lr=3e-3) -> Finding:
    """A model that can learn learns one small batch of random tokens by heart.  Trains the model with AdamW."""
    B, T = min(4, model.config.vocab_size), min(32, model.config.n_positions)
    ids, targets = _random_batch(model.config.vocab_size, B, T, seed)
    ids[:, 0] = np.arange(B)                    # equal beginnings with different targets could not be told apart
    optimizer = AdamW(model, weight_decay=0)
    bound = LEARNED * math.log(model.config.vocab_size)
    losses: list[float] = []
    while len(losses) <= steps:
        losses.append(model.loss_and_grads(ids, targets)[0])
        if losses[-1] <= bound or not math.isfinite(losses[-1]):
            break
        optimizer.step(lr)
    course = f"loss {losses[0]:.2f} → {losses[-1]:.2f} in {len(losses) - 1} steps"
    if losses[-1] <= bound:
        return Finding(f"{B} × {T} random tokens by heart: {course}", True)
    return Finding(f"{B} × {T} random tokens are not learned by heart: {course}, expected {bound:.2f}; the gradients or the "
                   f"update are wrong, or its {model.config.n_params:,} parameters too few", False)


def _random_batch(vocab_size, B, T, seed):
    """ids, targets (B, T), the targets independent of the ids"""
    return np.random.default_rng(seed).integers(vocab_size, size=(2, B, T))


def _backward_rank(config, name):
    """When the backward pass is done with a parameter's gradient: 0 at the end of the model; names of one's own come last"""
    parts = ("mlp.c_proj", "mlp.c_fc", "ln_2", "attn.c_proj", "attn.c_attn", "ln_1")
    blocks = [f"h.{i}.{part}" for i in reversed(range(config.n_layer)) for part in parts]
    order = {part: i for i, part in enumerate(["lm_head", "ln_f", *blocks, "wpe", "wte"])}
    return order.get(name.rpartition(".")[0], len(order))


# A trained model


def weights(model) -> Finding:
    """Every parameter is a finite number."""
    if bad := [name for name, array in model.params.items() if not np.isfinite(array).all()]:
        more = f" and {len(bad) - 1} more" if bad[1:] else ""
        return Finding(f"NaN or infinity in {bad[0]}{more}: download or save them again", False)
    return Finding(f"{len(model.params)} arrays of {model.dtype}, all finite", True)


def vocabulary(model, text=HAMLET) -> Finding:
    """The tokenizer gives no token that the model lacks, and its tokens give the text back."""
    if model.tokenizer is None:
        return Finding("none beside the weights, so no text was tried")
    V, n = model.config.vocab_size, model.tokenizer.vocab_size
    if n > V:
        return Finding(f"{n:,} tokens, but the model knows {V:,}: they do not belong together", False)
    text = _readable(model.tokenizer, text)
    if model.tokenizer.decode(model.tokenizer.encode(text, disallowed_special=())) != text:
        return Finding(f"{n:,} tokens, but what it encodes it does not decode to the same text", False)
    return Finding(f"{n:,} tokens, the model has {V:,}; text comes back", True)


def text_loss(model, text=HAMLET, source="Hamlet") -> Finding:
    """The loss on a text: a trained model is far below ln V, where a fresh one stands."""
    if not model.config.causal:
        return Finding(f"not tried: {UNCAUSAL}")
    if model.tokenizer is None:
        return Finding("not tried without a tokenizer")
    ids = model.tokenizer.encode(_readable(model.tokenizer, text), disallowed_special=())
    if len(ids) < 20:
        return Finding(f"not tried: it can read {len(ids)} tokens of {source}")
    blind = math.log(model.config.vocab_size)
    loss = -model.score(ids).mean
    text = f"{loss:.2f} nats per token on {len(ids):,} tokens of {source}"
    if loss < TRAINED * blind:
        return Finding(f"{text}; blind guessing costs {blind:.2f}", True)
    return Finding(f"{text}; blind guessing costs {blind:.2f}: it is untrained, or knows another language (give some of that "
                   "with --text), or its weights are not in their places", False)


def cache(model, seed=0, tolerance=1e-3) -> Finding:
    """What is generated token by token with cached keys and values is as likely as when all is read at once."""
    if not model.config.causal:
        return Finding(f"none: {UNCAUSAL}")
    T = model.config.n_positions
    if T < 2:
        return Finding("a single position: nothing to keep")
    prompt = np.random.default_rng(seed).integers(model.config.vocab_size, size=min(16, T // 2))
    new = min(32, T - len(prompt))
    ids, cached = model.generate(prompt, new, seed=seed, logprobs=True)
    logits = model(ids[None, :-1])[0, -new:]
    logits -= logits.max(axis=1, keepdims=True)
    whole = logits[np.arange(new), ids[-new:]] - np.log(np.exp(logits).sum(axis=1))
    error = float(abs(whole - cached).max())
    if not error < tolerance:
        return Finding(f"log p of {new} tokens differs by {error:.2g} from that without the cache", False)
    return Finding(f"{new} tokens are as likely with it as without, log p to {error:.0e}", True)


def _readable(tokenizer, text):
    """The text without the characters that the tokenizer does not have"""

    def known(char):
        try:
            return bool(tokenizer.encode(char, disallowed_special=()))
        except ValueError:
            return False

    known_chars = {char for char in set(text) if known(char)}
    return "".join(char for char in text if char in known_chars)
