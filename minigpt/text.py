"""Text from a model while it is made: whole characters out of tokens, and an end where a given string would begin.

    for piece in stream_text(model, "ROMEO:", 200, stop_strings=["\\n\\n"], seed=1):
        print(piece, end="", flush=True)

Which token comes next is decided in sampling.py; what a token stands for, in tokenizer.py.
"""

import codecs

from .sampling import stream

END_OF_TEXT = "<|endoftext|>"       # GPT-2's name of the token between documents


def stream_text(model, prompt, max_new_tokens=100, *, stop_strings=(), **options):
    """The text that follows a prompt, in pieces, each as soon as it is certain.

    prompt: a text, which the model's tokenizer encodes, or ids (T,).  stop_strings: the text ends before the first of them;
    what may be the beginning of one is held back until it is certain.  options: those of sampling.Sampling for one row;
    start_id and stop_ids are by default the tokenizer's <|endoftext|>, where it has one, and no stop token is shown.
    The pieces are never empty and never split a character.  All arguments are checked by the call: ValueError, TypeError.
    """
    tokenizer = tokenizer_of(model)
    if isinstance(stop_strings, str) or not all(isinstance(string, str) and string for string in stop_strings):
        raise TypeError(f"stop_strings: {stop_strings!r}, expected a sequence of texts, none empty; write ('…',)")
    if options.get("num_samples", 1) != 1 or options.get("logprobs"):
        raise ValueError("stream_text: num_samples or logprobs, expected neither; stream() gives several rows and numbers")
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    options = {"start_id": end, "stop_ids": () if end is None else (end,), **options}
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    stop_ids = {*options["stop_ids"]}
    tokens = stream(model, ids, max_new_tokens, **{**options, "stop_ids": stop_ids})
    shown = (token for token in tokens if token not in stop_ids)
    return (piece for piece in until(whole_characters(tokenizer, shown), tuple(stop_strings)) if piece)


def whole_characters(tokenizer, ids):
    r"""The text of ids that come one at a time, in pieces that never end within a character.

    Bytes of a character that has begun are held back until it is complete:
    the ids of b"a", b"\xc3", b"\xa9" -> "a", "", "é", and at the end "", or U+FFFD where the last character is broken.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for id in ids:
        yield decoder.decode(tokenizer.token_bytes(id))
    yield decoder.decode(b"", final=True)


def until(pieces, stop_strings):
    """A text in pieces up to the first of `stop_strings`, which may lie across them; the rest of the pieces is not asked for.

    until(["a b", "c", "d e"], ["bcd"]) -> "a ", "", ""
    """
    held = ""
    for piece in pieces:
        held += piece
        if found := [(held.index(string) + len(string), held.index(string)) for string in stop_strings if string in held]:
            yield held[: min(found)[1]]     # the one that is complete first, wherever the pieces were cut
            return
        begun = max((n for string in stop_strings for n in range(1, len(string)) if held.endswith(string[:n])), default=0)
        certain = len(held) - begun
        yield held[:certain]
        held = held[certain:]
    yield held


def tokenizer_of(model, name="model"):
    """The model's tokenizer.  ValueError where it has none."""
    if model.tokenizer is None:
        raise ValueError(f"{name}: no tokenizer, expected vocab.json and merges.txt, or chars.json; save one to the folder")
    return model.tokenizer
