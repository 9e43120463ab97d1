"""The layers as a textbook: pairs of functions over a Scope, the backward under its forward, a line for each equation.

    y = layernorm_forward(x, s);   dx = layernorm_backward(dy, s)

The forward finds its parameters in s.params and leaves in s.acts what its backward needs; the backward adds to s.grads.  Each
layer needs a scope of its own, s.at("fc"), s.at("act"): a second forward replaces what the first one's backward needs.
No layer names a dtype: float32 in, float32 out.

Each layer marked @has_fast_twin has a tuned form in fast/, which runs where the pass asks for speed; there alone a layer may
write over its inputs, and what it returns is a buffer that the next call on the same scope overwrites.
"""

from .activations import (
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    quick_gelu_backward,
    quick_gelu_forward,
    relu_backward,
    relu_forward,
    silu_backward,
    silu_forward,
    tanh_backward,
    tanh_forward,
)
from .attention import attention_backward, attention_forward
from .block import block_backward, block_forward, decoder_block_backward, decoder_block_forward
from .cross_entropy import cross_entropy_backward, cross_entropy_forward
from .dropout import dropout_backward, dropout_forward
from .embedding import embedding_backward, embedding_forward, sinusoidal_positions, unembedding_backward, unembedding_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward
from .lora import lora_backward, lora_forward
from .mask import attention_mask
from .mlp import mlp_backward, mlp_forward
from .multihead import (
    cross_attention_backward,
    cross_attention_forward,
    merge_heads,
    multihead_backward,
    multihead_forward,
    split_heads,
)
from .residual import residual_backward, residual_forward
from .scope import Gradients, Pass, Scope, Store
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "Gradients", "Pass", "Scope", "Store",
    "attention_backward", "attention_forward", "attention_mask", "block_backward", "block_forward", "cross_attention_backward",
    "cross_attention_forward", "cross_entropy_backward", "cross_entropy_forward", "decoder_block_backward",
    "decoder_block_forward", "dropout_backward", "dropout_forward", "embedding_backward", "embedding_forward", "gelu_backward",
    "gelu_forward", "gelu_tanh_backward", "gelu_tanh_forward", "layernorm_backward", "layernorm_forward", "linear_backward",
    "linear_forward", "log_softmax", "log_softmax_backward", "lora_backward", "lora_forward", "merge_heads", "mlp_backward",
    "mlp_forward", "multihead_backward", "multihead_forward", "quick_gelu_backward", "quick_gelu_forward", "relu_backward",
    "relu_forward", "residual_backward", "residual_forward", "silu_backward", "silu_forward", "sinusoidal_positions", "softmax",
    "softmax_backward", "split_heads", "tanh_backward", "tanh_forward", "unembedding_backward", "unembedding_forward",
]
