"""The sizes of a model: what they are called, which are possible, what they cost."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from .inputs import is_whole
from .nn.activations import ACTIVATIONS
from .system.json_reader import parse_json, read_json
from .system.option_names import names_options
from .system.text import listed, printable

# An activation function's other names, each with the one that the configuration keeps
_ONE_NAME = {other: name for name, function in ACTIVATIONS.items() for other in function.other_names}

# More than any machine holds, or any hand has trained: a file that asks for it is refused before anything is built
_MOST_LAYERS = 10_000
_MOST_PARAMETERS = 10**13
_LISTED = 30                                    # unknown keys and bad fields that a message lists
_MOST = 2**31 - 1                               # of all other whole numbers

_AFN = {"gelu_new": "gelu", "relu": "relu", "silu": "silu"}     # the functions by the names in GPT-1's config.json

# Other names of sizes; where both are there, these count, as in transformers
_SIZES = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
          "max_position_embeddings": "n_positions"}

_GPT2S_ENDS = {"bos_token_id": 50_256, "eos_token_id": 50_256}      # in a GPT-2's config.json that does not name them

# What other models' config.json may ask for, and why it must not be there. A key that ends in _ stands for all that begin so.
_OTHER_MODELS = {key: reason for reason, keys in {
    "GPT-2 learns its positions": ("alibi", "position_embedding_type", "rope_", "rotary_"),
    "GPT-2's blocks see the whole text": ("attention_layers", "attention_types", "sliding_window"),
    "GPT-2 reads one text": ("add_cross_attention", "is_encoder_decoder"),
    "GPT-2's heads have keys and values of their own": ("multi_query",),
    "GPT-2's blocks have one MLP, after the attention": ("num_experts", "num_local_experts", "parallel_attn",
                                                         "use_parallel_residual"),
    "GPT-2 has layer norms": ("rms_norm_eps",),
    "GPT-2 does not change its scores like that": ("attn_logit_softcapping", "final_logit_softcapping", "logit_scale", "mup_"),
    "heads are missing from the weights; save the model before it is pruned": ("pruned_heads",),
    "the weights are packed; save the model dequantized": ("quantization_config", "quantization"),
    "there are more weights than GPT-2's; merge the adapters": ("adapters",),
}.items() for key in keys}
_SAME_AS_GPT2 = {"position_embedding_type": ("absolute", "learned", "learned_absolute"), "logit_scale": (1,)}

# What Hugging Face writes beside the fields and what changes no logit: bookkeeping, heads for other tasks, what a text is drawn
# with, and reorder_and_upcast_attn, the same mathematics in another order. Keys that begin with _ are bookkeeping too.
_PASSED_OVER = {
    "architectures", "chunk_size_feed_forward", "dtype", "finetuning_task", "gradient_checkpointing", "n_ctx",
    "n_special", "output_attentions", "output_hidden_states", "output_past", "predict_special_tokens", "problem_type",
    "reorder_and_upcast_attn", "return_dict", "tf_legacy_loss", "tokenizer_class", "torch_dtype", "torchscript",
    "transformers_version", "use_bfloat16", "use_cache", "cross_attention_hidden_size", "id2label", "is_decoder", "label2id",
    "num_labels", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "task_specific_params", "tie_encoder_decoder", "bad_words_ids", "begin_suppress_tokens", "cls_token_id",
    "decoder_start_token_id", "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "length_penalty", "mask_token_id",
    "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
    "prefix", "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "sep_token_id", "suppress_tokens",
    "temperature", "top_k", "top_p", "typical_p", "unk_token_id",
}


class ConfigError(ValueError):
    """A configuration that cannot be; the message lists every bad field."""


_Config = TypeVar("_Config", bound="GPTConfig")


@names_options
@dataclass(frozen=True)
class GPTConfig:
    """The sizes and settings of a GPT, by Hugging Face's field names. The defaults are GPT-2 small.

        GPTConfig(vocab_size=65, n_positions=128, n_embd=128, n_layer=4, n_head=4)
        GPTConfig.preset("gpt2-medium")

    An activation function may have any of Hugging Face's names for it; the field has the one in nn.activations.ACTIVATIONS.
    Raises ConfigError.  Radford et al. 2019, table 2; article A0 §2.3.
    """

    vocab_size: int = 50_257
    n_positions: int = 1024              # tokens the model can look back over
    n_embd: int = 768                    # channels C
    n_layer: int = 12                    # blocks
    n_head: int = 12                     # heads of n_embd/n_head channels each
    n_inner: int | None = None           # channels inside the MLP; None: 4 n_embd
    activation_function: str = "gelu_new"       # one of nn.activations.ACTIVATIONS
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
    scale_attn_weights: bool = True      # attention's scores are divided by √D, D = n_embd/n_head
    scale_attn_by_inverse_layer_idx: bool = False       # and in block i by i + 1
    bos_token_id: int | None = None      # begins a text; None: nothing does
    eos_token_id: int | tuple[int, ...] | None = None   # ends a text, several if any of them does
    pad_token_id: int | None = None      # fills up shorter rows

    def __post_init__(self) -> None:
        if isinstance(self.activation_function, str):
            name = _ONE_NAME.get(self.activation_function, self.activation_function)
            object.__setattr__(self, "activation_function", name)
        if isinstance(self.eos_token_id, (list, tuple)) and self.eos_token_id:
            first, *others = self.eos_token_id
            object.__setattr__(self, "eos_token_id", (first, *others) if others else first)
        bad = _problems(self)
        if not bad and self.attention_window and not self.causal:
            bad.append(f"attention_window {self.attention_window} looks back, expected None where causal is False")
        if bad:
            raise ConfigError(f"GPTConfig: {'; '.join(bad)}")

    @staticmethod
    def _expected(name: str, value: Any) -> str | None:
        """What one field should be, or None where it is that"""
        if name in ("bias", "tie_word_embeddings", "pre_norm", "causal") or name.startswith("scale_"):
            return None if isinstance(value, bool) else "True or False"
        if name.endswith("_token_id"):
            several = name == "eos_token_id"
            ids = value if several and isinstance(value, tuple) and value else (value,)
            if value is None or all(is_whole(id, 0, _MOST) for id in ids):
                return None
            return "an id from 0, or None" + (", or a list of ids" if several else "")
        if name == "activation_function":
            return None if isinstance(value, str) and value in ACTIVATIONS else f"one of {', '.join(ACTIVATIONS)}"
        if name in ("layer_norm_epsilon", "initializer_range") or name.endswith(("_pdrop", "dropout")):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if name.endswith(("_pdrop", "dropout")):
                return None if number and 0 <= value < 1 else "a number from 0 to below 1"
            return None if number and 0 < value <= sys.float_info.max else "a positive number"
        if value is None and name in ("n_inner", "attention_window"):
            return None
        most = _MOST_LAYERS if name == "n_layer" else _MOST
        if not is_whole(value, 1):
            return "a whole number above 0"
        return None if value <= most else f"at most {most:,}"

    @classmethod
    def preset(cls: type[_Config], name: Any, **changes: Any) -> _Config:
        """Make a configuration by name; `changes` replace single fields.  Raises ConfigError for other names and bad fields."""
        if not (isinstance(name, str) and name in PRESETS):
            raise ConfigError(f"preset: {_shown(name)}, expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    @property
    def mlp_width(self) -> int:
        """Channels inside the MLP."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def n_params(self) -> int:
        """Number of parameters; a tied output layer shares the embedding's."""
        C, F, b = self.n_embd, self.mlp_width, int(self.bias)
        block = 4 * C * C + 2 * C * F + b * (5 * C + F) + 2 * (1 + b) * C
        tables = (self.vocab_size * (1 if self.tie_word_embeddings else 2) + self.n_positions) * C
        return tables + self.n_layer * block + (1 + b) * C * self.pre_norm

    def require_causal(self, who: str) -> None:
        """Raises ValueError in the name of `who`, which needs p(x_t given x_<t), where a position sees what comes after it."""
        if not self.causal:
            raise ValueError(f"{who}: the model also sees the tokens after a position (causal=False), expected one that sees "
                             "only those before; to fill gaps call model(ids)")

    def window(self, i: int) -> int | None:
        """How many positions block i lets a position see, itself included; None: all before it.

        With attention_window every second block is banded, from the second on.  Brown et al. 2020 §2.1; Child et al. 2019.
        """
        return self.attention_window if i % 2 else None

    def attention_scale(self, i: int) -> float:
        """What block i multiplies the products of queries and keys by: 1/√D, unless the two settings of scale say otherwise."""
        scale = 1 / math.sqrt(self.n_embd // self.n_head) if self.scale_attn_weights else 1.0
        return scale / (i + 1) if self.scale_attn_by_inverse_layer_idx else scale

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of one training step, forward and backward, per token at full context.

        6 for each weight of a matrix product, 12 T C in each block for the scores and the averages, where T is what a position
        may see.  Kaplan et al. 2020 §2.1.
        """
        weights = self.n_layer * (4 * self.n_embd**2 + 2 * self.n_embd * self.mlp_width) + self.vocab_size * self.n_embd
        seen = sum(min(self.n_positions, self.window(i) or self.n_positions) for i in range(self.n_layer))
        return 6 * weights + 12 * seen * self.n_embd

    def activation_bytes(self, batch_size: int = 1, itemsize: int = 4) -> int:
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

    def training_bytes(self, batch_size: int = 1, itemsize: int = 4) -> dict[str, int]:
        """Return {what: bytes} of training: weights, gradients, AdamW's two moments, and a step's activations."""
        weights = itemsize * self.n_params
        return {
            "weights": weights, "gradients": weights, "moments": 2 * weights,
            "activations": self.activation_bytes(batch_size, itemsize),
        }

    def cache_bytes(self, itemsize: int = 4) -> int:
        """Bytes of the keys and values that generation keeps of each position of a text: 2 L C numbers."""
        return 2 * self.n_layer * self.n_embd * itemsize

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)

    def to_json(self) -> str:
        """The text of a config.json that Hugging Face's transformers reads as this GPT-2, or GPT-1 where norms come last.

        What it has no model for, a window, no causal mask or a GPT-1 with another function, width or scale, gets a model_type
        that it refuses.
        """
        head: dict[str, object]
        like_gpt1 = (self.activation_function in _AFN and self.mlp_width == 4 * self.n_embd and self.scale_attn_weights
                     and not self.scale_attn_by_inverse_layer_idx)
        if self.attention_window or not self.causal or not (self.pre_norm or like_gpt1):
            head = {"model_type": "minigpt"}
        elif self.pre_norm:
            head = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
        else:
            afn = _AFN[self.activation_function]
            head = {"architectures": ["OpenAIGPTLMHeadModel"], "model_type": "openai-gpt", "afn": afn}
        return json.dumps({**head, **self.to_dict()}, indent=2) + "\n"

    @classmethod
    def from_dict(cls: type[_Config], values: Mapping[str, Any], source: object = "config") -> _Config:
        """From the fields of a config.json to a configuration, as transformers reads it.

        Keys that change no logit are passed over.  Raises ConfigError for those that would make another model of it.  Other
        unknown keys get one warning, or an error where model_type is "minigpt".
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{printable(source)}: {_shown(values)}, expected field names and values")
        names = {field.name for field in fields(cls)}
        bad, unknown = [], []
        values = dict(values)
        kind = values.pop("model_type", None)
        if kind == "openai-gpt":
            functions = {**{afn: name for name, afn in _AFN.items()}, "swish": "silu"}
            afn = values.pop("afn", "gelu")
            if not (isinstance(afn, str) and afn in functions):
                bad.append(f"afn {_shown(afn)}, expected one of {', '.join(functions)}")
                afn = "gelu"
            values = {"activation_function": functions[afn], "pre_norm": False, **values}
        elif kind not in (None, "gpt2", "minigpt"):
            bad.append(f"model_type {_shown(kind)}, expected 'gpt2', 'openai-gpt' or 'minigpt'")
        values |= {_SIZES[key]: values.pop(key) for key in _SIZES if values.get(key) is not None}
        if kind == "gpt2" and is_whole(values.get("vocab_size", cls.vocab_size), 50_257):
            values = {**_GPT2S_ENDS, **values}
        values |= {key: _read_ids(values[key]) for key in (*_GPT2S_ENDS, "pad_token_id") if key in values}
        for key, value in values.items():
            if value is None or key in names or key in _PASSED_OVER or str(key).startswith("_"):
                continue
            if reason := _OTHER_MODELS.get(key) or _OTHER_MODELS.get(str(key).partition("_")[0] + "_"):
                same = _SAME_AS_GPT2.get(key, ())
                if not (_is_empty(value) or value in same):
                    expected = repr(same[0]) if same else "False" if value is True else "none"
                    bad.append(f"{key} {_shown(value)}, expected {expected}: {reason}")
            else:
                unknown.append(_shown(key))
        if kind == "minigpt":
            bad += [f"unknown key {key}" for key in unknown]
        config = _made(cls, {key: value for key, value in values.items() if key in names}, bad, source)
        if unknown:
            warnings.warn(f"{printable(source)}: unknown keys {listed(unknown)}, expected GPT-2's; they are passed over, see "
                          "whether the model was trained with something of its own", stacklevel=2)
        return config

    @classmethod
    def from_json(cls: type[_Config], text: str | bytes, source: object = "config.json") -> _Config:
        """From the text of a config.json.  Raises ConfigError in the name of `source`."""
        return cls.from_dict(parse_json(text, source, dict, error=ConfigError), source)

    @classmethod
    def from_file(cls: type[_Config], path: str | os.PathLike[str]) -> _Config:
        """From a config.json.  Raises ConfigError, OSError."""
        return cls.from_dict(read_json(path, dict, error=ConfigError), path)


@names_options
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

    def __post_init__(self) -> None:
        bad = _problems(self)
        special = {name: getattr(self, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        if not bad and (len({*special.values()}) < 3 or max(special.values()) >= self.vocab_size):
            found = ", ".join(f"{name} {id}" for name, id in special.items())
            bad.append(f"{found}, expected three different ones below {self.vocab_size}")
        if bad:
            raise ConfigError(f"TransformerConfig: {'; '.join(bad)}")

    @staticmethod
    def _expected(name: str, value: Any) -> str | None:
        """What one field should be, or None where it is that"""
        if not name.endswith("_token_id"):
            return GPTConfig._expected(name, value)
        return None if is_whole(value, 0, _MOST) else "an id from 0"

    @property
    def mlp_width(self) -> int:
        """Channels inside the MLP."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def n_params(self) -> int:
        """Number of parameters, with three attentions, two MLPs and five norms for a block of both halves together."""
        C, F = self.n_embd, self.mlp_width
        return self.vocab_size * C + self.n_layer * (12 * (C + 1) * C + 2 * (2 * C * F + F + C) + 10 * C)

    def to_json(self) -> str:
        """The text of a config.json."""
        return json.dumps({"model_type": "transformer", **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> TransformerConfig:
        """From a config.json.  Raises ConfigError, also for another model's and for unknown keys; OSError."""
        return cls._from_dict(read_json(path, dict, error=ConfigError), path)

    @classmethod
    def from_json(cls, text: str | bytes, source: object = "config.json") -> TransformerConfig:
        """From the text of a config.json.  Raises ConfigError as from_file(), in the name of `source`."""
        return cls._from_dict(parse_json(text, source, dict, error=ConfigError), source)

    @classmethod
    def _from_dict(cls, values: dict[str, Any], source: object) -> TransformerConfig:
        bad = []
        if (kind := values.pop("model_type", None)) != "transformer":
            bad.append(f"model_type {_shown(kind)}, expected 'transformer'; name a folder that holds one")
        names = {field.name for field in fields(cls)}
        bad += [f"unknown key {_shown(key)}" for key in values if key not in names]
        return _made(cls, {key: value for key, value in values.items() if key in names}, bad, source)


def _problems(config: GPTConfig | TransformerConfig) -> list[str]:
    """What is wrong with the fields of a configuration"""
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    bad = [f"{name} {_shown(value)}, expected {expected}" for name, value in given.items()
           if (expected := config._expected(name, value))]
    if not bad and config.n_embd % config.n_head:
        bad.append(f"n_embd {config.n_embd} is not a multiple of n_head {config.n_head}")
    if not bad and config.n_params > _MOST_PARAMETERS:
        bad.append(f"{config.n_params:,} parameters, expected at most {_MOST_PARAMETERS:,}; lower n_embd or n_layer")
    return bad


def _made(cls: Any, values: Mapping[str, Any], bad: list[str], source: object) -> Any:
    """A configuration of these fields.  Raises ConfigError in the name of `source`, with what was found bad before."""
    try:
        config = cls(**values)
    except ConfigError as error:
        bad = [str(error), *bad]
    if bad:
        listed = "; ".join(bad[:_LISTED]) + (f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else "")
        raise ConfigError(f"{printable(source)}: {listed}") from None
    return config


def _read_ids(value: Any) -> Any:
    """Ids of special tokens as the fields have them: transformers writes −1 for none."""
    if isinstance(value, list):
        return [id for id in value if not is_whole(id, -_MOST, -1)] or None
    return None if is_whole(value, -_MOST, -1) else value


def _is_empty(value: Any) -> bool:
    """Whether a value asks for nothing: False, 0, {}, or {"adapters": {}, "config_map": {}}"""
    return not value or (isinstance(value, dict) and not any(value.values()))


def _shown(value: object) -> str:
    return printable(repr(value), 80)


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
    "shakespeare-char": {"vocab_size": 65, "n_positions": 128, "n_embd": 128, "n_layer": 2, "n_head": 4},
}
