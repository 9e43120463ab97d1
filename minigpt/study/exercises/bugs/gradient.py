"""The backward pass of a training run; and the faults in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ....models.gpt import GPT
from ....nn import Gradients, Scope
from ....nn.rows import rows
from ...gradcheck import GradientError, check_model
from .fault import fault, measurement

if TYPE_CHECKING:
    from .run import Run


# The right parts; unembedding_backward, layernorm_backward and attention_backward are minigpt/nn/'s own


def gradient(model: GPT, ids: np.ndarray, targets: np.ndarray, dropout_key: tuple[int, ...]) -> tuple[float, Gradients]:
    """The loss of one batch and its gradients by name"""
    return model.loss_and_grads(ids, targets, dropout_key=dropout_key)


# Measurements


@measurement("how much longer the gradient is when the same batch is asked for again, before any step")
def growth(run: Run) -> float:
    batch = run.batch()
    first, second = (math.sqrt(sum(float((g**2).sum()) for g in run.gradient(*batch)[1].values())) for _ in range(2))
    return second / first


@measurement("which gradients gradcheck finds wrong: how many arrays, and the first on the way back from the loss")
def wrong_gradients(run: Run) -> str:
    ids, targets = (x[:1, :8] for x in run.batch())
    try:
        check = check_model(run.model, ids, targets, tolerance=1e-5, samples=0)
    except GradientError as error:
        assert error.check is not None
        check = error.check
    parts = ("mlp.c_proj", "mlp.c_fc", "ln_2", "attn.c_proj", "attn.c_attn", "ln_1")
    way_back = ("ln_f", *(f"h.{i}.{part}" for i in (1, 0) for part in parts), "wpe", "wte")
    wrong = [row.name for place in way_back for row in check.wrong if row.name.startswith(place)]
    return f"{len(wrong)}: {wrong[0]}, …" if wrong else "0"


# The faults


@fault(
    "gradient", "gradient",
    words="the gradient is not set to 0 between two steps",
    effect="Each step adds its gradient to those of all steps before: a momentum that never fades. The loss falls for some "
           "fifteen steps and then rises, far above that of a guess.",
    hints=(
        "Train 100 steps and look at all losses: something goes well at first and then no more. The gradient of the model "
        "itself is right, when it is computed once.",
        "Call run.gradient(*batch) twice with one batch and compare the gradients; copy the first ones, they are "
        "overwritten.",
    ),
    shown_by=growth,
    steps=100,
)
def gradient_not_zeroed(
    model: GPT, ids: np.ndarray, targets: np.ndarray, dropout_key: tuple[int, ...],
) -> tuple[float, Gradients]:
    keep = True                     # right: keep = False
    return model.loss_and_grads(ids, targets, dropout_key=dropout_key, accumulate=keep)


@fault(
    "gradient", "unembedding_backward",
    words="the tied table gets only one of its two gradients: that of the output layer is dropped",
    effect="wte.weight is used twice, for the lookup and for the output layer, so its gradient is a sum of two. With the "
           "larger one missing, the output layer learns only by accident, and the loss falls slowly.",
    hints=(
        "Run minigpt.study.gradcheck.check_model(run.model, ids, targets): which arrays are wrong?",
        'Only one array is wrong. trace["wte.weight"].parts are the two terms whose sum trace["wte.weight"].grad should be.',
    ),
    shown_by=wrong_gradients,
)
def tied_gradient_dropped(dlogits: np.ndarray, s: Scope) -> np.ndarray:
    # right: s.grads.add_product("weight", rows(dlogits).T, rows(s.acts["h"]))
    return dlogits @ s.params["weight"]


@fault(
    "gradient", "layernorm_backward",
    words="the backward of layer norm lacks a term, the mean of dx̂",
    effect="Layer norm takes the mean off, so nothing that moves all channels alike can matter, and its dx has mean 0. "
           "Without the term it has not. Training works almost as well, and without a gradient check nobody notices.",
    hints=(
        "Run minigpt.study.gradcheck.check_model(run.model, ids, targets): which arrays are wrong, and what is the last one "
        "on the way back from the loss that is right?",
        'The weight and bias of ln_f are right, all that lies before it is wrong: so its dx is. That is '
        'trace["h.1.out"].grad; what should its sum over the channels be?',
    ),
    shown_by=wrong_gradients,
)
def layernorm_mean_missing(dy: np.ndarray, s: Scope) -> np.ndarray:
    xhat, rstd = s.acts["xhat"], s.acts["rstd"]
    s.grads.add("weight", rows(dy * xhat).sum(0))
    s.grads.add("bias", rows(dy).sum(0))
    dxhat = s.record_grad("xhat", s.params["weight"] * s.record_grad("out", dy))
    s.record_grad("rstd", (dxhat * xhat / rstd).sum(-1, keepdims=True))
    s.record_grad("mean", -rstd * dxhat.sum(-1, keepdims=True))
    mean = 0                        # right: mean = dxhat.mean(-1, keepdims=True)
    return rstd * (dxhat - mean - xhat * (dxhat * xhat).mean(-1, keepdims=True))


@fault(
    "gradient", "attention_backward",
    words="the backward of attention's softmax sums over the queries instead of the keys",
    effect="Scores get a wrong gradient, and with them all queries and keys. As long as attention does little, nothing is "
           "seen; as soon as it matters, the loss rises again.",
    hints=(
        "Run minigpt.study.gradcheck.check_model(run.model, ids, targets): which arrays are wrong, and what is the last one "
        "on the way back from the loss that is right?",
        "h.1.attn.c_proj is right and h.1.attn.c_attn is wrong. Between them are att and scores: the rows of a softmax's dx "
        "sum to 0; look at trace[\"h.1.attn.scores\"].grad.sum(-1).",
    ),
    shown_by=wrong_gradients,
)
def softmax_backward_wrong_axis(do: np.ndarray, s: Scope) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    q, k, v, att, drop, scale = *(s.acts[name] for name in ("q", "k", "v", "att", "drop")), s.saved["scale"]
    do = s.record_grad("o", do)
    dv = s.record_grad("v", (att * drop).swapaxes(-1, -2) @ do)
    datt = s.record_grad("att", do @ v.swapaxes(-1, -2) * drop)
    inner = (datt * att).sum(-2, keepdims=True)         # right: inner = (datt * att).sum(-1, keepdims=True)
    dscores = s.record_grad("scores", att * (datt - inner))
    dq = s.record_grad("q", scale * (dscores @ k))
    dk = s.record_grad("k", scale * (dscores.swapaxes(-1, -2) @ q))
    return dq, dk, dv


FAULTS = (gradient_not_zeroed, tied_gradient_dropped, layernorm_mean_missing, softmax_backward_wrong_axis)
