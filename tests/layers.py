"""Every layer with what to call it with: a forward and its backward on random arrays, for tests that go through all of them."""

from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from minigpt import nn
from minigpt.generation.kv_cache import KVCache, MemoryCache
from minigpt.nn import Gradients, Pass, Scope, Store
from minigpt.nn.activations import ACTIVATIONS
from minigpt.nn.cross_entropy import IGNORED
from minigpt.nn.fast.attention import QUERIES
from minigpt.nn.fast.cross_entropy import COLUMNS
from minigpt.nn.fast.embedding import ONE_HOT_ROWS
from minigpt.nn.fast.gradients import FastGradients
from minigpt.nn.fast.ops import CHUNK

KEY = (5, 3)         # every case has a dropout key; nothing drops where p is 0


@dataclass
class Case:
    """A forward and a backward, what to call them with, and the parameters; a tuple is the shape of an array to be drawn."""

    name: str
    forward: Any
    backward: Any
    inputs: dict
    params: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)


LAYOUTS = {
    "C": partial(np.array, order="C"),
    "Fortran": np.asfortranarray,
    "transposed": lambda x: x if x.ndim < 2 else x.swapaxes(0, 1).copy().swapaxes(0, 1),        # as heads lie in memory
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
}


def scope(params, fast, frozen=(), given=None, **run):
    """A scope in either storey over arrays of parameters; `given` are arrays for gradients to go into"""
    grads = FastGradients if fast else Gradients
    return Scope(Store(params), grads(given, frozen), run=Pass(fast=fast, dropout_key=KEY, **run))


def arrays(case, dtype=np.float64, layout=LAYOUTS["C"], seed=1):
    """A case's parameters, inputs and options, drawn: the same numbers in float32 and float64"""
    rng = np.random.default_rng(seed)

    def draw(value):
        if isinstance(value, tuple):
            value = rng.standard_normal(value, np.float32)
        if not isinstance(value, np.ndarray):
            return value
        return layout(value.astype(dtype) if value.dtype.kind == "f" else value)

    return tuple({name: draw(value) for name, value in values.items()} for values in (case.params, case.inputs, case.options))


def use(case, s, inputs, options, dtype=np.float64, layout=LAYOUTS["C"]):
    """One forward and backward: {"y": …, "dx": …}, copies"""
    y = case.forward(*inputs.values(), s, **options)
    result = {"y": np.array(y)}
    if case.backward is not None:
        dy = np.random.default_rng(2).standard_normal(np.shape(y), np.float32).astype(dtype)
        dinputs = case.backward(layout(dy) if dy.ndim else float(dy), s)
        dinputs = dinputs if isinstance(dinputs, tuple) else () if dinputs is None else (dinputs,)
        names = [f"d{name}" for name, x in inputs.items() if x.dtype.kind == "f"]
        result.update(zip(names, map(np.array, dinputs), strict=True))
    return result


def run(case, fast, dtype=np.float64, layout=LAYOUTS["C"], frozen=(), **options):
    """Output, input gradients and parameter gradients of a case by name"""
    params, inputs, arguments = arrays(case, dtype, layout)
    s = scope(params, fast, frozen, **options)
    return {**use(case, s, inputs, arguments, dtype, layout), **s.grads}


def linear_params(n_in, n_out, name="", bias=True, rank=None):
    params: dict = {"weight": (n_in, n_out)}
    if bias:
        params["bias"] = (n_out,)
    if rank:
        params |= {"lora_A": (n_in, rank), "lora_B": (rank, n_out), "lora_scale": (1,)}
    return {name + key: shape for key, shape in params.items()}


def norm_params(C, name="", bias=True):
    return {name + "weight": (C,)} | ({name + "bias": (C,)} if bias else {})


def padding(B, S):
    """(B, S) booleans: the first sequence wholly masked, the second padded at the left, the others with holes"""
    mask = np.random.default_rng(3).random((B, S)) < 0.7
    mask[0], mask[1] = False, np.arange(S) >= S // 3
    return mask


def some_targets(V, *shape):
    """Targets of which about a quarter are ignored; the first two are the last token and the last of a piece"""
    rng = np.random.default_rng(4)
    targets = np.where(rng.random(shape) < 0.25, IGNORED, rng.integers(0, V, shape))
    targets.flat[:2] = V - 1, min(COLUMNS, V) - 1
    return targets


# The leaves: everything that has a twin


def lora(x, s):
    s.acts["x"] = x                 # as the linear layer around it does
    return nn.lora_forward(x, s)


def merge(*parts_and_scope):
    *parts, s = parts_and_scope
    return nn.merge_heads(parts, s)


def linear_cases():
    forward, backward = nn.linear_forward, nn.linear_backward
    yield Case("linear", forward, backward, {"x": (7, 5)}, linear_params(5, 3))
    yield Case("linear of 3 axes", forward, backward, {"x": (2, 3, 5)}, linear_params(5, 9))
    yield Case("linear without bias", forward, backward, {"x": (2, 3, 5)}, linear_params(5, 3, bias=False))
    yield Case("linear with LoRA", forward, backward, {"x": (2, 3, 5)}, linear_params(5, 3, rank=2))
    yield Case("linear with LoRA without bias", forward, backward, {"x": (7, 5)}, linear_params(5, 6, rank=1, bias=False))
    yield Case("lora", lora, nn.lora_backward, {"x": (2, 3, 5)}, linear_params(5, 4, rank=2))


def embedding_cases():
    rng = np.random.default_rng(5)
    for V in (6, ONE_HOT_ROWS, ONE_HOT_ROWS + 1):
        ids = rng.integers(0, V, (3, 5))
        ids[:, ::2] = V - 1         # some rows often, most never
        yield Case(f"embedding of {V}", nn.embedding_forward, nn.embedding_backward, {"ids": ids}, {"weight": (V, 3)})
    positions = {"ids": np.arange(7)}
    yield Case("embedding of positions", nn.embedding_forward, nn.embedding_backward, positions, {"weight": (9, 2)})
    yield Case("unembedding", nn.unembedding_forward, nn.unembedding_backward, {"h": (2, 5, 3)}, {"weight": (7, 3)})
    yield Case("unembedding to few", nn.unembedding_forward, nn.unembedding_backward, {"h": (4, 5)}, {"weight": (2, 5)})


def elementwise_cases():
    for name, function in ACTIVATIONS.items():
        for size, shape in ("small", (2, 3, 5)), ("two chunks", (3, CHUNK // 3 + 7)):
            yield Case(f"{name}, {size}", function.forward, function.backward, {"x": shape})
    yield Case("relu at its kink", nn.relu_forward, nn.relu_backward, {"x": np.array([0.0, -0.0, 1e-30, -1e-30])})
    for p in (0.0, 0.3):
        for shape in ((5,), (2, 3, 5), (3, CHUNK // 3 + 7)):
            yield Case(f"dropout {p} of {shape}", nn.dropout_forward, nn.dropout_backward, {"x": shape}, options={"p": p})
    yield Case("residual", nn.residual_forward, None, {"x": (2, 3, 5), "branch": (2, 3, 5)})
    yield Case("residual of the last", nn.residual_forward, None, {"x": (2, 4, 5), "branch": (2, 1, 5)})
    yield Case("residual backwards", nn.residual_backward, None, {"dy": (2, 3, 5), "dbranch": (2, 3, 5)})
    for parts in (1, 2, 3):
        yield Case(f"{parts} × heads", merge, None, {f"part {i}": (2, 3, 5, 4) for i in range(parts)})
    for shape, options in ((7, 5), {}), ((2, 3, 5), {}), ((2, 3, 12), {"eps": 0.5}):
        for bias in (True, False):
            name = f"layernorm of {shape}, {'bias' if bias else 'no bias'}"
            C = shape[-1]
            yield Case(name, nn.layernorm_forward, nn.layernorm_backward, {"x": shape}, norm_params(C, bias=bias), options)


def cross_entropy_cases():
    forward, backward = nn.cross_entropy_forward, nn.cross_entropy_backward
    for V in (2, 7, COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 13):
        yield Case(f"cross-entropy of {V}", forward, backward, {"logits": (3, 4, V), "targets": some_targets(V, 3, 4)})
    few = {"logits": (5, 7), "targets": some_targets(7, 5)}
    yield Case("cross-entropy, a part of 9", forward, backward, few, options={"count": 9})
    yield Case("cross-entropy, all ignored", forward, backward, {"logits": (2, 7), "targets": np.full(2, IGNORED)})


MASKS = {
    "causal": {},
    "bidirectional": {"causal": False},
    "causal window of 3": {"window": 3},
    "two-sided window of 3": {"causal": False, "window": 3},
    "window of one": {"window": 1},
    "window beyond a tile": {"window": QUERIES + 1},
    "two-sided window beyond a tile": {"causal": False, "window": QUERIES + 1},
    "window wider than the sequence": {"window": 1000},
}


def attention_case(B, T, S, mask, padded=False, dropout=0.0):
    D, options = 5, {"dropout": dropout, **MASKS[mask]}
    if padded:
        options["key_padding_mask"] = padding(B, S)
    inputs = {"q": (B, 2, T, D), "k": (B, 2, S, D), "v": (B, 2, S, D)}
    name = f"attention {T} × {S}, {mask}{', padding' * padded}{', dropout' * (dropout > 0)}"
    return Case(name, nn.attention_forward, nn.attention_backward, inputs, options=options)


def attention_cases():
    """A few that go through all that is claimed of every layer; test_twins.py takes every mask at every length"""
    for mask in MASKS:
        yield attention_case(2, 7, 7, mask)
        yield attention_case(3, 9, 7, mask, padded=True, dropout=0.3)
    yield attention_case(3, 70, 131, "two-sided window beyond a tile", padded=True, dropout=0.3)
    scaled = attention_case(3, 9, 7, "causal", padded=True, dropout=0.3)
    yield replace(scaled, name="attention with a scale", options={**scaled.options, "scale": 1.7})
    for B, shape in ("a sequence", (5, 3)), ("heads without a batch", (2, 5, 3)):
        inputs = dict.fromkeys("qkv", shape)
        yield Case(f"attention of {B}", nn.attention_forward, nn.attention_backward, inputs, options={"dropout": 0.3})


LEAVES = [*linear_cases(), *embedding_cases(), *elementwise_cases(), *cross_entropy_cases(), *attention_cases()]


# The composites, which are written once and run over either storey


C, F, H = 6, 10, 2


def multihead_params(bias=True, rank=None):
    return linear_params(C, 3 * C, "c_attn.", bias, rank) | linear_params(C, C, "c_proj.", bias, rank)


def cross_params():
    return linear_params(C, C, "q_attn.") | linear_params(C, 2 * C, "c_attn.") | linear_params(C, C, "c_proj.")


def mlp_params(bias=True, rank=None):
    return linear_params(C, F, "c_fc.", bias, rank) | linear_params(F, C, "c_proj.", bias, rank)


def block_params(bias=True, rank=None):
    params = norm_params(C, "ln_1.", bias) | norm_params(C, "ln_2.", bias)
    params |= {f"attn.{name}": shape for name, shape in multihead_params(bias, rank).items()}
    return params | {f"mlp.{name}": shape for name, shape in mlp_params(bias, rank).items()}


def decoder_params():
    return block_params() | norm_params(C, "ln_cross.") | {f"cross.{name}": shape for name, shape in cross_params().items()}


def in_parts(layer, x, s, padded=None, **options):
    """A layer over 3 positions of x, the next one, and the rest, with those before in a cache -> all outputs in succession"""
    cache = KVCache(SimpleNamespace(n_layer=1, n_head=H, n_embd=C), len(x), x.shape[1], x.dtype, padded)
    outputs = []
    for piece in np.split(x, (3, 4), axis=1):
        (chunk,) = cache.chunks(piece.shape[1], piece.shape[1])
        with chunk:
            if chunk.key_padding_mask is not None:
                options["key_padding_mask"] = chunk.key_padding_mask
            outputs.append(np.array(layer(piece, s, H, cache=chunk.layers[0], **options)))
        cache.advance(piece.shape[1])
    return np.concatenate(outputs, axis=1)


def multihead_in_parts(x, s, **options):
    return in_parts(nn.multihead_forward, x, s, **options)


def block_in_parts(x, s, **options):
    return in_parts(nn.block_forward, x, s, **options)


def decoder_in_parts(x, memory, s):
    """With keys and values of memory that are made once"""
    kept = MemoryCache()
    return in_parts(lambda x, *rest, cache: nn.decoder_block_forward(x, memory, *rest, cache=cache, memory_cache=kept), x, s)


def cross_attention_in_parts(x, memory, s):
    kept = MemoryCache()
    return in_parts(lambda x, *rest, cache: nn.cross_attention_forward(x, memory, *rest, cache=kept), x, s)


def composite_cases():
    attend, attend_back = nn.multihead_forward, nn.multihead_backward
    for T in (1, 5, 70):
        for name, mask in MASKS.items():
            options = {"n_head": H, "dropout": 0.3, "key_padding_mask": padding(3, T), **mask}
            yield Case(f"multihead {T}, {name}", attend, attend_back, {"x": (3, T, C)}, multihead_params(), options)
    plain = {"n_head": 3}
    yield Case("multihead", attend, attend_back, {"x": (2, 5, C)}, multihead_params(), plain)
    yield Case("multihead without bias", attend, attend_back, {"x": (2, 5, C)}, multihead_params(bias=False), plain)
    yield Case("multihead with LoRA", attend, attend_back, {"x": (2, 5, C)}, multihead_params(rank=2), plain)
    yield Case("multihead, the last two", attend, None, {"x": (2, 5, C)}, multihead_params(), {"n_head": H, "last": 2})
    for name, options in {"alone": {}, "padding": {"padded": [0, 2]}, "last": {"last": 1}, "window": {"window": 2}}.items():
        yield Case(f"multihead with a cache, {name}", multihead_in_parts, None, {"x": (2, 9, C)}, multihead_params(), options)
    across = {"x": (3, 5, C), "memory": (3, 7, C)}
    cross, cross_back = nn.cross_attention_forward, nn.cross_attention_backward
    yield Case("cross-attention", cross, cross_back, across, cross_params(), {"n_head": H})
    yield Case("cross-attention, padding, dropout", cross, cross_back, across, cross_params(),
               {"n_head": 3, "dropout": 0.3, "key_padding_mask": padding(3, 7)})
    yield Case("cross-attention with a cache", cross_attention_in_parts, None, across, cross_params())
    for name in ACTIVATIONS:
        yield Case(f"mlp, {name}", nn.mlp_forward, nn.mlp_backward, {"x": (2, 3, C)}, mlp_params(), {"activation": name})
    yield Case("mlp with LoRA", nn.mlp_forward, nn.mlp_backward, {"x": (4, C)}, mlp_params(bias=False, rank=2))
    drops = {"attn_dropout": 0.3, "resid_dropout": 0.2}
    for name, options in {
        "pre-norm": {},
        "post-norm": {"pre_norm": False, "activation": "relu"},
        "a window": {"window": 2, "eps": 0.3},
        "bidirectional": {"causal": False, "activation": "gelu"},
        "padding, dropout": {"key_padding_mask": padding(3, 5), **drops},
        "a scale": {"attn_scale": 0.2, "activation": "tanh"},
        "post-norm, padding, dropout": {"key_padding_mask": padding(3, 5), "pre_norm": False, **drops},
    }.items():
        yield Case(f"block, {name}", nn.block_forward, nn.block_backward, {"x": (3, 5, C)}, block_params(),
                   {"n_head": H, **options})
    yield Case("block with LoRA without bias", nn.block_forward, nn.block_backward, {"x": (2, 5, C)},
               block_params(bias=False, rank=1), {"n_head": H, **drops})
    yield Case("block with a cache", block_in_parts, None, {"x": (2, 9, C)}, block_params(),
               {"padded": [1, 0], "last": 1, "attn_scale": 0.2})
    memory = {"x": (3, 5, C), "memory": (3, 4, C)}
    yield Case("decoder block", nn.decoder_block_forward, nn.decoder_block_backward, memory, decoder_params(), {"n_head": H})
    yield Case("decoder block, padding, dropout", nn.decoder_block_forward, nn.decoder_block_backward, memory,
               decoder_params(), {"n_head": H, "activation": "gelu_new", "key_padding_mask": padding(3, 4), **drops})
    yield Case("decoder block with caches", decoder_in_parts, None, memory, decoder_params())


CASES = [*LEAVES, *composite_cases()]
