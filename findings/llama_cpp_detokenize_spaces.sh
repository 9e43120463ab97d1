#!/usr/bin/env bash
# Text that a GPT-2 in llama.cpp has tokenized, turned back: node-llama-cpp 3.22.1, which carries llama.cpp's binary.
#
# Guessed before: byte-level BPE loses nothing, so detokenize(tokenize(text)) is the text.
# Seen: spaces before , . ! ? and before 's, n't and the like are left out: "a , b 's" comes back as "a, b's".  Token by token
# all spaces are there.  It is the clean-up that transformers offers as an option and leaves off for GPT-2.
#
# Compare ids, or texts put together token by token, as tests/llama_cpp_reference.py does for minigpt's GGUF files.
#
# Usage: findings/llama_cpp_detokenize_spaces.sh        needs Python 3.10 or newer, Node.js, PyPI and npm; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "gguf==0.19.0" "numpy==2.2.6"
npm install --silent --ignore-scripts --prefix "$folder" node-llama-cpp@3.22.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import gguf
import numpy as np

C, T = 32, 64
tokens = ["a", "b", "s", ",", "'", "Ġ", "<|endoftext|>"]
writer = gguf.GGUFWriter("tiny.gguf", "gpt2")
for add, value in (
    (writer.add_block_count, 1), (writer.add_context_length, T), (writer.add_embedding_length, C), (writer.add_head_count, 1),
    (writer.add_feed_forward_length, C), (writer.add_layer_norm_eps, 1e-5), (writer.add_tokenizer_model, "gpt2"),
    (writer.add_tokenizer_pre, "gpt-2"), (writer.add_token_list, tokens), (writer.add_token_types, [1] * 6 + [3]),
    (writer.add_token_merges, ["Ġ Ġ"]), (writer.add_eos_token_id, 6),
):
    add(value)
layers = {"attn_norm": (C,), "attn_qkv": (3 * C, C), "attn_output": (C, C), "ffn_norm": (C,), "ffn_up": (C, C), "ffn_down": (C, C)}
shapes = {"token_embd.weight": (len(tokens), C), "position_embd.weight": (T, C), "output_norm.weight": (C,), "output_norm.bias": (C,)}
for name, shape in layers.items():
    shapes |= {f"blk.0.{name}.weight": shape, f"blk.0.{name}.bias": shape[:1]}
for name, shape in shapes.items():
    writer.add_tensor(name, np.zeros(shape, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
PYTHON
cat > detokenize.mjs <<'JAVASCRIPT'
import {getLlama} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", maxThreads: 1});
const model = await llama.loadModel({modelPath: "tiny.gguf"});
const text = "a , b 's";
const ids = model.tokenize(text);
const whole = model.detokenize(ids), single = ids.map((id) => model.detokenize([id])).join("");
console.log(`${JSON.stringify(text)} -> [${ids}] -> ${JSON.stringify(whole)}; token by token ${JSON.stringify(single)}`);
process.exit(whole === "a, b's" && single === text ? 0 : 1);
JAVASCRIPT
echo "node-llama-cpp 3.22.1"
timeout 300 node detokenize.mjs || { echo "changed" >&2; exit 1; }
