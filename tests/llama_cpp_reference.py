"""Ask llama.cpp what it makes of the GGUF files that minigpt writes: the same tokens, and the same greedy continuations.

    npm install --ignore-scripts --prefix FOLDER node-llama-cpp         # llama.cpp itself comes with it, for CPUs
    python tests/llama_cpp_reference.py FOLDER [--freeze]               # needs node; about three minutes

Four models, each as F32 and F16: a random one of GPT-2's sizes with GPT-2's vocabulary, one trained here on byte-level BPE,
the bundled one of characters, and odd(), which has nothing that llama.cpp requires.  --freeze writes what llama.cpp said of the
last two, which are small, to tests/fixtures/gguf_llama_cpp.json; weights/test_gguf.py compares it with what minigpt says.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from minigpt import GPT, GPTConfig, Tokenizer
from minigpt.weights import gguf
from texts import END, PROSE, nasty_text

FIXTURE = Path(__file__).parent / "fixtures" / "gguf_llama_cpp.json"
PLAY = ["First Citizen:\n", "ROMEO:", "\n", "To be"]
CODE = ["def main():\n", "import os", "for i in range", "class A(object):\n    "]

CLIENT = """
import {readFileSync, writeFileSync} from "fs";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const results = [];
for (const {path, contextSize, texts, prompts, n} of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
    const model = await llama.loadModel({modelPath: path});
    // one thread: several wait for each other without end where the cores are shared
    const sequence = (await model.createContext({contextSize, threads: 1})).getSequence();
    const tokens = texts.map((text) => [...model.tokenize(text)]);
    const back = tokens.map((ids) => model.detokenize(ids, true));
    const greedy = [];
    for (const prompt of prompts) {
        await sequence.clearHistory();
        const ids = [...model.tokenize(prompt)], said = [];
        for await (const id of sequence.evaluate(ids, {temperature: 0, yieldEogToken: true}))
            if (said.push(id) >= n) break;
        greedy.push(said);
    }
    results.push({tokens, back, greedy});
    await model.dispose();
}
writeFileSync(process.argv[3], JSON.stringify({release: llama.llamaCppRelease.release, results}));
process.exit(0);
"""


def odd():
    """A random model without biases and tied embeddings, with rows of 72, fewer tokens than rows and none that ends a text"""
    tokenizer = Tokenizer.train("low lower lowest slow slower slowest " * 3, 264)
    config = GPTConfig(270, 32, 72, 2, 3, n_inner=100, bias=False, tie_word_embeddings=False, initializer_range=0.3)
    return GPT(config, seed=3, threads=1), tokenizer


def trained(folder):
    """A model trained for some minutes on code, in tokens of 512"""
    flags = ["--data", "python", "--tokenizer", "bpe", "--layers", "2", "--channels", "64", "--context", "64", "--steps", "400"]
    subprocess.run([sys.executable, "-m", "minigpt", "train", *flags, "--out", folder], check=True, capture_output=True)
    model = GPT.from_pretrained(folder)
    return model, model.tokenizer


def ask(folder, jobs):
    """What llama.cpp makes of files, texts and prompts"""
    client = folder / "client.mjs"      # beside node_modules, where node looks for packages
    client.write_text(CLIENT, encoding="utf-8")
    asked, answered = folder / "asked.json", folder / "answered.json"
    asked.write_text(json.dumps(jobs), encoding="utf-8")
    done = subprocess.run(["node", client, asked, answered], capture_output=True)
    if done.returncode:
        sys.exit(f"node: exit status {done.returncode}\n{done.stderr.decode()}")
    return json.loads(answered.read_text(encoding="utf-8"))


def said(model, ids, n):
    """minigpt's greedy continuation"""
    return model.generate(np.array(ids), n, temperature=0).tolist()[len(ids):]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--freeze", action="store_true", help=f"write {FIXTURE.name}")
    args = parser.parse_args()
    package = args.folder / "node_modules" / "node-llama-cpp" / "package.json"
    if not package.is_file():
        sys.exit(f"{package}: absent; npm install --ignore-scripts --prefix {args.folder} node-llama-cpp")
    rng = random.Random(0)
    texts = [PROSE[:2000], "  two  blanks\n\n\n", END, *(nasty_text(rng, 60) for _ in range(100))]
    with tempfile.TemporaryDirectory() as temporary:
        bundled = GPT.from_pretrained("shakespeare-char")
        models = {
            "gpt2": (GPT(GPTConfig.preset("gpt2"), seed=0), Tokenizer.gpt2(), texts, ["Hello world", "def f(x):\n"], 20),
            "trained": (*trained(Path(temporary) / "run"), texts, CODE, 50),
            "shakespeare-char": (bundled, bundled.tokenizer, PLAY, PLAY, 90),
            "odd": (*odd(), texts, ["low", "slowest of all", "x"], 15),
        }
        jobs = {}
        for name, (model, tokenizer, texts, prompts, n) in models.items():
            for dtype in ("F32", "F16"):
                path = Path(temporary) / f"{name}-{dtype}.gguf"
                gguf.save(path, model.config, model.params, tokenizer, dtype)
                jobs[name, dtype] = {"path": str(path), "contextSize": model.config.n_positions, "texts": texts,
                                     "prompts": prompts, "n": n}
        answer = ask(args.folder, list(jobs.values()))
    versions = {"node-llama-cpp": json.loads(package.read_text(encoding="utf-8"))["version"], "llama.cpp": answer["release"]}
    print(versions)
    wrong, frozen = 0, {"made_by": "tests/llama_cpp_reference.py", "versions": versions}
    for (name, dtype), theirs in zip(jobs, answer["results"], strict=True):
        model, tokenizer, texts, prompts, n = models[name]
        same = [ids == tokenizer.encode(text, disallowed_special=()) for ids, text in zip(theirs["tokens"], texts, strict=True)]
        back = sum(map(str.__eq__, theirs["back"], texts))
        ours = [said(model, tokenizer.encode(prompt), n) for prompt in prompts]
        pairs = [a == b for mine, other in zip(ours, theirs["greedy"], strict=True) for a, b in zip(mine, other, strict=True)]
        print(f"{name:17} {dtype}  texts tokenized alike {sum(same)} of {len(same)}, decoded to themselves {back}; "
              f"greedy tokens equal {sum(pairs)} of {len(pairs)}")
        wrong += len(same) - sum(same) + (len(pairs) - sum(pairs)) * (dtype == "F32")
        if name in ("shakespeare-char", "odd") and dtype == "F32":
            frozen[name] = {"prompts": prompts, "greedy": theirs["greedy"]}
    if args.freeze:
        FIXTURE.write_text(json.dumps(frozen) + "\n", encoding="utf-8", newline="\n")
        print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
