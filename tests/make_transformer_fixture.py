"""Run a small torch.nn.Transformer once, forward and backward, and write down what came out.

    python tests/make_transformer_fixture.py        # writes tests/fixtures/transformer_step.json

Needs the bench extra.  test_transformer_reference.py compares minigpt with the file, and with a live run under `-m reference`.
Weights and batch come from NumPy and a seed, so that both sides start from the same numbers and the file stays small: of
each gradient it holds the norm and the product with a random direction.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "transformer_step.json"
CONFIG = {"vocab_size": 13, "n_embd": 12, "n_layer": 2, "n_head": 3, "n_inner": 20, "dropout": 0.0}
SEED = 2017


def starting_weights():
    """Float64 arrays by our names, norms and biases away from 1 and 0 so that all of them matter"""
    rng = np.random.default_rng(SEED)
    C, F = CONFIG["n_embd"], CONFIG["n_inner"]
    shapes = {"wte.weight": (CONFIG["vocab_size"], C)}
    for stack in ("encoder", "decoder"):
        for i in range(CONFIG["n_layer"]):
            h = f"{stack}.h.{i}"
            linears = [("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, F), ("mlp.c_proj", F, C)]
            norms = ["ln_1", "ln_2"]
            if stack == "decoder":
                linears += [("cross.q_attn", C, C), ("cross.c_attn", C, 2 * C), ("cross.c_proj", C, C)]
                norms.append("ln_cross")
            for name, n_in, n_out in linears:
                shapes[f"{h}.{name}.weight"], shapes[f"{h}.{name}.bias"] = (n_in, n_out), (n_out,)
            for name in norms:
                shapes[f"{h}.{name}.weight"] = shapes[f"{h}.{name}.bias"] = (C,)
    is_norm = {name: ".ln_" in name and name.endswith("weight") for name in shapes}
    return {name: is_norm[name] + 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}


def batch():
    """source (B, S), padded with 0 at the right, and targets (B, T), −100 behind the end and once inside"""
    rng = np.random.default_rng(SEED + 1)
    source, targets = rng.integers(3, CONFIG["vocab_size"], (3, 6)), rng.integers(3, CONFIG["vocab_size"], (3, 5))
    source[1, 4:] = source[2, 2:] = 0
    targets[0, 1] = -100
    targets[:, -1] = 2
    targets[2, 2:] = 2, -100, -100
    return source, targets


def decoder_inputs(targets):
    """What the decoder reads: 1, then the targets, one behind; 0 where they do not count"""
    before = np.where(targets[:, :-1] == -100, 0, targets[:, :-1])
    return np.concatenate([np.ones((len(targets), 1), int), before], axis=1)


def positions(T):
    """sin and cos of t / 10000^(2i/C), written from the paper's line alone"""
    C = CONFIG["n_embd"]
    table = [[(math.sin, math.cos)[j % 2](t / 10_000 ** (2 * (j // 2) / C)) for j in range(C)] for t in range(T)]
    return np.array(table)


def theirs(weights):
    """Our weights by the names and in the layout of torch.nn.Transformer; without the embedding, which it does not have.

    torch packs queries, keys and values of both kinds of attention into one matrix (3C, C) and multiplies by transposes.
    """
    names = {"attn": "self_attn", "cross": "multihead_attn", "mlp.c_fc": "linear1", "mlp.c_proj": "linear2"}
    norms = {"encoder": {"ln_1": "norm1", "ln_2": "norm2"}, "decoder": {"ln_1": "norm1", "ln_cross": "norm2", "ln_2": "norm3"}}
    out = {}
    for name, w in weights.items():
        if name == "wte.weight":
            continue
        stack, _, i, layer = name.split(".", 3)
        layer, kind = layer.rsplit(".", 1)
        prefix = f"{stack}.layers.{i}"
        if layer in norms[stack]:
            out[f"{prefix}.{norms[stack][layer]}.{kind}"] = w
        elif layer in names:
            out[f"{prefix}.{names[layer]}.{kind}"] = w.T
        elif layer.endswith("c_proj"):
            out[f"{prefix}.{names[layer.split('.')[0]]}.out_proj.{kind}"] = w.T
        elif layer == "cross.q_attn":
            rest = weights[f"{stack}.h.{i}.cross.c_attn.{kind}"]
            out[f"{prefix}.multihead_attn.in_proj_{kind}"] = np.concatenate([w, rest], axis=-1).T
        elif layer == "attn.c_attn":
            out[f"{prefix}.self_attn.in_proj_{kind}"] = w.T
    return out


def reference_step():
    """(logits, loss, {torch's name: gradient}) of torch.nn.Transformer in float64; "wte.weight" is the embedding's gradient.

    Its stacks get norm=None: the paper has no norm behind the last block, torch adds one unless it is told otherwise.
    """
    import torch
    from torch import nn

    torch.set_num_threads(1)             # more only get in each other's way at this size
    c, weights = CONFIG, starting_weights()
    size = {"d_model": c["n_embd"], "nhead": c["n_head"], "dim_feedforward": c["n_inner"], "dropout": 0.0,
            "activation": "relu", "batch_first": True, "norm_first": False}
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**size), c["n_layer"], norm=None, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**size), c["n_layer"], norm=None)
    model = nn.Transformer(custom_encoder=encoder, custom_decoder=decoder, **size).double()
    model.load_state_dict({name: torch.tensor(w) for name, w in theirs(weights).items()}, strict=True)
    table = torch.tensor(weights["wte.weight"], requires_grad=True)
    source, targets = batch()
    inputs = decoder_inputs(targets)

    def embed(ids):
        return table[torch.tensor(ids)] * math.sqrt(c["n_embd"]) + torch.tensor(positions(ids.shape[1]))

    padding = torch.tensor(source == 0)
    T = targets.shape[1]
    h = model(embed(source), embed(inputs), tgt_mask=torch.triu(torch.ones(T, T, dtype=torch.bool), 1),
              src_key_padding_mask=padding, memory_key_padding_mask=padding)
    logits = h @ table.T
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten(), ignore_index=-100)
    loss.backward()
    grads = {name: p.grad.numpy() for name, p in model.named_parameters()}
    return logits.detach().numpy(), loss.item(), {**grads, "wte.weight": table.grad.numpy()}


def summary(grads):
    """{name: [norm, product with a random direction]} of gradients by torch's names"""
    rng = np.random.default_rng(SEED + 2)
    return {name: [float(np.linalg.norm(grads[name])), float((grads[name] * rng.standard_normal(grads[name].shape)).sum())]
            for name in sorted(grads)}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch

    start = time.perf_counter()
    logits, loss, grads = reference_step()
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    fixture = {"made_by": "tests/make_transformer_fixture.py", "versions": versions, "config": CONFIG, "seed": SEED,
               "loss": loss, "logits": logits.tolist(), "gradients": summary(grads)}
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_text(json.dumps(fixture) + "\n", encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes, loss {loss:.3f}, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
