"""Exercises on attention to what was read before: a step with a cache, and cross-attention."""

from typing import Any

import numpy as np

from ...nn import Scope, attention_forward, cross_attention_forward
from .attention import recovered, scaling, weighting, weights
from .exercise import Exercise, Invariant, Slip, Slips, Trial


def _step(
    on: Slips, q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    def grown(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        parts = (new[:, None], old) if "in front" in on else (old, new[:, None])
        return np.concatenate(parts, 1)

    all_keys, all_values = grown(keys, k), grown(values, k if "v is k" in on else v)
    read = slice(-1) if "without itself" in on else slice(None)
    seen = np.tri(1, all_keys.shape[1]) == 1
    scores = weights(on, q[:, None], all_keys[:, read], seen[:, read] if "first key" in on else np.ones_like(seen[:, read]))
    o = (scores @ (all_keys if "att K" in on else all_values)[:, read])[:, 0]
    return (o, keys, values) if "not kept" in on else (o, all_keys, all_values)


def _step_truth(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys, values = np.concatenate([keys, k[:, None]], 1), np.concatenate([values, v[:, None]], 1)
    return attention_forward(q[:, None], keys, values, Scope.of())[:, 0], keys, values


def _cross(on: Slips, q: np.ndarray, k: np.ndarray, v: np.ndarray, real: np.ndarray) -> np.ndarray:
    seen = np.broadcast_to((~real if "reversed" in on else real)[:, None], (*q.shape[:2], k.shape[1]))
    seen = seen & (np.tri(*seen.shape[1:]) == 1) if "causal" in on else seen
    return weights(on, q, k, seen) @ (k if "att K" in on else v)


def _cross_truth(q: np.ndarray, k: np.ndarray, v: np.ndarray, real: np.ndarray) -> np.ndarray:
    q, k, v = q[:, None], k[:, None], v[:, None]        # one head
    return attention_forward(q, k, v, Scope.of(), causal=False, key_padding_mask=real)[:, 0]


def _two_sequences(rng: np.random.Generator, B: int, T: int, C: int) -> dict[str, Any]:
    """T queries, and T + 2 keys of which some at the end are padding"""
    S = T + 2
    padding = 1 + np.arange(B) % 2
    return {"q": rng.standard_normal((B, T, C + 2)), "k": rng.standard_normal((B, S, C + 2)),
            "v": rng.standard_normal((B, S, C + 2)), "real": np.arange(S) < S - padding[:, None]}


def _rows_of_att(trial: Trial, o: np.ndarray) -> np.ndarray | None:
    att = recovered(o, trial.inputs["v"])
    return None if att is None else att.sum(-1) - 1


def _padding_of_att(trial: Trial, o: np.ndarray) -> np.ndarray | None:
    att = recovered(o, trial.inputs["v"])
    return None if att is None else np.where(trial.inputs["real"][:, None], 0, att)


KEYS = "you averaged the keys: o = att V, of the values"

EXERCISES = (
    Exercise(
        name="attention_step",
        about="one more token, with the keys and values of all earlier ones kept",
        shapes="q (B, D), k (B, D), v (B, D), keys (B, S, D), values (B, S, D) -> o (B, D), keys (B, S+1, D), values (B, S+1, "
               "D)",
        forward="o = att V,   att = softmax(q Kᵀ/√D)",
        asked="q, k and v are of the new position; keys and values are those of the S positions before it. Returns what the "
              "new position reads, and new arrays of keys and values for the next step.",
        hints=(
            "The new position also reads itself: first np.concatenate([keys, k[:, None]], axis=1), and so with the values.",
            "With q[:, None], (B, 1, D), the scores are q @ keys.swapaxes(-1, -2) / sqrt(D): (B, 1, S + 1).",
            "The one query stands at the end, so it sees every key, and no mask is needed: softmax over the keys, times "
            "values, and [:, 0] takes the axis of one query away.",
        ),
        hint_of={"o": 3, "keys": 1, "values": 1},
        draw=lambda rng, B, T, C: {**{name: rng.standard_normal((B, C)) for name in "qkv"},
                                   **{name: rng.standard_normal((B, T, C)) for name in ("keys", "values")}},
        truth=_step_truth,
        formula=_step,
        slips={
            **scaling(2, 3),
            "without itself": Slip("your new position reads the earlier ones alone; it also reads itself: append k and v first",
                                   1),
            "not kept": Slip("you returned the old keys and values; the next step needs the new ones among them", 1),
            "in front": Slip("you put the new key and value in front; they come last, in the order of the positions", 1),
            "v is k": Slip("you appended k to the values; v belongs there", 1),
            "att K": Slip(KEYS, 3),
            "first key": Slip("your mask shows the first key alone: np.tri(1, S + 1) is right for a query at the first "
                              "position, yours stands at the last and sees all", 3),
        },
        sources=(attention_forward,),
    ),
    Exercise(
        name="cross_attention",
        about="one sequence reads another, as the decoder of a translator reads the encoder's output",
        shapes="q (B, T, D), k (B, S, D), v (B, S, D), real (B, S) -> o (B, T, D)",
        forward="o = att V,   att = softmax(scores),   scores = Q Kᵀ/√D",
        asked="Queries are of one sequence, keys and values of another. real says which keys are tokens, and which are padding "
              "(False), which no query sees. Nothing else is hidden.",
        hints=(
            "Scores are (B, T, S): T queries, S keys, divided by √D, the root of the number of channels.",
            "real is (B, S), one row for each sequence; real[:, None] is (B, 1, S), the same for all T queries: "
            "np.where(real[:, None], scores, -np.inf).",
            "The softmax is along the last axis, over the keys; o = att V.",
        ),
        draw=_two_sequences,
        truth=_cross_truth,
        formula=_cross,
        slips={
            **weighting(1, 2, 3),
            "reversed": Slip("your mask is the wrong way round: it hides the tokens and shows the padding", 2),
            "causal": Slip("you hid keys with j > t; that is for one sequence that reads itself, here all tokens are seen", 2),
            "after": Slip("you set the weights or the values of padding to 0, but after its keys had their share of the "
                          "softmax, so the weights of the tokens sum to less than 1: set the scores to −∞ before it", 2),
            "att K": Slip(KEYS, 3),
        },
        invariants=(
            Invariant("o", "the rows of att sum to 1", _rows_of_att),
            Invariant("o", "att is 0 at padding", _padding_of_att),
        ),
        sources=(cross_attention_forward, attention_forward),
    ),
)
