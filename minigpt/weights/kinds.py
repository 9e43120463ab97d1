"""Which format a file of weights has, from its content: the first bytes, and the last ones of a TensorFlow checkpoint."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..system.text import printable
from .validation import PICKLE, WeightFormatError, recognize

_HEAD = 1024  # bytes
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # of an archive, and of an empty one
_LLMC = (20_240_326).to_bytes(4, "little")
_TABLE = 0xDB4775248B80FB57.to_bytes(8, "little")  # ends the index of a TensorFlow checkpoint


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return the format's name, that of the module that reads it: safetensors for everything that is none of the others.

    Raises: WeightFormatError for a folder that holds no TensorFlow checkpoint; OSError for a file that cannot be opened.
    """
    path = Path(path)
    if path.is_dir():
        if any(path.glob("*.index")):
            return "tensorflow"
        raise WeightFormatError(f"{printable(path)}: a folder, expected a file of weights; name the file inside it")
    if is_checkpoint_name(path):
        return "tensorflow"
    with open(path, "rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, os.fstat(file.fileno()).st_size - len(_TABLE)))
        tail = file.read(len(_TABLE))
    if head.startswith(_ZIP):
        # torch.save writes the pickle first; its name stands behind the 30 bytes that begin a member.
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return "torch_zip" if name.endswith(b"/data.pkl") else "npz"
    if head.startswith(b"GGUF"):
        return "gguf"
    if head.startswith(_LLMC):
        return "llmc"
    if tail == _TABLE:
        return "tensorflow"
    return {PICKLE: "torch_zip", "a JSON text": "shards"}.get(recognize(head) or "", "safetensors")


def is_checkpoint_name(path: Path) -> bool:
    """Whether this is what TensorFlow calls a checkpoint by, a name that no file has, or one of its data files."""
    if re.search(r"\.data-\d{5}-of-\d{5}$", path.name):
        return True
    return not path.exists() and path.with_name(f"{path.name}.index").is_file()
