"""Learning to translate: pairs of texts, their vocabulary, the training of a Transformer on them, and its score.

    pairs, unseen = numerals.draw(10_000, 2_000, np.random.default_rng(0))
    translator = Translator.new(pairs, seed=0)
    train(translator, pairs, seed=0)
    exact_match(translator, unseen)
    translator(["three hundred forty-two"])     ->  ["三百四十二"]

The model is models/transformer.py's; the command line is commands/translate.py's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import TransformerConfig
from ..inputs import pad_rows
from ..models.transformer import Transformer
from ..nn.cross_entropy import IGNORED
from ..system.files import write_atomic
from ..system.json_reader import read_json
from ..system.progress import Bar
from ..system.streams import Tolerant
from ..system.text import printable
from ..weights.folder import check_together, write_folder
from .distributed import ALONE, Alone
from .optim import AdamW, schedule
from .step import training_step

SIZES = {"n_embd": 64, "n_layer": 2, "n_head": 4, "dropout": 0.0}      # enough for the numerals
TEXTS_AT_ONCE = 256           # texts translated in one batch


class Vocabulary:
    """Ids for words of Latin letters and for single other characters; spaces and hyphens only separate.

        vocabulary = Vocabulary.of(["forty-two", "四十二"])
        vocabulary.encode("forty-two")      ->  [3, 4]
        vocabulary.decode([7, 6, 5])        ->  "四十二"

    Ids 0, 1, 2 are <pad>, <s> and </s>, as TransformerConfig has them, which decode to nothing.
    """

    SPECIAL = ("<pad>", "<s>", "</s>")

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = [*self.SPECIAL, *pieces]
        self._ids = {piece: id for id, piece in enumerate(self.pieces)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Make a vocabulary of all pieces of some texts, sorted."""
        return cls(sorted({piece for text in texts for piece in cls.split(text)}))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Vocabulary:
        """Read words.json.  Raises FileNotFoundError; ValueError naming the file for anything but distinct words."""
        path = Path(folder) / "words.json"
        pieces = read_json(path, list)
        if not all(isinstance(piece, str) for piece in pieces) or len(set(pieces)) < len(pieces):
            raise ValueError(f"{printable(path)}: expected texts, each once; save the translator again")
        return cls(pieces)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write words.json, the pieces in the order of their ids.  Raises OSError."""
        pieces = self.pieces[len(self.SPECIAL) :]
        write_atomic(Path(folder) / "words.json", (json.dumps(pieces, ensure_ascii=False) + "\n").encode("utf-8"))

    def fingerprint(self) -> str:
        """Return a SHA-256 of the pieces in the order of their ids."""
        return hashlib.sha256(repr(self.pieces).encode()).hexdigest()

    @staticmethod
    def split(text: str) -> list[str]:
        """Split a text into pieces: split("Forty-two") -> ["forty", "two"];  split("四十二") -> ["四", "十", "二"]."""
        return re.findall(r"[a-z]+|[^\sa-z-]", text.lower())

    def encode(self, text: str) -> list[int]:
        """Encode a text as the ids of its pieces.  Raises ValueError for one without pieces and for an unknown piece."""
        pieces = self.split(text)
        known = self.pieces[len(self.SPECIAL) :]
        unknown = [piece for piece in pieces if piece not in self._ids]
        if unknown or not pieces:
            found = repr(unknown[0]) if unknown else "no word"
            raise ValueError(f"text {text!r}: {found}, expected words that the model has learned: {' '.join(known)}")
        return [self._ids[piece] for piece in pieces]

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to their text: words with spaces between them, other characters side by side."""
        pieces = (self.pieces[id] for id in ids if id >= len(self.SPECIAL))
        return re.sub(r"(?<=[a-z]) (?![a-z])|(?<![a-z]) ", "", " ".join(pieces))

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass
class Alignment:
    """Which source pieces a target was made from."""

    source: list[str]           # S pieces
    target: list[str]           # T pieces, </s> at the end
    att: np.ndarray             # (T, S): row t is where the model looked when it wrote target[t]; each row sums to 1


class Translator:
    """A Transformer with its vocabulary: texts in, texts out.

        translator(["three hundred forty-two", "ten"], beams=4)     ->  ["三百四十二", "十"]
    """

    def __init__(self, model: Transformer, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary

    @classmethod
    def new(cls, pairs: Sequence[tuple[str, str]], seed: int = 0, *, threads: int | None = None, **sizes: Any) -> Translator:
        """One that has learned nothing, for the pieces of these pairs.  sizes: fields of TransformerConfig, else SIZES."""
        vocabulary = Vocabulary.of(text for pair in pairs for text in pair)
        config = TransformerConfig(vocab_size=len(vocabulary), **{**SIZES, **sizes})
        return cls(Transformer(config, seed, threads=threads), vocabulary)

    def __call__(self, texts: Sequence[str], *, beams: int = 1, length_penalty: float = 0.6) -> list[str]:
        """Translate texts.  beams, length_penalty: Transformer.translate().  Raises ValueError for an unknown word."""
        rows = [self.vocabulary.encode(text) for text in texts]
        translations: list[str] = []
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            source = pad_rows(rows[start : start + TEXTS_AT_ONCE], self.model.config.pad_token_id)
            for ids in self.model.translate(source, beams=beams, length_penalty=length_penalty):
                translations.append(self.vocabulary.decode(ids))
        return translations

    def batch(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """Encode pairs as a batch: source (B, S), padded with pad_token_id, and targets (B, T), eos_token_id last, then −100.

        Raises ValueError for an unknown word.
        """
        config = self.model.config
        source = [self.vocabulary.encode(text) for text, _ in pairs]
        targets = [[*self.vocabulary.encode(text), config.eos_token_id] for _, text in pairs]
        return pad_rows(source, config.pad_token_id), pad_rows(targets, IGNORED)

    def alignment(self, text: str, translation: str, layer: int = -1) -> Alignment:
        """The cross-attention of a layer of the decoder, by default of the last, as the mean over its heads.

        Raises FloatingPointError where it is not finite.
        """
        i = range(self.model.config.n_layer)[layer]
        source, targets = self.batch([(text, translation)])
        (att,) = self.model.activations(source, targets, f"decoder.h.{i}.cross.att").values()
        if not np.isfinite(att).all():
            raise FloatingPointError("model: its attention holds NaN, expected finite numbers; check its weights with "
                                     "model.first_nonfinite()")
        pieces = self.vocabulary.pieces
        return Alignment([pieces[id] for id in source[0]], [pieces[id] for id in targets[0]], att[0].mean(0))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, model.safetensors and words.json.  Raises OSError: weights.folder.write_folder()."""
        config = self.model.config
        write_folder(folder, config.to_json(), asdict(config), self.model.params, self.vocabulary)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, threads: int | None = None) -> Translator:
        """What save() wrote.  Raises FileNotFoundError, ConfigError, ValueError, weights.WeightFormatError."""
        model, vocabulary = Transformer.load(folder, threads=threads), Vocabulary.load(folder)
        check_together(Path(folder) / "model.safetensors", asdict(model.config), vocabulary)
        return cls(model, vocabulary)


class PairBatches:
    """Endless batches of pairs, drawn with replacement; `position` is the whole state, as in batches.Batches."""

    def __init__(self, translator: Translator, pairs: Sequence[tuple[str, str]], batch_size: int, seed: int) -> None:
        self.translator, self.pairs, self.batch_size, self.seed, self.position = translator, pairs, batch_size, seed, 0

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the next batch, source and targets as in Translator.batch(), and advance position by one."""
        chosen = np.random.default_rng([self.seed, self.position]).integers(len(self.pairs), size=self.batch_size)
        self.position += 1
        return self.translator.batch([self.pairs[i] for i in chosen])


def train(
    translator: Translator, pairs: Sequence[tuple[str, str]], *, steps: int = 400, batch_size: int = 128, lr: float = 3e-3,
    warmup_steps: int = 50, seed: int = 0, progress: bool = False, group: Alone = ALONE,
) -> list[float]:
    """Learn from pairs of texts, by AdamW with linear warm-up and decay -> the loss of each step, in nats.

    Post-norm needs the warm-up: at full rate its first steps go astray (Xiong et al. 2020).  `progress` shows a bar where
    stderr is a terminal.  group: the processes that share the work, as in step.py.
    Raises DistributedError where their models come to differ, FloatingPointError for a loss that is not finite, ValueError
    for an unknown word and for more processes than pairs in a batch.
    Vaswani et al. 2017 §5.3 takes Adam with the same β.
    """
    if batch_size < group.size:
        raise ValueError(f"batch_size: {batch_size} for {group.size} processes, expected a pair for each; start fewer")
    model, batches = translator.model, PairBatches(translator, pairs, batch_size, seed)
    adamw = AdamW(model, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01)
    losses: list[float] = []
    terminal = Tolerant(sys.stderr)
    shown = progress and group.leads and terminal.isatty()
    with Bar(total=steps, unit="step", dynamic_ncols=True, file=terminal, disable=not shown) as bar:
        for step in range(steps):
            rate = lr * min(1.0, (step + 1) / (warmup_steps + 1)) * schedule("linear", step / steps)
            when = f"after step {step}"
            loss, _, _ = training_step(model, batches, adamw, rate, clip=1.0, seed=seed, when=when, group=group)
            losses.append(loss)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
    group.check_equal(model.flat_params, "parameters after the last step")
    return losses


def exact_match(
    translator: Translator, pairs: Sequence[tuple[str, str]], *, beams: int = 1, group: Alone = ALONE,
) -> tuple[float, list[tuple[str, str, str]]]:
    """The share of texts whose translation is right to the last character, and the others: (text, right, given).

    group: each process translates a part of the pairs, and gives the others of that.
    """
    part = pairs[group.rows(len(pairs))]
    given = translator([text for text, _ in part], beams=beams)
    wrong = [(text, right, made) for (text, right), made in zip(part, given, strict=True) if made != right]
    (n_wrong,) = group.total(len(wrong))
    return 1 - n_wrong / len(pairs), wrong
