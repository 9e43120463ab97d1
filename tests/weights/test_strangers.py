"""Folders and files as they come from elsewhere: each loads, or one sentence says what it is and what to do."""

import json
import zipfile

import numpy as np
import pytest

from minigpt import GPT, ConfigError, GPTConfig, WeightFormatError
from minigpt.weights.inspection import inspect
from minigpt.weights.strangers import what_is

MODEL = GPT(GPTConfig(vocab_size=11, n_positions=6, n_embd=8, n_layer=1, n_head=2), seed=0)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:248dfc39\nsize 548105171\n"
LORA = b'{"peft_type": "LORA", "base_model_name_or_path": "someone/gpt2"}'
MINE = "take model.safetensors or pytorch_model.bin of the same model"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """config.json and model.safetensors, and what else there can be under these names"""
    folder = tmp_path_factory.mktemp("model")
    MODEL.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_bytes())
    return {"config": (folder / "config.json").read_bytes(), "weights": (folder / "model.safetensors").read_bytes(),
            "4 bits": json.dumps({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}}).encode(),
            "4 bits of mlx": json.dumps({**config, "quantization": {"bits": 4}}).encode(),
            "pointer": POINTER, "lora": LORA, "xet": b"# xet version 0\nfilesize = 548105171\n", "": b"",
            "old": b"lmgg" + bytes(99)}


def put(folder, files, content):
    for name, what in {"config.json": "config", **content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(files[what])
    return folder


def test_what_else_lies_beside_a_model_does_not_matter(tmp_path, files):
    for i, (name, others) in enumerate({
        "model.safetensors": ["tf_model.h5", "flax_model.msgpack", "rust_model.ot", "onnx/config.json", "64.tflite"],
        "model.fp16.safetensors": ["adapter_config.json", "adapter_model.safetensors", ".gitattributes"],
        "model (1).safetensors": ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "training_args.bin"],
    }.items()):  # fmt: skip
        folder = put(tmp_path / str(i), files, {name: "weights", **dict.fromkeys(others, "")})
        np.testing.assert_array_equal(GPT.from_pretrained(folder).flat_params, MODEL.flat_params, err_msg=name)


@pytest.mark.parametrize(("content", "message"), [
    ({"adapter_model.safetensors": "weights", "adapter_config.json": "lora"},
     "an adapter without its model, someone/gpt2, .*peft, and save what model.merge_and_unload"),
    ({"tf_model.h5": ""}, f"tf_model.h5, Keras' weights, .*; {MINE}, or let transformers 4 write it: .*from_tf=True"),
    ({"flax_model.msgpack": ""}, "flax_model.msgpack, Flax's weights, .*from_flax=True"),
    ({"rust_model.ot": ""}, f"rust_model.ot, a model exported for another program, .*; {MINE}"),
    ({"onnx/decoder_model.onnx": "", "onnx/config.json": "config"}, f"onnx, a model exported .*; {MINE}"),
    ({"saved_model.pb": ""}, "saved_model.pb, a model exported"),
    ({"openvino_model.bin": "", "openvino_model.xml": ""}, "openvino_model.bin, a model exported"),
    ({"optimizer.pt": "", "scheduler.pt": ""}, "optimizer.pt, scheduler.pt, what training keeps beside a model"),
    ({"model.safetensors.incomplete": "weights"}, "a download that has not ended, .*; download it again"),
    ({"model.safetensors.crdownload": "weights"}, "a download that has not ended"),
    ({"model-00001-of-00002.safetensors": "weights"}, "parts of a model without the index.json that lists them"),
    ({"latest": "", "global_step10/mp_rank_00_model_states.pt": ""}, "DeepSpeed's parts of a model, .*zero_to_fp32.py"),
    ({"model.safetensors": "pointer"}, "model.safetensors: a Git LFS pointer, .*; run git lfs pull in the cloned folder"),
    ({"pytorch_model.bin": "pointer"}, "pytorch_model.bin: a Git LFS pointer"),
    ({"model.safetensors": "xet"}, "a Git LFS pointer"),
    ({"model.safetensors": ""}, "0 bytes, expected at least 8"),
    ({"config.json": "4 bits", "model.safetensors": "weights"}, "quantization_config .*; save the model dequantized"),
    ({"config.json": "4 bits of mlx", "model.safetensors": "weights"}, "quantization .*; save the model dequantized"),
    ({"ggml-model.bin": "old"}, "a GGML file of before GGUF, .*; take the model that it was made of"),
])  # fmt: skip
def test_a_folder_that_is_no_model_says_what_it_is_and_what_to_do(tmp_path, files, content, message):
    folder = put(tmp_path / "it", files, content)
    with pytest.raises((FileNotFoundError, WeightFormatError, ConfigError), match=message):
        GPT.from_pretrained(folder)
    assert inspect(folder).problem


def test_a_folder_around_models_or_archives_names_them(tmp_path, files):
    for name in ("run/checkpoint-1000", "run/checkpoint-500", "zip/gpt2-main/gpt2"):
        put(tmp_path / name, files, {"model.safetensors": "weights"})
    (tmp_path / "tar").mkdir()
    (tmp_path / "tar" / "124M.tar.gz").write_bytes(b"\x1f\x8b\x08")
    for name, message in (("run", "a folder around checkpoint-500, checkpoint-1000, .*; name one of these folders"),
                          ("zip", "a folder around gpt2-main/gpt2, .*; name that folder"),
                          ("tar", "124M.tar.gz, an archive, .*; unpack it")):
        with pytest.raises(FileNotFoundError, match=message):
            GPT.from_pretrained(tmp_path / name)
    assert what_is(tmp_path / "run" / "checkpoint-500") is None


def test_a_file_that_is_no_model_says_so_too(tmp_path, files):
    with zipfile.ZipFile(tmp_path / "gpt2.zip", "w") as archive:
        archive.writestr("gpt2/config.json", files["config"])
    for name in ("model.onnx", "flax_model.msgpack"):
        (tmp_path / name).write_bytes(b"\x08\x07" + bytes(60))
    put(tmp_path, files, {"tokenizer.json": "pointer"})
    for name, message in (
        ("gpt2.zip", "a model's folder in a zip archive, .*; unpack it"), ("model.onnx", "exported for another program"),
        ("flax_model.msgpack", "Flax's weights"),
        ("config.json", "a JSON text without weight_map, .*; name the model's folder$"),
    ):
        with pytest.raises(WeightFormatError, match=message):
            GPT.from_pretrained(tmp_path / name)
    for address in ("https://huggingface.co/openai-community/gpt2", "huggingface.co/gpt2"):
        with pytest.raises(FileNotFoundError, match="a web address, expected a folder, a file or a name such as 'gpt2'"):
            GPT.from_pretrained(address)
    (tmp_path / "model.safetensors").write_bytes(files["weights"])
    with pytest.warns(UserWarning, match=r"no tokenizer, since .*tokenizer.json: a Git LFS pointer, expected JSON"):
        GPT.from_pretrained(tmp_path / "model.safetensors")


def test_packed_weights_are_said_to_be_packed():
    packed = {name: array for name, array in MODEL.params.items() if "c_attn.weight" not in name}
    packed["h.0.attn.c_attn.qweight"] = np.ones((2, 24), np.int32)
    with pytest.raises(WeightFormatError, match=r"h\.0\.attn.c_attn.qweight is packed, save the model dequantized; "):
        GPT.from_state_dict(packed, MODEL.config)
