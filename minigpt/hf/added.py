"""What changes a tokenizer that is there: tokens, a space before each text, BERT's rules.  Each makes it once more."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..tokenization import WordPieceTokenizer, from_state
from ..tokenization.added import AddedToken


def with_added_tokens(tokenizer: Any, texts: Sequence[str], special: bool) -> Any:
    """Make the same tokenizer with texts that are split out before anything else; one without an id gets the next."""
    state = tokenizer.state()
    if isinstance(tokenizer, WordPieceTokenizer):
        ids = {text: id for id, text in enumerate(state["tokens"]) if text is not None}
        after = max(len(ids), *(id + 1 for _, id, *_ in state["added"]))
        ids |= tokenizer.added_tokens
        for text in texts:
            if text not in ids:
                ids[text], after = after, after + 1
        others = [token for token in state["added"] if token[0] not in texts]
        return from_state(state | {"added": [*others, *([text, ids[text], special, not special] for text in texts)]})
    if special and "vocab" not in state and {*tokenizer.token_names().values()}.isdisjoint(texts):    # the order stays GPT-2's
        return from_state(state | {"special_tokens": [*state["special_tokens"], *texts]})
    state = _written_out(tokenizer)
    # each at its place, which gives it its id
    added = {token["text"]: token for token in state["added_tokens"]}
    added |= {text: asdict(AddedToken(text, special=special, normalized=not special)) for text in texts}
    return from_state(state | {"added_tokens": [*added.values()]})


def with_prefix_space(tokenizer: Any, prefix: bool) -> Any:
    """Make the same byte-level tokenizer, which begins each text with a space, or does not."""
    return from_state(_written_out(tokenizer) | {"add_prefix_space": prefix})


def with_rules(tokenizer: WordPieceTokenizer, rules: dict[str, bool | None]) -> Any:
    """Make the same WordPiece tokenizer with other BertRules."""
    state = tokenizer.state()
    return from_state(state | {"rules": state["rules"] | rules})


def own_size(tokenizer: Any) -> int:
    """The tokens of a tokenizer's own vocabulary, without those that were only added."""
    state = tokenizer.state()
    if "tokens" in state:
        return sum(token is not None for token in state["tokens"])
    return len(state["vocab"]) if "vocab" in state else tokenizer.vocab_size


def _written_out(tokenizer: Any) -> dict[str, Any]:
    """A byte-level tokenizer's state with all ids written out, also where they have GPT-2's own order."""
    state = tokenizer.state()
    if "vocab" in state:
        return state
    names = tokenizer.token_names()
    return {
        "type": "bpe", "vocab": {name: id for id, name in names.items()},
        "merges": [[names[left], names[right]] for left, right in state["merges"]],
        "added_tokens": [asdict(AddedToken(text)) for text in state["special_tokens"]],
        "add_prefix_space": False, "unk_token": None, "fuse_unk": False,
    }
