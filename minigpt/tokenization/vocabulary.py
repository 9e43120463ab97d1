"""A byte-level vocabulary in any order: what tokenizer.json, or vocab.json and merges.txt, say about a tokenizer.

GPT-2's own order needs none of this: its ids are the bytes, what each merge makes, and the special tokens, one after another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from .added import AddedToken, added_of_state
from .bpe import BYTE_NAMES, Pair
from .checks import checked_special_tokens, shortened

MAX_ID = (1 << 21) - 2  # a table from ids to tokens stays small, whatever a file says


@dataclass(frozen=True)
class Vocabulary:
    """Tokens as vocab.json writes them ("Ġthe"), their ids and merges, and what is done to a text before it is merged.

    ids: tokens and their ids.  There can be holes.
    merges: the pairs of tokens that are merged, earliest first.
    added: texts that are split out of a text first.  One without an id gets the number of tokens before it.
    add_prefix_space: every part between added tokens that starts with no space gets one.
    unk_token: the token of a byte that has none of its own, None where such bytes are left out.
    fuse_unk: several such bytes in a row are one token.
    Raises ValueError for an id of two tokens, for merges of unknown tokens, and for an unknown unk_token.
    """

    ids: dict[str, int]
    merges: list[tuple[str, str]]
    added: list[AddedToken] = field(default_factory=list)
    add_prefix_space: bool = False
    unk_token: str | None = None
    fuse_unk: bool = False

    def __post_init__(self) -> None:
        if len(set(self.ids.values())) < len(self.ids):
            seen: dict[int, str] = {}
            for name, id in self.ids.items():
                if seen.setdefault(id, name) != name:
                    found = f"{shortened(name)} and {shortened(seen[id])} have id {id}"
                    raise ValueError(f"{found}, expected ids without repeats; fetch the file again")
        ids = self.ids
        for i, (left, right) in enumerate(self.merges):
            if left in ids and right in ids and left + right in ids:
                continue
            name = next(name for name in (left, right, left + right) if name not in ids)
            found = f"merge {i} is of {shortened(left)} and {shortened(right)}, but {shortened(name)} has no id"
            raise ValueError(f"{found}, expected merges of tokens that are in the vocabulary; fetch the file again")
        if self.unk_token is not None and self.unk_token not in self.ids:
            found = f"unk_token is {shortened(self.unk_token)}"
            raise ValueError(f"{found}, expected a token of the vocabulary; fetch the file again")
        if not self.ids:
            raise ValueError("no tokens, expected at least one; fetch the file again")
        checked_special_tokens([token.text for token in self.added])
        if len({token.normalized for token in self.added}) == 1:  # it only says which of them are looked for first
            object.__setattr__(self, "added", [replace(token, normalized=False) for token in self.added])
        object.__setattr__(self, "added", sorted(self.added, key=lambda token: self.added_ids[token.text]))

    @cached_property
    def added_ids(self) -> dict[str, int]:
        """The ids of the added tokens, as the tokenizers package counts them."""
        ids = dict(self.ids)
        return {token.text: ids.setdefault(token.text, len(ids)) for token in self.added}  # subtle: it can be another's id too

    @cached_property
    def merged(self) -> dict[Pair, int] | None:
        """Number the bytes and what each merge makes as GPT-2 does, numbered() says how: each pair and the number it becomes.

        None where that cannot be: a token is made twice, or is used before it is made, or unk_token is one that is merged.
        """
        names = self.numbered()
        numbers = {name: i for i, name in enumerate(names)}
        if len(numbers) < len(names) or self.unk_token in numbers:
            return None
        unknown = len(names)
        merged = {
            (numbers.get(left, unknown), numbers.get(right, unknown)): new
            for new, (left, right) in enumerate(self.merges, start=256)
        }
        return merged if all(left < new > right for (left, right), new in merged.items()) else None

    def numbered(self) -> list[str]:
        """Return all 256 bytes, also those without a token, and what each merge makes."""
        return [*BYTE_NAMES, *map("".join, self.merges)]

    def ordinary(self) -> list[str]:
        """Return the bytes that have a token and what each merge makes, in this order, each once."""
        return list(dict.fromkeys(name for name in self.numbered() if name in self.ids))

    @property
    def has_all_bytes(self) -> bool:
        """Whether each byte has a token."""
        return self.ids.keys() >= set(BYTE_NAMES)

    def special_tokens(self) -> list[str] | None:
        """Return the special tokens of a vocabulary in GPT-2's own order; None for any other."""
        ordinary = self.ordinary()
        special = [token.text for token in self.added]
        names = [*ordinary, *special]
        ids = self.ids | self.added_ids
        in_order = len(names) == len(ids) and list(map(ids.__getitem__, names)) == list(range(len(names)))
        plain = self.added == list(map(AddedToken, special)) and not self.add_prefix_space
        return special if plain and in_order and self.has_all_bytes and self.merged is not None else None

    def state(self) -> dict[str, Any]:
        """Return all of it as JSON-able values."""
        return {
            "type": "bpe",
            "vocab": dict(sorted(self.ids.items(), key=lambda item: item[1])),
            "merges": [list(pair) for pair in self.merges],
            "added_tokens": list(map(asdict, self.added)),
            "add_prefix_space": self.add_prefix_space,
            "unk_token": self.unk_token,
            "fuse_unk": self.fuse_unk,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Vocabulary:
        """Read what state() returned.  Raises ValueError for anything else."""
        match state:
            case {
                "type": "bpe", "vocab": dict(vocab), "merges": list(merges), "added_tokens": list(added),
                "add_prefix_space": bool(prefix), "unk_token": str() | None as unk, "fuse_unk": bool(fuse),
            } if all(map(_is_pair, merges)):
                tokens = list(map(added_of_state, added))
                pairs = [(left, right) for left, right in merges]
                return cls(checked_vocab(vocab, "state"), pairs, tokens, prefix, unk, fuse)
        raise ValueError(f"state: {shortened(state)}, expected a vocabulary; pass what state() returned")


def checked_vocab(ids: dict[str, Any], where: str) -> dict[str, int]:
    """Return a table of tokens.  Raises ValueError that begins with `where` for ids that are none."""
    if ids and not (set(map(type, ids.values())) == {int} and 0 <= min(ids.values()) <= max(ids.values()) <= MAX_ID):
        for name, id in ids.items():
            if type(id) is not int or not 0 <= id <= MAX_ID:
                found = f"{where}: {shortened(name)} has id {shortened(id)}"
                raise ValueError(f"{found}, expected an integer from 0 to {MAX_ID}; fetch the file again")
    return ids


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and list(map(type, value)) == [str, str]
