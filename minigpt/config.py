"""The sizes of a model: what they are called, which are possible, what they cost."""

import json
import math
from dataclasses import asdict, dataclass, fields

from .inputs import is_whole

ACTIVATION_NAMES = ("gelu_new", "gelu", "relu")

_AFN = {"gelu_new": "gelu", "relu": "relu"}     # the activation functions by the names in GPT-1's config.json

# What Hugging Face writes into config.json beside the sizes, with the one value that means what we do; None: any
_ACCEPTED = {
    "n_ctx": None, "predict_special_tokens": None, "architectures": None, "bos_token_id": None, "eos_token_id": None,
    "pad_token_id": None, "summary_activation": None, "summary_first_dropout": None, "summary_proj_to_labels": None,
    "summary_type": None, "summary_use_proj": None, "task_specific_params": None, "torch_dtype": None, "dtype": None,
    "transformers_version": None, "use_cache": None, "gradient_checkpointing": None, "_name_or_path": None,
    "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "reorder_and_upcast_attn": False,
    "add_cross_attention": False, "is_encoder_decoder": False, "chunk_size_feed_forward": 0, "return_dict": None,
    "output_attentions": None, "output_hidden_states": None, "output_past": None, "problem_type": None,
    "id2label": None, "label2id": None, "_num_labels": None, "n_special": None,
}


class ConfigError(ValueError):
    """A configuration that cannot be; the message lists every bad field."""


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT, by Hugging Face's field names. The defaults are GPT-2 small.

        GPTConfig(vocab_size=65, n_positions=128, n_embd=128, n_layer=4, n_head=4)
        GPTConfig.preset("gpt2-medium")

    Raises ConfigError.  Radford et al. 2019, table 2; article A0 §2.3.
    """

    vocab_size: int = 50_257
    n_positions: int = 1024              # tokens the model can look back over
    n_embd: int = 768                    # channels C
    n_layer: int = 12                    # blocks
    n_head: int = 12                     # heads of n_embd/n_head channels each
    n_inner: int | None = None           # channels inside the MLP; None: 4 n_embd
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    embd_pdrop: float = 0.0              # dropout probabilities: after the embedding,
    attn_pdrop: float = 0.0              # on the attention weights,
    resid_pdrop: float = 0.0             # and at the end of each branch
    initializer_range: float = 0.02      # standard deviation of the initial weights
    bias: bool = True                    # biases in linear layers and norms; GPT-2 has them
    tie_word_embeddings: bool = True     # the output layer reads wte.weight; False: lm_head.weight, a matrix of its own
    pre_norm: bool = True                # norms before the branches and at the end; False: after each sum (GPT-1)
    attention_window: int | None = None  # in every second block a position sees so many, itself and before (GPT-3); None: all
    causal: bool = True                  # a position sees itself and those before; False: all positions (BERT)

    def __post_init__(self):
        bad = _problems(self)
        if not bad and self.attention_window and not self.causal:
            bad.append(f"attention_window {self.attention_window} looks back, expected None where causal is False")
        if bad:
            raise ConfigError(f"GPTConfig: {'; '.join(bad)}")

    @staticmethod
    def _problem(name, value):
        """What is wrong with one field, or None"""
        if name in ("bias", "tie_word_embeddings", "pre_norm", "causal"):
            return None if isinstance(value, bool) else f"{name} {value!r}, expected True or False"
        if name == "activation_function":
            return None if value in ACTIVATION_NAMES else f"{name} {value!r}, expected one of {', '.join(ACTIVATION_NAMES)}"
        if name in ("layer_norm_epsilon", "initializer_range") or name.endswith(("_pdrop", "dropout")):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if name.endswith(("_pdrop", "dropout")):
                return None if number and 0 <= value < 1 else f"{name} {value!r}, expected a number from 0 to below 1"
            return None if number and 0 < value < math.inf else f"{name} {value!r}, expected a positive number"
        if value is None and name in ("n_inner", "attention_window"):
            return None
        return None if is_whole(value, 1) else f"{name} {value!r}, expected a whole number above 0"

    @classmethod
    def preset(cls, name, **changes):
        """A configuration by name; `changes` replace single fields."""
        if name not in PRESETS:
            raise ConfigError(f"preset: {name!r}, expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    @property
    def mlp_width(self):
        """Channels inside the MLP"""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def n_params(self):
        """Number of parameters; a tied output layer shares the embedding's."""
        C, F, b = self.n_embd, self.mlp_width, int(self.bias)
        block = 4 * C * C + 2 * C * F + b * (5 * C + F) + 2 * (1 + b) * C
        tables = (self.vocab_size * (1 if self.tie_word_embeddings else 2) + self.n_positions) * C
        return tables + self.n_layer * block + (1 + b) * C * self.pre_norm

    def require_causal(self, who):
        """Raises ValueError in the name of `who`, which needs p(x_t given x_<t), where a position sees what comes after it."""
        if not self.causal:
            raise ValueError(f"{who}: the model also sees the tokens after a position (causal=False), expected one that sees "
                             "only those before; to fill gaps call model(ids)")

    def window(self, i):
        """How many positions block i lets a position see, itself included; None: all before it.

        With attention_window every second block is banded, from the second on.  Brown et al. 2020 §2.1; Child et al. 2019.
        """
        return self.attention_window if i % 2 else None

    @property
    def flops_per_token(self):
        """Floating-point operations of one training step, forward and backward, per token at full context.

        6 for each weight of a matrix product, 12 T C in each block for the scores and the averages, where T is what a position
        may see.  Kaplan et al. 2020 §2.1.
        """
        weights = self.n_layer * (4 * self.n_embd**2 + 2 * self.n_embd * self.mlp_width) + self.vocab_size * self.n_embd
        seen = sum(min(self.n_positions, self.window(i) or self.n_positions) for i in range(self.n_layer))
        return 6 * weights + 12 * seen * self.n_embd

    def activation_bytes(self, batch_size=1, itemsize=4):
        """Bytes of what one training step of `batch_size` full contexts keeps for its backward pass, and of its gradients.

            B T (L (8 C + 2 F + H (K + 1) + 4) + 16 C + F + V),   K = (T + min(T, 64))/2,   or T where it is not causal

        Every block keeps, of each position: the two norms' outputs (C each) with mean and 1/σ, queries, keys and values (3 C),
        the heads' outputs and both branches' (C each), the MLP's slope and activation (F each), and for each head the weights
        of K keys and their sum: 64 queries at a time meet the keys up to the last of them.  Once for all blocks come the
        gradients of a block (8 C + F), the embeddings, the last norm and scratch for norms (8 C), and the scores (V).
        Dropout adds its masks and outputs, in attention a mask of all T keys.  Pieces of a fixed size, a few MB a thread, come
        on top.
        """
        T, C, H, F = self.n_positions, self.n_embd, self.n_head, self.mlp_width
        K = (T + min(T, 64)) / 2 if self.causal else T
        resid, attn, embd = self.resid_pdrop > 0, self.attn_pdrop > 0, self.embd_pdrop > 0
        block = (8 + 4 * resid) * C + 2 * F + H * (K + attn * T + 1) + 4
        rest = (16 + 2 * (resid + embd)) * C + F + self.vocab_size
        return round(itemsize * batch_size * T * (self.n_layer * block + rest))

    def training_bytes(self, batch_size=1, itemsize=4):
        """{what: bytes} of training: weights, gradients, AdamW's two moments, and a step's activations."""
        weights = itemsize * self.n_params
        return {
            "weights": weights, "gradients": weights, "moments": 2 * weights,
            "activations": self.activation_bytes(batch_size, itemsize),
        }

    def cache_bytes(self, itemsize=4):
        """Bytes of the keys and values that generation keeps of each position of a text: 2 L C numbers."""
        return 2 * self.n_layer * self.n_embd * itemsize

    def to_dict(self):
        """All fields by name"""
        return asdict(self)

    def to_json(self):
        """The text of a config.json that Hugging Face's transformers reads as this GPT-2, or GPT-1 where norms come last.

        What it has no model for, a window, no causal mask or GPT-1 with the exact GELU, gets a model_type that it refuses.
        """
        head: dict[str, object]
        if self.attention_window or not self.causal or not (self.pre_norm or self.activation_function in _AFN):
            head = {"model_type": "minigpt"}
        elif self.pre_norm:
            head = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
        else:
            afn = _AFN[self.activation_function]
            head = {"architectures": ["OpenAIGPTLMHeadModel"], "model_type": "openai-gpt", "afn": afn}
        return json.dumps({**head, **self.to_dict()}, indent=2) + "\n"

    @classmethod
    def from_dict(cls, values, source="config"):
        """From field names to a configuration; Hugging Face's other keys must have GPT-2's values, unknown ones raise."""
        names = {field.name for field in fields(cls)}
        bad = []
        values = dict(values)
        kind = values.pop("model_type", "gpt2")
        if kind == "openai-gpt":
            functions = {afn: name for name, afn in _AFN.items()}
            afn = values.pop("afn", "gelu")
            if afn not in functions:
                bad.append(f"afn {afn!r}, expected one of {', '.join(functions)}")
            values = {"activation_function": functions.get(afn, "relu"), "pre_norm": False, **values}
        elif kind not in ("gpt2", "minigpt"):
            bad.append(f"model_type {kind!r}, expected 'gpt2', 'openai-gpt' or 'minigpt'")
        for key, value in values.items():
            if key in names:
                continue
            if key not in _ACCEPTED:
                bad.append(f"unknown key {key!r}")
            elif _ACCEPTED[key] is not None and value != _ACCEPTED[key]:
                bad.append(f"{key} {value!r}, expected {_ACCEPTED[key]!r}")
        if bad:
            raise ConfigError(f"{source}: {'; '.join(bad)}")
        return cls(**{key: value for key, value in values.items() if key in names})

    @classmethod
    def from_json(cls, text, source="config.json"):
        """From the text of a config.json.  Raises ConfigError for unknown or duplicate keys."""
        return cls.from_dict(_json_object(text, source, "a GPT-2 config.json"), source)


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of the Transformer that translates. The defaults are those of its base model.

        TransformerConfig(vocab_size=60, n_embd=64, n_layer=2, n_head=4)

    Raises ConfigError.  Vaswani et al. 2017, table 3.
    """

    vocab_size: int = 37_000             # of one vocabulary for both languages
    n_embd: int = 512                    # channels C
    n_layer: int = 6                     # blocks of the encoder, and as many of the decoder
    n_head: int = 8                      # heads of n_embd/n_head channels each
    n_inner: int | None = None           # channels inside the MLP; None: 4 n_embd
    dropout: float = 0.1                 # probability, after the embeddings and at the end of each branch
    layer_norm_epsilon: float = 1e-5
    pad_token_id: int = 0                # fills up shorter rows; nothing attends to it in a source
    bos_token_id: int = 1                # what the decoder reads first
    eos_token_id: int = 2                # what it writes last

    def __post_init__(self):
        bad = _problems(self)
        special = [self.pad_token_id, self.bos_token_id, self.eos_token_id]
        if not bad and (len({*special}) < 3 or max(special) >= self.vocab_size):
            bad.append(f"pad, bos and eos are tokens {special}, expected three different ones below {self.vocab_size}")
        if bad:
            raise ConfigError(f"TransformerConfig: {'; '.join(bad)}")

    @staticmethod
    def _problem(name, value):
        """What is wrong with one field, or None"""
        if not name.endswith("_token_id"):
            return GPTConfig._problem(name, value)
        return None if is_whole(value, 0) else f"{name} {value!r}, expected an id from 0"

    @property
    def mlp_width(self):
        """Channels inside the MLP"""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    def to_json(self):
        """The text of a config.json."""
        return json.dumps({"model_type": "transformer", **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text, source="config.json"):
        """From what to_json() gave.  Raises ConfigError for another model's and for unknown or duplicate keys."""
        values = _json_object(text, source, "a Transformer's config.json")
        if (kind := values.pop("model_type", None)) != "transformer":
            raise ConfigError(f"{source}: model_type {kind!r}, expected 'transformer'; name a folder that holds one")
        if unknown := [key for key in values if key not in {field.name for field in fields(cls)}]:
            raise ConfigError(f"{source}: unknown key {', '.join(map(repr, unknown))}")
        return cls(**values)


def _problems(config):
    """What is wrong with the fields of a configuration"""
    bad = [problem for field in fields(config) if (problem := config._problem(field.name, getattr(config, field.name)))]
    if not bad and config.n_embd % config.n_head:
        bad.append(f"n_embd {config.n_embd} is not a multiple of n_head {config.n_head}")
    return bad


def _json_object(text, source, expected):
    """A JSON object as a dictionary.  Raises ConfigError for other text and for duplicate keys."""

    def once(pairs):
        keys = [key for key, _ in pairs]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ConfigError(f"{source}: duplicate key {', '.join(map(repr, twice))}, expected each key once")
        return dict(pairs)

    try:
        values = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}: not JSON ({error}), expected {expected}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: {type(values).__name__}, expected an object of field names and values")
    return values


_GPT3 = {"n_positions": 2048, "attention_window": 256}
PRESETS: dict[str, dict] = {
    "gpt2": {},
    "gpt2-medium": {"n_embd": 1024, "n_layer": 24, "n_head": 16},
    "gpt2-large": {"n_embd": 1280, "n_layer": 36, "n_head": 20},
    "gpt2-xl": {"n_embd": 1600, "n_layer": 48, "n_head": 25},
    "distilgpt2": {"n_layer": 6},
    "gpt1": {"vocab_size": 40_478, "n_positions": 512, "pre_norm": False},      # Radford et al. 2018 §4.1
    # Brown et al. 2020, table 2.1. Two of its rows do not multiply out (24 heads of 128 channels are not 2048, 40 not 5140):
    # here with 16 heads and 5120 channels. The width of the band is not given; 256 is GPT-Neo's.
    "gpt3-small": {**_GPT3, "n_embd": 768, "n_layer": 12, "n_head": 12},
    "gpt3-medium": {**_GPT3, "n_embd": 1024, "n_layer": 24, "n_head": 16},
    "gpt3-large": {**_GPT3, "n_embd": 1536, "n_layer": 24, "n_head": 16},
    "gpt3-xl": {**_GPT3, "n_embd": 2048, "n_layer": 24, "n_head": 16},
    "gpt3-2.7b": {**_GPT3, "n_embd": 2560, "n_layer": 32, "n_head": 32},
    "gpt3-6.7b": {**_GPT3, "n_embd": 4096, "n_layer": 32, "n_head": 32},
    "gpt3-13b": {**_GPT3, "n_embd": 5120, "n_layer": 40, "n_head": 40},
    "gpt3-175b": {**_GPT3, "n_embd": 12_288, "n_layer": 96, "n_head": 96},
    "shakespeare-char": {"vocab_size": 65, "n_positions": 128, "n_embd": 128, "n_layer": 4, "n_head": 4},
}
