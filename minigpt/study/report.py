"""A report: one self-contained HTML page about what a model does with a text.  It opens offline and loads nothing.

    report(model, "To be, or not to be", "report.html", log="out/run/log.csv")

The pictures come from pictures.py; assets/report.html is the page around them, with the style sheet and the only script.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ..colors import BLUE, UNDER_TEXT
from ..inputs import checked_row, require_tokenizer
from ..nn.cross_entropy import IGNORED
from ..system.files import write_atomic
from ..system.text import printable
from ..tokenization.formats import END_OF_TEXT
from ..training.log import read_log, smooth
from .curves import loss_curve
from .equations import parameters
from .logit_lens import lens_points, read_stream
from .pictures import grid, legend, lens_grid, likeliest, number, ranked, surprise

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from ..config import GPTConfig
    from ..models.gpt import GPT
    from .trace import Trace

MAX_ATTENTION_WEIGHTS = 4_000_000       # in one page, a byte each
POINTS = ("in", "attn.q", "attn.k", "attn.v", "attn.out", "mid", "mlp.act", "mlp.out", "out")   # activations in the table
PARTS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")                # groups of parameters in it


@dataclass(frozen=True, repr=False)
class Report:
    """An HTML page; a notebook shows it in a frame."""

    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page.  Raises OSError and leaves an existing file as it was."""
        write_atomic(path, self.html.encode())

    def _repr_html_(self) -> str:
        return (f'<iframe srcdoc="{html.escape(self.html)}" style="width:100%;height:640px;border:1px solid #8884" '
                'title="report"></iframe>')

    def __repr__(self) -> str:
        return f"Report({len(self.html.encode()) / 1000:,.0f} kB of HTML; save(path) writes it)"


def report(
    model: GPT, text: str | ArrayLike, path: str | os.PathLike[str] | None = None, *,
    log: str | os.PathLike[str] | None = None, title: str | None = None,
) -> Report:
    """Show what a model does with a text, on one page: surprise, attention, logit lens, gradients, and a training run's loss.

    text: a str, which the model's tokenizer encodes, or ids (T,); <|endoftext|> is put in front where the tokenizer has it, as
    model.score() does.  path: the file to write.  log: the log.csv of a training run.  -> Report
    Raises ValueError for fewer than two tokens, for more than n_positions, and for more than fit on a page.
    """
    ids, targets = with_targets(model, text)
    _check_size(model.config, ids.shape[1])
    names = ["probs", "h.*.attn.att", *(f"h.*.{point}" for point in POINTS), *parameters(model.config)]
    trace = model.trace(ids, targets, names=names)
    tokenizer, config, labels = model.tokenizer, model.config, trace.labels
    sections = [
        (SURPRISE, _surprise_section(trace, tokenizer)),
        (ATTENTION, '<div id="attention"></div>' + legend(1, "attention weight")),
        (LENS, _lens_section(trace, model)),
        (GRADIENTS, _gradient_section(trace)),
    ]
    if log is not None:
        sections.append((LOSS, _loss_section(log)))
    name = f"{printable(model.name)}: " if model.name else ""
    facts = (f"{name}{config.n_layer} layers, {config.n_head} heads, {config.n_embd} channels, "
             f"vocabulary {config.vocab_size:,} · {len(labels)} tokens, loss {trace.loss:.3f} nats per token, "
             f"perplexity {_perplexity(cast(float, trace.loss))}")
    page = Report(_page(title or "What the model does with this text", facts, sections, _attention_data(trace)))
    if path is not None:
        page.save(path)
    return page


def with_targets(model: GPT, text: str | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Encode a text, or take ids (T,) -> ids and targets (1, T), each target the next id; the last position has no target.

    Raises TypeError, ValueError; also for fewer than two tokens, and more than the model has positions.
    """
    model.config.require_causal("next tokens")
    if isinstance(text, str):
        text = require_tokenizer(model).encode(text)
    row = checked_row(text, model.config.vocab_size, "text")
    start = None if model.tokenizer is None else model.tokenizer.special_tokens.get(END_OF_TEXT)
    if start is not None and row[:1] != [start]:
        row = [start, *row]
    n = model.config.n_positions
    if not 2 <= len(row) <= n:
        longer = "longer" if len(row) < 2 else "shorter"
        raise ValueError(f"text: {len(row)} tokens, expected 2 to n_positions {n}; give a {longer} text")
    return np.array([row]), np.array([[*row[1:], IGNORED]])


def _check_size(config: GPTConfig, T: int) -> None:
    heads = config.n_layer * config.n_head
    if heads * T * (T + 1) // 2 > MAX_ATTENTION_WEIGHTS:
        longest = math.isqrt(2 * MAX_ATTENTION_WEIGHTS // heads) - 1
        raise ValueError(f"text: {T} tokens, expected at most {longest} for the attention of {heads} heads; shorten it")


def _perplexity(loss: float) -> str:
    return f"{math.exp(loss):,.2f}" if loss < 20 else "above 10⁸"


# Sections -------------------------------------------------------------------------------------------------------------

class About(NamedTuple):
    """The text above a picture"""

    title: str
    what: str
    equation: str
    section: str        # of the articles


SURPRISE = About(
    "Surprise",
    "Each token is colored by how little the model expected it, given the tokens before: without color the model was certain; "
    "full blue is at least as surprising as a token drawn at random from the vocabulary. The first token is not predicted.",
    "surprise(xₜ) = −log p(xₜ | x₁ … xₜ₋₁)", "A3 §4.3, A4 §3.1",
)
ATTENTION = About(
    "Attention",
    "Which token attends to which. Each small square is a head, and each line of squares a layer; in a square, row t has the "
    "weights that token t puts on itself and the tokens before, the bluer the larger. Choose a head, then hover over a token "
    "or the large square.",
    "att = softmax(q kᵀ/√D + causal mask)", "A0 §3.1.1, A3 §4.1, A4 §4.1 自注意力; A0 §3.1.3, A1 §3.1 多头注意力",
)
LENS = About(
    "Logit lens",
    "The next token that the model would predict if it stopped early: a column for each position, headed by the token read "
    "there, and a row for each point of the residual stream, from the embeddings to the end of the last block, which is the "
    "model's own prediction. The bluer, the more probable.",
    "softmax(ln_f(x) Wᵀ)", "A2 §2 输出层",
)
GRADIENTS = About(
    "Gradient norms by layer",
    "How strongly the loss on this text depends on the activations and on the parameters of each block. Colors are on a "
    "logarithmic scale, from the smallest of a table to its largest.",
    "‖dx‖ = √Σ (∂loss/∂x)²", "A1 §4.1, A3 §3.1, A4 §3.1 训练循环",
)
LOSS = About(
    "Loss over training",
    "How the loss fell during training: of each batch, as a running mean of batches, and on the whole validation split.",
    "loss = −1/n Σ log p(xₜ | x₁ … xₜ₋₁)", "A3 §4.3, A4 §3.1; A1 §4.1 训练循环",
)


def _surprise_section(trace: Trace, tokenizer: Any) -> str:
    probs, labels, ids = trace["probs"].value[0], trace.labels, trace.ids[0]
    p = probs[np.arange(len(ids) - 1), ids[1:]]
    with np.errstate(divide="ignore"):
        logprobs = np.log(p.astype(np.float64))
    best = [ranked(tokenizer, *row) for row in zip(*likeliest(probs, 5), strict=True)]
    notes = [f"{labels[0]}: the first token"] + [
        f"{labels[t + 1]} (position {t + 1})\np {p[t]:.3g}, surprise {0 - logprobs[t]:.3g} nats\nmost likely: {best[t]}"
        for t in range(len(p))
    ]
    after = html.escape(f"Next, after the last token: {best[-1]}")
    tokens = surprise([0.0, *logprobs], labels, notes, full=math.log(trace.config.vocab_size))
    return f"{tokens}<p>{after}</p>"


def _lens_section(trace: Trace, model: GPT) -> str:
    best = [likeliest(read_stream(model, trace[name].value)[0]) for name in lens_points(model.config)]
    ids, probs = (np.stack(part) for part in zip(*best, strict=True))
    return lens_grid(model.tokenizer, lens_points(model.config), trace.labels, ids, probs)


def _gradient_section(trace: Trace) -> str:
    config = trace.config
    blocks = [f"h.{i}" for i in range(config.n_layer)]
    grads = {name: step.grad for name, step in trace.items()}

    def norm(names: Iterable[str]) -> float:
        return math.sqrt(sum(float(np.linalg.norm(grads[name])) ** 2 for name in names))

    def owned(prefix: str) -> list[str]:
        return [name for name in parameters(config) if name.startswith(f"{prefix}.")]

    activations = [[norm([f"{block}.{point}"]) for point in POINTS] for block in blocks]
    inside = [[norm(owned(f"{block}.{part}")) for part in PARTS] + [norm(owned(block))] for block in blocks]
    ends = [name for name in ("wte", "wpe", "ln_f", "lm_head") if owned(name)]
    outside = [[math.nan] * len(PARTS) + [norm(owned(name))] for name in ends]
    return (
        f"<h3>Activations</h3>{_norms(blocks, POINTS, activations)}"
        f"<h3>Parameters, weights and biases together</h3>{_norms(blocks + ends, (*PARTS, 'all'), inside + outside)}"
    )


def _norms(rows: Sequence[str], columns: Sequence[str], norms: Sequence[Sequence[float]]) -> str:
    """A table of norms, colored by their logarithm"""
    logs = np.log(np.maximum(norms, 1e-30))
    low, high = np.nanmin(logs), np.nanmax(logs)
    notes = [[f"{row}, {column}: ‖d‖ {x:.5g}" for column, x in zip(columns, line, strict=True)]
             for row, line in zip(rows, norms, strict=True)]
    texts = [[number(x, 2) for x in line] for line in norms]
    table = grid(rows, columns, (logs - low) / max(high - low, 1e-9), texts, notes)
    return table + legend(math.exp(high), "‖d‖, logarithmic", least=math.exp(low), most=UNDER_TEXT)


def _loss_section(log: str | os.PathLike[str]) -> str:
    rows = read_log(log)
    if not rows:
        raise ValueError(f"{log}: no steps, expected the log.csv of a training run; train for at least one step")
    losses = [row["train_loss"] for row in rows]
    validation = [(row["step"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    return loss_curve([row["step"] for row in rows], losses, smooth(losses), validation)


def _attention_data(trace: Trace) -> dict[str, Any]:
    """The data that the page's script draws: labels, and the weights of each head up to the diagonal, as bytes (255 for 1)"""
    heads = [trace[f"h.{i}.attn.att"].value[0] for i in range(trace.config.n_layer)]
    queries, keys = np.tril_indices(len(trace.labels))
    weights = np.concatenate([np.rint(255 * head[:, queries, keys]).astype(np.uint8) for head in heads])
    return {
        "model": trace.model_name, "labels": trace.labels, "layers": trace.config.n_layer, "heads": trace.config.n_head,
        "weights": base64.b64encode(weights.tobytes()).decode(), "color": BLUE, "underText": UNDER_TEXT,
    }


# Page -----------------------------------------------------------------------------------------------------------------


def _page(title: str, facts: str, sections: list[tuple[About, str]], data: dict[str, Any]) -> str:
    """Fill in the template's {{marks}} in one pass, so that a text that looks like a mark stays as it is"""
    page = resources.files("minigpt").joinpath("assets/report.html").read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()     # no other script may run: CSP
    marks = {
        "title": html.escape(title), "facts": html.escape(facts), "script-hash": f"sha256-{digest}",
        "sections": "\n".join(_section(about, body) for about, body in sections),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),        # no </script> within the data
    }
    return re.sub(r"\{\{([\w-]+)\}\}", lambda mark: marks[mark[1]], page)


def _section(about: About, body: str) -> str:
    return (f'<section><h2>{about.title}</h2><p>{html.escape(about.what)}</p><p class="equation">'
            f"<code>{html.escape(about.equation)}</code> <small>{about.section}</small></p>{body}</section>")
