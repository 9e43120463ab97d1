"""The settings beside a tokenizer, as transformers 5.24 merges them; the values were seen there."""

import copy
import json

import pytest

from minigpt.tokenization import Settings, Tokenizer, WordPieceTokenizer, from_state, load, read_settings
from minigpt.tokenization.added import AddedToken
from texts import END

TOKEN = {"content": "</s>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
CLASS = {"tokenizer_class": "GPT2Tokenizer"}
BOS = [{"SpecialToken": {"id": END, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return read_settings(folder)


def test_without_files_the_settings_are_those_of_gpt2s_class(tmp_path):
    assert read_settings(tmp_path) == Settings(bos_token=END, eos_token=END, unk_token=END)
    assert write(tmp_path, tokenizer_config={"tokenizer_class": "PreTrainedTokenizerFast"}).eos_token is None
    assert write(tmp_path, tokenizer_config={"tokenizer_class": "BertTokenizer"}).pad_token == "[PAD]"
    assert write(tmp_path, tokenizer_config={**CLASS, "bos_token": None}).bos_token is None


def test_tokens_are_named_by_their_text_or_by_an_object(tmp_path):
    settings = write(tmp_path, tokenizer_config={**CLASS, "eos_token": {"__type": "AddedToken", **TOKEN}, "pad_token": "<pad>"})
    assert (settings.bos_token, settings.eos_token, settings.pad_token) == (END, "</s>", "<pad>")
    assert settings.special == (AddedToken("</s>", lstrip=True), AddedToken("<pad>"))


def test_special_tokens_map_goes_before_the_configuration_unless_that_lists_the_added_tokens(tmp_path):
    special_map = {"pad_token": "<pad>", "eos_token": TOKEN, "additional_special_tokens": ["<x>"]}
    config = {**CLASS, "pad_token": "a", "unk_token": "<u>"}
    settings = write(tmp_path, special_tokens_map=special_map, tokenizer_config=config)
    assert (settings.pad_token, settings.eos_token, settings.unk_token) == ("<pad>", "</s>", "<u>")
    assert [token.text for token in settings.special] == ["</s>", "<u>", "<pad>", "<x>"]
    listed = {"50258": {"content": "<b>"}, "50257": {"content": "<a>", "special": True}}
    settings = write(tmp_path, tokenizer_config={**config, "added_tokens_decoder": listed})
    assert (settings.pad_token, settings.eos_token) == ("a", END)
    assert settings.listed == (AddedToken("<a>"), AddedToken("<b>", special=False))


def test_switches_sides_and_lengths_are_read(tmp_path):
    settings = write(tmp_path, tokenizer_config={
        **CLASS, "padding_side": "left", "truncation_side": "left", "add_prefix_space": True, "add_bos_token": True,
        "clean_up_tokenization_spaces": True, "model_max_length": 1000000000000000019884624838656,
    })  # fmt: skip
    assert (settings.padding_side, settings.truncation_side, settings.model_max_length) == ("left", "left", None)
    assert settings.add_prefix_space and settings.add_bos_token and settings.clean_up_tokenization_spaces
    assert write(tmp_path, tokenizer_config={"model_max_length": 1024.0}).model_max_length == 1024


def test_tokenizer_json_says_what_goes_around_a_text_and_how_it_is_padded(tmp_path):
    config = {**CLASS, "add_bos_token": True}
    assert not write(tmp_path, tokenizer={"post_processor": {"type": "ByteLevel"}}, tokenizer_config=config).add_bos_token
    template = {"type": "TemplateProcessing", "single": BOS}
    padding = {"strategy": "BatchLongest", "direction": "Left", "pad_id": 3, "pad_token": "<pad>"}
    settings = write(tmp_path, tokenizer={"post_processor": template, "padding": padding}, tokenizer_config=CLASS)
    assert (settings.add_bos_token, settings.add_eos_token) == (True, False)
    assert (settings.pad_token, settings.padding_side) == ("<pad>", "left")
    both = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [*BOS, BOS[0]]}]}
    settings = write(tmp_path, tokenizer={"post_processor": both})
    assert settings.add_bos_token and settings.add_eos_token
    with pytest.warns(UserWarning, match="post_processor: .* puts other tokens around a text than bos and eos, which is"):
        write(tmp_path, tokenizer={"post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]}})


def test_tokens_that_settings_name_become_part_of_the_tokenizer(tmp_path):
    Tokenizer([(0, 1)], [END]).save(tmp_path)
    write(tmp_path, tokenizer_config={**CLASS, "pad_token": "<pad>", "eos_token": "</s>", "add_prefix_space": True})
    tokenizer = load(tmp_path)
    assert tokenizer.special_tokens == {END: 257, "</s>": 258, "<pad>": 259}
    assert tokenizer.encode("a</s> b<pad>", allowed_special="all") == [220, 64, 258, 220, 65, 259]
    assert tokenizer.decode([220, 64, 258]) == " a</s>"


def test_a_tokenizer_that_is_loaded_and_saved_keeps_its_settings(tmp_path):
    for name in ("GPT2Tokenizer", "PreTrainedTokenizerFast"):
        Tokenizer([(0, 1)], ["<s>", "</s>", "<pad>"]).save(tmp_path)
        settings = write(tmp_path, tokenizer_config={
            "tokenizer_class": name, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "</s>",
            "padding_side": "left", "truncation_side": "left", "model_max_length": 77, "extra_special_tokens": ["<x>"],
            "clean_up_tokenization_spaces": True, "add_prefix_space": name == "GPT2Tokenizer", "add_bos_token": True,
            "add_eos_token": True, "mask_token": "<m>",
        }, tokenizer={**json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")), "post_processor": {
            "type": "TemplateProcessing", "single": [
                {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}]}})
        tokenizer = load(tmp_path)
        tokenizer.save(tmp_path / "again")
        again = load(tmp_path / "again")
        assert (tokenizer.settings, again.settings) == (settings, settings)
        assert settings.add_bos_token and settings.add_eos_token
        assert again == tokenizer and again.fingerprint() == tokenizer.fingerprint()
    single = json.loads((tmp_path / "again" / "tokenizer.json").read_text(encoding="utf-8"))["post_processor"]["single"]
    assert [token["id"] for part in single for token in part.values()] == ["<s>", "A", "</s>"]


@pytest.mark.reference
def test_transformers_reads_the_same_from_a_tokenizer_that_was_loaded_and_saved(tmp_path):
    transformers = pytest.importorskip("transformers")

    def seen(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return (tokenizer.special_tokens_map, tokenizer.padding_side, len(tokenizer), tokenizer.all_special_ids,
                tokenizer("a b</s> <m>", "a")["input_ids"])

    for name in ("GPT2Tokenizer", "PreTrainedTokenizerFast"):
        Tokenizer([(0, 1)], ["<s>", "</s>", "<pad>"]).save(tmp_path)
        plain = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
        write(tmp_path, tokenizer={**plain, "post_processor": None}, tokenizer_config={
            "tokenizer_class": name, "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "</s>",
            "padding_side": "left", "add_prefix_space": True, "add_bos_token": True,
            "mask_token": {"__type": "AddedToken", **TOKEN, "content": "<m>"},
            "additional_special_tokens": ["<x>"]})
        load(tmp_path).save(tmp_path / "again")
        assert seen(tmp_path / "again") == seen(tmp_path), name


@pytest.mark.parametrize("plain", [Tokenizer([(0, 1)], [END]), WordPieceTokenizer(["[UNK]", "[SEP]", "a"])])
def test_what_only_others_read_is_written_again_as_it_was(tmp_path, plain):
    rest = {"chat_template": [{"name": "default", "template": "{{ é }}\n"}], "model_input_names": ["input_ids"],
            "someone_elses": {"a": [1, 1e300, None]}, "split_special_tokens": True}
    templates = {"chat_template.jinja": b"{% for m in messages %}\r\n" + b"\xff",
                 "additional_chat_templates/tool_use.jinja": b"t"}
    plain.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    own = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**own, **rest, "padding_side": "left"}), encoding="utf-8")
    (tmp_path / "additional_chat_templates").mkdir()
    for name, content in templates.items():
        (tmp_path / name).write_bytes(content)
    tokenizer = load(tmp_path)
    assert tokenizer == plain and tokenizer.fingerprint() == plain.fingerprint()
    plain.save(tmp_path / "other")
    for each in (tokenizer, from_state(json.loads(json.dumps(tokenizer.state()))), copy.deepcopy(tokenizer)):
        each.save(tmp_path / "other")
        found = json.loads((tmp_path / "other" / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert {key: found[key] for key in rest} == rest and found["padding_side"] == "left"
        assert {name: (tmp_path / "other" / name).read_bytes() for name in templates} == templates
    plain.save(tmp_path / "other")
    assert not [*(tmp_path / "other").rglob("*.jinja")]
    assert json.loads((tmp_path / "other" / "tokenizer_config.json").read_text(encoding="utf-8")) == own
    (tmp_path / "chat_template.jinja").write_bytes(b" " * 1_000_001)
    with pytest.raises(ValueError, match=r"chat_template.jinja: too large, expected at most 1,000,000 bytes; remove it"):
        load(tmp_path)


def test_values_of_another_kind_are_an_error_that_names_the_file(tmp_path):
    for key, value, message in (
        ("padding_side", "middle", "padding_side: 'middle', expected 'left' or 'right'"),
        ("model_max_length", -5, "model_max_length: -5, expected a whole number of tokens above 0"),
        ("model_max_length", "many", "model_max_length: 'many'"),
        ("add_prefix_space", 1, "add_prefix_space: 1, expected true or false"),
        ("tokenizer_class", 7, "tokenizer_class: 7, expected a text"),
        ("pad_token", 3, "pad_token: 3, expected a token's text"),
        ("pad_token", "", "pad_token: '', expected a token's text"),
        ("pad_token", {"content": 3}, "pad_token: {'content': 3}, expected"),
        ("additional_special_tokens", "<x>", "additional_special_tokens: '<x>', expected a list"),
        ("additional_special_tokens", [3], "additional_special_tokens: 3, expected a token's text"),
        ("added_tokens_decoder", [], r"added_tokens_decoder: \[\], expected an object"),
        ("added_tokens_decoder", {"x": {"content": "a"}}, "added_tokens_decoder: {'x': .*}, expected an object"),
        ("added_tokens_decoder", {"5": "a"}, "added_tokens_decoder.5: 'a', expected"),
    ):
        with pytest.raises(ValueError, match=f"tokenizer_config.json: {message}"):
            write(tmp_path, tokenizer_config={key: value})


def test_settings_are_part_of_a_tokenizers_state_and_not_of_its_fingerprint(tmp_path):
    tokenizer = Tokenizer([(64, 65)], [END, "<pad>"])
    without = tokenizer.state()
    tokenizer.settings = Settings(
        eos_token=END, pad_token="<pad>", padding_side="left", model_max_length=64, add_prefix_space=True,
        listed=(AddedToken("<pad>", lstrip=True),),
    )
    state = json.loads(json.dumps(tokenizer.state()))
    back = Tokenizer.from_state(state)
    assert back.settings == tokenizer.settings
    assert back.fingerprint() == tokenizer.fingerprint() == Tokenizer.from_state(without).fingerprint()
    for wrong in ({"padding": "left"}, {"padding_side": 1}, {"add_bos_token": None}, {"model_max_length": True},
                  {"templates": {"../a.jinja": ""}}, {"templates": {"chat_template.jinja": 1}}, {"rest": []},
                  {"listed": [{"text": 1}]}, {"listed": "<pad>"}, {"special": [["<pad>"]]}):
        with pytest.raises(ValueError, match=r"pass what state\(\) returned"):
            Tokenizer.from_state({**without, "settings": wrong})
