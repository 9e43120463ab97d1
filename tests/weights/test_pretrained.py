"""Model folders in Hugging Face's layout: out, in, and what a wrong one gets."""

import hashlib
import http.server
import json
import threading

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig, hf, weights
from minigpt.hf.reading import read_tokenizer
from minigpt.tokenization import CharTokenizer, Settings, Tokenizer
from minigpt.tokenization import load as load_tokenizer
from minigpt.weights import cache, hub, pretrained
from minigpt.weights.pretrained import save_pretrained

SIZES = {"vocab_size": 9, "n_positions": 6, "n_embd": 8, "n_layer": 2, "n_head": 2}
IDS = np.random.default_rng(0).integers(0, 9, (2, 6))


def make_model(seed=0, **changes):
    model = GPT(GPTConfig(**SIZES, **changes), seed=seed)
    for array in model.params.values():     # away from the initial zeros and ones
        array += 0.1 * np.random.default_rng(seed).standard_normal(array.shape).astype(array.dtype)
    return model


def rewrite(folder, change):
    """Change the folder's tensors."""
    path = folder / "model.safetensors"
    tensors = {name: array.copy() for name, array in weights.load(path).items()}
    change(tensors)
    weights.save(path, tensors)


def test_a_saved_model_comes_back_exactly(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)


@pytest.mark.parametrize("tokenizer", [CharTokenizer.train("hello"), Tokenizer.train("hello hello hello", 260)])
def test_the_tokenizer_comes_with_the_model(tmp_path, tokenizer):
    model = make_model()
    model.tokenizer = tokenizer
    model.save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).tokenizer == tokenizer


@pytest.mark.parametrize(("ids", "roles", "expected"), [
    ((None, None, None), None, (259, 259, None)),
    ((None, 50_256, 50_257), None, (259, 259, None)),
    ((None, (3, 50_256), 4), None, (None, 3, 4)),
    ((5, None, None), {"bos_token": "<s>", "eos_token": "<s>", "pad_token": "<s>"}, (5, 258, None)),
])
def test_config_json_names_the_special_ids_of_the_model_or_else_those_of_its_tokenizer(tmp_path, ids, roles, expected):
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    tokenizer = Tokenizer([(0, 1), (1, 2)], ["<s>", "<|endoftext|>"])
    tokenizer.settings = roles and Settings(**roles)
    model = GPT(GPTConfig(**{**SIZES, "vocab_size": 260}, **dict(zip(names, ids, strict=True))))
    pretrained.save_pretrained(model, tmp_path, tokenizer)
    assert tuple(getattr(GPT.from_pretrained(tmp_path).config, name) for name in names) == expected


def test_a_folder_without_tokenizer_gives_none(tmp_path):
    make_model().save_pretrained(tmp_path)
    assert GPT.from_pretrained(tmp_path).tokenizer is None


def test_a_model_without_biases_is_written_as_gpt2_with_biases_of_zero(tmp_path):
    model = make_model(bias=False)
    model.save_pretrained(tmp_path)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.config.bias
    np.testing.assert_array_equal(loaded(IDS), model(IDS))


def test_half_precision_weights_are_loaded_as_float32(tmp_path):
    model = make_model()
    save_pretrained(model, tmp_path, dtype=np.float16)
    loaded = GPT.from_pretrained(tmp_path)
    assert loaded.flat_params.dtype == np.float32
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params.astype(np.float16))


def test_every_missing_unexpected_and_misshapen_tensor_is_listed(tmp_path):
    make_model().save_pretrained(tmp_path)

    def change(tensors):
        del tensors["ln_f.bias"]
        tensors["ln_g.bias"] = np.zeros(8, np.float32)
        tensors["h.0.mlp.c_fc.weight"] = tensors["h.0.mlp.c_fc.weight"].T.copy()

    rewrite(tmp_path, change)
    with pytest.raises(weights.WeightFormatError) as error:
        GPT.from_pretrained(tmp_path)
    for part in ("ln_f.bias is missing", "ln_g.bias is unexpected", "h.0.mlp.c_fc.weight has shape (32, 8), expected (8, 32)"):
        assert part in str(error.value)


# State dicts


def state_dict(model):
    return {name: array.copy() for name, array in model.params.items()}


def as_nanogpt(model):
    """The names and shapes that nanoGPT and minGPT save: a prefix, linear layers (out, in), masks, a second table"""
    tensors = {
        f"transformer.{name}": array.T.copy() if name.startswith("h.") and array.ndim == 2 else array.copy()
        for name, array in model.params.items() if name != "lm_head.weight"
    }
    for i in range(model.config.n_layer):
        tensors[f"transformer.h.{i}.attn.bias"] = np.tri(6)[None, None]
    return {**tensors, "lm_head.weight": model.params.get("lm_head.weight", model.params["wte.weight"]).copy()}


def assert_same_weights(a, b):
    assert a.config == b.config
    np.testing.assert_array_equal(a.flat_params, b.flat_params)


@pytest.mark.parametrize("prefix", ["", "transformer.", "_orig_mod.transformer."])
def test_a_state_dict_loads_with_and_without_prefix(prefix):
    model = make_model()
    tensors = {prefix + name: array for name, array in state_dict(model).items()}
    assert_same_weights(GPT.from_state_dict(tensors, model.config), model)


@pytest.mark.parametrize("changes", [{}, {"bias": False}, {"tie_word_embeddings": False}], ids=str)
def test_nanogpts_state_dict_loads(changes):
    model = make_model(**changes)
    assert_same_weights(GPT.from_state_dict(as_nanogpt(model), model.config, linear_layout="out_in"), model)


def test_a_state_dict_is_copied():
    model = make_model()
    tensors = state_dict(model)
    loaded = GPT.from_state_dict(tensors, model.config)
    tensors["wte.weight"][:] = 7
    assert_same_weights(loaded, model)


def test_causal_masks_are_no_weights():
    model = make_model()
    masks = {"h.0.attn.bias": np.tri(6, dtype=bool)[None, None], "transformer.h.1.attn.masked_bias": np.array(-1e4)}
    assert_same_weights(GPT.from_state_dict({**state_dict(model), **masks}, model.config), model)


def test_an_equal_output_layer_may_stand_beside_a_tied_embedding():
    model = make_model()
    tensors = {**state_dict(model), "lm_head.weight": model.params["wte.weight"].copy()}
    assert_same_weights(GPT.from_state_dict(tensors, model.config), model)


@pytest.mark.parametrize(("changes", "layout", "config_changes", "message"), [
    ({}, "in_out", {"tie_word_embeddings": False}, "lm_head.weight is missing"),
    ({}, "in_out", {"bias": False}, "h.1.mlp.c_proj.bias is unexpected"),
    ({"transformer.ln_f.bias": np.zeros(8)}, "in_out", {}, "ln_f.bias is there twice"),
    ({"ln_f.bias": np.zeros(8, int)}, "in_out", {}, "ln_f.bias has dtype int64, expected floats"),
    ({"h.2.ln_1.bias": np.zeros(8)}, "in_out", {}, "h.2.ln_1.bias is unexpected"),
    ({"attn.bias": np.zeros(8)}, "in_out", {}, "attn.bias is unexpected"),
    ({"wpe.weight": np.zeros((8, 6))}, "in_out", {}, r"wpe.weight has shape \(8, 6\), expected \(6, 8\);"),
    ({}, "out_in", {}, r"c_attn.weight has shape \(8, 24\), expected \(24, 8\) \(transposed: linear_layout='in_out'\?\)"),
], ids=["no lm_head", "biases", "twice", "integers", "third layer", "no layer", "wpe transposed", "layout"])
def test_a_state_dict_that_does_not_fit_says_where(changes, layout, config_changes, message):
    config = GPTConfig(**{**SIZES, **config_changes})
    with pytest.raises(weights.WeightFormatError, match=f"state dict: .*{message}"):
        GPT.from_state_dict({**state_dict(make_model()), **changes}, config, linear_layout=layout)


def test_an_unknown_layout_names_the_two():
    with pytest.raises(ValueError, match="linear_layout: 'torch', expected 'in_out'"):
        GPT.from_state_dict({}, GPTConfig(**SIZES), linear_layout="torch")


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, np.float32), (-np.inf, np.float32), (1e300, np.float64)])
def test_weights_that_are_not_finite_warn_by_name(value, dtype):
    tensors = {name: array.astype(dtype) for name, array in state_dict(make_model()).items()}
    tensors["h.1.ln_2.weight"][3] = value
    with pytest.warns(UserWarning, match="state dict: NaN or infinity in h.1.ln_2.weight, expected finite weights"):
        GPT.from_state_dict(tensors, GPTConfig(**SIZES))


def test_weights_that_are_not_finite_are_refused_with_strict(tmp_path):
    model = make_model()
    model.params["wte.weight"][2, 2] = np.nan
    with pytest.raises(weights.WeightFormatError, match=r"NaN or infinity in wte\.weight"):
        GPT.from_state_dict(state_dict(model), model.config, strict=True)
    model.save_pretrained(tmp_path)
    with pytest.raises(weights.WeightFormatError, match=r"model\.safetensors: NaN or infinity in wte.weight"):
        GPT.from_pretrained(tmp_path, strict=True)


# Folders and names


def test_a_model_with_an_untied_output_layer_comes_back(tmp_path):
    model = make_model(tie_word_embeddings=False)
    model.save_pretrained(tmp_path)
    assert_same_weights(GPT.from_pretrained(tmp_path), model)


@pytest.mark.parametrize(("first", "second"), [("safetensors", "npz"), ("npz", "safetensors")])
def test_saving_in_the_other_format_leaves_no_older_weights_to_be_found(tmp_path, first, second):
    save_pretrained(make_model(1), tmp_path, weight_format=first)
    save_pretrained(make_model(2), tmp_path, weight_format=second)
    assert_same_weights(GPT.from_pretrained(tmp_path), make_model(2))


def test_an_unknown_weight_format_names_the_two(tmp_path):
    with pytest.raises(ValueError, match="weight_format: 'pt', expected 'safetensors' or 'npz'"):
        save_pretrained(make_model(), tmp_path, weight_format="pt")


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of minigpt's and Hugging Face's, no network, and no folder that is called like a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "minigpt"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def put_snapshot(caches, name, revision, model):
    folder = caches / "hub" / f"models--{name}"
    model.save_pretrained(folder / "snapshots" / revision)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(revision, encoding="utf-8")


@pytest.mark.parametrize(("name", "stored"), [
    ("gpt2", "openai-community--gpt2"),
    ("gpt2", "gpt2"),
    ("openai-community/gpt2", "openai-community--gpt2"),
    ("gpt2-xl", "openai-community--gpt2-xl"),
    ("distilgpt2", "distilbert--distilgpt2"),
    ("someone/her-model", "someone--her-model"),
])
def test_a_model_in_hugging_faces_cache_is_used(caches, name, stored):
    model = make_model()
    put_snapshot(caches, stored, "0123abc", model)
    assert_same_weights(GPT.from_pretrained(name), model)


def test_the_pinned_revision_in_hugging_faces_cache_comes_first(caches):
    pinned = make_model(1)
    put_snapshot(caches, "openai-community--gpt2", pretrained.PINS["openai-community/gpt2"].revision, pinned)
    put_snapshot(caches, "openai-community--gpt2", "newer", make_model(2))
    assert_same_weights(GPT.from_pretrained("gpt2"), pinned)


def test_a_snapshot_without_weights_is_passed_over(caches):
    put_snapshot(caches, "openai-community--gpt2-xl", "0123abc", make_model())
    (caches / "hub/models--openai-community--gpt2-xl/snapshots/0123abc/model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="gpt2-xl"):
        GPT.from_pretrained("gpt2-xl")


@pytest.mark.parametrize(("variables", "expected"), [
    ({"HF_HUB_CACHE": "a", "HF_HOME": "b"}, "a"),
    ({"HF_HOME": "b", "XDG_CACHE_HOME": "c"}, "b/hub"),
    ({"XDG_CACHE_HOME": "c"}, "c/huggingface/hub"),
    ({}, "home/.cache/huggingface/hub"),
])
def test_hugging_faces_cache_is_where_its_variables_say(monkeypatch, variables, expected):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "home", "USERPROFILE": "home", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache.hugging_face_cache().as_posix() == expected


def test_of_gpt2_in_the_cache_the_weights_are_enough(caches):
    model = GPT(GPTConfig.preset("gpt2", n_embd=12, n_layer=1, n_positions=8), seed=1)
    put_snapshot(caches, "openai-community--gpt2", "0123abc", model)
    loaded = GPT.from_pretrained("gpt2")
    assert loaded.tokenizer == Tokenizer.gpt2()
    np.testing.assert_array_equal(loaded.flat_params, model.flat_params)
    snapshot = caches / "hub/models--openai-community--gpt2/snapshots/0123abc"
    (snapshot / "vocab.json").write_text("{", encoding="utf-8")         # the other half was never asked for
    assert GPT.from_pretrained("gpt2").tokenizer == Tokenizer.gpt2()
    (snapshot / "config.json").unlink()
    with pytest.raises(weights.WeightFormatError, match=r"h\.1\.attn\.c_attn\.weight is missing"):
        GPT.from_pretrained("gpt2")         # with the sizes that its name stands for


def test_a_folder_that_is_called_gpt2_is_what_it_holds(caches):
    model = make_model()
    model.tokenizer = CharTokenizer.train("hello")
    put_snapshot(caches, "openai-community--gpt2", "0123abc", make_model(2))
    model.save_pretrained(caches / "gpt2")
    loaded = GPT.from_pretrained("gpt2")
    assert_same_weights(loaded, model)
    assert loaded.tokenizer == model.tokenizer
    (caches / "gpt2" / "chars.json").unlink()
    assert GPT.from_pretrained("gpt2").tokenizer is None


def test_a_mirror_is_asked_once_in_the_place_of_hugging_face(caches, monkeypatch):
    requests = []

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(hub.DownloadError, match=r"127\.0\.0\.1.*HTTP status 404"):
            GPT.from_pretrained("gpt2")
        server.shutdown()
    pin = pretrained.PINS["openai-community/gpt2"]
    assert requests == [f"/openai-community/gpt2/resolve/{pin.revision}/model.safetensors"]


def test_gpt2_offline_says_where_to_put_which_file(caches):
    with pytest.raises(hub.DownloadError) as error:
        GPT.from_pretrained("gpt2")
    pin = pretrained.PINS["openai-community/gpt2"]
    for part in ("HF_HUB_OFFLINE is set", f"huggingface.co/openai-community/gpt2/resolve/{pin.revision}/model.safetensors",
                 pin.files["model.safetensors"][0],
                 str(caches / "minigpt" / "openai-community--gpt2-607a30d7" / "model.safetensors")):
        assert part in str(error.value)


def test_what_needs_only_gpt2s_tokenizer_needs_no_file_of_it(caches):
    loads = [pretrained.find_tokenizer, load_tokenizer, Tokenizer.load, lambda name: read_tokenizer(name).tokenizer]
    for load in loads:
        for name in ("gpt2", "gpt2-medium", "openai-community/gpt2-large", "gpt2-xl", "distilgpt2", "distilbert/distilgpt2"):
            assert load(name) is Tokenizer.gpt2(), name
        with pytest.raises(FileNotFoundError):
            load("someone/gpt2")
    assert hf.AutoTokenizer.from_pretrained("gpt2-medium").encode("Hello world") == [15496, 995]
    own = Tokenizer([(0, 1)])
    own.save(caches / "gpt2")               # a folder goes before a name
    assert [load("gpt2") for load in loads[1:]] == [own] * 3


def test_gpt2s_weights_alone_make_a_model_with_its_tokenizer(caches, monkeypatch):
    pin = pretrained.PINS["openai-community/gpt2"]
    assert [*pin.files] == ["model.safetensors"]
    config = GPTConfig.preset("gpt2", n_embd=12, n_layer=1, n_positions=8)
    folder = cache.cache_folder() / "openai-community--gpt2-607a30d7"
    GPT(config, seed=1).save_pretrained(folder)
    monkeypatch.setattr(hub, "fetch", lambda url, filename, sha256, size: cache.cache_folder() / filename)
    assert GPT.from_pretrained("gpt2").tokenizer == Tokenizer.gpt2()


def test_a_name_without_pins_offline_says_where_to_put_the_files(caches):
    with pytest.raises(FileNotFoundError, match=r"config.json and model.safetensors of https://huggingface.co/openai-community/"):
        GPT.from_pretrained("gpt2-large")


def test_the_pinned_files_make_a_folder_that_loads(caches, monkeypatch):
    model = make_model()
    model.tokenizer = Tokenizer.train("hello hello hello", 260)
    model.save_pretrained(caches / "theirs")
    content = {name: (caches / "theirs" / name).read_bytes() for name in ("model.safetensors", "vocab.json", "merges.txt")}
    files = {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in content.items()}
    monkeypatch.setitem(pretrained.PINS, "openai-community/gpt2", pretrained.Pin("5" * 40, files, model.config))
    urls = []

    def fetch(url, filename, sha256, size):
        urls.append(url)
        path = cache.cache_folder() / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[path.name])
        return path

    monkeypatch.setattr(hub, "fetch", fetch)
    assert_same_weights(GPT.from_pretrained("gpt2"), model)
    assert urls[0] == f"https://huggingface.co/openai-community/gpt2/resolve/{'5' * 40}/model.safetensors"


def test_a_folder_without_weights_says_which_files_it_looked_for(tmp_path):
    make_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json, expected weights: model\.safetensors, model\.npz, .*ckpt\.pt"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize(("text", "message"), [
    ("{", "line 1, column 2: .*expected JSON"),
    ("[]", "expected an object"),
    ('{"vocab_size": 9, "vocab_size": 9}', "duplicate key"),
    ('{"model_type": "bert"}', "model_type 'bert', expected 'gpt2'"),
])
def test_a_wrong_config_json_names_the_file_and_the_fault(tmp_path, text, message):
    make_model().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"config.json: .*{message}"):
        GPT.from_pretrained(tmp_path)


@pytest.mark.parametrize("name, nearest", [("no-such-model", ""), ("", ""), ("gpt-2", "gpt2"), ("GPT2-med", "gpt2-medium"),
                                           ("shakespear", "shakespeare-char"), ("openai/gpt2", "gpt2")])
def test_an_unknown_model_says_which_there_are_and_the_nearest(name, nearest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    end = f"; the nearest is {nearest!r}" if nearest else ""
    with pytest.raises(FileNotFoundError, match=f"one of shakespeare-char, .*distilgpt2{end}$"):
        GPT.from_pretrained(name)


def test_the_bundled_model_speaks_shakespeare():
    model = GPT.from_pretrained("shakespeare-char")
    prompt = model.tokenizer.encode("ROMEO:\nWhat is ")
    text = model.tokenizer.decode(model.generate(prompt, 200, temperature=0, sliding_window=True))
    common = " the and to of I you my that in is not me with your be for his this it he thou so "
    known = sum(f" {word.strip('.,;:!?')} " in common for word in text.split())
    assert known > len(text.split()) / 6        # letters at random would give next to none


def test_the_bundled_model_is_half_precision_and_under_4_mb():
    import minigpt

    path = f"{minigpt.__path__[0]}/assets/shakespeare-char/model.safetensors"
    with open(path, "rb") as file:
        data = file.read()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}
    assert len(data) < 4_000_000


@pytest.mark.reference
@pytest.mark.parametrize("bias", [True, False])
def test_transformers_loads_the_folder_and_gives_the_same_logits(tmp_path, bias):
    import torch
    from transformers import GPT2LMHeadModel

    model = make_model(bias=bias)
    model.save_pretrained(tmp_path)
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        logits = theirs(torch.tensor(IDS)).logits.numpy()
    np.testing.assert_allclose(model(IDS), logits, atol=2e-6)       # float32


@pytest.mark.reference
def test_the_bundled_model_scores_the_same_in_transformers():
    import torch
    from transformers import GPT2LMHeadModel

    import minigpt
    from minigpt.training.corpora import load_corpus

    folder = f"{minigpt.__path__[0]}/assets/shakespeare-char"
    model = GPT.from_pretrained(folder)
    text = "".join(c for c in load_corpus("python").text if c in model.tokenizer._chars)
    ids = model.tokenizer.encode_array(text[: 129 * 4]).astype(np.int64).reshape(4, 129)
    theirs = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        loss = theirs(torch.tensor(ids[:, :-1]), labels=torch.tensor(ids[:, :-1])).loss.item()
    targets = np.concatenate([ids[:, 1:-1], np.full((4, 1), -100)], axis=1)     # its labels shift inside
    assert model.loss(ids[:, :-1], targets) == pytest.approx(loss, abs=1e-5)
