"""Exercises on causal attention, softmax(QKᵀ/√D + mask) V.  Slips in att are the same forward and backward."""

import math

import numpy as np

from ...nn import Scope, attention_backward, attention_forward, attention_mask, softmax, softmax_backward
from .exercise import Exercise, Invariant, Slip, Slips, Trial


def transposed(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(-1, -2)


def weights(on: Slips, q: np.ndarray, k: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """att (B, T, S) from q (B, T, D), k (B, S, D) and what is seen, with the slips of scaling, hiding and normalizing"""
    D = q.shape[-1]
    scale = (1 if "no scale" in on else 1 / D if "1/D" in on else math.sqrt(D) if "times √D" in on
             else 1 / math.sqrt(q.shape[-2]) if "√T" in on else 1 / math.sqrt(D))
    scores = scale * (q @ transposed(k))
    if "added" in on:
        scores = scores + seen
    elif "no mask" not in on and "after" not in on:
        scores = np.where(seen, scores, 0 if "0" in on else -1 if "−1" in on else -np.inf)
    if "no softmax" in on:
        return np.where(np.isfinite(scores), scores, 0)
    if "exp alone" in on:
        return np.exp(scores)
    att = transposed(softmax(transposed(scores))) if "other axis" in on else softmax(scores)
    att = softmax(att) if "softmax twice" in on else att
    return att * seen if "after" in on else att


def scaling(scale: int, softmax: int) -> dict[str, Slip]:
    """The slips in att where nothing is hidden, with the hints on the scale and on the softmax"""
    return {
        "no scale": Slip("your scores lack the factor 1/√D: the softmax is of Q Kᵀ/√D", scale),
        "1/D": Slip("your scores are divided by D; it should be √D", scale),
        "times √D": Slip("your scores are multiplied by √D; they should be divided by it", scale),
        "other axis": Slip("your softmax is over the wrong axis: for each query it is over the keys, the last axis of the "
                           "scores",
                           softmax),
        "softmax twice": Slip("your softmax is applied twice: the scores go through it once", softmax),
        "exp alone": Slip("you did not divide exp by the sum of its row: the weights of a query must sum to 1", softmax),
        "no softmax": Slip("your att lacks the softmax: these are the scores themselves", softmax),
    }


def weighting(scale: int, mask: int, softmax: int) -> dict[str, Slip]:
    """The slips in att, with the hints on the scale, on the mask and on the softmax"""
    return {
        **scaling(scale, softmax),
        "√T": Slip("your scores are divided by √T, the root of the number of queries; it should be √D, of the channels", scale),
        "no mask": Slip("your att lacks the mask: scores of keys that a query must not see are −∞", mask),
        "after": Slip("you set hidden entries of att to 0 after the softmax, so its rows no longer sum to 1: set the scores to "
                      "−∞ before it", mask),
        "0": Slip("your mask sets scores to 0, which still gets a weight, exp(0) = 1: it must be −∞", mask),
        "−1": Slip("your mask sets scores to −1, which still gets a weight, exp(−1) = 0.37: it must be −∞", mask),
        "added": Slip("you added the mask of 1 and 0 to the scores, so hidden keys still get a weight: hidden scores must be "
                      "−∞",
                      mask),
    }


def _att(on: Slips, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    T = q.shape[-2]
    past = -1 if "not itself" in on or "not itself, NaN" in on else 1 if "too far" in on else 0
    seen = np.tri(T, k=past) == 1
    att = weights(on, q, k, seen.T if "future" in on else seen)
    return np.where(seen.any(-1, keepdims=True), att, np.nan) if "not itself, NaN" in on else att


def _forward(on: Slips, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    att = _att(on, q, k)
    return (transposed(att) if "attᵀ" in on else att) @ (k if "att K" in on else v)


def _dscores(on: Slips, datt: np.ndarray, att: np.ndarray) -> np.ndarray:
    if "no jacobian" in on:
        return datt
    if "diagonal" in on:
        return att * (1 - att) * datt
    if "datt ⊙" in on:
        return softmax_backward(att, datt)
    axis = -2 if "sum −2" in on else None if "sum all" in on else -1
    total = (np.mean if "mean" in on else np.sum)(datt if "of datt" in on else datt * att, axis=axis, keepdims=True)
    total = 0 * total if "no sum" in on else -total if "+ sum" in on else total
    dscores = (0 * datt if "no first" in on else datt) - total
    dscores = dscores if "no att" in on else att * dscores
    return softmax_backward(dscores, att) if "jacobian twice" in on else dscores


def _backward(
    on: Slips, do: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    att = _att(on, q, k)
    datt = v @ transposed(do) if "dattᵀ" in on else (v if "datt of v" in on else do) @ transposed(v)
    d = _dscores(on, datt, att)
    dq = (transposed(d) if "dq transposed" in on else d) @ (q if "dq of q" in on else v if "dq of v" in on else k)
    dk = (d if "dk not transposed" in on else transposed(d)) @ (k if "dk of k" in on else v if "dk of v" in on else q)
    a = datt if "dv of datt" in on else att
    dv = (a if "dv not transposed" in on else transposed(a)) @ (v if "dv of v" in on else do)
    return dq / math.sqrt(q.shape[-1]), dk / math.sqrt(q.shape[-1]), dv


def _truth_backward(
    do: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = Scope.of()
    attention_forward(q, k, v, s)
    return attention_backward(do, s)


def recovered(product: np.ndarray, factor: np.ndarray) -> np.ndarray | None:
    """A of product = A factor, None where there are more rows than channels, so that there is no telling"""
    return product @ np.linalg.pinv(factor) if factor.shape[-2] <= factor.shape[-1] else None


def _rows_of_att(trial: Trial, o: np.ndarray) -> np.ndarray | None:
    att = recovered(o, trial.inputs["v"])
    return None if att is None else att.sum(-1) - 1


def _future_of_att(trial: Trial, o: np.ndarray) -> np.ndarray | None:
    att = recovered(o, trial.inputs["v"])
    return None if att is None else np.triu(att, 1)


def _rows_of_dscores(trial: Trial, dq: np.ndarray) -> np.ndarray | None:
    dscores = recovered(dq, trial.inputs["k"])
    return None if dscores is None else dscores.sum(-1)


def _future_of_dscores(trial: Trial, dq: np.ndarray) -> np.ndarray | None:
    dscores = recovered(dq, trial.inputs["k"])
    return None if dscores is None else np.triu(dscores, 1)


def _columns_of_dscores(trial: Trial, dk: np.ndarray) -> np.ndarray | None:
    dscores = recovered(dk, trial.inputs["q"])
    return None if dscores is None else dscores.sum(-2)         # of its transpose


SUM_OF_DATT = "you summed datt ⊙ att over the wrong axis: for each query over the keys, the last axis"
MASK = {
    "future": Slip("your mask is the wrong way round: it hides the past and shows the future", 2),
    "too far": Slip("your mask shows one key too many: position t sees the keys 0 … t, also itself, but not t + 1", 2),
    "not itself": Slip("your mask hides the position itself: position t sees the keys 0 … t, t included", 2),
    "not itself, NaN": Slip("your mask hides the position itself: position t sees the keys 0 … t, t included", 2),
}
ROWS_OF_DSCORES = "the rows of dscores sum to 0: adding one number to all scores of a query changes no att"

EXERCISES = (
    Exercise(
        name="attention_forward",
        about="each position averages the values of those before it, weighted by how well query and key match",
        shapes="q (B, T, D), k (B, T, D), v (B, T, D) -> o (B, T, D)",
        forward="o = att V,   att = softmax(scores),   scores = Q Kᵀ/√D",
        asked="A score is −∞ where key j comes after query t (j > t).",
        hints=(
            "k.swapaxes(-1, -2) is Kᵀ for every sequence of the batch; k.T would also turn the batch around. Scores are (B, T, "
            "T).",
            "np.where(np.tri(T) == 1, scores, -np.inf) hides the future: row t keeps the columns 0 … t.",
            "The softmax is along the last axis, over the keys: subtract the row's maximum, exp, divide by the row's sum.",
        ),
        draw=lambda rng, B, T, C: {name: rng.standard_normal((B, T, C)) for name in "qkv"},
        truth=lambda q, k, v: attention_forward(q, k, v, Scope.of()),
        formula=_forward,
        slips={
            **weighting(1, 2, 3),
            **MASK,
            "attᵀ": Slip("you multiplied by the transpose of att: o = att V", 3),
            "att K": Slip("you averaged the keys: o = att V, of the values", 3),
        },
        invariants=(
            Invariant("o", "the rows of att sum to 1", _rows_of_att),
            Invariant("o", "att is 0 where the key comes after the query", _future_of_att),
        ),
        sources=(attention_forward, attention_mask),
        large=lambda inputs: {**inputs, "q": 100 * inputs["q"], "k": 100 * inputs["k"]},
        unstable="exp overflows above 709; subtract the maximum of each row of the scores before exp",
    ),
    Exercise(
        name="attention_backward",
        about="back through two matrix products and the softmax between them",
        shapes="do (B, T, D), q (B, T, D), k (B, T, D), v (B, T, D) -> dq (B, T, D), dk (B, T, D), dv (B, T, D)",
        forward="o = att V,   att = softmax(scores),   scores = Q Kᵀ/√D",
        asked="The gradients of q, k and v are asked for, given do = ∂loss/∂o. A score is −∞ where key j comes after query t.",
        hints=(
            "Compute att again as in attention_forward: Q Kᵀ/√D, the mask, the softmax. It is (B, T, T).",
            "A score of −∞ hides a key: np.where(np.tri(T) == 1, scores, -np.inf), before the softmax. Back it needs no more "
            "care, since att is 0 there.",
            "o = att V is a matrix product like y = x W: one gradient is dO times the other factor transposed. So datt = do @ "
            "v.swapaxes(-1, -2) and dv = att.swapaxes(-1, -2) @ do.",
            "Through the softmax, row by row, as in softmax_backward: dscores = att ⊙ (datt − Σ_j datt ⊙ att), att * (datt - "
            "(datt * att).sum(-1, keepdims=True)).",
            "scores = Q Kᵀ/√D is a product again: dq = dscores @ k / sqrt(D) and dk = dscores.swapaxes(-1, -2) @ q / sqrt(D).",
        ),
        hint_of={"dq": 5, "dk": 5, "dv": 3},
        draw=lambda rng, B, T, C: {name: rng.standard_normal((B, T, C)) for name in ("do", "q", "k", "v")},
        truth=_truth_backward,
        formula=_backward,
        slips={
            **weighting(1, 2, 1),
            **MASK,
            "no sum": Slip("your dscores lacks the sum: back through the softmax it is att ⊙ (datt − Σ_j datt ⊙ att)", 4),
            "no first": Slip("your dscores lacks its first term, att ⊙ datt", 4),
            "+ sum": Slip("a sign is wrong in your dscores: att Σ_j datt ⊙ att is subtracted, not added", 4),
            "mean": Slip("you took the mean of datt ⊙ att in dscores, it should be the sum", 4),
            "of datt": Slip("the sum in your dscores is of datt alone, it should be of datt ⊙ att", 4),
            "diagonal": Slip("your dscores has only the diagonal of the softmax's Jacobian, att (1 − att): it is att ⊙ (datt − "
                             "Σ_j datt ⊙ att)", 4),
            "no att": Slip("your dscores lacks the factor att in front: it is att ⊙ (datt − Σ_j datt ⊙ att)", 4),
            "datt ⊙": Slip("in your dscores datt and att have changed places: it is att ⊙ (datt − Σ_j datt ⊙ att)", 4),
            "sum −2": Slip(SUM_OF_DATT, 4),
            "sum all": Slip(SUM_OF_DATT, 4),
            "no jacobian": Slip("your dscores stops before the softmax: datt is the gradient of att, not of the scores", 4),
            "jacobian twice": Slip("your dscores went back through the softmax twice", 4),
            "dattᵀ": Slip("your datt is transposed: datt = dO Vᵀ", 3),
            "datt of v": Slip("your datt is made of v alone: datt = dO Vᵀ", 3),
            "dq transposed": Slip("your dq has dscores transposed: dQ = dscores K/√D", 5),
            "dq of q": Slip("your dq is made of q: dQ = dscores K/√D, with the other factor", 5),
            "dq of v": Slip("your dq is made of v: dQ = dscores K/√D, with the other factor of the scores", 5),
            "dk not transposed": Slip("your dk lacks the transpose: dK = dscoresᵀ Q/√D", 5),
            "dk of k": Slip("your dk is made of k: dK = dscoresᵀ Q/√D, with the other factor", 5),
            "dk of v": Slip("your dk is made of v: dK = dscoresᵀ Q/√D, with the other factor of the scores", 5),
            "dv not transposed": Slip("your dv lacks the transpose: dV = attᵀ dO", 3),
            "dv of v": Slip("your dv is made of v: dV = attᵀ dO", 3),
            "dv of datt": Slip("your dv is made of datt: dV = attᵀ dO", 3),
        },
        invariants=(
            Invariant("dq", ROWS_OF_DSCORES, _rows_of_dscores),
            Invariant("dq", "dscores is 0 where the key comes after the query", _future_of_dscores),
            Invariant("dk", ROWS_OF_DSCORES, _columns_of_dscores),
            Invariant("dv", "the sum of dv over the positions is that of do, since the rows of att sum to 1",
                      lambda trial, dv: dv.sum(-2) - trial.inputs["do"].sum(-2)),
        ),
        sources=(attention_backward, softmax_backward),
    ),
)
