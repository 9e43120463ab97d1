"""Text from a model while it is made: whole characters out of tokens, and an end where a given string would begin.

    for piece in stream_text(model, "ROMEO:", 200, stop_strings=["\\n\\n"], seed=1):
        print(piece, end="", flush=True)

Which token comes next is decided in sampling.py; what a token stands for, in tokenizer.py.
"""

import codecs
from collections.abc import Collection

import numpy as np

from .generate import stream

END_OF_TEXT = "<|endoftext|>"       # GPT-2's name of the token between documents


def stream_text(model, prompt, max_new_tokens=100, *, stop_strings=(), bad_words=(), force_words=(), **options):
    """The text that follows a prompt, in pieces, each as soon as it is certain.

    prompt: a text, which the model's tokenizer encodes, or ids (T,).  stop_strings: the text ends before the first of them;
    what may be the beginning of one is held back until it is certain.  bad_words, force_words: texts that never stand there,
    and texts that do before it ends, unless a stop string ends it: with_words().  options: those of sampling.Sampling for one
    row; start_id and stop_ids are by default the tokenizer's <|endoftext|>, where it has one, and no stop token is shown.
    The pieces are never empty and never split a character.  All arguments are checked by the call: ValueError, TypeError.
    """
    tokenizer = tokenizer_of(model)
    check_texts(stop_strings, "stop_strings")
    if options.get("num_samples", 1) != 1 or options.get("logprobs"):
        raise ValueError("stream_text: num_samples or logprobs, expected neither; stream() gives several rows and numbers")
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    options = {"start_id": end, "stop_ids": () if end is None else (end,), **options}
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    stop_ids = {*options["stop_ids"]}
    options["stop_ids"] = stop_ids
    tokens = stream(model, ids, max_new_tokens, **with_words(tokenizer, bad_words, force_words, **options))
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


def with_words(tokenizer, bad_words=(), force_words=(), **options):
    """Options of sampling.Sampling, and with them texts that never stand in what is made, and texts that do.

        model.generate(ids, 200, **with_words(tokenizer, ["love"], [" hate"], temperature=0.8))

    bad_words     ruled out as bytes, however tokens cut them, and inside longer words: "art" rules "heart" out.  One may not
                  begin in the prompt and end in the output either.  Stop tokens are not text and stay
    force_words   Sampling.force_words_ids for the ids of each text by itself, so that "art" may come as "heart", " art" not

    Case counts.  TypeError, ValueError for what is no text, is empty, or contradicts itself.
    """
    check_texts(bad_words, "bad_words")
    check_texts(force_words, "force_words")
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


def forbid_texts(tokenizer, texts, silent_ids=()):
    """A logits_processor that rules out every token with which one of `texts` would be complete.

    A token completes a text where it has the whole of it, or begins with all that what was said before lacks:

        "lo" was said, "love" is ruled out: no token that begins with "ve" may follow

    texts: none empty.  silent_ids: tokens that are not shown, such as the one that ends a text; they stay.
    """
    token_bytes = [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
    rules = []                      # (what has been said, the tokens that then complete a text)
    for text in map(str.encode, texts):
        for n in range(len(text)):
            begun, rest = text[:n], text[n:]
            completing = [id for id, told in enumerate(token_bytes) if (told.startswith(rest) if begun else rest in told)]
            rules.append((begun, [id for id in completing if id not in silent_ids]))
    longest = max(len(begun) for begun, _ in rules)

    def process(ids, logits):
        said = b"".join(token_bytes[id] for id in ids[max(0, len(ids) - longest) :])        # each has a byte
        for begun, completing in rules:
            if said.endswith(begun):
                logits[completing] = -np.inf
        return logits

    return process


def tokenizer_of(model, name="model"):
    """The model's tokenizer.  ValueError where it has none."""
    if model.tokenizer is None:
        raise ValueError(f"{name}: no tokenizer, expected vocab.json and merges.txt, or chars.json; save one to the folder")
    return model.tokenizer


def check_texts(texts, name):
    """TypeError, ValueError where these are not texts, each of at least one character"""
    if isinstance(texts, str) or not isinstance(texts, Collection) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name}: {texts!r}, expected a sequence of texts; write ('…',)")
    if "" in texts:
        raise ValueError(f"{name}: {texts!r}, expected no empty text; leave it out")
