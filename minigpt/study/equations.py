"""A table of every name in a trace: axes, equations of value and gradient, the lines that compute them, the articles' section.

This module holds text only; minigpt/nn/ computes.  tests/study/test_trace.py compares every row with the layers, and every
gradient with central differences.  In an equation, a name without a prefix belongs to the same layer; dx is the gradient of
the loss with respect to x; W and b are the weight and bias of the layer in question.

The loss is computed from logp, which stays finite where a probability rounds to 0.  probs is exp(logp): changing probs
changes logp, and the gradient of probs is dlogp / probs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..nn.activations import ACTIVATIONS
from ..nn.attention import attention_backward, attention_forward
from ..nn.block import block_backward, block_forward
from ..nn.cross_entropy import cross_entropy_backward, cross_entropy_forward
from ..nn.embedding import embedding_backward, embedding_forward, unembedding_backward, unembedding_forward
from ..nn.layernorm import layernorm_backward, layernorm_forward
from ..nn.linear import linear_backward, linear_forward
from ..nn.mlp import mlp_backward, mlp_forward
from ..nn.multihead import multihead_backward, multihead_forward

if TYPE_CHECKING:
    from ..config import GPTConfig

NN = Path(__file__).parents[1] / "nn"

# A function that records the name on one of its lines; or a function and text that its line contains
Place = Callable | tuple[Callable, str]


@dataclass(frozen=True)
class Equation:
    """One row of the table."""

    axes: str                   # letters, one for each axis: "B H T T"
    forward: str                # equation of the value
    backward: str               # equation of its gradient
    places: tuple[Place, Place]     # where the two are computed
    section: str                # of the articles
    of_targets: bool = False    # exists only with targets

    def source(self, name: str) -> tuple[str, str]:
        """File and line of the value and of its gradient: ("minigpt/nn/attention.py:27", "minigpt/nn/attention.py:45")."""
        forward, backward = self.places
        last = name.rpartition(".")[2]
        return _line(forward, last), _line(backward, last)


def activations(config: GPTConfig) -> dict[str, Equation]:
    """All activations of a model, in the order of computation: {name: Equation}."""
    table = {
        "wte.out": Equation("B T C", "out = W[ids]", "dout = d h.0.in", EMBEDDING, "A2 §2 嵌入层"),
        "wpe.out": Equation("T C", "out = W[0 … T−1]", "dout = Σ_b d h.0.in", EMBEDDING, "A0 §3.1.2, A1 §2.3 位置编码"),
    }
    for i in range(config.n_layer):
        table |= _block(config, i)
    last = f"h.{config.n_layer - 1}.out"
    if config.pre_norm:
        table |= _norm("ln_f", last, "dout = dlogits W", (unembedding_backward, "return "), config.bias)
        last = "ln_f.out"
    objective = "A3 §4.3, A4 §3.1 Σ log P(x_t | x_<t)"
    return table | {
        "logits": Equation("B T V", f"logits = {last} Wᵀ", "dlogits = (probs − onehot(target))/n, 0 where ignored",
                           ((unembedding_forward, "return "), cross_entropy_backward), "A2 §2 输出层"),
        "logp": Equation("B T V", "logp = log softmax(logits)", "dlogp = −onehot(target)/n, 0 where ignored", LOSS, objective),
        "probs": Equation("B T V", "probs = exp(logp) = softmax(logits)", "dprobs = −onehot(target)/(n probs), 0 where ignored",
                          ((cross_entropy_forward, '"logp"'), (cross_entropy_backward, 'record_grad("logp"')), "A2 §2 输出层"),
        "nll": Equation("B T", "nll = −logp[target], 0 where ignored", "dnll = 1/n", LOSS, objective, True),
        "loss": Equation("", "loss = 1/n Σ nll, n targets count", "dloss = 1",
                         ((cross_entropy_forward, "return "), (cross_entropy_backward, "dnll = ")), objective, True),
    }


def _block(config: GPTConfig, i: int) -> dict[str, Equation]:
    """The rows of block i"""
    h = f"h.{i}"
    before = f"h.{i - 1}.out" if i else "wte.out + wpe.out"
    attn = {f"{h}.attn.{name}": row for name, row in _attn(config, i).items()}
    mlp = {f"{h}.mlp.{name}": row for name, row in _mlp(config, i).items()}
    from_attn, from_mlp = "[dq dk dv] Wᵀ, W of c_attn", "d mlp.pre Wᵀ"
    stream = "A3 §4.2 残差连接"
    if config.pre_norm:
        after = f"d h.{i + 1}.in" if i + 1 < config.n_layer else _through("", "ln_f")
        return {
            f"{h}.in": Equation("B T C", f"in = {before}", f"din = {_through('dmid', 'ln_1')}", BLOCK, stream),
            **_norm(f"{h}.ln_1", "in", f"dout = {from_attn}", (multihead_backward, '"c_attn"'), config.bias), **attn,
            f"{h}.mid": Equation("B T C", "mid = in + attn.out", f"dmid = {_through('dout', 'ln_2')}", BLOCK, stream),
            **_norm(f"{h}.ln_2", "mid", f"dout = {from_mlp}", (mlp_backward, '"c_fc"'), config.bias), **mlp,
            f"{h}.out": Equation("B T C", "out = mid + mlp.out", f"dout = {after}", BLOCK, stream),
        }
    after = f"d h.{i + 1}.in" if i + 1 < config.n_layer else "dlogits W"
    din, dmid = ((block_backward, f'record_grad("{name}", residual_backward(d, ') for name in ("in", "mid"))
    mid, out = ((block_forward, f'record("{name}", layernorm_forward') for name in ("mid", "out"))
    dout = block_backward, 'record_grad("out"'
    return {
        f"{h}.in": Equation("B T C", f"in = {before}", f"din = {_through('', 'ln_1')} + {from_attn}", (block_forward, din),
                            stream),
        **attn, **_norm(f"{h}.ln_1", "(in + attn.out)", "dout = dmid", dmid, config.bias),
        f"{h}.mid": Equation("B T C", "mid = ln_1.out", f"dmid = {_through('', 'ln_2')} + {from_mlp}", (mid, dmid), stream),
        **mlp, **_norm(f"{h}.ln_2", "(mid + mlp.out)", f"dout = d h.{i}.out", dout, config.bias),
        f"{h}.out": Equation("B T C", "out = ln_2.out", f"dout = {after}", (out, dout), stream),
    }


def _attn(config: GPTConfig, i: int) -> dict[str, Equation]:
    """The rows of block i's attention"""
    window = config.window(i)
    x, b = "ln_1.out" if config.pre_norm else "in", " + b" if config.bias else ""
    hidden = "key > query" if window is None else f"key > query or key ≤ query − {window}"
    mask = f", −∞ where {hidden}" if config.causal else ""
    section = "A0 §3.1.1, A3 §4.1, A4 §4.1 自注意力"
    divisors = ["√D"] * config.scale_attn_weights + [str(i + 1)] * (config.scale_attn_by_inverse_layer_idx and i > 0)
    over = "/" + divisors[0] if len(divisors) == 1 else f"/({' · '.join(divisors)})" if divisors else ""
    return {
        "q": Equation("B H T D", f"q = {x} W_q{b}", f"dq = dscores k{over}", HEADS, section),
        "k": Equation("B H T D", f"k = {x} W_k{b}", f"dk = dscoresᵀ q{over}", HEADS, section),
        "v": Equation("B H T D", f"v = {x} W_v{b}", "dv = attᵀ do", HEADS, section),
        "scores": Equation("B H T T", f"scores = q kᵀ{over}{mask}", "dscores = att ⊙ (datt − Σ_j datt ⊙ att)", ATTENTION,
                           section),
        "att": Equation("B H T T", "att = softmax(scores)", "datt = do vᵀ", ATTENTION, section),
        "o": Equation("B H T D", "o = att v", "do = dout Wᵀ, in heads",
                      (attention_forward, (multihead_backward, "do = ")), section),
        "out": Equation("B T C", f"out = [o_1 … o_H] W{b}", "dout = dmid" if config.pre_norm else _through("", "ln_1"),
                        MULTIHEAD, "A0 §3.1.3, A1 §3.1 多头注意力"),
    }


def _mlp(config: GPTConfig, i: int) -> dict[str, Equation]:
    """The rows of block i's MLP"""
    function = ACTIVATIONS[config.activation_function]
    section, f = function.section, re.sub(r"(?<![a-z])x(?![a-z])", "pre", function.equation)
    forward, backward = ((half, "return ") for half in (function.forward, function.backward))
    m, b = "ln_2.out" if config.pre_norm else "mid", " + b" if config.bias else ""
    wide = f"B T {'4C' if config.n_inner is None else 'n_inner'}"
    return {
        "pre": Equation(wide, f"pre = {m} W{b}", "dpre = f′(pre) ⊙ dact", (mlp_forward, backward), section),
        "act": Equation(wide, f"act = f(pre) = {f}", "dact = dout Wᵀ", (forward, mlp_backward), section),
        "out": Equation("B T C", f"out = act W{b}", f"dout = d h.{i}.out" if config.pre_norm else _through("", "ln_2"),
                        MLP, section),
    }


def parameters(config: GPTConfig) -> dict[str, Equation]:
    """All parameters of a model, by GPT-2's names, in the order of activations(): {name: Equation}."""
    wide = "4C" if config.n_inner is None else "n_inner"
    tied = config.tie_word_embeddings
    last = "ln_f.out" if config.pre_norm else f"h.{config.n_layer - 1}.out"
    x, m = ("ln_1.out", "ln_2.out") if config.pre_norm else ("in", "mid")
    lookup, head = "Σ d wte.out over the positions with this id", f"dlogitsᵀ {last}"
    table = {
        "wte.weight": Equation("V C", "wte.out = W[ids]" + (f", logits = {last} Wᵀ" if tied else ""),
                               f"dW = {lookup}" + (f" + {head}" if tied else ""), EMBEDDING, "A2 §2 嵌入层"),
        "wpe.weight": Equation("n_positions C", "wpe.out = W[0 … T−1]", "dW = d wpe.out in the first T rows, 0 below",
                               EMBEDDING, "A0 §3.1.2, A1 §2.3 位置编码"),
    }
    heads, ffn = "A0 §3.1.3, A1 §3.1 多头注意力", "A1 §3.1 FFN"
    for i in range(config.n_layer):
        h = f"h.{i}"
        table |= _norm_parameters(f"{h}.ln_1", config.bias)
        table |= _linear_parameters(f"{h}.attn.c_attn", "C 3C", x, "[q k v]", heads, config.bias)
        table |= _linear_parameters(f"{h}.attn.c_proj", "C C", "[o_1 … o_H]", "out", heads, config.bias)
        table |= _norm_parameters(f"{h}.ln_2", config.bias)
        table |= _linear_parameters(f"{h}.mlp.c_fc", f"C {wide}", m, "pre", ffn, config.bias)
        table |= _linear_parameters(f"{h}.mlp.c_proj", f"{wide} C", "act", "out", ffn, config.bias)
    if config.pre_norm:
        table |= _norm_parameters("ln_f", config.bias)
    if not tied:
        table["lm_head.weight"] = Equation("V C", f"logits = {last} Wᵀ", f"dW = {head}", UNEMBEDDING, "A2 §2 输出层")
    return table


def _norm(name: str, x: str, backward: str, place: Place, bias: bool) -> dict[str, Equation]:
    norm, b = "A1 §3.1, A3 §4.2 Layer Normalization", " + b" if bias else ""
    return {
        f"{name}.mean": Equation("B T 1", f"μ = mean({x})", "dμ = −r Σ dx̂", LAYERNORM, norm),
        f"{name}.rstd": Equation("B T 1", f"r = 1/√(mean(({x} − μ)²) + ε)", f"dr = Σ dx̂ ⊙ ({x} − μ)", LAYERNORM, norm),
        f"{name}.xhat": Equation("B T C", f"x̂ = ({x} − μ) r", "dx̂ = w ⊙ dout", LAYERNORM, norm),
        f"{name}.out": Equation("B T C", f"out = w ⊙ x̂{b}", backward, (layernorm_forward, place), norm),
    }


def _through(straight: str, norm: str) -> str:
    """The gradient at a point of the residual stream: the direct term, and the terms that come through a norm"""
    terms = f"r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)) of {norm}"
    return f"{straight} + {terms}" if straight else terms


def _norm_parameters(name: str, bias: bool) -> dict[str, Equation]:
    norm = "A1 §3.1, A3 §4.2 Layer Normalization"
    out = "out = w ⊙ x̂" + (" + b" if bias else "")
    weight = Equation("C", out, "dw = Σ dout ⊙ x̂", LAYERNORM, norm)
    if not bias:
        return {f"{name}.weight": weight}
    return {f"{name}.weight": weight, f"{name}.bias": Equation("C", out, "db = Σ dout", LAYERNORM, norm)}


def _linear_parameters(name: str, axes: str, x: str, y: str, section: str, bias: bool) -> dict[str, Equation]:
    d = "[dq dk dv]" if y == "[q k v]" else f"d{y}"
    weight = Equation(axes, f"{y} = {x} W" + (" + b" if bias else ""), f"dW = {x}ᵀ {d}", LINEAR, section)
    if not bias:
        return {f"{name}.weight": weight}
    return {f"{name}.weight": weight, f"{name}.bias": Equation(axes.split()[1], weight.forward, f"db = Σ {d}", LINEAR, section)}


@cache     # reading a source file is slow, and all blocks share their lines
def _line(place: Place, name: str) -> str:
    """The line that records a name, uses a parameter or sets a variable: "minigpt/nn/mlp.py:18" """
    function, marks = place if isinstance(place, tuple) else (place, "")
    own = inspect.unwrap(function)
    file = Path(own.__code__.co_filename)
    if file.parent != NN:                   # an activation function from elsewhere, perhaps typed in, of any form
        return f"{file}:{own.__code__.co_firstlineno}"
    lines, start = inspect.getsourcelines(function)
    patterns = [re.escape(marks)] if marks else [rf'(record|record_grad|add|add_\w+)\("{name}"', rf'params\["{name}"\]',
                                                 rf'params\.get\("{name}"', rf"^ +(\w, )*{name}(, \w)* = "]
    code = max(i for i, line in enumerate(lines) if '"""' in line) + 1        # below the docstring
    for pattern in patterns:
        for i, line in enumerate(lines[code:], code):
            if re.search(pattern, line):
                return f"minigpt/nn/{file.name}:{start + i}"
    raise LookupError(f"{function.__name__}: no line for {name}")


ATTENTION = attention_forward, attention_backward
HEADS = multihead_forward, attention_backward
BLOCK = block_forward, block_backward
EMBEDDING = embedding_forward, embedding_backward
LAYERNORM = layernorm_forward, layernorm_backward
LINEAR = linear_forward, linear_backward
LOSS = cross_entropy_forward, cross_entropy_backward
MLP = mlp_forward, mlp_backward
MULTIHEAD = multihead_forward, multihead_backward
UNEMBEDDING = unembedding_forward, unembedding_backward
