r"""Health checks of a GPT, each with its result in words; a mistake in a forward or backward pass fails one of them.

    causality(model)      -> Finding("∂logits[t]/∂x[j] is exactly 0 for all j > t, and only there", ok=True)

first_loss, causality, gradients and one_batch are for an untrained model; weights, vocabulary, text_loss, causality and cache
for a trained one.  They use a model's public methods only.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..nn.cross_entropy import IGNORED
from ..system.language import Sentence
from ..tokenization import WordPieceTokenizer
from ..training.optim import AdamW
from .gradcheck import GradientError, check_model

if TYPE_CHECKING:
    from ..config import GPTConfig
    from ..models.gpt import GPT

MEMORIZED_LOSS = 0.05   # as a fraction of ln V: a batch with this loss counts as memorized
TRAINED_LOSS = 0.75     # as a fraction of ln V: below it a model has learned something about a text
UNCAUSAL = Sentence("every position sees the tokens after it (causal=False)")
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
    """A result in words.  `ok` is True or False for a check, None for plain information; `excess` is what the machine lacks."""

    text: str
    ok: bool | None = None
    excess: str = ""


def passes(template: str, **values: Any) -> Finding:
    """What a check finds that is right: passes("{n} arrays, all finite", n=26)."""
    return Finding(Sentence(template, **values), True)


def fails(template: str, **values: Any) -> Finding:
    """What a check finds that is wrong."""
    return Finding(Sentence(template, **values), False)


def reports(template: str, **values: Any) -> Finding:
    """Plain information."""
    return Finding(Sentence(template, **values))


# Checks of an untrained model


def first_loss(model: GPT, seed: int = 0) -> Finding:
    r"""An untrained model gives all V tokens about the same probability, so its loss is about ln V.

    Healthy: within 10 % of ln V.  Above: initial weights too large.  Below: the targets leak into the input.
    """
    V, T = model.config.vocab_size, min(64, model.config.n_positions)
    try:
        loss = model.loss(*_random_batch(V, 4, T, seed))
    except FloatingPointError as error:
        return fails("there is none: {error}", error=error)
    uniform = math.log(V)
    text = Sentence("{loss:.2f} nats per token; a uniform guess costs ln {V} = {uniform:.2f}", loss=loss, V=V, uniform=uniform)
    if loss > 1.1 * uniform:
        return fails("{text}: more than 10 % above, so the initial weights are too large", text=text)
    if not loss >= 0.9 * uniform:
        return fails("{text}: an untrained model cannot do better, so the targets leak into the input", text=text)
    return Finding(text, True)


def causality(model: GPT, seed: int = 0) -> Finding:
    r"""The prediction at position t depends on every position up to t and on no later one; with causal=False, on all.

        ∂loss_t/∂wpe[j] = 0 exactly for j > t,   and not for j ≤ t

    loss_t is the loss at position t only.  Row j of wpe.weight is added to the input at position j and nowhere else, so its
    gradient is the gradient of that input.
    """
    T = min(70, model.config.n_positions)       # two tiles of nn/fast/attention.py
    ids, targets = _random_batch(model.config.vocab_size, 1, T, seed)
    for t in sorted({0, T // 2, max(0, T - 2)}):
        alone = np.full_like(targets, IGNORED)
        alone[0, t] = targets[0, t]
        _, grads = model.loss_and_grads(ids, alone)
        seen = np.flatnonzero(np.any(grads["wpe.weight"] != 0, axis=1))     # a NaN is not 0 either
        last = t if model.config.causal else T - 1
        if seen.size and seen[-1] > last:
            return fails("the prediction at position {t} depends on position {other}, which comes later: the mask lets future "
                         "tokens through", t=t, other=seen[-1])
        if missing := sorted({*range(last + 1)} - {*seen.tolist()}):
            return fails("the prediction at position {t} does not depend on position {other}: attention or the gradient of "
                         "the positions is cut off", t=t, other=missing[-1])
    if not model.config.causal:
        return passes("not causal (causal=False): no ∂logits[t]/∂x[j] is 0")
    return passes("∂logits[t]/∂x[j] is exactly 0 for all j > t, and only there")


def gradients(model: GPT, seed: int = 0) -> Finding:
    r"""Compare every parameter's gradient with a central difference along a random direction: gradcheck.check_model().

    The model must be in float64.  The parameters are listed in the order of the backward pass, from the end of the model to
    its beginning, so that the first wrong one shows where the mistake is: everything after it is wrong as well.
    """
    batch = _random_batch(model.config.vocab_size, 2, min(70, model.config.n_positions), seed)
    # ReLU's slope jumps at 0; for some tokens 0 lies between the two points of a difference
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
        right = rows[first - 1].name if first else Sentence("the loss")
        return fails("{wrong} of {all} arrays are wrong; the first in the backward pass is {name}, off by {error:.2g} of its "
                     "typical size; {right} is still right", wrong=len(check.wrong), all=len(rows), name=rows[first].name,
                     error=rows[first].error, right=right)
    worst = max(row.error for row in rows)
    return passes("{n} arrays agree with central differences (float64) to {worst:.0e}", n=len(rows), worst=worst)


def one_batch(model: GPT, seed: int = 0, steps: int = 300, lr: float = 3e-3) -> Finding:
    """A model that can learn can memorize one small batch of random tokens.  Trains the model with AdamW."""
    B, T = min(4, model.config.vocab_size), min(32, model.config.n_positions)
    ids, targets = _random_batch(model.config.vocab_size, B, T, seed)
    ids[:, 0] = np.arange(B)                    # rows that begin alike but have different targets could not be learned
    optimizer = AdamW(model, weight_decay=0)
    bound = MEMORIZED_LOSS * math.log(model.config.vocab_size)
    losses: list[float] = []
    while len(losses) <= steps:
        losses.append(model.loss_and_grads(ids, targets)[0])
        if losses[-1] <= bound or not math.isfinite(losses[-1]):
            break
        optimizer.step(lr)
    course = Sentence("loss {first:.2f} → {last:.2f} in {n} steps", first=losses[0], last=losses[-1], n=len(losses) - 1)
    if losses[-1] <= bound:
        return passes("{B} × {T} random tokens memorized: {course}", B=B, T=T, course=course)
    return fails("{B} × {T} random tokens are not memorized: {course}, expected {bound:.2f}; the gradients or the update are "
                 "wrong, or {n:,} parameters are too few", B=B, T=T, course=course, bound=bound, n=model.config.n_params)


def _random_batch(vocab_size: int, B: int, T: int, seed: int) -> np.ndarray:
    """ids, targets (B, T), the targets independent of the ids"""
    return np.random.default_rng(seed).integers(vocab_size, size=(2, B, T))


def _backward_rank(config: GPTConfig, name: str) -> int:
    """A parameter's place in the order of the backward pass: 0 at the end of the model; unknown names come last"""
    parts = ("mlp.c_proj", "mlp.c_fc", "ln_2", "attn.c_proj", "attn.c_attn", "ln_1")
    blocks = [f"h.{i}.{part}" for i in reversed(range(config.n_layer)) for part in parts]
    order = {part: i for i, part in enumerate(["lm_head", "ln_f", *blocks, "wpe", "wte"])}
    return order.get(name.rpartition(".")[0], len(order))


# Checks of a trained model


def weights(model: GPT) -> Finding:
    """Every parameter is a finite number."""
    if bad := [name for name, array in model.params.items() if not np.isfinite(array).all()]:
        more = Sentence(" and {n} more", n=len(bad) - 1) if bad[1:] else ""
        return fails("NaN or infinity in {name}{more}: download or save them again", name=bad[0], more=more)
    return passes("{n} arrays of {dtype}, all finite", n=len(model.params), dtype=model.dtype)


def vocabulary(model: GPT, text: str = HAMLET) -> Finding:
    """The tokenizer produces no token that the model lacks, and decoding its tokens restores the text.

    WordPiece keeps neither spaces nor, as a rule, capitals: there the decoded text must have the same tokens.
    """
    if model.tokenizer is None:
        return reports("none beside the weights, so no text was tested")
    V, n = model.config.vocab_size, model.tokenizer.vocab_size
    if n > V:
        return fails("{n:,} tokens, but the model has {V:,}: tokenizer and model do not belong together", n=n, V=V)
    text = _readable(model.tokenizer, text)
    ids = model.tokenizer.encode(text, disallowed_special=())
    decoded = model.tokenizer.decode(ids)
    if isinstance(model.tokenizer, WordPieceTokenizer):
        if model.tokenizer.encode(decoded, allowed_special="all") != ids:      # [UNK] is a token there
            return fails("{n:,} tokens, but decoding what it encoded gives a text of other tokens", n=n)
        return passes("{n:,} tokens, the model has {V:,}; decoding gives a text of the same tokens", n=n, V=V)
    if decoded != text:
        return fails("{n:,} tokens, but decoding what it encoded gives another text", n=n)
    return passes("{n:,} tokens, the model has {V:,}; decoding restores the text", n=n, V=V)


def text_loss(model: GPT, text: str = HAMLET, source: str = "Hamlet") -> Finding:
    """The loss on a text: that of a trained model is far below ln V, the loss of an untrained one.

    A high loss on a text in another script than that of the vocabulary says nothing.
    """
    if not model.config.causal:
        return reports("not measured: {reason}", reason=UNCAUSAL)
    if model.tokenizer is None:
        return reports("not measured without a tokenizer")
    ids = model.tokenizer.encode(_readable(model.tokenizer, text), disallowed_special=())
    if len(ids) < 20:
        return reports("not measured: the tokenizer knows only {n} tokens of {source}", n=len(ids), source=source)
    uniform = math.log(model.config.vocab_size)
    loss = -model.score(ids).mean
    measured = Sentence("{loss:.2f} nats per token on {n:,} tokens of {source}; a uniform guess costs {uniform:.2f}", loss=loss,
                        n=len(ids), source=source, uniform=uniform)
    if loss < TRAINED_LOSS * uniform:
        return Finding(measured, True)
    if _is_of_another_script(model.tokenizer, text):
        return reports("{measured}; most letters of its vocabulary are of another script, so pass a text in its language with "
                       "--text", measured=measured)
    return fails("{measured}: the model is untrained, or was trained on another language (pass a text in it with --text), or "
                 "its weights are in the wrong places", measured=measured)


def cache(model: GPT, seed: int = 0, tolerance: float = 1e-3) -> Finding:
    """Tokens generated with cached keys and values have the same probabilities as in one pass over the whole text."""
    if not model.config.causal:
        return reports("none: {reason}", reason=UNCAUSAL)
    T = model.config.n_positions
    if T < 2:
        return reports("a single position: nothing to cache")
    prompt = np.random.default_rng(seed).integers(model.config.vocab_size, size=min(16, T // 2))
    new = min(32, T - len(prompt))
    ids, cached = model.generate(prompt, new, seed=seed, logprobs=True)
    logits = model(ids[None, :-1])[0, -new:]
    logits -= logits.max(axis=1, keepdims=True)
    whole = logits[np.arange(new), ids[-new:]] - np.log(np.exp(logits).sum(axis=1))
    error = float(abs(whole - cached).max())
    if not error < tolerance:
        return fails("log p of {n} tokens differs by {error:.2g} from that without the cache", n=new, error=error)
    return passes("{n} tokens have the same log p with and without it, to {error:.0e}", n=new, error=error)


def _readable(tokenizer: Any, text: str) -> str:
    """The text without the characters that the tokenizer cannot encode"""

    def known(char: str) -> bool:
        try:
            return bool(tokenizer.encode(char, disallowed_special=())) or char.isspace()
        except ValueError:
            return False

    known_chars = {char for char in set(text) if known(char)}
    return "".join(char for char in text if char in known_chars)


def _is_of_another_script(tokenizer: Any, text: str) -> bool:
    """Whether most letters in the tokenizer's vocabulary are of other scripts than that of the text"""
    vocabulary = Counter(_script(c) for id in range(tokenizer.vocab_size) for c in tokenizer.decode([id]) if c.isalpha())
    ((script, _),) = Counter(_script(c) for c in text if c.isalpha()).most_common(1) or [("", 0)]
    return 2 * vocabulary[script] < vocabulary.total()


def _script(letter: str) -> str:
    """LATIN, CYRILLIC, …; Chinese, Japanese and Korean, which share characters, are one"""
    return "CJK" if letter >= "\u2e80" else unicodedata.name(letter, "").partition(" ")[0]
