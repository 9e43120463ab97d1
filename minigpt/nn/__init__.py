"""The layers: pairs of functions over a Scope, the backward under its forward.

    y = layernorm_forward(x, s);   dx = layernorm_backward(dy, s)

The forward finds its parameters in s.params and leaves in s.acts what its backward needs; the backward adds to s.grads.
No layer names a dtype: each takes it from its input. What a layer returns is a buffer of its scope, which the next call
on the same scope overwrites: copy what you want to keep, or take a new Scope.
"""

from .attention import (
    attention_backward,
    attention_forward,
    cross_attention_backward,
    cross_attention_forward,
    multihead_backward,
    multihead_forward,
    split_heads,
)
from .block import block_backward, block_forward, decoder_block_backward, decoder_block_forward
from .dropout import dropout_backward, dropout_forward
from .embedding import (
    embedding_backward,
    embedding_forward,
    sinusoidal_positions,
    unembedding_backward,
    unembedding_forward,
)
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward
from .lora import lora_backward, lora_forward
from .loss import cross_entropy_backward, cross_entropy_forward
from .mlp import (
    activation_backward,
    gelu_forward,
    gelu_new_forward,
    mlp_backward,
    mlp_forward,
    relu_forward,
)
from .scope import Gradients, Pass, Scope, Store

__all__ = [
    "Gradients", "Pass", "Scope", "Store",
    "activation_backward", "attention_backward", "attention_forward", "block_backward", "block_forward",
    "cross_attention_backward", "cross_attention_forward", "cross_entropy_backward", "cross_entropy_forward",
    "decoder_block_backward", "decoder_block_forward", "dropout_backward", "dropout_forward", "embedding_backward",
    "embedding_forward", "gelu_forward", "gelu_new_forward", "layernorm_backward", "layernorm_forward", "linear_backward",
    "linear_forward", "lora_backward", "lora_forward", "mlp_backward", "mlp_forward", "multihead_backward",
    "multihead_forward", "relu_forward", "sinusoidal_positions", "split_heads", "unembedding_backward",
    "unembedding_forward",
]
