"""Text from a model while it is generated: whole characters out of tokens, and an end where a stop string begins.

    for piece in stream_text(model, "ROMEO:", 200, stop_strings=["\\n\\n"], seed=1):
        print(piece, end="", flush=True)

Which token comes next is decided in generate.py; what bytes a token stands for, by the tokenizer.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np

from ..inputs import checked_texts, only_row, require_tokenizer
from ..system.option_names import check_options
from .characters import bytes_of, whole_characters
from .generate import stream, with_ends
from .options import OPTION_NAMES


def stream_text(model: Any, prompt: Any, max_new_tokens: int = 100, *, stop_strings: Collection[str] = (),
                bad_words: Collection[str] = (), force_words: Collection[str] = (), **options: Any) -> Iterator[str]:
    """Yield the text that follows a prompt, in pieces, each as soon as it is certain.

    prompt: a text, which the model's tokenizer encodes, or ids, (T,) or (1, T).  stop_strings: the text ends before the first
    of them; what may be the beginning of one is held back until it is certain.  bad_words, force_words: texts that never occur
    in it, and texts that do before it ends, unless a stop string ends it: with_words().  options: those of options.Sampling for
    one row; start_id and stop_ids are by default the tokenizer's <|endoftext|>, where it has one, and no stop token is shown.
    The pieces are never empty and never split a character.
    Raises TypeError, ValueError; all arguments are checked by the call, not by the first piece.
    """
    tokenizer = require_tokenizer(model)
    check_options(options, ["max_new_tokens", "stop_strings", "bad_words", "force_words", *OPTION_NAMES], "stream_text()")
    stop_strings = checked_texts(stop_strings, "stop_strings")
    if options.get("num_samples", 1) != 1 or options.get("logprobs"):
        raise ValueError("stream_text: num_samples or logprobs, expected neither; stream() gives several rows and numbers")
    prompt = only_row(prompt, "prompt", "stream() takes several")
    options = with_ends(tokenizer, options)
    stop_ids = {*options["stop_ids"]}
    options["stop_ids"] = stop_ids
    tokens = stream(model, prompt, max_new_tokens, **with_words(tokenizer, bad_words, force_words, **options))
    shown = (token for token in tokens if token not in stop_ids)
    return (piece for piece in until(whole_characters(tokenizer, shown), tuple(stop_strings)) if piece)


def until(pieces: Iterable[str], stop_strings: Collection[str]) -> Iterator[str]:
    """Yield a text in pieces up to the first of `stop_strings`, which may lie across pieces; ask for no piece after it.

        until(["a b", "c", "d e"], ["bcd"]) -> "a ", "", ""
    """
    pending = ""
    for piece in pieces:
        pending += piece
        if found := [(pending.index(stop) + len(stop), pending.index(stop)) for stop in stop_strings if stop in pending]:
            yield pending[: min(found)[1]]  # the one that is complete first, wherever the pieces were cut
            return
        n_begun = max((n for stop in stop_strings for n in range(1, len(stop)) if pending.endswith(stop[:n])), default=0)
        n_certain = len(pending) - n_begun
        yield pending[:n_certain]
        pending = pending[n_certain:]
    yield pending


def with_words(tokenizer: Any, bad_words: Collection[str] = (), force_words: Collection[str] = (),
               **options: Any) -> dict[str, Any]:
    """Add to options of options.Sampling texts that never occur in the output, and texts that do.

        model.generate(ids, 200, **with_words(tokenizer, ["love"], [" hate"], temperature=0.8))

    bad_words     ruled out as bytes, however tokens cut them, and inside longer words: "art" rules "heart" out.  One may not
                  begin in the prompt and end in the output either.  Stop tokens are not text and stay
    force_words   Sampling.force_words_ids for the ids of each text by itself, so that "art" may come as "heart", " art" not

    Case matters.  Raises TypeError, ValueError for what is no text, is empty, or contradicts itself.
    """
    bad_words, force_words = checked_texts(bad_words, "bad_words"), checked_texts(force_words, "force_words")
    for forced in force_words:
        if found := [bad for bad in bad_words if bad in forced]:
            raise ValueError(f"force_words: {forced!r}, expected none with the bad word {found[0]!r} in it; remove one")
    if bad_words:
        options["stop_ids"] = stop_ids = [*options.get("stop_ids", ())]
        given = options.get("logits_processor", ())
        options["logits_processor"] = [*((given,) if callable(given) else given), forbid_texts(tokenizer, bad_words, stop_ids)]
    if force_words:
        options["force_words_ids"] = [*options.get("force_words_ids", ()), *map(tokenizer.encode, force_words)]
    return options


def forbid_texts(tokenizer: Any, texts: Collection[str],
                 silent_ids: Collection[int] = ()) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Make a logits_processor that rules out every token that would complete one of `texts`.

        after "lo", with texts ["love"]: no token that begins with "ve"

    A token completes a text where it holds the whole of it, or begins with the part that is missing behind the text so far.
    texts: none empty.  silent_ids: tokens that are not shown, such as the one that ends a text; they stay.
    """
    token_bytes = [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
    rules = []                      # (how the text so far ends, the tokens that then complete one of `texts`)
    for text in map(str.encode, texts):
        for n in range(len(text)):
            begun, rest = text[:n], text[n:]
            completing = [id for id, token in enumerate(token_bytes)
                          if (token.startswith(rest) if begun else rest in token)]
            rules.append((begun, [id for id in completing if id not in silent_ids]))
    longest = max(len(begun) for begun, _ in rules)

    def process(ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
        tail = b""
        for id in reversed(ids.tolist()):
            if len(tail) >= longest:
                break
            tail = bytes_of(tokenizer, id) + tail
        for begun, completing in rules:
            if tail.endswith(begun):
                logits[completing] = -np.inf
        return logits

    return process
