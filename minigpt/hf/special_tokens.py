"""The special tokens of a tokenizer with Hugging Face's names: of each, text and id are one thing."""

from typing import Any

from ..tokenization.checks import shortened

# In transformers' order, in which all_special_tokens lists them
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")       # those without a role: the name until 4.57, and since 5


class _Text:
    """The text of a special token, None where there is none: tokenizer.pad_token.  Set to a token of the vocabulary."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.role = name

    def __get__(self, tokens: "SpecialTokens", owner: type) -> Any:
        return tokens.roles.get(self.role)

    def __set__(self, tokens: "SpecialTokens", text: Any) -> None:
        if text is not None and not (isinstance(text, str) and text in tokens.ids()):
            raise ValueError(
                f"{self.role}: {shortened(text)}, expected a token of the vocabulary; take tokenizer.eos_token, or add one: "
                f"tokenizer.add_special_tokens({{{self.role!r}: '<…>'}})"
            )
        tokens.roles[self.role] = text


class _Id:
    """The id of a special token, None where there is none: tokenizer.pad_token_id."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.role = name.removesuffix("_id")

    def __get__(self, tokens: "SpecialTokens", owner: type) -> Any:
        text = tokens.roles.get(self.role)
        return None if text is None else tokens.ids()[text]

    def __set__(self, tokens: "SpecialTokens", id: Any) -> None:
        text = None
        if id is not None:
            text = tokens.names().get(int(id)) if not isinstance(id, bool) and hasattr(id, "__index__") else None
            if text is None:
                raise ValueError(f"{self.role}_id: {shortened(id)}, expected the id of a token; take tokenizer.eos_token_id")
        tokens.roles[self.role] = text


class SpecialTokens:
    """Special tokens by their roles, each with its text and its id, and those without a role."""

    bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token = (_Text() for _ in range(7))
    bos_token_id, eos_token_id, unk_token_id, sep_token_id = (_Id() for _ in range(4))
    pad_token_id, cls_token_id, mask_token_id = (_Id() for _ in range(3))

    def __init__(self) -> None:
        self.roles: dict[str, str | None] = {}
        self.extra_special_tokens: list[str] = []

    def ids(self) -> dict[str, int]:
        """The ids by token."""
        raise NotImplementedError

    def names(self) -> dict[int, str]:
        """The tokens by id."""
        raise NotImplementedError
