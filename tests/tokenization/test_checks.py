"""Special tokens in a text, and texts that no tokenizer takes."""

import pytest

from minigpt.tokenization import CharTokenizer, Tokenizer
from texts import END


def test_special_text_in_a_plain_call_is_an_error_that_names_it(tokenizer):
    with pytest.raises(ValueError, match=r"special token '<\|endoftext\|>' at index 3"):
        tokenizer.encode(f"abc{END}<|pad|>")


@pytest.mark.parametrize("allowed", ["all", {END, "<|pad|>"}, [END, "<|pad|>"]])
def test_allowed_special_tokens_become_their_ids(tokenizer, allowed):
    ids = tokenizer.encode(f"a{END}{END} b<|pad|>", allowed_special=allowed)
    assert ids == [*tokenizer.encode("a"), 698, 698, *tokenizer.encode(" b"), 699]


def test_special_tokens_neither_allowed_nor_disallowed_are_plain_text(tokenizer):
    text = f"a{END}<|pad|>"
    ids = tokenizer.encode(text, allowed_special={"<|pad|>"}, disallowed_special=())
    assert ids == [*Tokenizer(tokenizer.state()["merges"]).encode(f"a{END}"), 699]
    assert tokenizer.decode(ids) == text


def test_allowing_one_special_token_leaves_the_others_refused(tokenizer):
    with pytest.raises(ValueError, match="pad"):
        tokenizer.encode("<|pad|>", allowed_special={END})


def test_disallowed_wins_over_allowed(tokenizer):
    with pytest.raises(ValueError, match="endoftext"):
        tokenizer.encode(END, allowed_special="all", disallowed_special={END})


def test_of_two_special_tokens_that_fit_the_longer_is_taken():
    tokenizer = Tokenizer((), ["<s>", "<s>!"])
    assert tokenizer.encode("<s>!<s>", allowed_special="all") == [257, 256]


def test_an_allowed_text_that_is_no_special_token_stays_plain_text(tokenizer):
    assert tokenizer.encode("a the", allowed_special={"the"}) == tokenizer.encode("a the")


def test_any_text_can_be_refused(tokenizer):
    with pytest.raises(ValueError, match=r"'secret' at index 2, expected plain text; disallowed_special=\(\) to"):
        tokenizer.encode("a secret", disallowed_special={"secret"})


@pytest.mark.parametrize("argument", ["allowed_special", "disallowed_special"])
def test_a_bare_special_token_instead_of_a_collection_is_an_error(tokenizer, argument):
    with pytest.raises(TypeError, match=f"{argument}: '<|pad|>'".replace("|", r"\|")):
        tokenizer.encode("a", **{argument: "<|pad|>"})


def test_special_text_is_refused_by_offsets_and_explanations_too(tokenizer):
    for call in (tokenizer.encode_with_offsets, tokenizer.explain):
        with pytest.raises(ValueError, match="special token"):
            call(END)


@pytest.mark.parametrize(
    ("special_tokens", "error", "message"),
    [
        (END, TypeError, r"write \['<|endoftext|>'\]"),
        ([b"<s>"], TypeError, r"special_tokens\[0\]"),
        ([END, ""], ValueError, r"special_tokens\[1\]: empty"),
        ([END, END], ValueError, r"special_tokens\[1\]: .* a second time"),
        (["e"], ValueError, "'e' for token 68"),
        (["\ud800"], UnicodeEncodeError, "surrogate"),
    ],
)
def test_impossible_special_tokens_are_an_error(special_tokens, error, message):
    with pytest.raises(error, match=message):
        Tokenizer.train("abc", 300, special_tokens)


@pytest.mark.parametrize("text", [b"abc", None, ["abc"], 5])
def test_text_that_is_not_str_is_a_type_error(tokenizer, text):
    for call in (
        tokenizer.encode,
        tokenizer.encode_array,
        CharTokenizer("abc").encode,
        lambda t: Tokenizer.train(t, 300),
    ):
        with pytest.raises(TypeError, match=r"text: .* expected str"):
            call(text)


def test_a_lone_surrogate_is_an_error_at_its_position(tokenizer):
    with pytest.raises(UnicodeEncodeError, match="lone surrogate") as info:
        tokenizer.encode("né\ud800!")
    assert (info.value.start, info.value.end) == (2, 3)


def test_a_lone_surrogate_can_be_replaced_on_request(tokenizer):
    text = "\ufeffné\ud800!\ud83d\ude00"
    assert tokenizer.decode(tokenizer.encode(text, errors="replace")) == "\ufeffné\ufffd!😀"


def test_an_unknown_way_of_handling_errors_is_an_error(tokenizer):
    with pytest.raises(ValueError, match="errors: 'ignroe'"):
        tokenizer.encode("abc", errors="ignroe")
