"""WordPiece, the tokenizer of BERT and of most Chinese GPT-2 models: words are cut into the longest pieces that are known.

    longest_pieces("unaffable", {"un", "##aff", "##able", …}) -> ["un", "##aff", "##able"]

"##" stands before a piece that goes on within a word.  What a word is, is in bert_text.py; the files are in wordpiece_files.py.
Nothing is learned here.  Wu et al. 2016, §4.1, for the pieces; Devlin et al. 2019, §3, for the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.text import printable
from .added import AddedToken
from .bert_text import BertRules, split_words
from .checks import allowed_in, checked_text, shortened
from .fast import WordCache
from .ids import IdArray, checked_ids, id_dtype
from .settings import Settings, read_settings
from .split import split_special
from .wordpiece_files import BERT_TOKENS, Numbered, read_wordpiece_files, write_wordpiece_files

PREFIX = "##"
LONGEST_WORD = 100  # characters; a longer word is unknown


def match_steps(word: str, vocabulary: Collection[str]) -> Iterator[tuple[list[str], str]]:
    """Cut the longest known piece off the front of a word, until nothing is left; yield the pieces so far and the rest.

        match_steps("lowest", {"low", "##e", "##est"}) -> ([], "lowest"), (["low"], "est"), (["low", "##est"], "")

    It stops with a rest where no piece fits.  Wu et al. 2016, §4.1.
    """
    pieces: list[str] = []
    yield pieces, word
    while word:
        prefix = PREFIX if pieces else ""
        fitting = [end for end in range(1, len(word) + 1) if prefix + word[:end] in vocabulary]
        if not fitting:
            return
        end = max(fitting)
        pieces, word = [*pieces, prefix + word[:end]], word[end:]
        yield pieces, word


def longest_pieces(word: str, vocabulary: Collection[str], reach: Mapping[str, int]) -> list[str] | None:
    """Cut a word into its longest known pieces, from the left: the last of match_steps, with fewer look-ups.

    Returns None for a word that has no pieces or is too long.  reach: from reach_of(vocabulary).
    """
    if len(word) > LONGEST_WORD:
        return None
    pieces: list[str] = []
    start, prefix = 0, ""
    while start < len(word):
        end = min(start + reach.get(prefix + word[start], 0), len(word))
        while end > start and (piece := prefix + word[start:end]) not in vocabulary:
            end -= 1
        if end == start:
            return None
        pieces.append(piece)
        start, prefix = end, PREFIX
    return pieces


def reach_of(vocabulary: Iterable[str]) -> dict[str, int]:
    """Return how many characters the longest piece has that begins so: {"low", "##est"} -> {"l": 3, "##e": 3, "#": 5}."""
    reach: dict[str, int] = {}
    for piece in vocabulary:
        for prefix in ("", PREFIX) if piece.startswith(PREFIX) else ("",):
            key = piece[: len(prefix) + 1]
            reach[key] = max(reach.get(key, 0), len(piece) - len(prefix))
    return reach


class WordPieceTokenizer:
    """BERT's tokenizer: text is cleaned and split into words, each ideograph one of them, and words into known pieces.

        tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "你", "好"])
        tokenizer.encode("Playing 你好")             -> [5, 6, 7, 8]
        tokenizer.decode([5, 6, 7, 8])               -> "playing 你 好"

    Ids and texts are those of BertTokenizer in transformers 5.24, on every character.  A text is not kept whole: its white
    space, and by default capital letters and accents, are lost, and a word without known pieces is [UNK].

    tokens: the vocabulary in the order of ids, as vocab.txt has it; None for an id that nothing has.  Of equal tokens the
    last counts.
    special_tokens: those of them that are never split; one that is not in the vocabulary gets the next id.
    rules: how a text becomes words.  unk_token: what unknown words become, one of the special tokens.
    added: more texts that are parsed before anything else, as they are written or, if normalized, in the text as the rules
    clean it; each with an id of its own: [(90, AddedToken("<x>"))].
    settings: what save writes about the roles of tokens, padding and so on, and load has read.  Nothing here depends on it.
    Several threads may use one tokenizer; a copy, by copy or pickle, is whole, without the words that are remembered.
    Raises ValueError for a vocabulary without tokens and for added tokens that are empty, repeated, or have another's id.
    Devlin et al. 2019, §3; Wu et al. 2016, §4.1.
    """

    settings: Settings | None = None

    def __init__(
        self,
        tokens: Sequence[str | None],
        special_tokens: Sequence[str] = BERT_TOKENS,
        rules: BertRules = BertRules(),  # noqa: B008  (frozen)
        unk_token: str = "[UNK]",
        added: Iterable[Numbered] = (),
    ) -> None:
        ids: dict[str, int] = {}
        for id, token in enumerate(tokens):
            if token is not None and type(token) is not str:
                raise ValueError(f"tokens[{id}]: {shortened(token)}, expected str or None; give the vocabulary's lines")
            if token is not None:
                checked_text(token, name=f"tokens[{id}]")
                ids[token] = id
        if not ids:
            raise ValueError("tokens: none, expected a vocabulary; give the lines of a vocab.txt")
        self._ids = ids
        self._names = {id: token for token, id in ids.items()}
        self._reach = reach_of(ids)
        self._added: dict[str, Numbered] = {}
        self._rules = rules
        self._unk_token = unk_token
        for extra in added:
            self._add(*extra)
        for text in [*special_tokens, unk_token]:
            if text not in self._added:
                # subtle: tokenizers counts tokens, so where the vocabulary has holes this can be another token's id
                after = max(len(ids), max(self.added_tokens.values(), default=-1) + 1)
                self._add(ids.get(text, after), AddedToken(text))
        self._added = dict(sorted(self._added.items(), key=lambda item: item[1][0]))
        self._unk_id = self._added[unk_token][0]
        self._words = WordCache(rules.tokenize_chinese_chars, self._ids_of)

    def _add(self, id: int, token: AddedToken) -> None:
        where = f"added token {shortened(token.text)}"
        if not token.text:
            raise ValueError(f"{where}: empty, expected at least one character; remove it")
        if token.text in self._added:
            raise ValueError(f"{where}: a second time, expected distinct tokens; remove it")
        if token.lstrip or token.rstrip or token.single_word:
            raise ValueError(f"{where}: {token}, expected one that is parsed as it is written; leave out these flags")
        if id < 0:
            raise ValueError(f"{where}: id {id}, expected 0 or more; correct it")
        if (known := self._ids.get(token.text, id)) != id:
            raise ValueError(f"{where}: id {id}, expected {known} as in the vocabulary; take all files from one source")
        if other := [text for text, added in self.added_tokens.items() if added == id]:
            raise ValueError(f"{where}: id {id}, that of {shortened(other[0])}, expected another; correct it")
        checked_text(token.text, name="added token")
        self._added[token.text] = id, token
        self._names[id] = token.text

    def encode(
        self,
        text: str,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> list[int]:
        """Turn a text into ids, without [CLS] before and [SEP] after it; time grows linearly with the text.

        allowed_special, disallowed_special, errors: as in Tokenizer.encode, so that "[SEP]" in a user's text is refused
        unless it is asked for.  Other added tokens are always parsed.
        Raises TypeError for bytes, None, a list; ValueError for refused special tokens; UnicodeEncodeError.
        """
        parts = self._encode_parts(text, allowed_special, disallowed_special, errors)
        return [id for part in parts for id in part.tolist()]

    def encode_array(
        self,
        text: str,
        allowed_special: Collection[str] = (),
        disallowed_special: Collection[str] = "all",
        errors: str = "strict",
    ) -> IdArray:
        """Turn a text into an array of ids (T,): uint16, or uint32 where the vocabulary needs it.  As encode."""
        parts = self._encode_parts(text, allowed_special, disallowed_special, errors)
        dtype = id_dtype(self.vocab_size)
        return np.concatenate([np.empty(0, dtype), *(part.astype(dtype) for part in parts)])

    def explain(
        self, text: str, allowed_special: Collection[str] = (), disallowed_special: Collection[str] = "all"
    ) -> WordPieceExplanation:
        """Show how a text becomes its tokens, piece by piece; made to be printed, or shown by a notebook.

            tokenizer.explain("Playing")           -> 'Playing'
                                                        playing
                                                        play ing
                                                        play ##ing
                                                      5 6

        First what is left of the text, in words; then each piece as it is cut off, and what remains of the word.
        Arguments as in encode; raises as in encode.
        """
        pieces: list[tuple[str, list[list[str]], list[int]]] = []
        for part, id in self._split(text, allowed_special, disallowed_special):
            if id is not None:
                pieces.append((part, [[part]], [id]))
            else:
                pieces += [(chunk, self._steps_of(chunk), self._ids_of(chunk)) for chunk in self._rules.chunks().findall(part)]
        return WordPieceExplanation(pieces)

    def decode(self, ids: Iterable[int], errors: str = "replace", skip_special_tokens: bool = False) -> str:
        """Turn ids into text: a blank before each token but those that go on within a word, or are . ? ! or a comma.

        ids: integers, in a list, an array (T,) or any iterable; one that no token has is passed over.
        errors: not needed, tokens are whole characters.  skip_special_tokens: leave out [SEP] and the like.
        Raises ValueError for an id that is not in the vocabulary, TypeError for float, str and bool ids.
        """
        left_out = set(self.special_tokens.values()) if skip_special_tokens else set()
        known = [id for id in checked_ids(ids, self.vocab_size) if id in self._names and id not in left_out]
        if not known:
            return ""
        return _tidied(self._shown(known[0])) + "".join(map(self._continued.__getitem__, known[1:]))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 of the text.  Raises as in decode."""
        return self.decode(ids).encode()

    def token_bytes(self, id: int) -> bytes:
        """Return the UTF-8 of what a token adds to a text that has begun: b" play", b"ing".  Raises as in decode."""
        (id,) = checked_ids([id], self.vocab_size)
        return self._continued.get(id, "").encode()

    def token_names(self) -> dict[int, str]:
        """Return id -> token, as vocab.txt has it: "##ing"."""
        return dict(sorted(self._names.items()))

    @property
    def vocab_size(self) -> int:
        """The largest id + 1."""
        return max(self._names) + 1

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids, a copy."""
        return {text: id for text, (id, token) in self._added.items() if token.special}

    @property
    def added_tokens(self) -> dict[str, int]:
        """All texts that are parsed before anything else, special or not, and their ids."""
        return {text: id for text, (id, _) in self._added.items()}

    @property
    def rules(self) -> BertRules:
        """How a text becomes words."""
        return self._rules

    @property
    def unk_token(self) -> str:
        """What an unknown word becomes."""
        return self._unk_token

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"WordPieceTokenizer(vocab_size={self.vocab_size}, special_tokens={list(self.special_tokens)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WordPieceTokenizer):
            return NotImplemented
        return self._content() == other._content()

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        return type(self).from_state, (self.state(),)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write vocab.txt, tokenizer_config.json and tokenizer.json, as transformers reads them.

        vocab.txt is left out where it cannot say the vocabulary: where a token has a line's end in it, or white space last.
        Makes the folder where there is none.  Raises OSError.
        """
        added = self._added.values()
        write_wordpiece_files(Path(folder), self._vocabulary(), self._rules, self._unk_token, added, self.settings)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> WordPieceTokenizer:
        """Read what save wrote, or the files of a BERT-style model: tokenizer.json, or vocab.txt; with tokenizer_config.json.

        Raises FileNotFoundError; ValueError naming the file, and the line where there is one.
        """
        tokens, special, rules, unk_token, added, path = read_wordpiece_files(Path(folder))
        try:
            self = cls(tokens, special, rules, unk_token, added)
        except ValueError as error:
            raise ValueError(f"{printable(path)}: {error}") from error
        self.settings = read_settings(folder, {})       # BertTokenizer puts [CLS] and [SEP] around a text, whatever a file says
        return self

    def fingerprint(self) -> str:
        """Return a SHA-256 of the tokens, their ids and the rules: equal for equal tokenizers."""
        return hashlib.sha256(f"wordpiece {self._content()!r}".encode()).hexdigest()

    def state(self) -> dict[str, Any]:
        """Return all of the tokenizer as JSON-able values, for checkpoints; from_state reads it."""
        return self._content() | ({} if self.settings is None else {"settings": self.settings.state()})

    def _content(self) -> dict[str, Any]:
        """What makes the ids."""
        return {
            "type": "wordpiece",
            "tokens": self._vocabulary(),
            "added": [[text, id, token.special, token.normalized] for text, (id, token) in self._added.items()],
            "unk_token": self._unk_token,
            "rules": asdict(self._rules),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WordPieceTokenizer:
        """Make the tokenizer whose state() this is.  Raises ValueError for anything else."""
        match state:
            case {"type": "wordpiece", "tokens": list(tokens), "added": list(added), "unk_token": unk, "rules": dict(rules)}:
                for entry in added:
                    if not isinstance(entry, list) or [*map(type, entry)] != [str, int, bool, bool]:
                        raise ValueError(f"state: {shortened(entry)}, expected an added token; pass what state() returned")
                numbered = [(id, AddedToken(text, special, normalized=late)) for text, id, special, late in added]
                try:
                    self = cls(tokens, (), BertRules(**rules), unk, numbered)
                except TypeError as error:
                    raise ValueError(f"state: {error}; pass what state() returned") from error
                if isinstance(settings := state.get("settings"), dict):
                    self.settings = Settings.from_state(settings)
                return self
        raise ValueError(f"state: {shortened(state)}, expected that of a WordPieceTokenizer; pass what state() returned")

    def _vocabulary(self) -> list[str | None]:
        """Return the vocabulary in the order of ids, without tokens that were only added."""
        by_id = {id: token for token, id in self._ids.items()}
        return [by_id.get(id) for id in range(max(by_id) + 1)]

    def _encode_parts(
        self, text: str, allowed_special: Collection[str], disallowed_special: Collection[str], errors: str
    ) -> Iterator[npt.NDArray[np.int32]]:
        """Yield the ids, a few thousand at a time."""
        for part, id in self._split(text, allowed_special, disallowed_special, errors):
            if id is None:
                yield from self._words.ids(part)
            else:
                yield np.array([id], np.int32)

    def _split(
        self, text: str, allowed_special: Collection[str], disallowed_special: Collection[str], errors: str = "strict"
    ) -> Iterator[tuple[str, int | None]]:
        """Yield the parts of a text: plain ones with None, added tokens with their id."""
        text = checked_text(text, errors)
        allowed = allowed_in(text, self.special_tokens, allowed_special, disallowed_special)
        parsed = {text: pair for text, pair in self._added.items() if not pair[1].special or text in allowed}
        as_written = {text: id for text, (id, token) in parsed.items() if not token.normalized}
        normalized = {self._rules.normalize(text): id for text, (id, token) in parsed.items() if token.normalized}
        normalized.pop("", None)  # of a token that the rules clean away
        for i, span in enumerate(split_special(text, as_written)):
            if i % 2:
                yield span, as_written[span]
                continue
            for j, part in enumerate(split_special(self._rules.normalize(span), normalized) if normalized else [span]):
                yield part, normalized[part] if j % 2 else None

    def _ids_of(self, chunk: str) -> list[int]:
        """Return the ids of what has no blank in it: a word, and punctuation around it."""
        ids: list[int] = []
        for word in split_words(self._rules.normalize(chunk)):
            pieces = longest_pieces(word, self._ids, self._reach)
            ids += [self._unk_id] if pieces is None else [self._ids[piece] for piece in pieces]
        return ids

    def _steps_of(self, chunk: str) -> list[list[str]]:
        """Return all words of a chunk, and again after each piece that was cut off."""
        words = split_words(self._rules.normalize(chunk))
        steps = [words]
        done: list[str] = []
        for i, word in enumerate(words, start=1):
            cuts = list(match_steps(word, self._ids)) if len(word) <= LONGEST_WORD else [([], word)]
            if cuts[-1][1]:
                cuts = [([self._unk_token], "")]
            steps += [[*done, *pieces, *([rest] if rest else []), *words[i:]] for pieces, rest in cuts if pieces]
            done += cuts[-1][0]
        return [step for step, before in zip(steps, [None, *steps], strict=False) if step != before]

    def _shown(self, id: int) -> str:
        name = self._names[id]
        return self._rules.normalize(name) if name in self._added and self._added[name][1].normalized else name

    @cached_property
    def _continued(self) -> dict[int, str]:
        """What each token adds to a text that has begun."""
        shown = {id: self._shown(id) for id in self._names}
        return {id: _tidied(text[len(PREFIX) :] if text.startswith(PREFIX) else f" {text}") for id, text in shown.items()}


@dataclass(frozen=True)
class WordPieceExplanation:
    """Each chunk of a text and how it was cut.  Printed it shows every step; `pieces` is for programs.

    pieces: each chunk with its words, again after each piece that was cut off; and its ids.
    """

    pieces: list[tuple[str, list[list[str]], list[int]]]

    def __str__(self) -> str:
        return "\n".join(line for piece in self.pieces for line in self._lines(*piece))

    __repr__ = __str__  # a notebook shows the repr

    def _lines(self, chunk: str, steps: list[list[str]], ids: list[int]) -> Iterator[str]:
        yield repr(chunk)
        yield from (f"  {printable(' '.join(step))}" for step in steps)
        yield " ".join(map(str, ids))


# The blanks that English does not write; transformers takes them out of each token, with the blank before it.
_TIDIED = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't", " 'm": "'m", " do not": " don't",
           " 's": "'s", " 've": "'ve", " 're": "'re"}  # fmt: skip


def _tidied(text: str) -> str:
    for written, tidy in _TIDIED.items():
        text = text.replace(written, tidy)
    return text
