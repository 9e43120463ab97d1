"""Exercises on the softmax and the loss."""

import numpy as np

from ...nn import (
    Scope,
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from .diagnosis import Exercise, Mistake


def _cross_entropy_backward(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    s = Scope.of()
    cross_entropy_forward(logits, targets, s)
    return cross_entropy_backward(1.0, s)


def _logits(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, np.ndarray]:
    return {"logits": 2 * rng.standard_normal((B, T, C)), "targets": rng.integers(0, C, (B, T))}


def _large_logits(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**inputs, "logits": 1000 * inputs["logits"]}


def _along(axis: int | None, x: np.ndarray) -> np.ndarray:
    """The softmax along another axis; None: over the whole array"""
    return softmax(x.reshape(-1)).reshape(x.shape) if axis is None else np.moveaxis(softmax(np.moveaxis(x, axis, -1)), -1, axis)


def _one_hot(targets: np.ndarray, V: int) -> np.ndarray:
    return np.eye(V)[targets]


def _right(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """values[..., target] at each position: (B, T)"""
    return np.take_along_axis(values, targets[..., None], -1)[..., 0]


EXERCISES = (
    Exercise(
        name="softmax",
        about="from scores to probabilities, row by row",
        shapes="x (B, T, C) -> y (B, T, C)",
        equation="y_i = exp(x_i)/Σ_j exp(x_j),   where i and j run over the last axis",
        hints=(
            "np.exp(x) gives the numerators. The denominator is their sum along the last axis: one number for each row of C.",
            "sum(-1, keepdims=True) leaves an axis of length 1, so that (B, T, 1) divides (B, T, C).",
            "exp(1000) is inf. Adding the same number to all x of a row leaves y as it is, so subtract the row's maximum "
            "first.",
        ),
        draw=lambda rng, B, T, C: {"x": rng.standard_normal((B, T, C))},
        truth=softmax,
        mistakes=(
            Mistake("y", "you summed over the wrong axis: each row along the last axis must sum to 1, and yours does not",
                    lambda x: _along(0, x), lambda x: _along(1, x)),
            Mistake("y", "you summed over the whole array: each row along the last axis must sum to 1 by itself; "
                    "sum(-1, keepdims=True)", lambda x: _along(None, x)),
            Mistake("y", "you did not divide by the sum of the row", lambda x: np.exp(x),
                    lambda x: np.exp(x - x.max(-1, keepdims=True))),
        ),
        sources=(softmax,),
        large=lambda inputs: {"x": 1000 * inputs["x"]},
        unstable="exp(x) overflows above x = 709; subtract the maximum of the row first, which changes nothing else",
    ),
    Exercise(
        name="softmax_backward",
        about="the gradient of the softmax, from its output alone",
        shapes="dy (B, T, C), y (B, T, C) -> dx (B, T, C)",
        equation="y = softmax(x)\n∂y_j/∂x_i = y_j (1 if i = j else 0) − y_i y_j,   dx_i = Σ_j dy_j ∂y_j/∂x_i",
        hints=(
            "Substitute the derivative into the sum: dx_i = Σ_j dy_j y_j (1 if i = j else 0) − Σ_j dy_j y_i y_j.",
            "In the first sum only j = i is left: dy_i y_i. In the second y_i does not depend on j and goes in front.",
            "dx = y ⊙ (dy − Σ_j dy_j y_j), with one sum for each row, along the last axis.",
        ),
        draw=lambda rng, B, T, C: {"dy": rng.standard_normal((B, T, C)), "y": softmax(rng.standard_normal((B, T, C)))},
        truth=softmax_backward,
        mistakes=(
            Mistake("dx", "your dx has only the diagonal of the Jacobian, y (1 − y): every x also lowers the other y of its "
                    "row",
                    lambda dy, y: dy * y * (1 - y)),
            Mistake("dx", "your dx lacks the term −y Σ dy ⊙ y: raising one x lowers all the other y of its row",
                    lambda dy, y: dy * y),
            Mistake("dx", "your dx lacks the factor y in front: y ⊙ (dy − Σ dy ⊙ y)",
                    lambda dy, y: dy - (dy * y).sum(-1, keepdims=True)),
            Mistake("dx", "the sum in your dx is of dy alone, it should be of dy ⊙ y",
                    lambda dy, y: y * (dy - dy.sum(-1, keepdims=True))),
            Mistake("dx", "you took the mean of dy ⊙ y, it should be the sum",
                    lambda dy, y: y * (dy - (dy * y).mean(-1, keepdims=True))),
            Mistake("dx", "you summed over the wrong axis: Σ dy ⊙ y is one number for each row, along the last axis",
                    *(lambda dy, y, axis=axis: y * (dy - (dy * y).sum(axis, keepdims=True)) for axis in (0, 1, None))),
        ),
        sources=(softmax_backward,),
    ),
    Exercise(
        name="cross_entropy",
        about="the loss: the mean of −log p of the right token",
        shapes="logits (B, T, V), targets (B, T) -> loss float",
        equation="loss = 1/N Σ −log softmax(logits)[target],   over all N = B·T positions",
        hints=(
            "−log softmax(z)[i] = log Σ_v exp(z_v) − z_i. Written so, no probability has to be computed.",
            "np.take_along_axis(logits, targets[..., None], -1) picks the target's logit at each position: (B, T, 1).",
            "For large logits: log Σ exp(z) = m + log Σ exp(z − m), with m the maximum of the row.",
        ),
        draw=_logits,
        truth=lambda logits, targets: cross_entropy_forward(logits, targets, Scope.of()),
        mistakes=(
            Mistake("loss", "your loss lacks the softmax's denominator, log Σ exp(logits): it is the target's logit alone",
                    lambda logits, targets: -_right(logits, targets).mean()),
            Mistake("loss", "your loss lacks the logarithm: it is made of p, not of log p",
                    lambda logits, targets: -_right(softmax(logits), targets).mean(),
                    lambda logits, targets: 1 - _right(softmax(logits), targets).mean()),
            Mistake("loss", "you took the logarithm of base 2; the loss is in nats, with the natural logarithm",
                    lambda logits, targets: -np.log2(_right(softmax(logits), targets)).mean()),
            Mistake("loss", "your softmax is over the wrong axis: it belongs along the vocabulary, the last axis",
                    *(lambda logits, targets, axis=axis: -np.log(_right(_along(axis, logits), targets)).mean()
                      for axis in (0, 1, None))),
            Mistake("loss", "you took the log of the mean p; the loss is the mean of the logs",
                    lambda logits, targets: -np.log(_right(softmax(logits), targets).mean())),
        ),
        sources=(cross_entropy_forward, log_softmax),
        large=_large_logits,
        unstable="exp overflows above 709, and a p that underflows to 0 has log 0 = −∞; subtract the maximum of the row, and "
        "compute log Σ exp(z) − z[target] instead of the log of p",
    ),
    Exercise(
        name="cross_entropy_backward",
        about="where the backward pass begins: the gradient of the loss with respect to the logits",
        shapes="logits (B, T, V), targets (B, T) -> dlogits (B, T, V)",
        equation="dlogits = (softmax(logits) − onehot(targets))/N,   N = B·T",
        hints=(
            "At one position loss = log Σ_v exp(z_v) − z_i with i the target. Its derivative with "
            "respect to z_v is exp(z_v)/Σ exp(z) = p_v.",
            "The second term, −z_i, adds −1 to the gradient of the target's logit and nothing to the others.",
            "np.eye(V)[targets] is onehot(targets), (B, T, V). The mean over N positions divides all of it by N.",
        ),
        draw=_logits,
        truth=_cross_entropy_backward,
        mistakes=(
            Mistake("dlogits", "your dlogits lacks −1 at the target: it is softmax(logits)/N alone",
                    lambda logits, targets: softmax(logits) / targets.size),
            Mistake("dlogits", "your dlogits lacks the softmax: all logits of a position move the loss, not the target's alone",
                    lambda logits, targets: -_one_hot(targets, logits.shape[-1]) / targets.size),
            Mistake("dlogits", "this is the gradient with respect to the probabilities, −1/p at the "
                    "target; the exercise asks for the logits, on the other side of the softmax",
                    lambda logits, targets: -_one_hot(targets, logits.shape[-1]) / softmax(logits) / targets.size),
            Mistake("dlogits", "you added 1 at the target where it is subtracted",
                    lambda logits, targets: (softmax(logits) + _one_hot(targets, logits.shape[-1])) / targets.size),
            Mistake("dlogits", "you divided the softmax by N but not the 1 that is subtracted at the target",
                    lambda logits, targets: softmax(logits) / targets.size - _one_hot(targets, logits.shape[-1])),
            Mistake("dlogits", "you divided the 1 at the target by N but not the softmax",
                    lambda logits, targets: softmax(logits) - _one_hot(targets, logits.shape[-1]) / targets.size),
            Mistake("dlogits", "your softmax is over the wrong axis: it belongs along the vocabulary, the last axis",
                    *(lambda logits, targets, axis=axis:
                      (_along(axis, logits) - _one_hot(targets, logits.shape[-1])) / targets.size for axis in (0, 1, None))),
        ),
        sources=(cross_entropy_backward, log_softmax_backward),
        large=_large_logits,
        unstable="exp overflows above 709; subtract the maximum of the row before exp",
    ),
)
