"""Write a small GPT-2 and a vocabulary with the functions of llm.c's train_gpt2.py, and what the model computes.

    python tests/make_llmc_fixture.py LLMC          # writes tests/fixtures/llmc_*; needs torch and tiktoken

LLMC is a clone of github.com/karpathy/llm.c. Its train_gpt2.py writes vocabularies of 50,257 tokens only; that check is left
out, to keep the files small. The numbers of the parameters come from numbers(), so that weights/test_llmc.py knows them.
"""

import argparse
import json
import types
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
SIZES = {"block_size": 6, "vocab_size": 11, "n_layer": 2, "n_head": 2, "n_embd": 4}
IDS = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
TOKENS = [b"a", b"b", "é".encode(), b"\0", b"\xff"]
CHECK = 'assert V == 50257, "just being defensive here"'


def numbers(name, shape):
    """The values of a parameter by torch's name: float32, near 1 for the scales of norms and else near 0"""
    rng = np.random.default_rng(list(name.encode()))
    return ((".ln_" in name and name.endswith("weight")) + 0.3 * rng.standard_normal(shape)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llmc", metavar="LLMC", type=Path)
    args = parser.parse_args()
    import tiktoken
    import torch

    source = (args.llmc / "train_gpt2.py").read_text(encoding="utf-8")
    assert source.count(CHECK) == 1
    theirs = types.ModuleType("train_gpt2")
    exec(compile(source.replace(CHECK, "pass"), "train_gpt2.py", "exec"), theirs.__dict__)
    model = theirs.GPT(theirs.GPTConfig(**SIZES))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(numbers(name, tuple(parameter.shape))))
        logits, _ = model(torch.tensor(IDS), torch.tensor(IDS))       # without targets it computes the last position only
    theirs.write_model(model, FIXTURES / "llmc_float32.bin", "float32")
    theirs.write_model(model, FIXTURES / "llmc_bfloat16.bin", "bfloat16")
    ranks = {token: i for i, token in enumerate(TOKENS)}
    encoding = tiktoken.Encoding("small", pat_str=".", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": len(TOKENS)})
    theirs.write_tokenizer(encoding, FIXTURES / "llmc_tokenizer.bin")
    versions = {"torch": torch.__version__, "tiktoken": tiktoken.__version__, "numpy": np.__version__}
    fixture = {"made_by": "tests/make_llmc_fixture.py", "versions": versions, "ids": IDS, "logits": logits.tolist()}
    (FIXTURES / "llmc_logits.json").write_text(json.dumps(fixture) + "\n", encoding="utf-8", newline="\n")
    for path in sorted(FIXTURES.glob("llmc_*")):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
