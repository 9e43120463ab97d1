"""The sampling of a training run: from what the model says to the next character; and the faults in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....generation.kv_cache import KVCache
from ....generation.warpers import keep_top_k, scale_by_temperature
from ....models.gpt import GPT
from ....nn import Gradients, Pass, Scope, softmax, unembedding_forward
from .fault import fault, measurement

if TYPE_CHECKING:
    from .parts import Parts
    from .run import Run


class Sampler:
    """Reads tokens, with a cache of the keys and values of those before, and says how probable each next one is.

        sampler = run.sampler(temperature=0.8, top_k=5)
        logits = sampler.read(ids)                      # ids (T,) -> (T, V); the next call goes on behind them
        p = sampler.probabilities(logits)               # (V,), of the token after the last
    """

    def __init__(self, model: GPT, parts: Parts, temperature: float = 1.0, top_k: int | None = None) -> None:
        self.model, self.temperature, self.top_k, self._parts = model, temperature, top_k, parts
        self.cache = KVCache(model.config, 1, model.config.n_positions, model.dtype)
        self._scope = Scope(model.params, Gradients(), run=Pass(backward=False))

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (T,) behind those read before -> logits (T, V), each of the token after."""
        (chunk,) = self.cache.chunks(len(ids), size=len(ids))
        with chunk:
            h = self.model.forward(np.asarray(ids)[None], self._scope, chunk.positions, None, chunk.layers)
        self._parts.advance(self.cache, len(ids))
        return unembedding_forward(h, self.model.head(self._scope))[0]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """How probable each token is after the last of those read: logits (T, V) -> (V,)"""
        z = self._parts.scaled(self._parts.of_next(logits), self.temperature)
        return softmax(z if self.top_k is None else self._parts.kept(z, self.top_k))


# The right parts


def of_next(logits: np.ndarray) -> np.ndarray:
    """The logits that the next token is drawn from, those of the last position: (T, V) -> (V,)"""
    return logits[-1]


def scaled(z: np.ndarray, temperature: float) -> np.ndarray:
    """Logits (V,) at a temperature"""
    return scale_by_temperature(z, temperature)


def kept(z: np.ndarray, k: int) -> np.ndarray:
    """Logits (V,), −∞ for all but the k largest"""
    return keep_top_k(z, k)


def advance(cache: KVCache, T: int) -> None:
    """Count T tokens as read."""
    cache.advance(T)


# Measurements


@measurement("which of two tokens is the likelier next, after two positions with logits 5, 0 and 0, 5")
def likeliest_next(run: Run) -> int:
    return int(run.sampler().probabilities(np.array([[5.0, 0.0], [0.0, 5.0]])).argmax())


@measurement("which tokens of logits 0, 1, 2, 3 can be drawn with top_k=2")
def drawable(run: Run) -> str:
    p = run.sampler(top_k=2).probabilities(np.array([[0.0, 1.0, 2.0, 3.0]]))
    return ", ".join(map(str, np.flatnonzero(p)))


@measurement("how many nats lie between two tokens of logits 0 and 1 at temperature 0.5")
def distance(run: Run) -> float:
    p = run.sampler(temperature=0.5).probabilities(np.array([[0.0, 1.0]]))
    return float(np.log(p[1] / p[0]))


@measurement("how far logits are from those of one pass when tokens are read one by one")
def cache_error(run: Run) -> float:
    ids = run.validation_ids[:8]
    sampler = run.sampler()
    one_by_one = np.concatenate([sampler.read(ids[t : t + 1]) for t in range(len(ids))])
    return float(abs(one_by_one - run.model(ids[None])[0]).max())


# The faults


@fault(
    "sampling", "of_next",
    words="the next token is drawn from the logits of the first position",
    effect="The whole prompt is read, but only what may follow its first character counts. Once tokens come one at a time, "
           "first and last are the same: only the first character of a sample is wrong.",
    hints=(
        "The model is right: run.model.generate() continues a prompt as it should. Compare its first new character, at "
        "temperature=0, with that of run.sample(top_k=1).",
        "Give run.sampler().probabilities(logits) logits (2, V) of your own, and see which row it takes.",
    ),
    shown_by=likeliest_next,
)
def first_position(logits: np.ndarray) -> np.ndarray:
    return logits[0]                        # right: return logits[-1]


@fault(
    "sampling", "kept",
    words="top-k keeps the smallest logits instead of the largest",
    effect="With top_k a sample is made of the tokens that the model finds least likely; without it all is right.",
    hints=(
        "Train 300 steps, then compare run.sample() with run.sample(top_k=1) and run.sample(top_k=5).",
        "Give run.sampler(top_k=2).probabilities(logits) logits (1, 4) of your own: which tokens have a probability left?",
    ),
    shown_by=drawable,
    steps=300,
)
def top_k_keeps_smallest(z: np.ndarray, k: int) -> np.ndarray:
    ordered = np.argsort(z)                 # right: ordered = np.argsort(-z)
    return np.where(np.isin(np.arange(len(z)), ordered[:k]), z, -np.inf)


@fault(
    "sampling", "scaled",
    words="the logits are multiplied by the temperature",
    effect="A low temperature makes samples wild, a high one dull: the wrong way round. At 1 nothing is seen.",
    hints=(
        "Train 300 steps, then compare run.sample(temperature=0.3) with run.sample(temperature=3).",
        "Give run.sampler(temperature=0.5).probabilities(logits) logits (1, 2) of your own, and look at the logarithm of the "
        "ratio of the two.",
    ),
    shown_by=distance,
    steps=300,
)
def temperature_multiplied(z: np.ndarray, temperature: float) -> np.ndarray:
    return z * temperature                  # right: return z / temperature


@fault(
    "sampling", "advance",
    words="the cache is not advanced: each token is read as if it were the first",
    effect="Each new token is written over the one before and gets position 0. So the model sees one token alone, and a "
           "sample is a chain of letter pairs.",
    hints=(
        "The model is right in one pass: after 300 steps run.model.generate(ids, temperature=0) continues a prompt as it "
        "should, and run.sample(top_k=1) does not.",
        "Read tokens one by one with sampler = run.sampler(); sampler.read(ids[t : t + 1]), and compare the logits with "
        "those of run.model(ids[None]), which reads them in one pass.",
    ),
    shown_by=cache_error,
)
def cache_not_advanced(cache: KVCache, T: int) -> None:
    cache.length += 0                       # right: cache.length += T


FAULTS = (first_position, top_k_keeps_smallest, temperature_multiplied, cache_not_advanced)
