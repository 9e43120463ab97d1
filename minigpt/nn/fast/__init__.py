"""The engine: the textbook's layers once more, tuned.

Every function has the name, the arguments and the meaning of the layer in minigpt.nn that it is the twin of, where the
equations are derived; training, evaluation and generation run these.  They work on tiles and chunks that fit the cache and
write to buffers: what a layer returns the next call on the same scope overwrites.  Attention may write over q, an activation
function over x and dy, a residual connection over the branch, cross-entropy over the logits; no other input is touched.
They record nothing.
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
from .cross_entropy import cross_entropy_backward, cross_entropy_forward
from .dropout import dropout_backward, dropout_forward
from .embedding import embedding_backward, embedding_forward, unembedding_backward, unembedding_forward
from .layernorm import layernorm_backward, layernorm_forward
from .linear import linear_backward, linear_forward
from .lora import lora_backward, lora_forward
from .multihead import merge_heads
from .residual import residual_backward, residual_forward

__all__ = [
    "attention_backward", "attention_forward", "cross_entropy_backward", "cross_entropy_forward", "dropout_backward",
    "dropout_forward", "embedding_backward", "embedding_forward", "gelu_backward", "gelu_forward", "gelu_tanh_backward",
    "gelu_tanh_forward", "layernorm_backward", "layernorm_forward", "linear_backward", "linear_forward", "lora_backward",
    "lora_forward", "merge_heads", "quick_gelu_backward", "quick_gelu_forward", "relu_backward", "relu_forward",
    "residual_backward", "residual_forward", "silu_backward", "silu_forward", "tanh_backward", "tanh_forward",
    "unembedding_backward", "unembedding_forward",
]
