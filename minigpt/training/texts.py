"""The text that a run learns from: named ones and files, in memory where they are short, else read stretch by stretch.

    text = open_text(["books/*.txt"])
    tokenizer = text.bpe(None)              # or text.characters()
    ids = text.ids(tokenizer)               # an array, or a token file that reads as one
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..system.text_files import check_start
from ..tokenization import CharTokenizer, Tokenizer
from ..tokenization.ids import IdArray
from ..tokenization.settings import END_OF_TEXT
from .corpora import NAMED_TEXTS, Corpus, fingerprint, load_corpus
from .documents import BETWEEN, joined_ids, paths_of, paths_of_source, separator, source_of_paths, special_between
from .long_texts import LongText
from .token_files import TokenFile, token_folder

IN_MEMORY = 1 << 23     # bytes of all files together up to which they are read at once


class ShortText:
    """Texts to learn from that are in memory, with the calls of LongText."""

    changes = ""

    def __init__(self, corpora: Sequence[Corpus], name: str, progress: bool = False) -> None:
        self.documents = [corpus.text for corpus in corpora]
        self.paths = [corpus.name for corpus in corpora]        # or the text's name
        self.name, self.progress = name, progress

    def characters(self) -> CharTokenizer:
        """The tokenizer of the text's characters; with several files of the separator's too."""
        return CharTokenizer.train(BETWEEN.join(self.documents))

    def bpe(self, vocab_size: int | None, special_tokens: Sequence[str] = ()) -> Tokenizer:
        """A tokenizer of byte-level BPE, by default as large as fits the text, with an end-of-text token for several files."""
        special = special_between(self.documents, special_tokens)
        return Tokenizer.train(END_OF_TEXT.join(self.documents), vocab_size, special, self.progress)

    def ids(self, tokenizer: CharTokenizer | Tokenizer) -> IdArray:
        """The ids of all files, a separator between them."""
        parts = [tokenizer.encode_array(text, allowed_special="all") for text in self.documents]
        return joined_ids(parts, separator(tokenizer, self.documents))

    def beginning(self, n: int) -> str:
        """The first characters."""
        return self.documents[0][:n]


def open_text(
    sources: Sequence[str | os.PathLike[str]] | None, keep_bytes: bool = False, progress: bool = False
) -> tuple[ShortText | LongText, str]:
    """Open a text -> it, and a sentence or two on what it is.

    sources: files, patterns of files, or a single name that load_corpus() knows; None is its default.
    Raises what load_corpus() does.
    """
    if sources is None or (len(sources) == 1 and sources[0] in NAMED_TEXTS):
        corpus = load_corpus(None if sources is None else sources[0])
        return ShortText([corpus], corpus.name, progress), corpus.note
    return open_files(sources, keep_bytes, progress)


def open_files(
    sources: Sequence[str | os.PathLike[str]], keep_bytes: bool = False, progress: bool = False
) -> tuple[ShortText | LongText, str]:
    """Do that for files and patterns alone; of several files the empty ones are left out."""
    paths = paths_of(sources)
    paths = [path for path in paths if not _is_empty(path, keep_bytes)] or paths[:1]
    if sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) > IN_MEMORY:
        return _long(paths, keep_bytes, progress)
    corpora = [load_corpus(_as_file(path), keep_bytes) for path in paths]
    return ShortText(corpora, source_of_paths([corpus.name for corpus in corpora]), progress), _note_of(corpora)


def read_ids(source: str, tokenizer: CharTokenizer | Tokenizer, known: str) -> np.ndarray | TokenFile:
    """Return the ids of a run's text, byte for byte or as people mean it, whichever has the fingerprint that the run knows.

    source: the name of a ShortText or LongText.  Of a short text that has neither the ids are returned as they are now.
    Raises ValueError for a long text that has neither, and for one that the tokenizer does not know.
    """
    sources = [source] if source in NAMED_TEXTS else [*map(_as_file, paths_of_source(source))]
    text, _ = open_text(sources, keep_bytes=True)
    for keep_bytes in (True, False):
        if not keep_bytes:
            text = text.otherwise() if isinstance(text, LongText) else open_text(sources)[0]
        if isinstance(text, LongText) and known.startswith("file:"):
            if text.fingerprint(tokenizer) == known:
                return text.ids(tokenizer)
        else:
            with suppress(ValueError):          # a character that the run has never met
                if fingerprint(ids := np.asarray(text.ids(tokenizer))) == known:
                    return ids
    if isinstance(text, LongText):
        raise ValueError("its fingerprint is another")
    return text.ids(tokenizer)


def _is_empty(path: str, keep_bytes: bool) -> bool:
    """Whether a file holds nothing, or a byte order mark that is no text and nothing more"""
    if not os.path.isfile(path) or (size := os.path.getsize(path)) > len(codecs.BOM_UTF8):
        return False
    return size == 0 or (not keep_bytes and Path(path).read_bytes() == codecs.BOM_UTF8)


def _long(paths: list[str], keep_bytes: bool, progress: bool) -> tuple[LongText, str]:
    for path in paths:
        if not os.path.isfile(path):
            load_corpus(_as_file(path), keep_bytes)         # says what is wrong with it
            raise ValueError(f"{path}: no regular file, expected one beside so long a text; write it to a file first")
    for path in paths:
        check_start(path, keep_bytes)
    text = LongText(paths, keep_bytes, progress)
    what = f"The file {paths[0]}" if len(paths) == 1 else f"{len(paths):,} files"
    return text, f"{what}, {text.n_bytes:,} bytes, tokenized once and kept in {token_folder()}."


def _note_of(corpora: Sequence[Corpus]) -> str:
    if len(corpora) == 1:
        return corpora[0].note
    n = sum("--keep-bytes" in corpus.note.rpartition("characters.")[2] for corpus in corpora)
    changed = f" In {n} of them byte order marks were left out or line ends became \\n; --keep-bytes keeps every byte."
    return f"{len(corpora):,} files, {sum(len(c.text) for c in corpora):,} characters.{changed if n else ''}"


def _as_file(path: str) -> str | Path:
    """A path that load_corpus() takes for one"""
    return Path(path) if path in NAMED_TEXTS else path
