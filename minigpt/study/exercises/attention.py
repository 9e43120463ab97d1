"""Exercises on causal attention, softmax(QKᵀ/√D + mask) V."""

import math
from collections.abc import Callable

import numpy as np

from ...nn import Scope, attention_backward, attention_forward, attention_mask, softmax, softmax_backward
from .diagnosis import Exercise, Mistake


def _attention_backward(
    do: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of()
    attention_forward(q, k, v, s)
    return attention_backward(do, s)


def _transposed(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(-1, -2)


def _att(q: np.ndarray, k: np.ndarray, causal: bool = True) -> np.ndarray:
    s = Scope.of()
    attention_forward(q, k, k, s, causal=causal)
    return s.acts["att"]


def _unscaled_att(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return _att(q * math.sqrt(q.shape[-1]), k)


def _scores(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return q @ _transposed(k) / math.sqrt(q.shape[-1])


def _seen(q: np.ndarray) -> np.ndarray:
    return attention_mask(q.shape[-2], q.shape[-2])


def _dscores(
    do: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, att: np.ndarray | None = None,
    jacobian: Callable = softmax_backward,
) -> np.ndarray:
    """The gradient of the scores, with another att or another Jacobian of the softmax"""
    return jacobian(do @ _transposed(v), _att(q, k) if att is None else att)


def _dq(dscores: np.ndarray, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return dscores @ k / math.sqrt(q.shape[-1])


def _dk(dscores: np.ndarray, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return _transposed(dscores) @ q / math.sqrt(q.shape[-1])


def _wrong_dscores(words: str, *variants: Callable) -> list[Mistake]:
    """A mistake on the way to dscores shows in dq and in dk; a variant makes the wrong dscores of do, q, k, v."""
    return [
        Mistake(name, words, *(lambda do, q, k, v, variant=variant, then=then: then(variant(do, q, k, v), q, k)
                               for variant in variants))
        for name, then in (("dq", _dq), ("dk", _dk))
    ]


def _wrong_jacobian(words: str, *jacobians: Callable) -> list[Mistake]:
    return _wrong_dscores(words, *(lambda do, q, k, v, jacobian=jacobian: _dscores(do, q, k, v, jacobian=jacobian)
                                   for jacobian in jacobians))


NO_MASK = "your att lacks the mask: compute it as in attention_forward, with scores of −∞ where j > t"
NO_SCALE = "your att lacks 1/√D: the softmax is of Q Kᵀ/√D, as in attention_forward"

EXERCISES = (
    Exercise(
        name="attention_forward",
        about="each position averages the values of those before it, weighted by how well query and key match",
        shapes="q (B, T, D), k (B, T, D), v (B, T, D) -> o (B, T, D)",
        equation="o = att V,   att = softmax(scores),   scores = Q Kᵀ/√D, and −∞ where key j comes after query t (j > t)",
        hints=(
            "k.swapaxes(-1, -2) is Kᵀ for every sequence of the batch; k.T would also turn the batch around. Scores are (B, "
            "T, T).",
            "np.where(np.tri(T) == 1, scores, -np.inf) hides the future: row t keeps the columns 0 … t.",
            "The softmax is along the last axis, over the keys: subtract the row's maximum, exp, divide by the row's sum.",
        ),
        draw=lambda rng, B, T, C: {name: rng.standard_normal((B, T, C)) for name in "qkv"},
        truth=lambda q, k, v: attention_forward(q, k, v, Scope.of()),
        mistakes=(
            Mistake("o", "your scores lack the factor 1/√D", lambda q, k, v: _unscaled_att(q, k) @ v),
            Mistake("o", "your scores are divided by D; it should be √D",
                    lambda q, k, v: _att(q / math.sqrt(q.shape[-1]), k) @ v),
            Mistake("o", "your attention lacks the mask: position t must not see a key j > t",
                    lambda q, k, v: _att(q, k, causal=False) @ v),
            Mistake("o", "your mask is the wrong way round: it hides the past and shows the future",
                    lambda q, k, v: softmax(np.where(_transposed(_seen(q)), _scores(q, k), -np.inf)) @ v),
            Mistake("o", "you set hidden entries of att to 0 after the softmax, so its rows no longer sum to 1: "
                    "set the scores to −∞ before it", lambda q, k, v: _att(q, k, causal=False) * _seen(q) @ v),
            Mistake("o", "your mask sets scores to 0, which still gets a weight, exp(0) = 1: it must be −∞",
                    lambda q, k, v: softmax(_scores(q, k) * _seen(q)) @ v),
            Mistake("o", "your softmax is over the wrong axis: for each query it is over the keys, the last axis of the scores",
                    lambda q, k, v: _transposed(softmax(_transposed(np.where(_seen(q), _scores(q, k), -np.inf)))) @ v),
            Mistake("o", "you multiplied by the transpose of att: o = att V",
                    lambda q, k, v: _transposed(_att(q, k)) @ v),
        ),
        sources=(attention_forward, attention_mask),
        large=lambda inputs: {**inputs, "q": 100 * inputs["q"], "k": 100 * inputs["k"]},
        unstable="exp overflows above 709; subtract the maximum of each row of the scores before exp",
    ),
    Exercise(
        name="attention_backward",
        about="back through two matrix products and the softmax between them",
        shapes="do (B, T, D), q (B, T, D), k (B, T, D), v (B, T, D) -> dq (B, T, D), dk (B, T, D), dv (B, T, D)",
        equation="dV = attᵀ dO,   datt = dO Vᵀ,   dscores = att ⊙ (datt − Σ_j datt ⊙ att)\n"
        "dQ = dscores K/√D,   dK = dscoresᵀ Q/√D;   att as in attention_forward, with its mask",
        hints=(
            "Compute att again as in attention_forward: Q Kᵀ/√D, the mask, the softmax. It is (B, T, T).",
            "o = att V is a matrix product like y = x W: one gradient is dO times the other factor transposed. "
            "So datt = do @ v.swapaxes(-1, -2) and dv = att.swapaxes(-1, -2) @ do.",
            "Through the softmax, row by row, as in softmax_backward: "
            "dscores = att * (datt - (datt * att).sum(-1, keepdims=True)). The mask needs no more care: att is 0 there.",
            "scores = Q Kᵀ/√D is a product again: dq = dscores @ k / sqrt(D) and dk = dscores.swapaxes(-1, -2) @ q / sqrt(D).",
        ),
        draw=lambda rng, B, T, C: {name: rng.standard_normal((B, T, C)) for name in ("do", "q", "k", "v")},
        truth=_attention_backward,
        mistakes=(
            *_wrong_jacobian("your dscores lacks the sum: back through the softmax it is att ⊙ (datt − Σ_j datt ⊙ att)",
                             lambda datt, att: att * datt),
            *_wrong_jacobian("your dscores has only the diagonal of the softmax's Jacobian, att (1 − att): "
                             "it is att ⊙ (datt − Σ_j datt ⊙ att)", lambda datt, att: att * (1 - att) * datt),
            *_wrong_jacobian("your dscores lacks the factor att in front: it is att ⊙ (datt − Σ_j datt ⊙ att)",
                             lambda datt, att: datt - (datt * att).sum(-1, keepdims=True)),
            *_wrong_jacobian("you summed datt ⊙ att over the wrong axis: for each query over the keys, the last axis",
                             lambda datt, att: att * (datt - (datt * att).sum(-2, keepdims=True)),
                             lambda datt, att: att * (datt - (datt * att).sum())),
            *_wrong_jacobian("your dscores stops before the softmax: datt is the gradient of att, not of the scores",
                             lambda datt, att: datt),
            *_wrong_dscores(NO_MASK, lambda do, q, k, v: _dscores(do, q, k, v, _att(q, k, causal=False))),
            *_wrong_dscores(NO_SCALE, lambda do, q, k, v: _dscores(do, q, k, v, _unscaled_att(q, k)),
                            lambda do, q, k, v: _dscores(do, q, k, v, _unscaled_att(q, k)) * math.sqrt(q.shape[-1])),
            Mistake("dq", "your dq has dscores transposed: dQ = dscores K/√D",
                    lambda do, q, k, v: _dq(_transposed(_dscores(do, q, k, v)), q, k)),
            Mistake("dk", "your dk lacks the transpose: dK = dscoresᵀ Q/√D",
                    lambda do, q, k, v: _dk(_transposed(_dscores(do, q, k, v)), q, k)),
            Mistake("dv", "your dv lacks the transpose: dV = attᵀ dO",
                    lambda do, q, k, v: _att(q, k) @ do),
            Mistake("dv", NO_MASK, lambda do, q, k, v: _transposed(_att(q, k, causal=False)) @ do),
            Mistake("dv", NO_SCALE, lambda do, q, k, v: _transposed(_unscaled_att(q, k)) @ do),
        ),
        sources=(attention_backward, softmax_backward),
    ),
)
