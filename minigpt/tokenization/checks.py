"""Checks of the texts and the special tokens that callers give; those of ids are in ids.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def checked_text(text: str, errors: str = "strict", name: str = "text") -> str:
    """Return a text that UTF-8 can write.

    errors: "strict" raises UnicodeEncodeError at a lone surrogate; "replace" reads it as U+FFFD.
    Raises TypeError for other than str, ValueError for another word in errors.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name}: {type(text).__name__}, expected str; decode bytes with .decode('utf-8')")
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors: {errors!r}, expected 'strict' or 'replace'; choose one")
    if text.isascii():
        return text
    if errors == "replace":  # by way of UTF-16, where the two halves of a surrogate pair become one character
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"{name}: a lone surrogate, expected whole characters; Tokenizer.encode(…, errors='replace') replaces it"
        raise UnicodeEncodeError("utf-8", text, error.start, error.end, reason) from None
    return text


def checked_special_tokens(special_tokens: Sequence[str]) -> Sequence[str]:
    """Return the texts of a tokenizer's special tokens, each a different one.

    Raises TypeError for other than a sequence of str; ValueError for an empty and for a repeated text.
    """
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens: {special_tokens!r}, expected a list; write [{special_tokens!r}]")
    seen: set[str] = set()
    for i, token in enumerate(special_tokens):
        if not isinstance(token, str):
            raise TypeError(f"special_tokens[{i}]: {shortened(token)}, expected str; give the token's text")
        if not token:
            raise ValueError(f"special_tokens[{i}]: empty, expected at least one character; remove it")
        if token in seen:
            raise ValueError(f"special_tokens[{i}]: {shortened(token)} a second time, expected distinct tokens; remove it")
        seen.add(checked_text(token))
    return special_tokens


def allowed_in(
    text: str,
    special: Collection[str],
    allowed_special: Collection[str],
    disallowed_special: Collection[str],
    name: str = "text",
) -> set[str]:
    """Return the special tokens to parse in a text, by tiktoken's rules, as Tokenizer.encode explains them.

    special: those of the tokenizer.  Raises ValueError where the text holds one to refuse; TypeError for a single token
    that stands in place of a collection.
    """
    for argument, given in (("allowed_special", allowed_special), ("disallowed_special", disallowed_special)):
        if isinstance(given, str) and given != "all":
            raise TypeError(f"{argument}: {given!r}, expected 'all' or a collection; write {{{given!r}}}")
    allowed = set(special) if allowed_special == "all" else set(allowed_special) & set(special)
    refused = set(special) - allowed if disallowed_special == "all" else set(disallowed_special)
    if found := [(text.index(token), token) for token in refused if token in text]:
        index, token = min(found)
        parse = f"pass allowed_special={{{token!r}}} to parse it, " if token in set(special) - allowed else ""
        raise ValueError(
            f"{name}: special token {token!r} at index {index}, expected plain text; "
            f"{parse}disallowed_special=() to encode its characters"
        )
    return allowed


def shortened(value: object) -> str:
    """Write a value for an error message, a long one without its middle."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:40]} … {text[-35:]}"
