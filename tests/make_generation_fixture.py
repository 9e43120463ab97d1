"""Let transformers continue prompts greedily, 64 tokens each, and write down what came out.

    python tests/make_generation_fixture.py        # writes tests/fixtures/greedy_64_tokens.json

Needs the bench extra.  test_generation_reference.py compares minigpt with the file, and with a live run under `-m reference`.
Weights and prompts come from NumPy and a seed, so that both sides start from the same numbers and the file stays small.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from minigpt import GPTConfig
from minigpt.models.gpt import parameter_table

FIXTURE = Path(__file__).parent / "fixtures" / "greedy_64_tokens.json"
NEW = 64
SMALL = {"vocab_size": 61, "n_positions": 80, "n_embd": 24, "n_layer": 2, "n_head": 3}
# Every case ends at the last position of its model
CASES = {
    "one row": {"config": SMALL, "seed": 11, "lengths": [16]},
    "three rows, padded at the left": {"config": SMALL, "seed": 12, "lengths": [3, 9, 16]},
    "up to position 1024": {"config": {**SMALL, "n_positions": 1024, "n_layer": 1}, "seed": 13, "lengths": [960]},
}


def spread(name):
    """The standard deviation of a parameter: attention strong and biases weak, else a greedy text soon falls into a loop"""
    return 1.2 if ".attn." in name and "weight" in name else 0.1 if name.endswith("bias") else 1.0 if "wpe" in name else 0.4


def weights(case):
    """Float64 arrays by GPT-2's names"""
    rng = np.random.default_rng(case["seed"])
    table = parameter_table(GPTConfig(**case["config"]))
    return {name: (initial == "ones") + spread(name) * rng.standard_normal(shape) for name, shape, initial in table}


def prompts(case):
    """(input_ids, attention_mask), each (B, T) int64, padded at the left with 0"""
    rng = np.random.default_rng(case["seed"] + 1000)
    longest = max(case["lengths"])
    mask = np.array([[int(t >= longest - length) for t in range(longest)] for length in case["lengths"]])
    return rng.integers(0, case["config"]["vocab_size"], mask.shape) * mask, mask


def reference_model(case, double=True):
    """transformers' GPT2LMHeadModel with the case's weights"""
    import torch
    import transformers

    settings = {"embd_pdrop": 0, "attn_pdrop": 0, "resid_pdrop": 0, "bos_token_id": None, "eos_token_id": None}
    config = transformers.GPT2Config(**case["config"], **settings, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).eval()
    model = model.double() if double else model
    missing = model.load_state_dict({f"transformer.{k}": torch.tensor(w) for k, w in weights(case).items()}, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"lm_head.weight"}:      # tied to wte
        raise SystemExit(f"weights: other names than transformers': {missing}")
    return model


def continued(case, use_cache=True):
    """The new tokens of transformers, B lists of 64"""
    import torch

    ids, mask = map(torch.tensor, prompts(case))
    options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, "use_cache": use_cache}
    with torch.no_grad():
        return reference_model(case).generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :].tolist()


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch
    import transformers

    torch.set_num_threads(1)             # more only get in each other's way at this size
    start = time.perf_counter()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    cases = {name: {**case, "tokens": continued(case)} for name, case in CASES.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    text = f'{{"made_by": "tests/make_generation_fixture.py", "versions": {json.dumps(versions)}, "cases": {{\n{lines}\n}}}}\n'
    FIXTURE.write_text(text, encoding="utf-8", newline="\n")
    distinct = [len(set(row)) for case in cases.values() for row in case["tokens"]]
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes, rows of {distinct} distinct tokens, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
