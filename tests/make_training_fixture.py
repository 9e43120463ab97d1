"""Train a small GPT-2 with torch and transformers for 20 steps and write down what came out.

    python tests/make_training_fixture.py        # writes tests/fixtures/training_20_steps.json

Needs the bench extra.  test_training_reference.py compares minigpt with the file, and with a live run under `-m reference`.
Weights and batches come from NumPy and a seed, so that both sides start from the same numbers and the file stays small.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "training_20_steps.json"
CONFIG = {"vocab_size": 17, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 2}
RECIPE = {
    "seed": 1234, "steps": 20, "batch_size": 4,
    "lr": 0.02, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1,      # of matrices alone
    "max_norm": 1.0,
}


def starting_weights():
    """Float64 arrays by GPT-2's names, norms and biases away from 1 and 0 so that all of them matter"""
    rng = np.random.default_rng(RECIPE["seed"])
    C = CONFIG["n_embd"]
    shapes = {"wte.weight": (CONFIG["vocab_size"], C), "wpe.weight": (CONFIG["n_positions"], C)}
    for i in range(CONFIG["n_layer"]):
        shapes[f"h.{i}.ln_1.weight"] = shapes[f"h.{i}.ln_2.weight"] = (C,)
        shapes[f"h.{i}.ln_1.bias"] = shapes[f"h.{i}.ln_2.bias"] = (C,)
        for name, n_in, n_out in [
            ("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C)
        ]:
            shapes[f"h.{i}.{name}.weight"], shapes[f"h.{i}.{name}.bias"] = (n_in, n_out), (n_out,)
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (C,)
    is_norm = {name: ".ln_" in f".{name}" and name.endswith("weight") for name in shapes}
    return {name: is_norm[name] + 0.2 * rng.standard_normal(shape) for name, shape in shapes.items()}


def batches():
    """[(ids, targets)], each (B, T); every sequence counts on by 1 or 2 from a token of its own: something to learn"""
    rng = np.random.default_rng(RECIPE["seed"] + 1)
    T, V = CONFIG["n_positions"], CONFIG["vocab_size"]
    pairs = []
    for _ in range(RECIPE["steps"]):
        start, step = (rng.integers(low, high, (RECIPE["batch_size"], 1)) for low, high in ((0, V), (1, 3)))
        tokens = (start + step * np.arange(T + 1)) % V
        pairs.append((tokens[:, :-1], tokens[:, 1:]))
    return pairs


def reference_model():
    """transformers' GPT2LMHeadModel in float64 with the starting weights"""
    import torch
    import transformers

    settings = {"embd_pdrop": 0, "attn_pdrop": 0, "resid_pdrop": 0, "bos_token_id": None, "eos_token_id": None}
    config = transformers.GPT2Config(**CONFIG, **settings, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).double()
    tensors = {f"transformer.{name}": torch.tensor(w) for name, w in starting_weights().items()}
    missing = model.load_state_dict(tensors, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"lm_head.weight"}:      # tied to wte
        raise SystemExit(f"starting_weights: other names than transformers': {missing}")
    return model


def train():
    """{"losses": [before each step], "norms": [of the gradients, before clipping]} of torch's AdamW"""
    import torch

    torch.set_num_threads(1)             # more only get in each other's way at this size
    model = reference_model()
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": RECIPE["weight_decay"]},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RECIPE["lr"], betas=tuple(RECIPE["betas"]), eps=RECIPE["eps"])
    losses, norms = [], []
    for ids, targets in batches():
        logits = model(torch.tensor(ids)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, RECIPE["max_norm"])))
        losses.append(loss.item())
        optimizer.step()
    return {"losses": losses, "norms": norms}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch
    import transformers

    start = time.perf_counter()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    fixture = {"made_by": "tests/make_training_fixture.py", "versions": versions, "config": CONFIG, "recipe": RECIPE, **train()}
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes, loss {fixture['losses'][0]:.3f} to {fixture['losses'][-1]:.3f}, "
          f"{time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
