"""GPT2LMHeadModel: a GPT with Hugging Face's calls, for the articles' code, and NumPy instead of torch.

    from minigpt.hf import GPT2LMHeadModel, GPT2Tokenizer

    tokenizer = GPT2Tokenizer.from_pretrained("gpt2")
    model = GPT2LMHeadModel.from_pretrained("gpt2")
    inputs = tokenizer("Once upon a time", return_tensors="np")
    print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0]))

Calls, defaults, warnings and errors are those of transformers 4.57 and 5; where something differs, its docstring says so.
Nothing is computed here: the model is models/gpt.py's, the drawing generation/'s.  Articles A0 §4, A2 §5.2, A3 §5, A4 §4.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..config import GPTConfig
from ..generation.generate import stream
from ..inputs import check_count
from ..models.gpt import GPT
from ..nn.cross_entropy import cross_entropy_forward
from ..nn.scope import Scope
from ..system.files import write_atomic, write_together
from ..tokenization.formats import END_OF_TEXT
from ..weights.pretrained import find, save_pretrained
from .config import SPECIAL_IDS, GPT2Config, without_negative
from .generation_config import SETTINGS, GenerationConfig
from .stop_strings import StopStrings
from .tokenizer import PretrainedTokenizer
from .unsupported import check_no_others, warn_of_ignored, warn_of_types

DEFAULT_NEW_TOKENS = 20     # where neither max_length nor max_new_tokens is given

# What a setting is where neither the call nor the model's generation_config has it
_DEFAULTS = {
    "min_length": 0, "do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0, "bad_words_ids": (), "force_words_ids": (), "num_return_sequences": 1, "num_beams": 1,
}


@dataclass(frozen=True, eq=False)
class CausalLMOutput:
    """What a model returns: logits (B, T, V), and the loss where there were labels, else None.

    By attribute, by name and by number: output[0] is the loss where there is one, else the logits.  Iterating gives the arrays,
    as with return_dict=False; transformers' own object gives their names.
    """

    logits: np.ndarray
    loss: np.floating | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        """The loss, where there is one, and the logits."""
        return (self.logits,) if self.loss is None else (self.loss, self.logits)

    def keys(self) -> list[str]:
        """The names of what there is, in the order of to_tuple()."""
        return ["loss", "logits"][-len(self) :]

    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(f"{key!r}, expected one of {', '.join(self.keys())}")
        return getattr(self, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())


class GPT2LMHeadModel:
    """GPT-2 with Hugging Face's calls; `gpt` is the GPT under it.

    config: a GPT2Config; the weights are drawn from `seed`.  generation_config: what generate() does unless a call says
    otherwise.
    """

    device = "cpu"

    def __init__(self, config: GPT2Config, *, seed: Any = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        sizes = GPTConfig(**{field.name: getattr(config, field.name) for field in fields(GPTConfig)})
        self.gpt = GPT(sizes, seed=seed, dtype=dtype)
        self.generation_config = GenerationConfig()

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str], *, dtype: Any = None, torch_dtype: Any = None,
                        **changes: Any) -> "GPT2LMHeadModel":
        """Load a model as GPT.from_pretrained() does, with the generation_config.json beside it.

            GPT2LMHeadModel.from_pretrained("gpt2", pad_token_id=tokenizer.eos_token_id)

        dtype: what it computes in, float32 or float64, also by its name; None and "auto" are float32.  torch_dtype: the same by
        its old name.  changes: bos_token_id, eos_token_id, pad_token_id instead of the files'.
        Raises what GPT.from_pretrained() does; ConfigError; TypeError for other changes.
        """
        if unknown := [name for name in changes if name not in SPECIAL_IDS]:
            raise TypeError(
                f"from_pretrained: {', '.join(unknown)}, expected dtype or {', '.join(SPECIAL_IDS)}; leave out what tells "
                "transformers how to download or compute"
            )
        place = find(name_or_folder)
        model = cls.__new__(cls)
        settings = GenerationConfig.from_pretrained(place if place.is_dir() else place.parent)
        model.gpt = GPT.from_pretrained(place, dtype=_numpy_dtype(torch_dtype if dtype is None else dtype))
        model.config = GPT2Config(**model.gpt.config.to_dict())
        model.generation_config = settings
        for name, value in changes.items():
            setattr(model.config, name, value)
            delattr(settings, name)
        return model

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, generation_config.json and model.safetensors, which transformers loads too.

        A start or end that nobody gave, in a vocabulary without GPT-2's, is that of the model's own tokenizer, if it has one.
        """
        end = getattr(self.gpt.tokenizer, "special_tokens", {}).get(END_OF_TEXT)
        ids = dict.fromkeys(self.config.unset, end)
        config = replace(self.config, bias=True, **ids)

        def write() -> None:
            save_pretrained(self.gpt, folder)
            write_atomic(Path(folder) / "config.json", config.to_json().encode("utf-8"))
            self._generation_config.of(config).save_pretrained(folder)

        write_together(write)

    @property
    def generation_config(self) -> GenerationConfig:
        """What generate() does unless a call says otherwise; its settings can be set, and it can be replaced."""
        return self._generation_config.of(self.config)

    @generation_config.setter
    def generation_config(self, settings: GenerationConfig) -> None:
        if not isinstance(settings, GenerationConfig):
            raise TypeError(f"generation_config: {type(settings).__name__}, expected a minigpt.hf.GenerationConfig; make one")
        self._generation_config = settings

    def eval(self) -> "GPT2LMHeadModel":
        """Do nothing, since nothing drops out here -> the model."""
        return self

    def train(self, mode: bool = True) -> "GPT2LMHeadModel":
        """As eval() for train(False).  Raises ValueError for train(), with what trains a model here."""
        if mode:
            raise ValueError("train: True, expected False, since this class only computes; `minigpt train` and "
                             "minigpt.training.Trainer(model.gpt, …) train a model")
        return self

    def to(self, *places: Any) -> "GPT2LMHeadModel":
        """Return the model for "cpu".  Raises ValueError for any other device, and for a dtype."""
        if [str(place) for place in places] != ["cpu"]:
            raise ValueError(f"to: {', '.join(map(repr, places))}, expected 'cpu', where NumPy computes; choose a dtype when "
                             "loading: from_pretrained(…, dtype='float32')")
        return self

    def num_parameters(self) -> int:
        """The number of parameters; a tied output layer shares the embedding's."""
        return self.config.n_params

    def resize_token_embeddings(self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None) -> None:
        """Give the vocabulary another size, for tokens that were added: new rows are the mean of the old ones.

        As in transformers, which adds noise too small to see to the mean.  Fewer tokens cut the last rows off.
        pad_to_multiple_of: there are as many more rows as it takes to be a multiple of it.
        Raises TypeError, ValueError.
        """
        new_num_tokens = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        check_count(new_num_tokens, 1, "new_num_tokens", "pass len(tokenizer)")
        if pad_to_multiple_of is not None:
            check_count(pad_to_multiple_of, 1, "pad_to_multiple_of", "pass 64")
            new_num_tokens = -(-new_num_tokens // pad_to_multiple_of) * pad_to_multiple_of
        if new_num_tokens == self.config.vocab_size:
            return
        old = self.gpt
        gpt = GPT(replace(old.config, vocab_size=int(new_num_tokens)), seed=None, dtype=old.dtype, threads=old.pool.threads,
                  fast=old.fast)
        for name, array in gpt.params.items():
            n = min(len(array), len(old.params[name]))
            array[:n] = old.params[name][:n]
            array[n:] = old.params[name].mean(axis=0)       # only tables of tokens have another length
        gpt.tokenizer = old.tokenizer
        self.gpt = gpt
        object.__setattr__(self.config, "vocab_size", int(new_num_tokens))

    def __call__(self, input_ids: ArrayLike, attention_mask: ArrayLike | None = None, labels: ArrayLike | None = None,
                 token_type_ids: ArrayLike | None = None, **options: Any) -> CausalLMOutput:
        """Score the next token at every position: input_ids (B, T) -> logits (B, T, V), the caller's own.

        attention_mask (B, T): 1 at tokens, 0 at padding, which nothing attends to.  As in Hugging Face's forward, positions
        count from the first column all the same; only generate() counts them from the first token.
        labels (B, T): the same ids; they are shifted here, −100 is ignored, and the loss is the mean over the others.
        token_type_ids, which a BertTokenizer gives, are left out with a warning: transformers would add the embeddings of
        tokens 0 and 1, which no GPT-2 was trained with.  options: use_cache, return_dict and others that change no logit.
        Raises TypeError, ValueError.
        """
        check_no_others("model", options)
        warn_of_types(token_type_ids)
        mask = None if attention_mask is None else self._checked_mask(attention_mask, np.shape(input_ids))
        logits = self.gpt(input_ids, mask)
        if labels is None:
            return CausalLMOutput(logits)
        if np.shape(labels) != logits.shape[:2]:
            raise ValueError(f"labels: shape {np.shape(labels)}, expected that of input_ids {logits.shape[:2]}")
        _, targets, count = self.gpt.checked(np.asarray(input_ids)[:, 1:], np.asarray(labels)[:, 1:])
        # cross_entropy_forward() overwrites the logits that it is given
        loss = cross_entropy_forward(logits[:, :-1].copy(), targets, Scope.of(fast=True), count)
        return CausalLMOutput(logits, logits.dtype.type(loss))

    def generate(
        self, inputs: ArrayLike | None = None, *, input_ids: ArrayLike | None = None, attention_mask: ArrayLike | None = None,
        generation_config: GenerationConfig | None = None, logits_processor: Sequence[Callable[..., Any]] | None = None,
        tokenizer: PretrainedTokenizer | None = None, token_type_ids: ArrayLike | None = None,
        seed: int | Sequence[int] | None = None, sliding_window: bool = False, **options: Any,
    ) -> np.ndarray:
        """Continue every row: inputs (B, T) ids -> (B num_return_sequences, T + new) int64, the caller's own.

        Without inputs a text starts from bos_token_id.  Each option is taken from the call, then from `generation_config`, then
        from the model's generation_config and, of special ids, its config:

        attention_mask (B, T): 0 at padding, which should be on the left; each row equals what it gives alone.
        max_length        tokens of a row with its prompt and padding; max_new_tokens, without them, wins.  Neither: 20 new
        min_length, min_new_tokens      the same for how many there are before a row may end; by default 0
        do_sample         False, the default, takes the most likely token; then temperature, top_k, top_p, min_p do not count,
                          with a warning.  True draws: temperature 1.0, top_k 50, top_p 1.0, min_p None unless given
        bad_words_ids     as in Sampling, like repetition_penalty and no_repeat_ngram_size; eos_token_id is left out of them
        sequence_bias     {(id, …): value} or [[[id, …], value], …]: logit_bias of Sampling
        logits_processor  a list of f(input_ids (1, T), scores (1, V)) -> scores, arrays; each row comes alone, unpadded
        num_return_sequences            continuations of each prompt, side by side; more than one only with do_sample
        eos_token_id      an id or several that end a row; kept, then followed by pad_token_id; None, in the call: nothing does
        stop_strings      texts that end a row once they occur in it, as `tokenizer` decodes it; the row includes them

        Not Hugging Face's: seed, as in generation.options.Sampling, instead of torch's; sliding_window=True goes on past
        n_positions, which otherwise raises ValueError.  There are no beams: force_words_ids, which needs them there, is that
        of Sampling, lists of ids; early_stopping and length_penalty do not count, with a warning.  use_cache and others that
        change no token are passed over; what else transformers has raises ValueError with what to do instead.
        token_type_ids: left out, as by the model itself.  A row that ends in padding is continued from its last token.
        Raises TypeError, ValueError before anything is computed.
        """
        if inputs is not None and input_ids is not None:
            raise ValueError("generate: inputs and input_ids, expected one of the two; pass tokenizer.encode(…)")
        check_no_others("generate", options)
        warn_of_types(token_type_ids)
        chosen = self._chosen(options, generation_config)
        eos = _id_list(chosen["eos_token_id"])
        pad = chosen["pad_token_id"]
        prompt = input_ids if inputs is None else inputs
        rows = self._rows([[]] if prompt is None else prompt, chosen["bos_token_id"])
        mask = self._prompt_mask(rows, attention_mask, pad, eos)
        T = rows.shape[1]
        if chosen["num_beams"] != 1:
            raise ValueError(
                f"num_beams: {chosen['num_beams']}, expected 1; a GPT is not searched by beams here: pass num_beams=1, "
                "do_sample=True gives several rows"
            )
        if chosen["num_return_sequences"] != 1 and not chosen["do_sample"]:
            raise ValueError(
                f"num_return_sequences: {chosen['num_return_sequences']}, expected 1 while greedy, since all would be equal; "
                "pass do_sample=True"
            )
        if chosen["do_sample"] and chosen["temperature"] == 0:
            raise ValueError("temperature: 0, expected a number above 0 when sampling; do_sample=False takes the likeliest")
        stop_strings = chosen["stop_strings"]
        if stop_strings is not None and tokenizer is None:
            raise ValueError("stop_strings: no tokenizer, expected one to read the text with; pass tokenizer=tokenizer")
        max_new_tokens, min_new_tokens = self._lengths(T, chosen, options, sliding_window)
        if chosen["do_sample"]:
            sampling = {name: chosen[name] for name in ("temperature", "top_k", "top_p", "min_p")}
            sampling["temperature"] = 1.0 if sampling["temperature"] is None else sampling["temperature"]
        else:
            sampling = {"temperature": 0}
        warn_of_ignored(options, chosen["do_sample"])
        alone = [[id] for id in eos]
        steps = stream(
            self.gpt, [row[is_token].tolist() for row, is_token in zip(rows, mask, strict=True)], max_new_tokens, **sampling,
            repetition_penalty=chosen["repetition_penalty"], no_repeat_ngram_size=chosen["no_repeat_ngram_size"],
            bad_words_ids=[word for word in chosen["bad_words_ids"] if not (np.iterable(word) and [*word] in alone)],
            force_words_ids=chosen["force_words_ids"], logit_bias=_bias_by_ids(chosen["sequence_bias"]),
            logits_processor=_row_processor(logits_processor or ()), min_new_tokens=min_new_tokens,
            num_samples=chosen["num_return_sequences"], seed=seed, sliding_window=sliding_window,
            # the files' may lie outside a small vocabulary, where they are never drawn
            stop_ids=[id for id in eos if "eos_token_id" in options or id < self.config.vocab_size],
            vocab_size=self.config.vocab_size,      # as in transformers also ids that the tokenizer has no text for
        )
        rows = np.repeat(rows, chosen["num_return_sequences"], axis=0)
        fill = pad if pad is not None else eos[0] if eos else None
        stops = None if stop_strings is None or tokenizer is None else StopStrings(tokenizer, stop_strings, rows)
        if stops is not None and fill is None:
            raise ValueError("pad_token_id: None, expected an id to fill rows that end at stop_strings; pass pad_token_id=0")
        return self._filled(rows, steps, eos, fill, stops)

    def _chosen(self, options: Mapping[str, Any], generation_config: GenerationConfig | None) -> dict[str, Any]:
        """Collect every setting: the call's, that of the generation_config passed, of the model's own, or the default."""
        passed = {} if generation_config is None else generation_config.to_dict()
        given = {
            **self.generation_config.to_dict(), **{name: value for name, value in passed.items() if value is not None},
            **{name: without_negative(value) if name in SPECIAL_IDS else value for name, value in options.items()},
        }
        none = {name for name in ("temperature", "top_k", "top_p") if name in given}        # of these None counts: it is off
        return {name: value if (value := given.get(name)) is not None or name in none else _DEFAULTS.get(name)
                for name in SETTINGS}

    def _lengths(self, T: int, chosen: Mapping[str, Any], options: Mapping[str, Any], sliding_window: bool) -> tuple[int, int]:
        """Tell how many new tokens there are at most, and before a row may end, for prompts of T tokens."""
        most, max_length, least = chosen["max_new_tokens"], chosen["max_length"], chosen["min_new_tokens"]
        if most is None:
            if max_length is None:
                max_length = T + DEFAULT_NEW_TOKENS if sliding_window else min(T + DEFAULT_NEW_TOKENS, self.config.n_positions)
            if max_length <= T:
                raise ValueError(f"input_ids: {T} tokens, expected fewer than max_length {max_length}; pass max_new_tokens")
            most = max_length - T
        elif options.get("max_length") is not None and "max_new_tokens" not in options:
            warnings.warn(f"generate: max_length={max_length} ignored, since generation_config has max_new_tokens {most}, "
                          "which wins; pass max_new_tokens", stacklevel=3)
        return most, max(0, chosen["min_length"] - T) if least is None else least

    def _filled(self, rows: np.ndarray, steps: Iterable[np.ndarray], eos: list[int], fill: int | None,
                stops: StopStrings | None) -> np.ndarray:
        """Append the tokens of each step to the prompts, up to where a row ends; from there on `fill`."""
        columns = [rows]
        ended = np.zeros(len(rows), bool)
        for tokens in steps:
            if ended.any():                     # where nothing ends a row there is no `fill` either
                tokens[ended] = fill
            columns.append(tokens[:, None])
            ended |= np.isin(tokens, eos)
            if stops is not None:
                ended |= stops.reached(tokens)
            if ended.all():
                break
        return np.concatenate(columns, axis=1)

    @staticmethod
    def _rows(ids: ArrayLike, bos: int | None) -> np.ndarray:
        """Check ids (B, T) -> an array of its own; an empty prompt starts from `bos`."""
        rows = np.asarray(ids)
        if rows.ndim != 2 or len(rows) == 0:
            raise ValueError(f'input_ids: shape {rows.shape}, expected (batch, time); encode with return_tensors="np"')
        if rows.shape[1] == 0:
            if bos is None:
                raise ValueError("input_ids: empty, expected a token, since config.bos_token_id is None; give a prompt")
            rows = np.full((len(rows), 1), bos)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"input_ids: dtype {rows.dtype}, expected integers")
        return rows.astype(np.int64)

    def _prompt_mask(self, rows: np.ndarray, attention_mask: ArrayLike | None, pad: int | None, eos: list[int]) -> np.ndarray:
        """Make a mask (B, T), True at tokens.  Without attention_mask a pad token other than eos shows where the padding is.

        Of a row that is all padding the last token counts.
        """
        if attention_mask is None or np.shape(attention_mask) == (len(rows), 0):
            mask = rows != pad if pad is not None and pad not in eos else np.ones(rows.shape, bool)
        else:
            mask = self._checked_mask(attention_mask, rows.shape)
        if not mask[:, -1].all():
            warnings.warn(
                f"generate: row {mask[:, -1].argmin()} ends in padding, expected padding at the left; the row is continued "
                "from its last token. Set tokenizer.padding_side = 'left'", stacklevel=3,
            )
            mask[~mask.any(axis=1), -1] = True
        return mask

    @staticmethod
    def _checked_mask(attention_mask: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
        mask = np.asarray(attention_mask)
        if mask.shape != shape:
            raise ValueError(f"attention_mask: shape {mask.shape}, expected that of input_ids {shape}")
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("attention_mask: other values, expected 1 at tokens and 0 at padding")
        return mask.astype(bool)


class GPT3LMHeadModel:
    """A class that article A0 §4 calls, but that transformers never had."""

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str], **options: Any) -> NoReturn:
        """Explain what to take instead.  Raises ValueError."""
        raise ValueError(
            f"{cls.__name__}: {name_or_folder!r}, expected a model whose weights exist in public; OpenAI never released "
            "GPT-3's, it could only be used over the network. Take GPT2LMHeadModel and GPT2Tokenizer with 'gpt2' to 'gpt2-xl': "
            "GPT-3 is the same network, larger, with the same tokens"
        )


class GPT3Tokenizer(GPT3LMHeadModel):
    """The same for the article's tokenizer."""


def _numpy_dtype(dtype: Any) -> np.dtype:
    """A dtype, or its name, also behind "torch." -> NumPy's; None and "auto" are float32.  Raises ValueError."""
    name = "float32" if dtype is None or (isinstance(dtype, str) and dtype == "auto") else dtype
    try:
        found = np.dtype(name.removeprefix("torch.") if isinstance(name, str) else name)
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: {dtype!r}, expected 'float32' or 'float64', which NumPy computes in; weights of any "
                         "precision are read into it")
    return np.dtype(found)


def _id_list(ids: int | Iterable[int] | None) -> list[int]:
    """None, an id or several -> a list."""
    return [] if ids is None else [ids] if isinstance(ids, (int, np.integer)) else [*ids]


def _bias_by_ids(sequence_bias: Mapping[tuple[int, ...], float] | list[Any] | None) -> Mapping[tuple[int, ...], float] | None:
    """Either of Hugging Face's forms of a bias -> {(id, …): value}.  Raises TypeError."""
    if not isinstance(sequence_bias, (list, tuple)):
        return sequence_bias
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 and np.iterable(pair[0]) for pair in sequence_bias):
        raise TypeError(f"sequence_bias: {sequence_bias!r}, expected [[ids, value], …] or {{ids: value}}, ids a tuple")
    return {tuple(ids): value for ids, value in sequence_bias}


def _row_processor(processors: Sequence[Callable[..., Any]]) -> Callable[[np.ndarray, np.ndarray], np.ndarray | None]:
    """Hugging Face's processors of ids (1, T), logits (1, V), in turn -> one of ids (T,), logits (V,).  Raises TypeError."""
    if not (isinstance(processors, (list, tuple)) and all(map(callable, processors))):
        raise TypeError(f"logits_processor: {processors!r}, expected a list of f(input_ids, scores) -> scores")

    def process(ids: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
        scores: Any = logits[None]
        for one in processors:
            scores = one(ids[None], scores)
        return None if scores is None else np.asarray(scores)[0]

    return process
