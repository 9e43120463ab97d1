"""Several files as one text: which files, what stands between them, and how a run notes them."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from ..tokenization import CharTokenizer, Tokenizer
from ..tokenization.ids import IdArray
from ..tokenization.settings import END_OF_TEXT

BETWEEN = "\n\n"        # between two texts for a tokenizer that has no end-of-text token


def paths_of(sources: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The files that are meant: a pattern that is no file's name stands for those that fit it, in order of their names.

        paths_of(["a.txt", "b/*.txt"]) -> ["a.txt", "b/1.txt", "b/2.txt"]

    Raises FileNotFoundError for a pattern that no file fits.
    """
    paths: list[str] = []
    for source in [os.fspath(source) for source in sources]:
        if os.path.exists(source) or not glob.has_magic(source):
            paths.append(source)
            continue
        found = sorted(path for path in glob.glob(source, recursive=True) if os.path.isfile(path))
        if not found:
            raise FileNotFoundError(f"{source}: no file fits this pattern, expected UTF-8 texts; check it with ls")
        paths += found
    return paths


def source_of_paths(paths: Sequence[str]) -> str:
    """What a run notes of its files: a path, or of several a list in JSON."""
    whole = [*map(os.path.abspath, paths)]
    return whole[0] if len(whole) == 1 else json.dumps(whole, ensure_ascii=False)


def paths_of_source(source: str) -> list[str]:
    """Read what source_of_paths() wrote."""
    with suppress(ValueError):
        if source.startswith("[") and isinstance(found := json.loads(source), list) and found:
            return [*map(str, found)]
    return [source]


def shown_source(source: str) -> str:
    """The name of a run's text in a sentence: a path, or the first of several and how many more there are."""
    first, *others = paths_of_source(source)
    return f"{first} and {len(others):,} more" if others else first


def shared_name(paths: Sequence[str]) -> str:
    """The path that a run on these files is named after: the file, or the folder that all of several are in."""
    if len(paths) == 1:
        return paths[0]
    try:
        return os.path.commonpath([*map(os.path.abspath, paths)])
    except ValueError:          # on several drives
        return paths[0]


def special_between(paths: Sequence[str], special_tokens: Sequence[str] = ()) -> list[str]:
    """The special tokens of a tokenizer to be learned from these files: with the one between them, if there are several."""
    return list(dict.fromkeys([*special_tokens, *([END_OF_TEXT] if len(paths) > 1 else [])]))


def separator(tokenizer: CharTokenizer | Tokenizer, paths: Sequence[str]) -> list[int]:
    """The ids between the texts of two files: the end-of-text token, or an empty line where the tokenizer has none."""
    if len(paths) < 2:
        return []
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    return tokenizer.encode(BETWEEN) if end is None else [end]


def joined_ids(parts: Sequence[IdArray], between: Sequence[int]) -> IdArray:
    """One array of the ids of several texts, a separator between them: joined_ids([[1, 2], [3]], [0]) -> [1, 2, 0, 3]."""
    if len(parts) == 1:
        return parts[0]
    ids = np.array(between, parts[0].dtype)
    return np.concatenate([array for part in parts for array in (ids, part)][1:])
