"""Exercises on the whole model: the residual block, and the embedding table that is used twice."""

from typing import Any

import numpy as np

from ...nn import (
    Gradients,
    Scope,
    block_backward,
    block_forward,
    embedding_backward,
    embedding_forward,
    layernorm_backward,
    mlp_backward,
    multihead_backward,
    unembedding_backward,
    unembedding_forward,
)
from ...nn.rows import rows
from .exercise import Exercise, Invariant, Slip, Slips, Trial, should_add


def _block(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, Any]:
    """A block with one head whose forward has run on some x"""
    shapes = {"ln_1.weight": (C,), "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,), "attn.c_proj.weight": (C, C),
              "ln_2.weight": (C,), "mlp.c_fc.weight": (C, 2 * C), "mlp.c_proj.weight": (2 * C, C)}
    params: dict[str, Any] = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    s = Scope.of(**params)
    block_forward(rng.standard_normal((B, T, C)), s, 1)
    return {"dy": rng.standard_normal((B, T, C)), "s": s}


def _block_backward(on: Slips, dy: np.ndarray, s: Scope) -> np.ndarray:
    ln_1, ln_2 = ("ln_2", "ln_1") if "norms changed places" in on else ("ln_1", "ln_2")

    def mlp(d: np.ndarray) -> np.ndarray:
        if "norms first" in on:
            return mlp_backward(layernorm_backward(d, s.at(ln_2)), s.at("mlp"))
        d = mlp_backward(d, s.at("mlp"))
        return d if "no ln_2" in on else layernorm_backward(d, s.at(ln_2))

    def attn(d: np.ndarray) -> np.ndarray:
        if "norms first" in on:
            return multihead_backward(layernorm_backward(d, s.at(ln_1)), s.at("attn"))
        d = multihead_backward(d, s.at("attn"))
        return d if "no ln_1" in on else layernorm_backward(d, s.at(ln_1))

    if "attention first" in on:
        mlp, attn = attn, mlp
    branch = 0 * dy if "no MLP" in on else mlp(dy)
    dm = (0 * dy if "no way past the MLP" in on or "no residuals" in on else dy) + (-branch if "dy −" in on else branch)
    dm = dm + dy if "dy twice" in on else dm
    branch = 0 * dy if "no attention" in on else attn(dy if "attn of dy" in on else dm)
    past = 0 * dy if "no way past attention" in on or "no residuals" in on else dy if "past from dy" in on else dm
    return past + (-branch if "dm −" in on else branch) + (dy if "dy again" in on else 0)


def _tied(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, np.ndarray]:
    V = C + 3
    return {"dlogits": rng.standard_normal((B, T, V)), "h": rng.standard_normal((B, T, C)),
            "dx": rng.standard_normal((B, T, C)), "ids": rng.integers(0, 2, (B, T)) * (V - 1)}       # ids that come again


def _tied_truth(dlogits: np.ndarray, h: np.ndarray, dx: np.ndarray, ids: np.ndarray) -> np.ndarray:
    s = Scope.of(weight=np.zeros((dlogits.shape[-1], h.shape[-1])))
    unembedding_forward(h, s)
    unembedding_backward(dlogits, s)
    embedding_forward(ids, s)
    embedding_backward(dx, s)
    return s.grads["weight"]


def _tied_embedding_backward(
    on: Slips, dlogits: np.ndarray, h: np.ndarray, dx: np.ndarray, ids: np.ndarray,
) -> np.ndarray:
    one = slice(-1, None) if "last sequence" in on else slice(None)
    head = np.einsum("btv,btc->vc", dlogits[one], h[one])
    if "reshape" in on:
        head = dlogits.reshape(dlogits.shape[-1], -1) @ rows(h)
    head = 0 * head if "no head" in on else -head if "− head" in on else head / ids.size if "head over N" in on else head
    sign = 0 if "no lookup" in on else -1 if "− lookup" in on else 2 if "2 lookups" in on else 1
    if "every row" in on:
        return head + sign * rows(dx).sum(0)
    if "last alone" in on or "written over" in on:
        table = head.copy()
        table[ids] = (0 if "written over" in on else table[ids]) + sign * dx
        return table
    if "positions" in on:
        ids = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    lookup = np.zeros_like(head)
    np.add.at(lookup, ids, sign * dx)
    return head + lookup


def _rows_without_ids(trial: Trial, dwte: np.ndarray) -> np.ndarray:
    i = trial.inputs
    absent = ~np.isin(np.arange(len(dwte)), i["ids"])
    return (dwte - np.einsum("btv,btc->vc", i["dlogits"], i["h"]))[absent]


EXERCISES = (
    Exercise(
        name="block_backward",
        about="a whole block: two branches and the residual stream that goes past them",
        shapes="dy (B, T, C), s Scope -> dx (B, T, C)",
        forward="m = x + attn(ln_1(x)),    y = m + mlp(ln_2(m))",
        asked="The forward has run on s. minigpt.nn has the backward of each part, to be called as\n"
        'layernorm_backward(d, s.at("ln_1")), multihead_backward(d, s.at("attn")), layernorm_backward(d, s.at("ln_2")),\n'
        'mlp_backward(d, s.at("mlp")). There is no dropout here.',
        hints=(
            "Begin at the end, with y = m + mlp(ln_2(m)). m goes two ways, so its gradient is the sum of what comes back on "
            "both.",
            "Back through mlp(ln_2(m)): last comes mlp, so first mlp_backward, then layernorm_backward. dm = dy + that.",
            "The same again with m = x + attn(ln_1(x)), where what arrives is dm, no longer dy.",
        ),
        draw=_block,
        truth=block_backward,
        formula=_block_backward,
        slips={
            "no residuals": Slip("your dx lacks the residual stream: y = m + …, so dy also goes past each branch unchanged; dm "
                                 "= dy + …", 1),
            "no way past the MLP": Slip("your dx lacks the way past the MLP: dm = dy + what comes back through mlp and "
                                        "ln_2", 1),
            "no way past attention": Slip("your dx lacks the way past attention: dx = dm + what comes back through attn and "
                                          "ln_1",
                                          3),
            "no MLP": Slip("your dx lacks the MLP's branch: dm = dy + what comes back through mlp and ln_2", 2),
            "no attention": Slip("your dx lacks the attention branch: dx = dm + what comes back through attn and ln_1", 3),
            "attn of dy": Slip("your attention branch got dy; it should get dm, which has the MLP's share in it", 3),
            "past from dy": Slip("your dx has the way past attention start from dy; it should start from dm", 3),
            "dy −": should_add("dx", "what comes back through mlp and ln_2", 2),
            "dm −": should_add("dx", "what comes back through attn and ln_1", 3),
            "dy twice": Slip("dy is in your dm twice: once past the MLP is enough", 1),
            "dy again": Slip("dy is in your dx once too often: dm has it already", 3),
            "attention first": Slip("you went through attention first; in the forward the MLP came last, so now it comes first",
                                    2),
            "no ln_1": Slip("your dx lacks ln_1: after multihead_backward comes the layer norm that stood before attention", 3),
            "no ln_2": Slip("your dx lacks ln_2: after mlp_backward comes the layer norm that stood before the MLP", 2),
            "norms first": Slip("your branches go through the norm first; in the forward it came first, so now it comes "
                                "last", 2),
            "norms changed places": Slip("ln_1 and ln_2 have changed places: ln_1 stands before attention, ln_2 before the MLP",
                                         2),
        },
        sources=(block_backward,),
    ),
    Exercise(
        name="tied_embedding_backward",
        about="where the backward pass ends: one table that was used twice, at the output and at the input",
        shapes="dlogits (B, T, V), h (B, T, C), dx (B, T, C), ids (B, T) -> dwte (V, C)",
        forward="logits = h Wᵀ,     x[b, t] = W[ids[b, t]]",
        asked="The head, which makes the logits, and the lookup of x share W. Its gradient is asked for, given dlogits and dx.",
        hints=(
            "Both uses of W move the loss, so dwte is the sum of two shares.",
            "The head is a linear layer with Wᵀ for its matrix: with rows flattened to N = B·T, its share is dlogits.T @ h, "
            "(V, C).",
            "The lookup gives dx[b, t] back to row ids[b, t]. An id that comes twice gets both: dwte[ids] += dx would keep "
            "only one of them, np.add.at(dwte, ids, dx) adds all.",
        ),
        draw=_tied,
        truth=_tied_truth,
        formula=_tied_embedding_backward,
        slips={
            "no head": Slip("you forgot the tied head's share of dwte: Σ dlogitsᵀ h", 2),
            "no lookup": Slip("you forgot the lookup's share of dwte: dx[b, t] is added to row ids[b, t]", 3),
            "last alone": Slip("an id that comes twice got one dx only: dwte[ids] += dx writes a repeated row once; use "
                               "np.add.at",
                               3),
            "written over": Slip("the lookup wrote over the head's share of the rows it found: add to them", 3),
            "every row": Slip("you added dx to every row; dx[b, t] goes to row ids[b, t] alone", 3),
            "positions": Slip("you added dx to the row of its position, as in the table of positions; it goes to row ids[b, "
                              "t]", 3),
            "− head": should_add("dwte", "Σ dlogitsᵀ h", 2),
            "− lookup": should_add("dwte", "dx", 3),
            "2 lookups": Slip("you added dx twice", 3),
            "head over N": Slip("you divided the head's share by N; it is a sum over the positions", 2),
            "last sequence": Slip("the head's share in your dwte is of the last sequence alone: add up those of the whole "
                                  "batch", 2),
            "reshape": Slip("the head's share comes from dlogits.reshape(V, N), which cuts the numbers anew; what is needed is "
                            "the transpose of (N, V)", 2),
        },
        invariants=(Invariant("dwte", "rows of ids that do not occur have the head's share alone", _rows_without_ids),),
        sources=(unembedding_backward, embedding_backward, Gradients.add_rows),
    ),
)
