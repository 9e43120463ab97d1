"""Chat templates beside a tokenizer: kept and written again as they are, since nothing here renders them.

    chat_template.jinja                         the template of the model
    additional_chat_templates/NAME.jinja        others, such as one for tools

Before transformers 4.50 they were keys of tokenizer_config.json, which settings.py keeps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..system.files import read_start, remove_atomic, write_atomic
from ..system.text import printable

MAIN, _OTHERS = "chat_template.jinja", "additional_chat_templates"
_NAME = re.compile(rf"{MAIN}|{_OTHERS}/[\w-][\w.-]*\.jinja")
_MOST_BYTES = 1_000_000     # a long one has 20,000


def read_templates(folder: Path) -> dict[str, str]:
    """Return the templates by file name; bytes that are no UTF-8 come back as they were.  Raises ValueError, OSError."""
    templates = {}
    for name in _names(folder):
        data = read_start(folder / name, _MOST_BYTES)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"{printable(folder / name)}: too large, expected at most {_MOST_BYTES:,} bytes; remove it")
        templates[name] = data.decode("utf-8", "surrogateescape")
    return templates


def write_templates(folder: Path, templates: Mapping[str, str]) -> None:
    """Write them, and remove those of another tokenizer.  Raises OSError."""
    for name in {*_names(folder)} - templates.keys():
        remove_atomic(folder / name)
    for name, text in templates.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_atomic(folder / name, text.encode("utf-8", "surrogateescape"))


def _names(folder: Path) -> list[str]:
    paths = (folder / MAIN, *sorted((folder / _OTHERS).glob("*.jinja")))
    return [name for path in paths if path.is_file() and is_name(name := path.relative_to(folder).as_posix())]


def is_name(name: object) -> bool:
    """Whether this is the name of a template's file, and leads nowhere else."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None
