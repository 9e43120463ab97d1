"""Calls of tokenizers and models with Hugging Face's names, the same code for transformers and for minigpt.hf.

Each takes a function that loads the tokenizer or the model anew, and returns what JSON can hold.
"""

import json
from pathlib import Path

import numpy as np

END = "<|endoftext|>"
TEXT = "Hello world, my dog is here: to be or not to be. He don't a b c d e f g; my dog, my world"
N_TOKENS = 290
BERT_VOCABULARY = ("[PAD] [UNK] [CLS] [SEP] [MASK] 我 爱 北 京 天 安 门 hello world ##ing play ##s , . ! don ' t 300 0 1 a b "
                   "##b")


def write_gpt2_folder(folder: Path) -> None:
    """A small byte-level tokenizer in GPT-2's own order, without settings"""
    from minigpt.tokenization import Tokenizer

    Tokenizer.train(TEXT, N_TOKENS, [END]).save(folder)


def write_bert_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text(BERT_VOCABULARY.replace(" ", "\n") + "\n", encoding="utf-8")


def result_of(call, *arguments):
    """What a call returns, as JSON has it; "error" where it raises"""
    try:
        return plain(call(*arguments))
    except Exception:
        return "error"


def plain(value):
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "shape": list(value.shape), "values": value.tolist()}
    if hasattr(value, "keys"):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def after(call, **attributes):
    """A call after attributes were set"""

    def run(load):
        tokenizer = load()
        for name, value in attributes.items():
            setattr(tokenizer, name, value)
        return call(tokenizer)

    return run


def padded(call):
    return after(call, pad_token=END)


def loaded(call, **arguments):
    return lambda load: call(load(**arguments))


def added(tokens, call, **options):
    return lambda load: [*(lambda t: (t.add_tokens(tokens, **options), *call(t)))(load())]


def special(tokens, call):
    return lambda load: [*(lambda t: (t.add_special_tokens(tokens), *call(t)))(load())]


ROW = ["my dog", "my"]
CALLS = {
    # special tokens
    "tok.pad_token_id = tok.eos_token_id": after(lambda t: [t.pad_token, t.pad_token_id], pad_token_id=N_TOKENS - 1),
    "tok.pad_token_id = None": after(lambda t: [t.pad_token, t.pad_token_id], pad_token_id=None),
    "tok.eos_token = '!'": after(
        lambda t: [t.eos_token, t.eos_token_id, t.all_special_tokens, t.all_special_ids], eos_token="!"),
    "tok.eos_token = '!'; decode(…, skip_special_tokens=True)": after(
        lambda t: t.decode(t.encode("a!b"), skip_special_tokens=True), eos_token="!"),
    "tok.bos_token_id = 5": after(lambda t: [t.bos_token, t.bos_token_id], bos_token_id=5),
    "tok.eos_token = None": after(lambda t: [t.eos_token, t.eos_token_id, t.all_special_tokens], eos_token=None),
    "tok.unk_token = '!'": after(lambda t: t.convert_tokens_to_ids("no such token"), unk_token="!"),
    "tok.unk_token = None": after(lambda t: t.convert_tokens_to_ids(["no such token", "a"]), unk_token=None),
    "tok.cls_token = '!'": after(lambda t: [t.cls_token, t.cls_token_id, t.all_special_ids], cls_token="!"),
    "tok.pad_token = a text that is no token": after(lambda t: [t.pad_token, t.pad_token_id, len(t)], pad_token="<pad>"),
    "tok.pad_token_id = an id that is none": after(lambda t: [t.pad_token, t.pad_token_id], pad_token_id=60_000),
    "special_tokens_map": loaded(lambda t: t.special_tokens_map),
    "roles that there are not": loaded(lambda t: [t.sep_token, t.cls_token_id, t.mask_token]),
    # added tokens
    "add_special_tokens": special(
        {"pad_token": "<pad>", "additional_special_tokens": ["<a>", "<b>"]},
        lambda t: [t.pad_token_id, len(t), t.vocab_size, t.all_special_tokens, t.all_special_ids, t.encode("x<pad><a> y<b>"),
                   t.decode(t.encode("x<pad><a>y"), skip_special_tokens=True), dict(t.get_added_vocab())]),
    "add_special_tokens of a token that is one": special({"pad_token": END}, lambda t: [len(t), t.pad_token_id]),
    "add_special_tokens of a word of the vocabulary": special({"pad_token": "my"}, lambda t: [len(t), t.encode("xmydog")]),
    "add_special_tokens of a role that there is not": special({"foo": "x"}, lambda t: []),
    "add_tokens": added(["<new>", "hello there"], lambda t: [
        len(t), t.vocab_size, t.encode("a<new> b hello there"), t.tokenize("a<new> b"), t.convert_ids_to_tokens(290),
        t.convert_tokens_to_ids("<new>"), t.encode("a<new>b")]),
    "add_tokens, decoded": added(["<new>"], lambda t: [t.decode(t.encode("a<new> my")),
                                                       t.decode(t.encode("a<new> my"), skip_special_tokens=True)]),
    "add_tokens of a word of the vocabulary": added(["dog"], lambda t: [len(t), t.encode("my dog")]),
    "add_tokens of one text twice": added("<q>", lambda t: [t.add_tokens("<q>"), len(t)]),
    "add_special_tokens of a token that was added": added(["<x>", "<y>"], lambda t: [
        t.add_special_tokens({"pad_token": "<x>"}), t.encode("a<x><y>"),
        t.decode(t.encode("a<x><y>"), skip_special_tokens=True)]),
    "add_tokens(…, special_tokens=True)": added(["<q>"], lambda t: [
        t.all_special_tokens, t.decode(t.encode("a<q>b"), skip_special_tokens=True)], special_tokens=True),
    "from_pretrained(…, pad_token='<pad>', bos_token='<s>')": loaded(
        lambda t: [t.bos_token_id, t.pad_token_id, t.eos_token_id, len(t), t.encode("<s>a<pad>")],
        pad_token="<pad>", bos_token="<s>"),
    # encoding
    "encode(…, add_special_tokens=False)": loaded(lambda t: [t.encode("my", add_special_tokens=a) for a in (False, True)]),
    "from_pretrained(…, add_bos_token=True)": loaded(
        lambda t: [t.encode("my"), t.encode("my", add_special_tokens=False), t(["a", "b"]), t("")], add_bos_token=True),
    "from_pretrained(…, add_prefix_space=True)": loaded(
        lambda t: [t.encode("my dog"), t.tokenize("my dog"), t.decode(t.encode("my dog"))], add_prefix_space=True),
    "from_pretrained(…, add_prefix_space=True), more": loaded(
        lambda t: [t.encode(" my dog"), t.encode(""), t.encode(f"a{END}b"), t.encode("\nmy")], add_prefix_space=True),
    "padding_side='left'": padded(lambda t: t(ROW, padding=True, padding_side="left")),
    "padding_side='lft'": padded(lambda t: t(ROW, padding=True, padding_side="lft")),
    "return_attention_mask=False": loaded(lambda t: t("a", return_attention_mask=False)),
    "return_token_type_ids=True": loaded(lambda t: t("a", return_token_type_ids=True)),
    "pad_to_multiple_of=4": padded(lambda t: t(["a b c e f", "d"], padding=True, pad_to_multiple_of=4)),
    "pad_to_multiple_of=4 without padding": padded(lambda t: t(["a b c", "d"], pad_to_multiple_of=4)),
    "pad_to_multiple_of=4, padding='max_length'": padded(
        lambda t: t(["a b c", "d"], padding="max_length", max_length=5, pad_to_multiple_of=4)),
    "padding='do_not_pad'": padded(lambda t: t(ROW, padding="do_not_pad")),
    "padding='longst'": padded(lambda t: t("a", padding="longst")),
    "padding=True without pad token": loaded(lambda t: t(ROW, padding=True)),
    "padding='max_length', model_max_length 1e30": loaded(
        lambda t: [t.model_max_length, t("a", padding="max_length"), t("a", truncation=True)],
        model_max_length=int(1e30), pad_token=END),
    "model_max_length that no file gives": loaded(lambda t: t.model_max_length),
    "truncation='do_not_truncate'": loaded(lambda t: t("a b c d", truncation="do_not_truncate", max_length=2)),
    "truncation='longest_frist'": loaded(lambda t: t("a b c d", truncation="longest_frist", max_length=2)),
    "truncation='longest_first'": loaded(lambda t: t("a b c d", truncation="longest_first", max_length=2)),
    "truncation='only_first'": loaded(lambda t: t("a b c d", truncation="only_first", max_length=2)),
    "truncation='only_second'": loaded(lambda t: t("a b c d", truncation="only_second", max_length=2)),
    "max_length=2": loaded(lambda t: [t("a b c d", max_length=2), t.encode("a b c d", max_length=2)]),
    "max_length=2, truncation=False": loaded(lambda t: t("a b c d", max_length=2, truncation=False)),
    "max_length=2, padding=True": padded(lambda t: t(["a b c d", "a"], max_length=2, padding=True)),
    "max_length=2, padding='max_length'": padded(lambda t: t(["a b c d", "a"], max_length=2, padding="max_length")),
    "max_length=0, truncation=True": loaded(lambda t: t("a b c d", max_length=0, truncation=True)),
    "tok([])": loaded(lambda t: t([])),
    "tok([], return_tensors='np')": loaded(lambda t: t([], return_tensors="np")),
    "tok('', return_tensors='np')": loaded(lambda t: t("", return_tensors="np")),
    "tok(['', ''], return_tensors='np')": loaded(lambda t: t(["", ""], return_tensors="np")),
    "pad()": padded(lambda t: [
        t.pad({"input_ids": [[1, 2], [3]]}), t.pad([{"input_ids": [1, 2]}, {"input_ids": [3]}], return_tensors="np"),
        t.pad({"input_ids": [1]}, padding="max_length", max_length=3),
        t.pad({"input_ids": [[1], [2, 3]], "attention_mask": [[0], [1, 1]]})]),
    "pad() without pad token": loaded(lambda t: t.pad({"input_ids": [[1, 2], [3]]})),
    "encode of ids": loaded(lambda t: t.encode([7, 8])),
    "from_pretrained(…, truncation_side='left')": loaded(
        lambda t: [t("my dog here", max_length=2, truncation=True), t("a", max_length=2, truncation=True)],
        truncation_side="left"),
    "truncation_side = 'left'": after(lambda t: t("my dog here", max_length=2, truncation=True), truncation_side="left"),
    "truncation_side = 'lft'": after(lambda t: t("my dog here", max_length=2, truncation=True), truncation_side="lft"),
    "split_special_tokens=True": loaded(
        lambda t: [t(f"a{END}"), t.tokenize(f"a{END}"), t(f"a{END}", split_special_tokens=False)], split_special_tokens=True),
    "model_input_names": loaded(
        lambda t: [t("a"), t.pad({"input_ids": [1]}), t("a", return_attention_mask=True)],
        model_input_names=["input_ids", "token_type_ids"], pad_token=END),
    "from_pretrained(…, use_fast=False)": loaded(lambda t: t("a"), use_fast=False),
    # decoding
    "decode of rows": loaded(lambda t: [t.decode([[64, 65], [66]]), t.decode(np.array([[64, 65], [66, 67]]))]),
    "batch_decode of a flat list": loaded(lambda t: t.batch_decode([64, 65])),
    "batch_decode of rows": loaded(lambda t: [t.batch_decode([[64, 65], [66]]), t.batch_decode(np.array([[64, 65]]))]),
    "decode of nothing": loaded(lambda t: [t.decode([]), t.batch_decode([])]),
    "decode(…, skip_special_tokens=True)": loaded(
        lambda t: [t.decode([64, 289, 65], skip_special_tokens=True), t.decode([64, 289])]),
    "decode of an id beyond the vocabulary": loaded(lambda t: t.decode([64, 60_000, 65])),
    "decode([-1])": loaded(lambda t: t.decode([64, -1])),
    "decode(…, clean_up_tokenization_spaces=True)": loaded(
        lambda t: t.decode(t.encode("to be , or do n't ."), clean_up_tokenization_spaces=True)),
    "from_pretrained(…, clean_up_tokenization_spaces=True)": loaded(
        lambda t: t.decode(t.encode("to be , or do n't .")), clean_up_tokenization_spaces=True),
    "convert_ids_to_tokens(…, skip_special_tokens=True)": loaded(
        lambda t: t.convert_ids_to_tokens([64, 289, 65], skip_special_tokens=True)),
    "convert_ids_to_tokens(-1)": loaded(lambda t: t.convert_ids_to_tokens(-1)),
    "convert_ids_to_tokens of an id beyond the vocabulary": loaded(
        lambda t: [t.convert_ids_to_tokens(60_000), t.convert_ids_to_tokens([60_000, 64])]),
    "convert_tokens_to_string": loaded(lambda t: t.convert_tokens_to_string(["H", "el", "Ġ", "Ã", "©"])),
    "convert_tokens_to_string of what is no token": loaded(lambda t: t.convert_tokens_to_string(["a", "not a token"])),
}

PAD = {"input_ids": [[5], [5, 6]], "token_type_ids": [[0], [0, 0]]}
BERT_CALLS = {
    "tok(…)": loaded(lambda t: t("我爱北京 playing!")),
    "encode(…, add_special_tokens=…)": loaded(lambda t: [t.encode("我爱"), t.encode("我爱", add_special_tokens=False)]),
    "padding=True": loaded(lambda t: t(["我爱", "我"], padding=True)),
    "padding_side='left'": loaded(lambda t: t(["我爱", "我"], padding=True, padding_side="left", return_tensors="np")),
    "tok('')": loaded(lambda t: t("")),
    "truncation=True": loaded(lambda t: t("我爱北京天安门", truncation=True, max_length=4)),
    "max_length=4": loaded(lambda t: t("我爱北京天安门", max_length=4)),
    "truncation=True, max_length=1": loaded(lambda t: t("我爱", truncation=True, max_length=1)),
    "decode": loaded(
        lambda t: [t.decode(t.encode("我爱北京 playing, hello world!"), skip_special_tokens=s) for s in (False, True)]),
    "decode without clean_up_tokenization_spaces": loaded(lambda t: t.decode(t.encode("don't 300!", add_special_tokens=False))),
    "decode(…, clean_up_tokenization_spaces=True)": loaded(
        lambda t: t.decode(t.encode("don't 300!", add_special_tokens=False), clean_up_tokenization_spaces=True)),
    "from_pretrained(…, clean_up_tokenization_spaces=True)": loaded(
        lambda t: t.decode(t.encode("don't 300!", add_special_tokens=False)), clean_up_tokenization_spaces=True),
    "decode of ##": loaded(lambda t: [t.decode([14, 12, 14, 16]), t.decode(14), t.decode([12, 13, 14])]),
    "special tokens": loaded(lambda t: [t.special_tokens_map, t.all_special_tokens, t.all_special_ids, t.vocab_size, len(t)]),
    "bos and eos": loaded(lambda t: [t.bos_token, t.eos_token, t.bos_token_id, t.eos_token_id, t.pad_token_id, t.cls_token_id,
                                     t.sep_token_id, t.mask_token_id, t.unk_token_id, t.padding_side, t.model_max_length]),
    "tokenize": loaded(lambda t: t.tokenize("我爱playing日[SEP][MASK] [mask]")),
    "convert_ids_to_tokens(…, skip_special_tokens=True)": loaded(
        lambda t: t.convert_ids_to_tokens([2, 5, 14, 3], skip_special_tokens=True)),
    "convert_tokens_to_string": loaded(lambda t: t.convert_tokens_to_string(["我", "爱", "play", "##ing"])),
    "convert_tokens_to_ids": loaded(lambda t: t.convert_tokens_to_ids(["我", "日"])),
    "tok.eos_token = '[SEP]'": after(lambda t: [t.eos_token_id, t.all_special_tokens], eos_token="[SEP]", bos_token_id=2),
    "add_special_tokens": special({"bos_token": "[BOS]", "eos_token": "[EOS]"}, lambda t: [
        t.encode("[BOS]我[EOS]", add_special_tokens=False), t.all_special_tokens, len(t)]),
    "add_tokens": added(["新词"], lambda t: [t.encode("我新词爱"), len(t)]),
    "add_tokens, decoded": added(["新词"], lambda t: [t.decode(t.encode("我新词爱"))]),
    "truncation_side = 'left'": after(lambda t: t("我爱北京", truncation=True, max_length=4), truncation_side="left"),
    "split_special_tokens=True": loaded(lambda t: [t("我[SEP]"), t.tokenize("[SEP]")], split_special_tokens=True),
    "from_pretrained(…, do_lower_case=False)": loaded(lambda t: t("Hello hello"), do_lower_case=False),
    "vocab_size": loaded(lambda t: [t.add_tokens(["new"]), t.vocab_size, len(t)]),
    "return_token_type_ids=False": loaded(lambda t: t("我", return_token_type_ids=False)),
    "pad()": loaded(lambda t: t.pad(PAD)),
    "decode of an id beyond the vocabulary": loaded(lambda t: t.decode([5, 1000, 6])),
    "decode of [UNK]": loaded(lambda t: t.decode([5, 1, 6], skip_special_tokens=True)),
}


# A model of 2 layers.  Each call takes what loader() returns, and a function that turns lists into the library's arrays.
SIZES = {"vocab_size": 60, "n_positions": 64, "n_embd": 12, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}
IDS = [[3, 4, 5]]


def write_model_folder(folder: Path) -> None:
    from minigpt.hf import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(**SIZES), seed=None)
    rng = np.random.default_rng(29)
    for name, array in model.gpt.params.items():
        array[...] = (name.endswith("ln_1.weight") or name.endswith("ln_2.weight") or name == "ln_f.weight")
        array += (0.6 if array.ndim == 2 else 0.1) * rng.standard_normal(array.shape)
    model.save_pretrained(folder)


def loader(folder: Path, model):
    """load(generation, config, **changes): write generation_config.json, if not None, change config.json, load the model"""
    original = json.loads((folder / "config.json").read_text(encoding="utf-8"))

    def load(generation, config, **changes):
        (folder / "config.json").write_text(json.dumps({**original, **(config or {})}), encoding="utf-8")
        path = folder / "generation_config.json"
        path.unlink(missing_ok=True)
        if generation is not None:
            path.write_text(generation if isinstance(generation, str) else json.dumps(generation), encoding="utf-8")
        return model.from_pretrained(folder, **changes).eval()

    return load


def write_folders(folder: Path) -> None:
    """What the calls load: folder/gpt2, folder/bert and folder/model"""
    write_gpt2_folder(folder / "gpt2")
    write_bert_folder(folder / "bert")
    write_model_folder(folder / "model")


def generated(generation=None, config=None, ids=IDS, **options):
    def call(load, array):
        model = load(generation, config)
        inputs = () if ids is None else (array(ids),)
        options_ = {name: array(value) if name == "attention_mask" or name == "token_type_ids" else value
                    for name, value in options.items()}
        return model.generate(*inputs, **options_).tolist()

    return call


def with_model(call, generation=None, **changes):
    return lambda load, array: call(load(generation, None, **changes), array)


def set_pad(model, array):
    model.config.pad_token_id = 6
    rows = model.generate(array([[3, 4], [8, 7]]), eos_token_id=END_OF_ROW, max_new_tokens=6)
    return [model.config.pad_token_id, *rows.tolist()]


def set_generation_config(model, array):
    model.generation_config.max_new_tokens = 2
    model.generation_config.eos_token_id = None
    return model.generate(array(IDS)).tolist()


def resized(model, array):
    before = model.generate(array(IDS), max_new_tokens=5, eos_token_id=None).tolist()
    model.resize_token_embeddings(64)
    logits = model(array(IDS)).logits
    new = logits[0, :, 60:]     # the mean of the old rows, so their scores too
    return [before, model.generate(array(IDS), max_new_tokens=5, eos_token_id=None).tolist(), model.config.vocab_size,
            list(logits.shape), model.num_parameters(), bool(abs(new - logits[0, :, :60].mean(-1)[:, None]).max() < 0.01)]


def shortened(model, array):
    model.resize_token_embeddings(50)
    return model.config.vocab_size


def moved(model, array):
    same = [model.eval() is model, model.train(False) is model, model.to("cpu") is model]
    return [*same, str(model.device), model.num_parameters()]


END_OF_ROW = 4      # of two prompts one ends with it early, the other does not
MODEL_CALLS = {
    "no generation_config.json": generated(),
    "eos_token_id a list": generated({"eos_token_id": [END_OF_ROW, 59]}),
    "eos_token_id a list in config.json": generated(config={"eos_token_id": [END_OF_ROW, 59]}),
    "eos_token_id only in config.json, another generation_config.json": generated(
        {"max_new_tokens": 12}, {"eos_token_id": END_OF_ROW}),
    "eos_token_id null": generated({"eos_token_id": None, "max_new_tokens": 12}, {"eos_token_id": END_OF_ROW}),
    "generate(eos_token_id=None)": generated({"eos_token_id": END_OF_ROW}, eos_token_id=None),
    "max_new_tokens": generated({"max_new_tokens": 3}),
    "max_new_tokens, generate(max_length=10)": generated({"max_new_tokens": 3}, max_length=10),
    "max_new_tokens, generate(max_new_tokens=5)": generated({"max_new_tokens": 3}, max_new_tokens=5),
    "max_length": generated({"max_length": 6}),
    "max_length, generate(max_new_tokens=1)": generated({"max_length": 6}, max_new_tokens=1),
    "repetition_penalty and no_repeat_ngram_size": generated({"repetition_penalty": 1.7, "no_repeat_ngram_size": 2}),
    "bad_words_ids": generated({"bad_words_ids": [[END_OF_ROW], [52, 17]]}),
    "min_new_tokens": generated({"min_new_tokens": 8, "eos_token_id": END_OF_ROW}),
    "min_length": generated({"min_length": 9, "eos_token_id": END_OF_ROW}),
    "sampling's settings while greedy": generated({"temperature": 0.1, "top_k": 3, "top_p": 0.5, "max_new_tokens": 4}),
    "pad_token_id": generated({"pad_token_id": 9, "eos_token_id": END_OF_ROW, "max_new_tokens": 6}, ids=[[3, 4], [8, 7]]),
    "pad_token_id in config.json": generated(
        None, {"pad_token_id": 9, "eos_token_id": END_OF_ROW}, ids=[[3, 4], [8, 7]], max_new_tokens=6),
    "pad_token_id -1": generated({"pad_token_id": -1, "max_new_tokens": 6}),
    "pad_token_id -1 in config.json": generated(None, {"pad_token_id": -1}, max_new_tokens=6),
    "pad_token_id -1, a row that ends": generated(
        {"pad_token_id": -1, "eos_token_id": END_OF_ROW, "max_new_tokens": 6}, ids=[[3, 4], [8, 7]]),
    "num_beams": generated({"num_beams": 2, "max_new_tokens": 4}),
    "max_length and repetition_penalty in config.json": generated(None, {"max_length": 9, "repetition_penalty": 1.7}),
    "max_length 20 in config.json": generated(None, {"max_length": 20, "do_sample": False}),
    "max_length in config.json, another generation_config.json": generated({"repetition_penalty": 1.7}, {"max_length": 9}),
    "use_cache, early_stopping, num_beam_groups": generated(
        {"use_cache": False, "early_stopping": False, "num_beam_groups": 1, "typical_p": 1.0}, max_new_tokens=4),
    "generate(use_cache=False, early_stopping=True)": generated(max_new_tokens=4, use_cache=False, early_stopping=True),
    "an unknown key": generated({"max_new_tokens": 2, "no_such_setting": 3}),
    "no JSON": generated("{", max_new_tokens=2),
    "a value of another kind": generated({"temperature": "hot", "do_sample": True}),
    "generate()": generated(ids=None, max_new_tokens=3),
    "generate(), bos_token_id": generated({"bos_token_id": 6, "max_new_tokens": 3}, ids=None),
    "a prompt whose last token is the pad token": generated({"pad_token_id": 5, "max_new_tokens": 4}),
    "rows that end in padding": generated(
        ids=[[3, 4], [3, 5]], attention_mask=[[1, 1], [1, 0]], pad_token_id=5, max_new_tokens=4),
    "token_type_ids": generated(token_type_ids=[[0, 0, 0]], max_new_tokens=6),
    "model.config.pad_token_id = 6": with_model(set_pad),
    "model.generation_config.eos_token_id = None": with_model(set_generation_config, {"eos_token_id": END_OF_ROW}),
    "from_pretrained(…, pad_token_id=7)": with_model(lambda model, array: model.config.pad_token_id, pad_token_id=7),
    "resize_token_embeddings(64)": with_model(resized),
    "resize_token_embeddings(50)": with_model(shortened),
    "eval(), train(False), to('cpu')": with_model(moved),
}
