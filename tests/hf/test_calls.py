"""The usual calls of transformers give what transformers 5.24 gives; where 4.57 or we give something else, a table says so.

The frozen values are from make_hf_fixture.py, which ran the calls of hf_calls.py in both versions.
"""

import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hf_calls import BERT_CALLS, CALLS, END_OF_ROW, MODEL_CALLS, loader, result_of, write_folders
from minigpt import hf

FROZEN = json.loads((Path(__file__).parents[1] / "fixtures" / "hf_calls.json").read_text(encoding="utf-8"))
NEW, OLD = FROZEN["5.24.0"], FROZEN["4.57.6"]

# Calls that give something else in 4.57 than in 5.24; README's table has them, and we follow 5.24 unless OURS says otherwise
VERSIONS_DIFFER = {
    "gpt2": {
        "tok.eos_token = '!'; decode(…, skip_special_tokens=True)", "add_special_tokens of a word of the vocabulary",
        "add_tokens, decoded", "add_tokens(…, special_tokens=True)", "add_special_tokens of a token that was added",
        "from_pretrained(…, add_prefix_space=True), more",
        "truncation='only_second'", "max_length=0, truncation=True", "encode of ids", "decode of rows",
        "batch_decode of a flat list", "decode of an id beyond the vocabulary", "decode(…, clean_up_tokenization_spaces=True)",
        "from_pretrained(…, clean_up_tokenization_spaces=True)", "convert_ids_to_tokens(-1)",
        "convert_tokens_to_string of what is no token",
    },
    "bert": {"decode without clean_up_tokenization_spaces", "add_tokens, decoded"},
    "model": {"a prompt whose last token is the pad token", "max_length 20 in config.json"},
}
EMPTY = {"dtype": "int64", "shape": [0, 0], "values": []}
OURS = {        # what we give instead of 5.24's result
    "gpt2": {
        "tok.pad_token = a text that is no token": "error", "tok.pad_token_id = an id that is none": "error",
        "add_tokens(…, special_tokens=True)": OLD["gpt2"]["add_tokens(…, special_tokens=True)"],
        "decode(…, clean_up_tokenization_spaces=True)": OLD["gpt2"]["decode(…, clean_up_tokenization_spaces=True)"],
        "tok([])": {"input_ids": [], "attention_mask": []},
        "tok([], return_tensors='np')": {"input_ids": EMPTY, "attention_mask": EMPTY},
    },
    "bert": {"truncation=True, max_length=1": "error"},
    "model": {
        "eos_token_id only in config.json, another generation_config.json": [[3, 4, 5, 38, 52, 17, END_OF_ROW]],
        "pad_token_id -1, a row that ends": [[3, 4, 38, 32, 4, 4, 4, 4], [8, 7, 29, 58, 57, 23, 57, 57]],
        "num_beams": "error", "no JSON": "error",
        "a prompt whose last token is the pad token": OLD["model"]["a prompt whose last token is the pad token"],
        "max_length 20 in config.json": OLD["model"]["max_length 20 in config.json"],
        "token_type_ids": [[3, 4, 5, 38, 52, 17, 4, 17, 17]],
        "model.config.pad_token_id = 6": [6, [3, 4, 38, 32, 4, 6, 6, 6], [8, 7, 29, 58, 57, 23, 57, 57]],
    },
}
WARNS = {       # where a warning says what does not count
    "max_new_tokens, generate(max_length=10)": "max_length=10 ignored, since generation_config has max_new_tokens 3",
    "generate(use_cache=False, early_stopping=True)": "early_stopping=True ignored, expected beams",
    "an unknown key": "generation_config.json: no_such_setting, expected what generate",
    "a prompt whose last token is the pad token": "row 0 ends in padding",
    "rows that end in padding": "row 1 ends in padding",
    "token_type_ids": "token_type_ids ignored, expected none for GPT-2",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    write_folders(folder)
    return folder


@pytest.mark.parametrize(("kind", "tokenizer", "calls"), [
    ("gpt2", hf.GPT2Tokenizer, CALLS), ("bert", hf.BertTokenizer, BERT_CALLS),
])
def test_calls_of_a_tokenizer_give_what_transformers_gives(folder, kind, tokenizer, calls):
    assert NEW[kind].keys() == calls.keys()
    for name, call in calls.items():
        result = result_of(call, partial(tokenizer.from_pretrained, folder / kind))
        assert result == OURS[kind].get(name, NEW[kind][name]), name
    assert type(hf.AutoTokenizer.from_pretrained(folder / kind)) is tokenizer


def test_calls_of_a_model_give_what_transformers_gives(folder):
    load = loader(folder / "model", hf.GPT2LMHeadModel)
    assert NEW["model"].keys() == MODEL_CALLS.keys()
    for name, call in MODEL_CALLS.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert result_of(call, load, np.array) == OURS["model"].get(name, NEW["model"][name]), name
        assert [WARNS[name] in str(warning.message) for warning in caught] == [True] * (name in WARNS), name


def test_the_table_of_differences_names_every_call_that_differs():
    for kind, names in VERSIONS_DIFFER.items():
        assert {name for name in NEW[kind] if NEW[kind][name] != OLD[kind][name]} == names
        assert {name for name in OURS[kind] if OURS[kind][name] == NEW[kind][name]} == set()


@pytest.mark.reference
@pytest.mark.filterwarnings("default")
def test_transformers_still_gives_the_frozen_results(folder):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    frozen = FROZEN[transformers.__version__]
    classes = (("gpt2", transformers.GPT2Tokenizer, CALLS), ("bert", transformers.BertTokenizer, BERT_CALLS))
    for kind, tokenizer, calls in classes:
        for name, call in calls.items():
            assert result_of(call, partial(tokenizer.from_pretrained, folder / kind)) == frozen[kind][name], name
    load = loader(folder / "model", transformers.GPT2LMHeadModel)
    for name, call in MODEL_CALLS.items():
        assert result_of(call, load, torch.tensor) == frozen["model"][name], name
