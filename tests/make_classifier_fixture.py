"""Write down logits, loss and gradients of transformers' GPT2ForSequenceClassification on random weights.

    python tests/make_classifier_fixture.py        # writes tests/fixtures/classifier.json

Needs the bench extra.  test_finetune.py compares minigpt with the file, and with a live run under `-m reference`.  Weights and
texts come from NumPy and a seed; of each gradient the file holds its norm and its product with a random direction.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "classifier.json"
CONFIG = {"vocab_size": 17, "n_positions": 9, "n_embd": 10, "n_layer": 2, "n_head": 2}
LABELS = ("a", "b", "c")
LENGTHS = (9, 4, 1, 6)                          # of the texts, padded on the right with PAD
PAD = 16
SEED = 77


def weights():
    """Float64 arrays by GPT-2's names and score.weight, norms and biases away from 1 and 0 so that all of them matter"""
    rng = np.random.default_rng(SEED)
    C = CONFIG["n_embd"]
    shapes = {"wte.weight": (CONFIG["vocab_size"], C), "wpe.weight": (CONFIG["n_positions"], C)}
    for i in range(CONFIG["n_layer"]):
        for norm in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{norm}.weight"] = shapes[f"h.{i}.{norm}.bias"] = (C,)
        for name, n_in, n_out in [
            ("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C)
        ]:
            shapes[f"h.{i}.{name}.weight"], shapes[f"h.{i}.{name}.bias"] = (n_in, n_out), (n_out,)
    shapes |= {"ln_f.weight": (C,), "ln_f.bias": (C,), "score.weight": (len(LABELS), C)}
    is_norm = {name: ".ln_" in f".{name}" and name.endswith("weight") for name in shapes}
    return {name: is_norm[name] + 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}


def texts():
    """(rows of ids, none of them PAD, and labels)"""
    rng = np.random.default_rng(SEED + 1)
    return [rng.integers(0, PAD, n) for n in LENGTHS], rng.integers(0, len(LABELS), len(LENGTHS))


def directions():
    """{name: a random array of the gradient's shape}"""
    rng = np.random.default_rng(SEED + 2)
    return {name: rng.standard_normal(array.shape) for name, array in weights().items()}


def summary(grads):
    """{name: [norm, product with its direction]}"""
    return {name: [float(np.linalg.norm(grads[name])), float((grads[name] * d).sum())] for name, d in directions().items()}


def reference_model():
    """transformers' classifier in float64 with these weights"""
    import torch
    import transformers

    settings = {"embd_pdrop": 0, "attn_pdrop": 0, "resid_pdrop": 0, "bos_token_id": None, "eos_token_id": None}
    settings |= {"pad_token_id": PAD, "num_labels": len(LABELS), "attn_implementation": "eager"}
    config = transformers.GPT2Config(**CONFIG, **settings)
    model = transformers.GPT2ForSequenceClassification(config).double().eval()
    tensors = {name if name == "score.weight" else f"transformer.{name}": torch.tensor(w) for name, w in weights().items()}
    model.load_state_dict(tensors)
    return model


def run():
    """(logits, loss, gradients by GPT-2's names) of transformers"""
    import torch

    rows, labels = texts()
    ids = np.full((len(rows), max(LENGTHS)), PAD)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    model = reference_model()
    out = model(torch.tensor(ids), attention_mask=torch.tensor(ids != PAD), labels=torch.tensor(labels))
    out.loss.backward()
    grads = {name.removeprefix("transformer."): p.grad.numpy() for name, p in model.named_parameters()}
    return out.logits.detach().numpy(), out.loss.item(), grads


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch
    import transformers

    start = time.perf_counter()
    logits, loss, grads = run()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    fixture = {"made_by": "tests/make_classifier_fixture.py", "versions": versions, "config": CONFIG, "seed": SEED,
               "logits": logits.tolist(), "loss": loss, "gradients": summary(grads)}
    FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes, loss {loss:.3f}, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
