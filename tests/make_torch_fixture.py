"""Save tensors and a nanoGPT checkpoint with torch, as people's .bin, .pt and ckpt.pt files are.

    python tests/make_torch_fixture.py          # writes tests/fixtures/torch_*.pt; needs torch, 1.13 or later

weights/test_torch_zip.py reads them without torch. The version of torch is part of the files' names, those of all three
libraries are in every file. What the files hold comes from tensors() and parameters(), so that the tests know it too. The
files there are torch 2.13.0's (NumPy 2.4) and, made in another environment, 1.13.1's (NumPy 1.26), which wrote no byte order.
"""

import argparse
import collections
import fractions
import platform
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures"
MODEL_ARGS = {"n_layer": 1, "n_head": 2, "n_embd": 4, "block_size": 5, "bias": False, "vocab_size": 11, "dropout": 0.0}
KINDS = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def numbers(*shape, kind="float64"):
    """Small numbers that every type holds, as eighths or as integers"""
    n = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return n % 2 == 0 if kind == "bool" else (n / 8 - 1 if "float" in kind else n).astype(kind.removeprefix("b"))


def parameters():
    """nanoGPT's parameters by name, linear layers as (out, in), in float32"""
    V, T, C = 11, 5, 4
    shapes = {"wte": (V, C), "wpe": (T, C), "h.0.ln_1": (C,), "h.0.attn.c_attn": (3 * C, C), "h.0.attn.c_proj": (C, C),
              "h.0.ln_2": (C,), "h.0.mlp.c_fc": (4 * C, C), "h.0.mlp.c_proj": (C, 4 * C), "ln_f": (C,)}
    rng = np.random.default_rng(3)
    return {f"transformer.{name}.weight": rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def views():
    """What tensors() holds of one storage, as NumPy sees it"""
    whole = numbers(3, 4).astype(np.float32)
    return {"whole": whole, "transposed": whole.T, "part": whole[1:, 1::2], "expanded": np.broadcast_to(whole[:, 1:2], (3, 5))}


def tensors(torch):
    """A state dict with every type of tensor, shape and view"""
    state = collections.OrderedDict()
    for kind in KINDS:
        state[kind] = torch.tensor(numbers(2, 3, kind=kind)).to(getattr(torch, kind))
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(2, 0, 3)
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    whole = torch.tensor(views()["whole"])
    state.update(whole=whole, transposed=whole.t(), part=whole[1:, 1::2], expanded=whole[:, 1:2].expand(3, 5))
    return state


def checkpoint(torch):
    """What nanoGPT's train.py saves, of a model compiled by torch, after one step"""
    weights = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in parameters().items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, betas=(0.9, 0.95))
    sum((w * w).sum() for w in weights.values()).backward()
    state = collections.OrderedDict((f"_orig_mod.{name}", torch.tensor(array)) for name, array in parameters().items())
    state["_orig_mod.lm_head.weight"] = state["_orig_mod.transformer.wte.weight"]       # tied: one storage
    state._metadata = {"": {"version": 1}}                                              # as state_dict() leaves it
    optimizer.step()
    return {"model": state, "optimizer": optimizer.state_dict(), "model_args": MODEL_ARGS, "iter_num": 1,
            "best_val_loss": torch.tensor(2.5), "config": {"dataset": "shakespeare_char", "device": torch.device("cpu"),
            "dtype": torch.float32, "block": torch.Size((5,)), "folder": Path("out"), "seed": np.int64(1337), "names": {"a"},
            "vocab_size": np.arange(3), "options": argparse.Namespace(compile=True)}}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import torch

    version = torch.__version__.partition("+")[0]
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    state = tensors(torch)
    for name, content, options in (
        ("tensors", {"state_dict": state, "versions": versions}, {}),
        ("protocol_4", {"state_dict": state, "versions": versions}, {"pickle_protocol": 4}),
        ("nanogpt", {**checkpoint(torch), "versions": versions}, {}),
        ("fraction", {"state_dict": {"a": torch.ones(1)}, "versions": versions, "part": fractions.Fraction(1, 3)}, {}),
        ("old_form", {"state_dict": {"a": torch.ones(1)}, "versions": versions}, {"_use_new_zipfile_serialization": False}),
    ):
        path = FIXTURES / f"torch_{name}_{version}.pt"
        torch.save(content, path, **options)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
