"""Every public call of model, trainer, tokenizer, generation and study, small, with a result that can be compared."""

import shutil
import tempfile
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from minigpt import GPT, GPTConfig, Recipe, Trainer
from minigpt.config import TransformerConfig
from minigpt.models.classifier import Classifier
from minigpt.models.transformer import Transformer
from minigpt.study import attribution, checks, gradcheck, logit_lens, patching
from minigpt.study.report import report
from minigpt.tokenization import CharTokenizer, Tokenizer
from minigpt.training.optim import AdamW, Muon
from minigpt.training.translation import Translator, Vocabulary

TEXT = "To be, or not to be, that is the question: whether it is nobler in the mind to suffer. " * 12
CHARS = CharTokenizer.train(TEXT)
V, T, B = CHARS.vocab_size, 32, 6
IDS = np.random.default_rng(0).integers(V, size=(B, T + 1))
X, Y = IDS[:, :-1], IDS[:, 1:]
SOURCE = np.random.default_rng(1).integers(3, 30, size=(B, 7))
PROMPTS = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]
BPE = Tokenizer.train(TEXT, 300, ["<|end|>"])


class Models:
    """One of each kind, with so many threads."""

    def __init__(self, threads, fast=True):
        self.threads = threads
        self.gpt = GPT(GPTConfig(V, T, 32, 2, 4), 0, threads=threads, fast=fast)
        self.gpt.tokenizer = CHARS
        self.exact = GPT(GPTConfig(V, 8, 8, 1, 2), 0, np.float64, threads=threads, fast=fast)
        self.classifier = Classifier.from_model(self.gpt, ["a", "b", "c"])
        self.transformer = Transformer(TransformerConfig(vocab_size=30, n_embd=32, n_layer=1, n_head=2), 0, threads=threads)
        self.translator = Translator(self.transformer, Vocabulary([chr(97 + i) * 2 for i in range(27)]))
        self.folder = Path(tempfile.mkdtemp())
        self.gpt.save_pretrained(self.folder / "gpt")
        self.transformer.save(self.folder / "transformer")

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def with_gradients(model, *batch):
    loss, grads = model.loss_and_grads(*batch, dropout_key=(1, 2))
    return loss, model.flat_grads.copy()


def steps(kind, model):
    """Three updates of a copy of the parameters, which afterwards are what they were"""
    before = model.flat_params.copy()
    try:
        optimizer = kind(model)
        model.flat_grads[...] = np.linspace(-1, 1, model.flat_grads.size, dtype=model.dtype)
        for _ in range(3):
            optimizer.step(1e-3)
        return model.flat_params.copy()
    finally:
        model.flat_params[...] = before


def save(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def train(threads):
    """A short run of its own model"""
    with tempfile.TemporaryDirectory() as folder:
        model = GPT(GPTConfig(V, 16, 16, 1, 2), 0, threads=threads)
        recipe = Recipe(steps=3, batch_size=4, eval_interval=2, sample_tokens=4)
        trainer = Trainer(model, CHARS, CHARS.encode_array(TEXT), recipe, folder, quiet=True)
        return trainer.run(), model.flat_params.copy()


# Calls that read a model, and with it may run at the same time
READING = {
    "model()": lambda m: m.gpt(X),
    "loss": lambda m: m.gpt.loss(X, Y),
    "generate": lambda m: m.gpt.generate(X[0, :5], 12, temperature=0),
    "generate, several": lambda m: [list(map(int, row)) for row in m.gpt.generate(PROMPTS, 8, seed=3, top_k=9)],
    "stream": lambda m: list(m.gpt.stream(X[0, :5], 8, seed=1)),
    "stream_text": lambda m: "".join(m.gpt.stream_text("To be", 8, seed=2)),
    "score": lambda m: m.gpt.score(TEXT[:80]).total,
    "choose": lambda m: [(each.answer, each.probability) for each in m.gpt.choose("To ", ["be", "mind"])],
    "trace": lambda m: m.gpt.trace(X[:1], Y[:1], ["h.*.out", "loss", "logits"]),
    "run": lambda m: m.gpt.run(X[:1], edits={"h.0.mlp.out": 0}),
    "Classifier()": lambda m: m.classifier(X),
    "Classifier.predict": lambda m: m.classifier.predict(["To be", "mind", "question"]),
    "Transformer()": lambda m: m.transformer(SOURCE, SOURCE),
    "Transformer.loss": lambda m: m.transformer.loss(SOURCE, SOURCE),
    "Transformer.translate": lambda m: m.transformer.translate(SOURCE, max_new_tokens=5),
    "Transformer.translate, beams": lambda m: m.transformer.translate(SOURCE[:2], beams=3, max_new_tokens=4),
    "Transformer.activations": lambda m: m.transformer.activations(SOURCE, SOURCE, "*.cross.att"),
    "Translator()": lambda m: m.translator(["aa bb", "cc"], beams=2),
    "save_pretrained": lambda m: save(m.gpt),
    "from_pretrained": lambda m: GPT.from_pretrained(m.folder / "gpt", threads=m.threads).flat_params,
    "Transformer.load": lambda m: Transformer.load(m.folder / "transformer", threads=m.threads).flat_params,
    "Tokenizer.train": lambda m: Tokenizer.train(TEXT, 270).state(),
    "Tokenizer.encode": lambda m: BPE.encode(TEXT),
    "Tokenizer.encode_batch": lambda m: BPE.encode_batch([TEXT[:50], TEXT[:9]], pad_id=0),
    "Tokenizer.decode": lambda m: BPE.decode(range(256, 300)),
    "Tokenizer.explain": lambda m: repr(BPE.explain("whether nobler")),
    "CharTokenizer.encode_array": lambda m: CHARS.encode_array(TEXT),
    "logit_lens": lambda m: logit_lens.logit_lens(m.gpt, X[:1, :6]),
    "direct_logit_attribution": lambda m: attribution.direct_logit_attribution(m.gpt, X[:1, :6], 3),
    "activation_patching": lambda m: patching.activation_patching(m.gpt, X[:1, :4], X[1:2, :4], Y[:1, :4], "h.0.*.out"),
    "report": lambda m: len(report(m.gpt, TEXT[:20]).html),
    "Trainer.run": lambda m: train(m.threads),
}
# Calls that write gradients, or parameters for a while
WRITING = {
    "loss_and_grads": lambda m: with_gradients(m.gpt, X, Y),
    "Classifier.loss_and_grads": lambda m: with_gradients(m.classifier, X, np.where(np.arange(T) == T - 1, 1, -100) + 0 * X),
    "Transformer.loss_and_grads": lambda m: with_gradients(m.transformer, SOURCE, SOURCE),
    "AdamW.step": lambda m: steps(AdamW, m.gpt),
    "Muon.step": lambda m: steps(Muon, m.gpt),
    "check_model": lambda m: gradcheck.check_model(m.exact, X[:1, :8] % V, Y[:1, :8], samples=2),
    "causality": lambda m: checks.causality(m.gpt).text,
}
CALLS = {**READING, **WRITING}


@lru_cache(maxsize=1)
def models(threads, fast=True):
    """The models of this process"""
    return Models(threads, fast)


def solid(value):
    """A result as something that == compares whole"""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict) or type(value).__name__ == "Trace":
        return {name: solid(value[name]) for name in value}
    if isinstance(value, (list, tuple)):
        return [solid(item) for item in value]
    if type(value).__name__ == "Step":
        return solid(value.value), solid(value.grad if value.trace.has_grads else None)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: solid(getattr(value, f.name)) for f in fields(value) if f.name not in ("model", "trace")}
    return value if isinstance(value, (int, float, str, bytes, bool, type(None), np.generic)) else repr(value)
