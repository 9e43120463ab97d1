"""The Transformer block: attention and MLP, each with layer norm, dropout and a residual connection."""

from .attention import multihead_backward, multihead_forward
from .dropout import dropout_backward, dropout_forward
from .layernorm import layernorm_backward, layernorm_forward
from .mlp import mlp_backward, mlp_forward


def block_forward(x, s, n_head, *, activation="gelu_new", eps=1e-5, pre_norm=True, causal=True, window=None, keep=None,
                  attn_dropout=0.0, resid_dropout=0.0, cache=None):
    r"""Let the positions talk to each other, then let each think alone; both add to the residual stream.

        pre-norm  (GPT-2)        m = x + attn(ln_1(x)),    y = m + mlp(ln_2(m))
        post-norm (2017, GPT-1)  m = ln_1(x + attn(x)),    y = ln_2(m + mlp(m))

    x (B, T, C) -> y (B, T, C).  The branches attn and mlp end in dropout.  In study mode leaves the stream's three points
    in (x), mid (m) and out (y) in s.acts.
    Radford et al. 2019 §2.3; article A3 §4.2.
    """
    s.saved["pre_norm"] = pre_norm
    s.leave("in", x)

    def attn(h):
        a = multihead_forward(h, s.at("attn"), n_head, causal=causal, window=window, keep=keep, dropout=attn_dropout,
                              cache=cache)
        return dropout_forward(a, s.at("attn.dropout"), resid_dropout)

    def mlp(h):
        return dropout_forward(mlp_forward(h, s.at("mlp"), activation), s.at("mlp.dropout"), resid_dropout)

    def add(x, branch, name):
        y = s.reuse(name, branch)       # where the branch stood: its output is not needed again
        y += x
        return y

    if pre_norm:
        mid = s.leave("mid", add(x, attn(layernorm_forward(x, s.at("ln_1"), eps)), "mid"))
        return s.leave("out", add(mid, mlp(layernorm_forward(mid, s.at("ln_2"), eps)), "y"))
    mid = s.leave("mid", layernorm_forward(add(x, attn(x), "sum_1"), s.at("ln_1"), eps))
    return s.leave("out", layernorm_forward(add(mid, mlp(mid), "sum_2"), s.at("ln_2"), eps))


def block_backward(dy, s):
    r"""pre-norm   dm = dy + ln_2ᵇ(mlpᵇ(dy)),             dx = dm + ln_1ᵇ(attnᵇ(dm))
    post-norm  d = ln_2ᵇ(dy), dm = d + mlpᵇ(d);       d = ln_1ᵇ(dm), dx = d + attnᵇ(d)

    dy (B, T, C) -> dx (B, T, C).  fᵇ is the backward of f.  In the forward two paths were added, so now both get dy.
    """

    def attn_backward(d):
        return multihead_backward(dropout_backward(d, s.at("attn.dropout")), s.at("attn"))

    def mlp_branch_backward(d):
        return mlp_backward(dropout_backward(d, s.at("mlp.dropout")), s.at("mlp"))

    def add(dy, dbranch, name):
        dx = s.reuse_grad(name, dbranch)
        dx += dy
        return dx

    s.leave_grad("out", dy)
    if s.saved["pre_norm"]:
        dmid = s.leave_grad("mid", add(dy, layernorm_backward(mlp_branch_backward(dy), s.at("ln_2")), "mid"))
        return s.leave_grad("in", add(dmid, layernorm_backward(attn_backward(dmid), s.at("ln_1")), "x"))
    d = layernorm_backward(dy, s.at("ln_2"))
    dmid = s.leave_grad("mid", add(d, mlp_branch_backward(d), "mid"))
    d = layernorm_backward(dmid, s.at("ln_1"))
    return s.leave_grad("in", add(d, attn_backward(d), "x"))
