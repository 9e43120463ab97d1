"""The folders of files that were downloaded once: minigpt's own, and the one that Hugging Face's libraries share."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of downloaded files: $MINIGPT_CACHE, or "minigpt" in the platform's cache folder.

    A user without a home folder has none of these; then it lies in the folder of temporary files.
    """
    if own := os.environ.get("MINIGPT_CACHE"):
        return _expanded(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = _expanded(base)
    return (folder if folder.parts[:1] != ("~",) else Path(tempfile.gettempdir())) / "minigpt"


def cached(filename: str, sha256: str) -> Path | None:
    """Return the file's path in the cache folder if it is there with this SHA-256 (hexadecimal), else None."""
    path = cache_folder() / filename
    return path if path.is_file() and sha256_of(path) == sha256 else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 18):
            digest.update(chunk)
    return digest.hexdigest()


def hugging_face_cache() -> Path:
    """Return the folder in which transformers and huggingface_hub keep what they download; it need not exist."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return _expanded(folder)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return _expanded(home) / "hub"


def hugging_face_snapshot(repository: str, is_enough: Callable[[Path], bool], revision: str | None = None) -> Path | None:
    """Return the folder of a repository's files in Hugging Face's own cache if what is there of them is enough, else None.

        models--openai-community--gpt2/refs/main                             the revision last downloaded
        models--openai-community--gpt2/snapshots/607a30d783…/config.json

    revision: the one to prefer; then comes that of refs/main. The content is not checked: its owner put it there. But a
    snapshot with a link that leads out of the repository's folder is passed over, and so is what cannot be read.
    """
    # A repository may also be there by its name of before the organizations, as "gpt2".
    for name in (repository, repository.partition("/")[2]):
        folder = hugging_face_cache() / ("models--" + name.replace("/", "--"))
        for snapshot in (folder / "snapshots" / each for each in (revision, _main_revision(folder)) if each):
            if _is_usable(snapshot, is_enough, folder):
                return snapshot
    return None


def _main_revision(folder: Path) -> str | None:
    """Return the commit that refs/main names, None where it names none."""
    try:
        with open(folder / "refs" / "main", "rb") as file:
            named = file.read(100).decode("latin-1").strip()
    except OSError:
        return None
    return named if re.fullmatch("[0-9a-f]+", named) else None


def _is_usable(snapshot: Path, is_enough: Callable[[Path], bool], folder: Path) -> bool:
    """Whether the files are there, and all of them lie in the folder when all links are followed."""
    try:
        inside = all(path.resolve().is_relative_to(folder.resolve()) for path in snapshot.iterdir())
        return inside and is_enough(snapshot)
    except (OSError, RuntimeError):             # RuntimeError: links in a circle, before Python 3.13
        return False


def _expanded(path: str | os.PathLike[str]) -> Path:
    """Replace ~ by the home folder; it stays where there is none, as in a shell."""
    return Path(os.path.expanduser(path))
