"""The Transformer's blocks: attention and MLP, each with layer norm, dropout and a residual connection.

block_forward is GPT's block, and the encoder's of 2017; decoder_block_forward is the decoder's, which also attends to what
the encoder has read.
"""

from .attention import cross_attention_backward, cross_attention_forward, multihead_backward, multihead_forward
from .dropout import dropout_backward, dropout_forward
from .layernorm import layernorm_backward, layernorm_forward
from .mlp import mlp_backward, mlp_forward


def block_forward(x, s, n_head, *, activation="gelu_new", eps=1e-5, pre_norm=True, causal=True, window=None, keep=None,
                  attn_dropout=0.0, resid_dropout=0.0, cache=None, last=None):
    r"""Let the positions talk to each other, then let each think alone; both add to the residual stream.

        pre-norm  (GPT-2)        m = x + attn(ln_1(x)),    y = m + mlp(ln_2(m))
        post-norm (2017, GPT-1)  m = ln_1(x + attn(x)),    y = ln_2(m + mlp(m))

    x (B, T, C) -> y (B, T, C).  The branches attn and mlp end in dropout.  With a cache, `last` asks for the last positions
    alone, y (B, last, C).  In study mode leaves the stream's three points in (x), mid (m) and out (y) in s.acts.
    Radford et al. 2019 §2.3; article A3 §4.2.
    """
    s.saved["pre_norm"] = pre_norm
    s.leave("in", x)

    def attn(h):
        a = multihead_forward(h, s.at("attn"), n_head, causal=causal, window=window, keep=keep, dropout=attn_dropout,
                              cache=cache, last=last)
        return dropout_forward(a, s.at("attn.dropout"), resid_dropout)

    def mlp(h):
        return dropout_forward(mlp_forward(h, s.at("mlp"), activation), s.at("mlp.dropout"), resid_dropout)

    if pre_norm:
        mid = s.leave("mid", _add(x, attn(layernorm_forward(x, s.at("ln_1"), eps)), s, "mid"))
        return s.leave("out", _add(mid, mlp(layernorm_forward(mid, s.at("ln_2"), eps)), s, "y"))
    mid = s.leave("mid", layernorm_forward(_add(x, attn(x), s, "sum_1"), s.at("ln_1"), eps))
    return s.leave("out", layernorm_forward(_add(mid, mlp(mid), s, "sum_2"), s.at("ln_2"), eps))


def block_backward(dy, s):
    r"""pre-norm   dm = dy + ln_2ᵇ(mlpᵇ(dy)),             dx = dm + ln_1ᵇ(attnᵇ(dm))
    post-norm  d = ln_2ᵇ(dy), dm = d + mlpᵇ(d);       d = ln_1ᵇ(dm), dx = d + attnᵇ(d)

    dy (B, T, C) -> dx (B, T, C).  fᵇ is the backward of f.  In the forward two paths were added, so now both get dy.
    """

    def attn_backward(d):
        return multihead_backward(dropout_backward(d, s.at("attn.dropout")), s.at("attn"))

    def mlp_branch_backward(d):
        return mlp_backward(dropout_backward(d, s.at("mlp.dropout")), s.at("mlp"))

    s.leave_grad("out", dy)
    if s.saved["pre_norm"]:
        dmid = s.leave_grad("mid", _add_grad(dy, layernorm_backward(mlp_branch_backward(dy), s.at("ln_2")), s, "mid"))
        return s.leave_grad("in", _add_grad(dmid, layernorm_backward(attn_backward(dmid), s.at("ln_1")), s, "x"))
    d = layernorm_backward(dy, s.at("ln_2"))
    dmid = s.leave_grad("mid", _add_grad(d, mlp_branch_backward(d), s, "mid"))
    d = layernorm_backward(dmid, s.at("ln_1"))
    return s.leave_grad("in", _add_grad(d, attn_backward(d), s, "x"))


def decoder_block_forward(x, memory, s, n_head, *, activation="relu", eps=1e-5, keep=None, attn_dropout=0.0, resid_dropout=0.0,
                          cache=None, memory_cache=None):
    r"""Attend to the target so far, then to the source, then let each position think alone; the Transformer's of 2017.

        m = ln_1(x + attn(x)),   c = ln_cross(m + cross(m, memory)),   y = ln_2(c + mlp(c))

    x (B, T, C), memory (B, S, C) -> y (B, T, C).  attn is causal; cross sees the positions of memory that `keep` (B, S) keeps.
    The branches end in dropout.  The caches are those of attn and cross.  In study mode leaves the stream's four points
    in (x), mid (m), crossed (c) and out (y) in s.acts.
    Vaswani et al. 2017 §3.1, figure 1; articles A1 §3.1, A3 §4.2.
    """
    s.leave("in", x)
    a = multihead_forward(x, s.at("attn"), n_head, dropout=attn_dropout, cache=cache)
    a = dropout_forward(a, s.at("attn.dropout"), resid_dropout)
    mid = s.leave("mid", layernorm_forward(_add(x, a, s, "sum_1"), s.at("ln_1"), eps))
    a = cross_attention_forward(mid, memory, s.at("cross"), n_head, keep=keep, dropout=attn_dropout, cache=memory_cache)
    a = dropout_forward(a, s.at("cross.dropout"), resid_dropout)
    crossed = s.leave("crossed", layernorm_forward(_add(mid, a, s, "sum_cross"), s.at("ln_cross"), eps))
    m = dropout_forward(mlp_forward(crossed, s.at("mlp"), activation), s.at("mlp.dropout"), resid_dropout)
    return s.leave("out", layernorm_forward(_add(crossed, m, s, "sum_2"), s.at("ln_2"), eps))


def decoder_block_backward(dy, s):
    r"""d = ln_2ᵇ(dy),        dc = d + mlpᵇ(d)
    d = ln_crossᵇ(dc),    dm = d + crossᵇ(d)'s first,   dmemory = its second
    d = ln_1ᵇ(dm),        dx = d + attnᵇ(d)

    dy (B, T, C) -> dx (B, T, C), dmemory (B, S, C).  fᵇ is the backward of f.
    """
    d = layernorm_backward(s.leave_grad("out", dy), s.at("ln_2"))
    m = mlp_backward(dropout_backward(d, s.at("mlp.dropout")), s.at("mlp"))
    dcrossed = s.leave_grad("crossed", _add_grad(d, m, s, "crossed"))
    d = layernorm_backward(dcrossed, s.at("ln_cross"))
    a, dmemory = cross_attention_backward(dropout_backward(d, s.at("cross.dropout")), s.at("cross"))
    dmid = s.leave_grad("mid", _add_grad(d, a, s, "mid"))
    d = layernorm_backward(dmid, s.at("ln_1"))
    a = multihead_backward(dropout_backward(d, s.at("attn.dropout")), s.at("attn"))
    return s.leave_grad("in", _add_grad(d, a, s, "x")), dmemory


def _add(x, branch, s, name):
    """x + branch, left where the branch stood: its output is not needed again.  A branch may be of x's last positions alone."""
    y = s.reuse(name, branch)
    y += x[:, -branch.shape[1] :]
    return y


def _add_grad(dy, dbranch, s, name):
    """The gradient of what went two ways, straight on and into a branch: the sum of both ways'"""
    dx = s.reuse_grad(name, dbranch)
    dx += dy
    return dx
