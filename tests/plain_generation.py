"""Generation as plain loops, which tests compare with: no cache, no batch, no clever selection."""

import numpy as np

from minigpt import GPT, GPTConfig

V, N_POSITIONS = 11, 8


def small_model(n_positions=N_POSITIONS, dtype=np.float64):
    config = GPTConfig(vocab_size=V, n_positions=n_positions, n_embd=15, n_layer=2, n_head=3)
    model = GPT(config, seed=3, dtype=dtype, threads=1)
    rng = np.random.default_rng(4)
    for array in model.params.values():
        array += 0.3 * rng.standard_normal(array.shape)     # so that the next token depends on all before it
    return model


def plain_warped(logits, temperature, top_k, top_p):
    """Probabilities of one row, by loops over a sorted list"""
    z = np.asarray(logits, np.float64) / temperature
    order = sorted(range(len(z)), key=lambda v: (-z[v], v))
    if top_k:
        order = order[:top_k]
    weights = {v: np.exp(z[v] - z.max()) for v in order}
    if top_p is not None and top_p < 1:
        total, reached, nucleus = sum(weights.values()), 0.0, []
        for v in order:
            nucleus.append(v)
            reached += weights[v] / total
            if reached >= top_p:
                break
        order = nucleus
    p = np.zeros(len(z))
    for v in order:
        p[v] = weights[v]
    return p / p.sum()


def plain_look_back(logits, text, n_new, options):
    """What the options that look back make of one row's logits, token by token"""
    penalty, n = options.get("repetition_penalty", 1.0), options.get("no_repeat_ngram_size", 0)
    z = [float(score) for score in logits]
    for v in range(len(z)):
        for word, bias in options.get("logit_bias", {}).items():
            word = word if isinstance(word, tuple) else (word,)
            if (*text, v)[-len(word) :] == word:
                z[v] += bias
        if v in text:
            z[v] = z[v] * penalty if z[v] < 0 else z[v] / penalty
    for v in range(len(z)):
        extended = [*text, v]
        ends = [extended[i : i + n] for i in range(len(text) - n + 1)]
        repeated = n > 0 and extended[-n:] in ends
        bad = any(extended[-len(word) :] == list(word) for word in options.get("bad_words_ids", ()))
        early = n_new < options.get("min_new_tokens", 0) and v in options.get("stop_ids", ())
        if repeated or bad or early:
            z[v] = -np.inf
    return np.array(z)


def plain_sample(p, rng):
    u, reached = rng.random(), 0.0
    for v, share in enumerate(p):
        reached += share
        if reached > u:
            return v
    return int(np.flatnonzero(p)[-1])


def plain_generate(model, prompt, n, *, temperature=1.0, top_k=None, top_p=None, seed=0, row=0, sliding=False):
    """One row, every step from the whole text, with no cache."""
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(row + 1)[row])
    size = model.config.n_positions
    text, window = list(prompt), list(prompt)[-size:]
    for _ in range(n):
        if sliding and len(window) > size:
            window = window[(size + 1) // 2 :]
        logits = model(np.array([window]))[0, -1]
        if temperature == 0:
            token = int(np.flatnonzero(logits == logits.max())[0])
        else:
            token = plain_sample(plain_warped(logits, temperature, top_k, top_p), rng)
        text.append(token)
        window.append(token)
    return text


def only_after(ids, logits):
    """The token after v is v + 1"""
    allowed = (ids[-1] + 1) % V
    return np.where(np.arange(V) == allowed, logits, -np.inf)


def contains(ids, word):
    return any(ids[i : i + len(word)] == [*word] for i in range(len(ids)))
