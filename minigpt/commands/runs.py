"""The folders of runs in out/: their names, the newest one, and the command that samples from one."""

from __future__ import annotations

import re
from pathlib import Path

from ..system.shell import python, quoted
from ..system.text import for_terminal

RUNS = Path("out")                          # default folder of runs
LONGEST = 24                                # characters of a suggested prompt
_READ_BY_SHELLS = '"$`\\!%“”„'              # inside double quotes, by one shell or another; a prompt ends before


def newest(holding: str = "log.csv") -> Path | None:
    """The folder in out/ of the run whose log was written last, None where there is none.  holding: a file it must have."""
    runs = [(path.stat().st_mtime, path.parent) for path in RUNS.glob("*/log.csv") if (path.parent / holding).exists()]
    return max(runs)[1] if runs else None


def free_folder(name: str) -> Path:
    """Return out/NAME, or where something lies in that, out/NAME-2, out/NAME-3, …"""
    number, folder = 1, RUNS / name
    while folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        number += 1
        folder = RUNS / f"{name}-{number}"
    return folder


def name_of_text(path: str) -> str:
    """What a run on this file is called: books/hongloumeng.txt -> hongloumeng."""
    name = "".join(c if c.isprintable() else "_" for c in Path(path).stem)[:60].strip(" .")
    return name or "text"


def prompt_from(text: str) -> str:
    """The first words of a text, or up to a comma where it has no spaces; "" where it has nothing that is easily typed.

        prompt_from("# First Citizen:\\nBefore we proceed") -> "First Citizen:"
        prompt_from("此开卷第一回也。作者自云：因曾历过一番梦幻之后，故将真事隐去") -> "此开卷第一回也。"
    """
    for line in text.split("\n"):
        words = re.sub(r"^\W+", "", line)
        end = next((i for i, c in enumerate(words) if not c.isprintable() or c in _READ_BY_SHELLS), len(words))
        words = words[:end].rstrip()
        if len(words) > LONGEST:
            start = words[: LONGEST + 1]
            words = start.rpartition(" ")[0].rstrip() or _first_word(words)
        if len(words) > 1:
            return words
    return ""


def _first_word(line: str) -> str:
    """The first word of a line and what punctuation follows it; of what is too long for a word its beginning"""
    match = re.match(r"\w+[^\w\s]*", line)
    return match[0] if match and len(match[0]) <= 2 * LONGEST else line[: LONGEST // 3]


def sampling_command(folder: Path, text: str) -> str:
    """The command that samples from a run's model, with a prompt from its text, as one types it here."""
    prompt = prompt_from(text)
    return for_terminal(f"{python()} -m minigpt generate --model {quoted(folder)}" + (f' "{prompt}"' if prompt else ""))
