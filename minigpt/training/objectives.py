r"""Objectives: what a model learns depends on what it is asked.  The same text, body and loss, three questions.

    causal          which token comes next?             −log p(x_t given x_<t)          GPT:   trainer.Trainer
    masked          which token stood in this gap?      −log p(x_t given the others)    BERT:  MaskedTrainer
    next sentence   does this text follow that one?     −log p(answer given both)       BERT:  NextSentenceTrainer

    comparison = compare(load_corpus("python"));  print(comparison)         # trains all three: about a minute on two cores

An objective is only a way to make batches: inputs and targets (B, T), −100 where nothing is asked.  The last two need a body in
which every position sees all others, GPTConfig(causal=False): it may look at both sides, so it has no p(x_t given x_<t), and
generate() and score() refuse it.  The answer to the third question is a token too, asked at [CLS]; BERT has a layer of two
outputs of its own for that, and embeddings that tell the first text from the second, where here [SEP] and positions do.

Articles A0 §3.2.1, §3.2.2 and A1 §3.2 present the masked and the next-sentence objective as GPT's pre-training.  They are
BERT's (Devlin et al. 2018 §3.1, tasks 1 and 2); GPT, GPT-2 and GPT-3 were pre-trained with the first alone (Radford et al. 2018
§3.1, 2019 §2; Brown et al. 2020 §2), as articles A3 §4.3 and A4 §3.1 say.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..config import GPTConfig
from ..generation.context import checked_logits, ignore_overflow
from ..models.gpt import GPT
from ..nn.cross_entropy import IGNORED
from ..nn.softmax import log_softmax
from ..tokenization import CharTokenizer
from .batches import Batches, windows
from .corpora import Corpus, split
from .recipe import Recipe
from .trainer import Trainer

SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "[NEXT]", "[OTHER]")     # the last ids of a model's vocabulary, after the tokenizer's:
MASK, CLS, SEP, NEXT, OTHER = range(len(SPECIAL))               # with n_tokens of those, [MASK] has the id n_tokens + MASK
CHOSEN = 0.15           # the share of a row's positions that the masked objective asks for
ROWS_AT_ONCE = 64            # rows that are read at once where nothing is learned


# Batches -------------------------------------------------------------------------------------------------------------


def masked(ids: np.ndarray, n_tokens: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hide some tokens of each row and ask for them.

    ids (B, T) -> inputs and targets (B, T), the caller's own.  15 % of a row's positions are asked for, at least one.  Of
    those 80 % become [MASK]; 10 % become a random token and 10 % stay, so that the model, which will meet texts without a
    [MASK], also learns from the tokens it sees, and to doubt them.  targets holds the tokens asked for, −100 elsewhere.
    Devlin et al. 2018 §3.1, task 1; articles A0 §3.2.1, A1 §3.2.
    """
    count = max(1, round(CHOSEN * ids.shape[1]))
    asked = np.zeros(ids.shape, bool)
    np.put_along_axis(asked, rng.random(ids.shape).argsort(axis=1)[:, :count], True, axis=1)
    draw = rng.random(ids.shape)
    inputs = np.where(asked & (draw < 0.8), n_tokens + MASK, ids)
    changed = asked & (draw >= 0.8) & (draw < 0.9)
    inputs[changed] = rng.integers(n_tokens, size=np.count_nonzero(changed))
    return inputs, np.where(asked, ids.astype(np.int64), IGNORED)       # a tokenizer's array may have no minus


def paired(first: np.ndarray, second: np.ndarray, n_tokens: int) -> np.ndarray:
    """Put two texts into one row.

        [CLS] first [SEP] second [SEP]

    first, second (B, n) -> (B, 2n + 3).  Devlin et al. 2018 §3.
    """

    def column(token: int) -> np.ndarray:
        return np.full((len(first), 1), n_tokens + token)

    return np.concatenate([column(CLS), first, column(SEP), second, column(SEP)], axis=1)


class MaskedBatches(Batches):
    """Batches of a text with gaps: the rows are those of batches.Batches, the gaps depend on seed and position alone."""

    def __init__(self, ids: np.ndarray, batch_size: int, context: int, n_tokens: int, seed: int = 0,
                 order: Literal["crops", "windows", "shifted"] = "crops") -> None:
        super().__init__(ids, batch_size, context, seed, order)
        self.n_tokens = n_tokens

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch, inputs and targets (B, T), and advance position by one."""
        rng = np.random.default_rng([self.seed, self.position, 1])      # crops are drawn with [seed, position]
        inputs, _ = super().next()
        return masked(inputs, self.n_tokens, rng)


class NextSentenceBatches:
    """Endless batches of pairs of texts from ids (N,): in half of them the second follows the first, else it is from elsewhere.

    A row is paired(first, second), of n = (context − 3)/2 tokens each, cut anywhere: a "sentence" is here as in the paper "an
    arbitrary span of contiguous text, rather than an actual linguistic sentence".  The target at [CLS] is [NEXT] or [OTHER],
    −100 elsewhere.  `position`, the number of batches given so far, is the whole state, as in batches.Batches.

    Raises ValueError for a context below 5 and for a text too short for two places to cut at.
    Devlin et al. 2018 §3.1, task 2; article A0 §3.2.2.
    """

    def __init__(self, ids: np.ndarray, batch_size: int, context: int, n_tokens: int, seed: int = 0) -> None:
        n = self.n = (context - 3) // 2
        if n < 1:
            raise ValueError(f"context: {context}, expected at least 5 for [CLS], a token, [SEP], a token, [SEP]")
        if len(ids) < 2 * n + 1:
            raise ValueError(f"ids: {len(ids)} tokens, expected at least {2 * n + 1} for two places with {n} tokens on either "
                             "side; use a longer text or a smaller context")
        self.ids, self.batch_size, self.n_tokens, self.seed = np.asarray(ids).astype(np.int64), batch_size, n_tokens, seed
        self.context, self.position = 2 * n + 3, 0

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch, inputs and targets (B, 2n + 3), and advance position by one."""
        rng = np.random.default_rng([self.seed, self.position])
        cuts = rng.integers(self.n, len(self.ids) - self.n + 1, size=self.batch_size)
        follows = rng.random(self.batch_size) < 0.5
        batch = self._rows(np.where(follows, cuts, self._elsewhere(cuts, rng)), cuts)
        self.position += 1
        return batch

    def all(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches that cover the text: every n tokens once after what stands before them, and once after something else."""
        rng = np.random.default_rng(self.seed)
        places = np.arange(self.n, len(self.ids) - self.n + 1, self.n)
        for i in range(0, len(places), self.batch_size):
            cuts = places[i : i + self.batch_size]
            yield self._rows(np.concatenate([cuts, self._elsewhere(cuts, rng)]), np.concatenate([cuts, cuts]))

    def _elsewhere(self, cuts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Another place for each, all others equally likely"""
        count = len(self.ids) - 2 * self.n + 1
        return (cuts - self.n + rng.integers(1, count, size=len(cuts))) % count + self.n

    def _rows(self, ends: np.ndarray, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of the n tokens up to the places `ends` and those from the places `begins` on, (B,) each"""
        span = np.arange(self.n)
        first, second = self.ids[ends[:, None] - self.n + span], self.ids[begins[:, None] + span]
        inputs = paired(first, second, self.n_tokens)
        targets = np.full_like(inputs, IGNORED)
        targets[:, 0] = self.n_tokens + np.where(ends == begins, NEXT, OTHER)
        return inputs, targets


# Training ------------------------------------------------------------------------------------------------------------


class _BidirectionalTrainer(Trainer):
    """A Trainer for a model in which every position sees all others, and whose last tokens are the special ones"""

    @property
    def n_tokens(self) -> int:
        return self.model.config.vocab_size - len(SPECIAL)

    def _check_causal(self) -> None:
        if self.model.config.causal:
            raise ValueError(f"{type(self).__name__}: the model sees only the tokens before a position (causal=True), expected "
                             "one that looks both ways; make it with GPTConfig(causal=False)")

    def _read(self, ids: np.ndarray) -> Any:
        if ids.max() >= self.n_tokens:
            raise ValueError(f"ids: up to {ids.max()}, expected below {self.n_tokens}: the last {len(SPECIAL)} tokens of "
                             f"vocab_size {self.model.config.vocab_size} are special; make it the tokenizer's + {len(SPECIAL)}")
        return super()._read(ids)

    def _bits_per_nat(self) -> None:
        """What is asked for with the rest in sight is no measure of a text."""

    def _sample_due(self, evaluated: bool) -> bool:
        return False        # there is nothing to be sampled from


class MaskedTrainer(_BidirectionalTrainer):
    """A Trainer that asks for what was hidden, given all the rest."""

    def _read(self, ids: np.ndarray) -> MaskedBatches:
        text = super()._read(ids)
        return MaskedBatches(text.ids, text.batch_size, text.context, self.n_tokens, text.seed, text.order)

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i, (inputs, _) in enumerate(super()._validation()):
            yield masked(inputs, self.n_tokens, np.random.default_rng(i))       # the same gaps at every evaluation


class NextSentenceTrainer(_BidirectionalTrainer):
    """A Trainer that asks whether the second of two texts follows the first."""

    def _read(self, ids: np.ndarray) -> NextSentenceBatches:
        if self.recipe.order != "crops":
            raise ValueError(f"order: {self.recipe.order!r}, expected 'crops': pairs of texts are cut anywhere")
        text = super()._read(ids)
        self.val_pairs = NextSentenceBatches(self.val_ids, ROWS_AT_ONCE, text.context, self.n_tokens)
        return NextSentenceBatches(text.ids, text.batch_size, text.context, self.n_tokens, text.seed)

    def _validation(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self.val_pairs.all()


# What a model can do afterwards --------------------------------------------------------------------------------------


def guesses(model: GPT, rows: np.ndarray, at: int) -> np.ndarray:
    """Which token a model holds likeliest at one position of each row.

    rows (B, T), at: the position -> (B,).  A causal model is given what stands before it; the others see a [MASK] there, and
    all that stands around it.
    Raises FloatingPointError for logits that are not finite.
    """
    n_tokens = model.config.vocab_size - len(SPECIAL)
    if model.config.causal:
        inputs, place = rows[:, :at], at - 1
    else:
        inputs, place = rows.copy(), at
        inputs[:, at] = n_tokens + MASK
    return np.concatenate([
        _logits(model, inputs[i : i + ROWS_AT_ONCE])[:, place, :n_tokens].argmax(axis=1)
        for i in range(0, len(rows), ROWS_AT_ONCE)
    ])


def follows(model: GPT, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How much a model believes that one text follows another; higher is likelier.

        causal  log p(second given first),   the others  log p([NEXT]) − log p([OTHER]) at [CLS]

    first, second (B, n) -> (B,), in nats.
    Raises FloatingPointError for logits that are not finite.
    """
    n, n_tokens = first.shape[1], model.config.vocab_size - len(SPECIAL)
    if not model.config.causal:
        logits = _logits(model, paired(first, second, n_tokens))[:, 0]
        return logits[:, n_tokens + NEXT] - logits[:, n_tokens + OTHER]
    logp = log_softmax(_logits(model, np.concatenate([first, second], axis=1))[:, n - 1 : -1].astype(np.float64))
    return np.take_along_axis(logp, second[..., None], axis=2).sum(axis=(1, 2))


def _logits(model: GPT, rows: np.ndarray) -> np.ndarray:
    """What the model makes of rows (B, T): (B, T, V), finite"""
    with ignore_overflow():
        return checked_logits(model(rows))


@dataclass(frozen=True)
class Ability:
    """What one of the models learned to do with text that it has not seen: three shares of right answers."""

    objective: str
    seconds: float      # that it was trained
    gap: float          # of tokens in the middle of a row
    following: float    # of tokens at the end of a row, with nothing behind them
    order: float        # of texts: which of two others stands before it


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What compare() found.  Its picture is a table."""

    corpus: Corpus
    tokenizer: CharTokenizer
    models: dict[str, GPT]          # by objective
    abilities: list[Ability]
    baseline: tuple[float, float]      # the share of the commonest token, in the middle and at the end of the rows
    counts: tuple[int, int]         # rows, texts

    def __repr__(self) -> str:
        head = ("", "trained", "fills a gap", "says what comes next", "tells which came before", "writes")
        rows: list[tuple[str, ...]] = [head]
        for a in self.abilities:
            writes = "yes" if self.models[a.objective].config.causal else "no"
            shares = [f"{share:.1%}" for share in (a.gap, a.following, a.order)]
            rows.append((a.objective, f"{a.seconds:.0f} s", *shares, writes))
        rows.append(("always the commonest", "", *(f"{share:.1%}" for share in (*self.baseline, 0.5)), ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        n, m = self.counts
        return "\n".join([*lines, f"right answers: {n:,} gaps, {n:,} ends, {m:,} texts, none of them trained on"])

    def sample(self, n_tokens: int = 100, seed: int = 0) -> str:
        """What the causal model writes after an empty line."""
        special = [[self.tokenizer.vocab_size + i] for i in range(len(SPECIAL))]
        ids = self.models["causal"].generate(self.tokenizer.encode("\n"), n_tokens, temperature=0.8, seed=seed,
                                             bad_words_ids=special, sliding_window=True)
        return self.tokenizer.decode(ids)


def compare(corpus: Corpus, steps: int = 1200, seed: int = 0, quiet: bool = True, threads: int | None = None) -> Comparison:
    """Train the same body by each objective on the same text and see what it can do.

    steps: updates of each model.  The models differ in `causal` alone and start from the same weights; tokens are characters.
    Each is asked three things about the last tenth of the text, which it has not seen: the token in the middle of a row, the
    token at its end (guesses()), and which of two texts stands before a third (follows()); of rows and texts it is asked about
    at most 1,000, spread evenly.
    """
    tokenizer = CharTokenizer.train(corpus.text)
    ids = tokenizer.encode_array(corpus.text)
    T, C = 24, 64
    # 1/√C keeps what a matrix makes of x as large as x. With the usual 0.02, meant for hundreds of channels, next-sentence
    # prediction stays at chance longer; in the end both get about as far
    config = GPTConfig(tokenizer.vocab_size + len(SPECIAL), T, C, n_layer=2, n_head=4, initializer_range=1 / math.sqrt(C))
    recipe = Recipe(steps=steps, batch_size=64, lr=1e-3, muon_lr=0.01, eval_interval=steps, sample_tokens=0, seed=seed)
    trainers = {"causal": Trainer, "masked": MaskedTrainer, "next sentence": NextSentenceTrainer}
    models, seconds = {}, {}
    for name, kind in trainers.items():
        model = models[name] = GPT(replace(config, causal=name == "causal"), seed, threads=threads)
        with tempfile.TemporaryDirectory() as folder:
            trainer = kind(model, tokenizer, ids, recipe, folder, corpus.name, quiet)
            start = time.perf_counter()
            trainer.run()
            seconds[name] = time.perf_counter() - start

    train, unseen = split(ids)
    rows = _spread([inputs for inputs, _ in windows(unseen, T, ROWS_AT_ONCE) if inputs.shape[1] == T])
    halves = [np.split(inputs, 2) for inputs, _ in NextSentenceBatches(unseen, ROWS_AT_ONCE, T, tokenizer.vocab_size).all()]
    pairs = [_spread(half) for half in zip(*halves, strict=True)]       # behind what stands before, and behind others
    n = (T - 3) // 2

    def right(model: GPT, at: int) -> float:
        return float((guesses(model, rows, at) == rows[:, at]).mean())

    def order(model: GPT) -> float:
        true, other = (follows(model, inputs[:, 1 : n + 1], inputs[:, n + 2 : -1]) for inputs in pairs)
        return float((true > other).mean())

    common = np.bincount(train).argmax()
    middle, end = T // 2, T - 1
    return Comparison(
        corpus, tokenizer, models,
        [Ability(name, seconds[name], right(model, middle), right(model, end), order(model)) for name, model in models.items()],
        (float((rows[:, middle] == common).mean()), float((rows[:, end] == common).mean())),
        (len(rows), len(pairs[0])),
    )


def _spread(parts: Sequence[np.ndarray]) -> np.ndarray:
    """At most 1,000 rows of all parts, evenly spread"""
    rows = np.concatenate(parts)
    return rows[:: -(-len(rows) // 1000)]
