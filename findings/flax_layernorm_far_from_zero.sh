#!/usr/bin/env bash
# LayerNorm in flax 0.12.8 (linen and nnx) and in ONNX Runtime 1.32.0, on rows of 768 numbers with deviation 1 around a mean that
# is not 0, in float32.
#
# Guessed before: all are within 0.001 of float64 for a mean of 1000; a float32 has seven digits, the mean takes three.
# Seen: ONNX Runtime is within 0.001 even at 4000.  Flax is off by 0.4 at 1000, and at 4000 by about 1000: it takes
# the variance as E[x²] − E[x]² and sets a negative one to 0, so that a row is divided by √ε.  use_fast_variance=False gives
# the usual numbers; True is the default.
#
# Weights that were moved to Flax give other activations where the residual stream is far from 0, and a gradient check of
# such a row fails.  minigpt subtracts the mean first (minigpt/nn/layernorm.py).
#
# Usage: findings/flax_layernorm_far_from_zero.sh        needs Python 3.11 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "flax==0.12.8" "jax==0.10.2" "onnxruntime==1.32.0" "onnx==1.23.2" "numpy==2.4.6"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import flax
import numpy as np
import onnxruntime
from flax import linen, nnx
from onnx import TensorProto, helper

C, EPSILON = 768, 1e-5
one, zero = np.ones(C, np.float32), np.zeros(C, np.float32)
shapes = {"x": (4, C), "w": (C,), "b": (C,), "y": (4, C)}
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
node = helper.make_node("LayerNormalization", ["x", "w", "b"], ["y"], epsilon=EPSILON)
graph = helper.make_graph([node], "layernorm", values[:3], values[3:])
onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(onnx_model.SerializeToString(), providers=["CPUExecutionProvider"])


def of_linen(x, **how):
    return np.asarray(linen.LayerNorm(epsilon=EPSILON, **how).apply({"params": {"scale": one, "bias": zero}}, x))


NORMS = {
    "flax linen": of_linen,
    "flax nnx": lambda x: np.asarray(nnx.LayerNorm(C, epsilon=EPSILON, rngs=nnx.Rngs(0))(x)),
    "flax, use_fast_variance=False": lambda x: of_linen(x, use_fast_variance=False),
    "onnxruntime": lambda x: session.run(None, {"x": x, "w": one, "b": zero})[0],
}
print(f"flax {flax.__version__}, onnxruntime {onnxruntime.__version__}")
noise = np.random.default_rng(0).standard_normal((4, C))
off = {name: [] for name in NORMS}
for mean in (0, 1000, 4000):
    x = (noise + mean).astype(np.float32)
    exact = x.astype(np.float64) - x.astype(np.float64).mean(-1, keepdims=True)
    exact /= np.sqrt((exact**2).mean(-1, keepdims=True) + EPSILON)
    for name, norm in NORMS.items():
        off[name].append(float(np.abs(norm(x) - exact).max()))
    print(f"mean {mean}: " + ", ".join(f"{name} off by {numbers[-1]:.1g}" for name, numbers in off.items()))
for name, (at_0, at_1000, at_4000) in off.items():
    fast = name in ("flax linen", "flax nnx")
    assert at_0 < 1e-5 and (at_1000 > 0.05 and at_4000 > 100 if fast else at_4000 < 2e-3), f"changed: {name}"
PYTHON
