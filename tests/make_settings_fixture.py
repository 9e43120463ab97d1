"""Write down the config.json of several versions of transformers, and the logits of the newest under every setting of GPT-2's.

    python tests/make_settings_fixture.py                   # adds this version's config.json to tests/fixtures/settings.json
    python tests/make_settings_fixture.py --logits          # and the logits, which takes torch
    python tests/make_settings_fixture.py --unpacked DIR    # of a wheel of 2.1.1 or 2.8.0, which no longer can be installed

test_settings.py compares minigpt with the file, and with a live run under `-m reference`.  Weights come from NumPy and a seed.
"""

import argparse
import contextlib
import importlib
import json
import re
import sys
import types
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).parent / "fixtures" / "settings.json"
SIZES = {"vocab_size": 7, "n_positions": 6, "n_embd": 4, "n_layer": 2, "n_head": 2}
IDS = [[3, 1, 4, 1, 5, 0]]
ACTIVATIONS = ("gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate", "gelu", "gelu_python", "relu", "silu",
               "swish", "quick_gelu", "tanh")
SETTINGS = [
    {}, {"n_inner": 5}, {"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False}, {"reorder_and_upcast_attn": True},
    {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    *({"activation_function": name} for name in ACTIVATIONS),
]


def weights(table):
    """Float64 arrays of a parameter_table(), large enough that every setting shows"""
    rng = np.random.default_rng(5)
    return {name: (initial == "ones") + rng.standard_normal(shape) for name, shape, initial in table}


def configuration_class(unpacked):
    """The version and its GPT2Config; of an unpacked wheel without what else the package imports"""
    if unpacked is None:
        import transformers

        return transformers.__version__, transformers.GPT2Config
    package = types.ModuleType("transformers")
    package.__path__ = [str(unpacked / "transformers")]
    utils = types.ModuleType("transformers.file_utils")
    utils.__getattr__ = lambda name: None
    sys.modules |= {"transformers": package, "transformers.file_utils": utils}
    init = (unpacked / "transformers" / "__init__.py").read_text(encoding="utf-8")
    package.__version__ = re.search(r'__version__ = "(.+)"', init)[1]
    return package.__version__, importlib.import_module("transformers.configuration_gpt2").GPT2Config


def texts(config_class):
    """The config.json as this version saves it: as is, and with all keys where it can write these"""
    config = config_class(**SIZES, bos_token_id=0, eos_token_id=5, pad_token_id=3)
    config.vocab_size = SIZES["vocab_size"]         # 2.1.1 called it otherwise, and passed over a vocab_size without a word
    found = [config.to_json_string()]
    with contextlib.suppress(TypeError):            # 2.1.1 and 2.8.0 always write all
        found.append(config.to_json_string(use_diff=False))
    return list(map(json.loads, found))


def reference_logits(settings):
    """transformers' logits of IDS (1, T, V), with the weights of weights(); in float64 where it can"""
    import torch
    import transformers

    from minigpt import GPTConfig
    from minigpt.models.gpt import parameter_table

    settings = {**settings, "embd_pdrop": 0, "attn_pdrop": 0, "resid_pdrop": 0}
    config = transformers.GPT2Config(**SIZES, **settings, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).eval()
    if "reorder_and_upcast_attn" not in settings:       # with it transformers 5.24 raises RuntimeError for float64
        model = model.double()
    arrays = weights(parameter_table(GPTConfig(**SIZES, n_inner=settings.get("n_inner"))))
    model.load_state_dict({f"transformer.{k}": torch.tensor(w) for k, w in arrays.items()}, strict=False)
    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.double().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--logits", action="store_true")
    args = parser.parse_args()
    old = json.loads(FIXTURE.read_text(encoding="utf-8")) if FIXTURE.exists() else {}
    version, config_class = configuration_class(args.unpacked)
    configurations = {**old.get("configurations", {}), version: texts(config_class)}
    logits = old.get("logits", {})
    if args.logits:
        import torch

        rows = [{"settings": s, "logits": reference_logits(s).round(10).ravel().tolist()} for s in SETTINGS]
        logits = {"versions": {"transformers": version, "torch": torch.__version__}, "rows": rows}
    configurations = dict(sorted(configurations.items()))
    new = {"made_by": "tests/make_settings_fixture.py", "configurations": configurations, "logits": logits}
    FIXTURE.write_text(json.dumps(new) + "\n", encoding="utf-8", newline="\n")
    print(f"{FIXTURE}: {FIXTURE.stat().st_size} bytes, config.json of {', '.join(configurations)}")


if __name__ == "__main__":
    main()
