"""GPT-2 of 124M random weights, the same in minigpt, transformers and TransformerLens, filled in place: no file, no copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt import GPT, GPTConfig
from minigpt.system.threads import cpu_count

from .training import weights

CONFIG = GPTConfig.preset("gpt2", embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)


def minigpt_model() -> GPT:
    """Make minigpt's."""
    model = GPT(CONFIG, seed=None)
    for name, array in model.params.items():
        array[...] = weights(name, array.shape)
    return model


def transformers_model(kind: str = "GPT2LMHeadModel", **settings: Any) -> Any:
    """Make one of transformers' GPT-2s with these weights; a head of its own stays at transformers' random start."""
    import torch
    import transformers

    torch.set_num_threads(cpu_count())
    torch.manual_seed(0)
    transformers.utils.logging.set_verbosity_error()
    config = transformers.GPT2Config(
        n_embd=CONFIG.n_embd, n_layer=CONFIG.n_layer, n_head=CONFIG.n_head,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0, use_cache=False, **settings,
    )
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for name, parameter in model.transformer.named_parameters():
            parameter.copy_(torch.from_numpy(weights(name, tuple(parameter.shape))))
    return model


def transformer_lens_model() -> Any:
    """Make a HookedTransformer: query, key and value apart, a matrix for each head, the output table not the input's."""
    import torch
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.set_num_threads(cpu_count())
    C, H, D = CONFIG.n_embd, CONFIG.n_head, CONFIG.n_embd // CONFIG.n_head
    model = HookedTransformer(HookedTransformerConfig(
        n_layers=CONFIG.n_layer, d_model=C, n_ctx=CONFIG.n_positions, d_head=D, n_heads=H, d_mlp=4 * C,
        d_vocab=CONFIG.vocab_size, act_fn="gelu_new", normalization_type="LN", init_weights=False, device="cpu",
    ))

    def fill(parameter: Any, array: np.ndarray) -> None:
        parameter.copy_(torch.from_numpy(array.copy()))

    with torch.no_grad():
        wte = weights("wte.weight", (CONFIG.vocab_size, C))
        fill(model.embed.W_E, wte)
        fill(model.unembed.W_U, wte.T)
        model.unembed.b_U.zero_()
        fill(model.pos_embed.W_pos, weights("wpe.weight", (CONFIG.n_positions, C)))
        for i, block in enumerate(model.blocks):
            at, attn, mlp = f"h.{i}", block.attn, block.mlp
            c_attn = weights(f"{at}.attn.c_attn.weight", (C, 3 * C))
            for kind, array in zip("QKV", np.split(c_attn, 3, axis=1), strict=True):
                fill(getattr(attn, f"W_{kind}"), array.reshape(C, H, D).transpose(1, 0, 2))
                getattr(attn, f"b_{kind}").zero_()          # as weights() makes all biases
            fill(attn.W_O, weights(f"{at}.attn.c_proj.weight", (C, C)).reshape(H, D, C))
            fill(mlp.W_in, weights(f"{at}.mlp.c_fc.weight", (C, 4 * C)))
            fill(mlp.W_out, weights(f"{at}.mlp.c_proj.weight", (4 * C, C)))
            for bias in (attn.b_O, mlp.b_in, mlp.b_out):
                bias.zero_()
        for norm in (model.ln_final, *(norm for block in model.blocks for norm in (block.ln1, block.ln2))):
            norm.w.fill_(1)
            norm.b.zero_()
    return model
