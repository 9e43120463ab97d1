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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..config import GPTConfig
from ..generation.generate import stream
from ..inputs import is_whole
from ..models.gpt import GPT
from ..nn.cross_entropy import cross_entropy_forward
from ..nn.scope import Scope
from ..system.files import write_atomic, write_together
from ..weights.pretrained import find, save_pretrained
from .tokenizer import GPT2Tokenizer

DEFAULT_NEW_TOKENS = 20     # where neither max_length nor max_new_tokens is given


@dataclass(frozen=True)
class GPT2Config(GPTConfig):
    """A GPTConfig with Hugging Face's defaults for dropout, and with the ids of special tokens; None: there is none."""

    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    bos_token_id: int | None = 50_256           # where an empty prompt starts
    eos_token_id: int | None = 50_256           # ends a text
    pad_token_id: int | None = None             # pads a row that has ended; None: eos_token_id does

    @staticmethod
    def _expected(name: str, value: object) -> str | None:
        if not name.endswith("_token_id"):
            return GPTConfig._expected(name, value)
        return None if value is None or is_whole(value, 0, 2**31 - 1) else "an id from 0, or None"

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str]) -> "GPT2Config":
        """Load the config.json of a model.  Raises ConfigError, and what weights.pretrained.find() does."""
        return cls.from_file(find(name_or_folder) / "config.json")


@dataclass(frozen=True, eq=False)
class CausalLMOutput:
    """What a model returns: logits (B, T, V), and the loss where there were labels, else None."""

    logits: np.ndarray
    loss: np.floating | None = None


class GPT2LMHeadModel:
    """GPT-2 with Hugging Face's calls; `gpt` is the GPT under it.  There is no dropout, so no eval() is needed.

    config: a GPT2Config; the weights are drawn from `seed`.
    """

    def __init__(self, config: GPT2Config, *, seed: Any = 0, dtype: DTypeLike = np.float32) -> None:
        self.config = config
        sizes = GPTConfig(**{field.name: getattr(config, field.name) for field in fields(GPTConfig)})
        self.gpt = GPT(sizes, seed=seed, dtype=dtype)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | os.PathLike[str], *, dtype: DTypeLike = np.float32) -> "GPT2LMHeadModel":
        """Load the model of a folder, or by name.  Raises what GPT.from_pretrained() does."""
        folder = find(name_or_folder)
        model = cls.__new__(cls)
        model.config = GPT2Config.from_pretrained(folder)
        model.gpt = GPT.from_pretrained(folder, dtype=dtype)
        return model

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors, which transformers loads too."""

        def write() -> None:
            save_pretrained(self.gpt, folder)
            write_atomic(Path(folder) / "config.json", replace(self.config, bias=True).to_json().encode("utf-8"))

        write_together(write)

    def __call__(self, input_ids: ArrayLike, attention_mask: ArrayLike | None = None,
                 labels: ArrayLike | None = None) -> CausalLMOutput:
        """Score the next token at every position: input_ids (B, T) -> logits (B, T, V), the caller's own.

        attention_mask (B, T): 1 at tokens, 0 at padding, which nothing attends to.  As in Hugging Face's forward, positions
        count from the first column all the same; only generate() counts them from the first token.
        labels (B, T): the same ids; they are shifted here, −100 is ignored, and the loss is the mean over the others.
        Raises TypeError, ValueError.
        """
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
        max_length: int | None = None, max_new_tokens: int | None = None, min_length: int = 0,
        min_new_tokens: int | None = None, do_sample: bool = False, temperature: float = 1.0, top_k: int | None = 50,
        top_p: float | None = 1.0, min_p: float | None = None, repetition_penalty: float = 1.0, no_repeat_ngram_size: int = 0,
        bad_words_ids: Sequence[Sequence[int]] | None = None, force_words_ids: Sequence[Sequence[int]] | None = None,
        sequence_bias: Mapping[tuple[int, ...], float] | list[Any] | None = None,
        logits_processor: Sequence[Callable[..., Any]] | None = None, num_return_sequences: int = 1, num_beams: int = 1,
        eos_token_id: int | Sequence[int] | None = None, pad_token_id: int | None = None,
        stop_strings: str | Sequence[str] | None = None, tokenizer: GPT2Tokenizer | None = None,
        seed: int | Sequence[int] | None = None, sliding_window: bool = False,
    ) -> np.ndarray:
        """Continue every row: inputs (B, T) ids -> (B num_return_sequences, T + new) int64, the caller's own.

        attention_mask (B, T): 0 at padding, which must be on the left; each row equals what it gives alone.
        max_length        tokens of a row with its prompt and padding; max_new_tokens, without them, wins.  Neither: 20 new
        min_length, min_new_tokens      the same for how many there are before a row may end
        do_sample         False takes the most likely token; then temperature, top_k, top_p, min_p do not count, with a warning
        bad_words_ids     as in Sampling, like repetition_penalty and no_repeat_ngram_size; eos_token_id is left out of them
        sequence_bias     {(id, …): value} or [[[id, …], value], …]: logit_bias of Sampling
        logits_processor  a list of f(input_ids (1, T), scores (1, V)) -> scores, arrays; each row comes alone, unpadded
        num_return_sequences            continuations of each prompt, side by side; more than one only with do_sample
        eos_token_id      an id or several that end a row; kept, then followed by pad_token_id; None: the config's
        stop_strings      texts that end a row once they occur in it, as `tokenizer` decodes it; the row includes them

        Not Hugging Face's: seed, as in generation.options.Sampling, instead of torch's; sliding_window=True goes on past
        n_positions, which otherwise raises ValueError.  There are no beams: force_words_ids, which needs them there, is that
        of Sampling, lists of ids.
        Raises TypeError, ValueError before anything is computed.
        """
        if sum(given is None for given in (inputs, input_ids)) != 1:
            raise ValueError("generate: inputs and input_ids, expected one of the two; pass tokenizer.encode(…)")
        eos = _id_list(self.config.eos_token_id if eos_token_id is None else eos_token_id)
        pad = self.config.pad_token_id if pad_token_id is None else pad_token_id
        rows = self._rows(inputs if inputs is not None else input_ids)
        mask = self._prompt_mask(rows, attention_mask, pad, eos)
        T = rows.shape[1]
        if num_beams != 1:
            raise ValueError(
                f"num_beams: {num_beams}, expected 1; a GPT is not searched by beams here, do_sample=True gives several rows"
            )
        if num_return_sequences != 1 and not do_sample:
            raise ValueError(
                f"num_return_sequences: {num_return_sequences}, expected 1 while greedy, since all would be equal; "
                "pass do_sample=True"
            )
        if do_sample and temperature == 0:
            raise ValueError("temperature: 0, expected a number above 0 when sampling; do_sample=False takes the likeliest")
        if stop_strings is not None and tokenizer is None:
            raise ValueError("stop_strings: no tokenizer, expected one to read the text with; pass tokenizer=tokenizer")
        if max_new_tokens is None:
            if max_length is None:
                max_length = T + DEFAULT_NEW_TOKENS if sliding_window else min(T + DEFAULT_NEW_TOKENS, self.config.n_positions)
            if max_length <= T:
                raise ValueError(f"input_ids: {T} tokens, expected fewer than max_length {max_length}; pass max_new_tokens")
            max_new_tokens = max_length - T
        if min_new_tokens is None:
            min_new_tokens = max(0, min_length - T)
        if do_sample:
            options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        else:
            options = {"temperature": 0}
            given = {"temperature": (temperature, 1.0), "top_k": (top_k, 50), "top_p": (top_p, 1.0), "min_p": (min_p, None)}
            if ignored := [f"{name}={value!r}" for name, (value, default) in given.items() if value not in (default, None)]:
                warnings.warn(
                    f"generate: {', '.join(ignored)} ignored, expected do_sample=True with it; "
                    "the most likely token is taken at each step", stacklevel=2,
                )
        n_vocab = self.config.vocab_size
        steps = stream(
            self.gpt, [row[is_token].tolist() for row, is_token in zip(rows, mask, strict=True)], max_new_tokens, **options,
            repetition_penalty=repetition_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
            bad_words_ids=[word for word in bad_words_ids or () if [*word] not in [[id] for id in eos]],
            force_words_ids=force_words_ids or (), logit_bias=_bias_by_ids(sequence_bias),
            logits_processor=_row_processor(logits_processor or ()),
            min_new_tokens=min_new_tokens, num_samples=num_return_sequences, seed=seed, sliding_window=sliding_window,
            # the config's may lie outside a small vocabulary, where it is never drawn
            stop_ids=[id for id in eos if eos_token_id is not None or id < n_vocab],
        )
        rows = np.repeat(rows, num_return_sequences, axis=0)
        fill = pad if pad is not None else eos[0] if eos else None
        stops = None if stop_strings is None or tokenizer is None else _StopStrings(tokenizer, stop_strings, rows)
        if stops is not None and fill is None:
            raise ValueError("pad_token_id: None, expected an id to fill rows that end at stop_strings; pass pad_token_id=0")
        return self._filled(rows, steps, eos, fill, stops)

    def _filled(self, rows: np.ndarray, steps: Iterable[np.ndarray], eos: list[int], fill: int | None,
                stops: "_StopStrings | None") -> np.ndarray:
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

    def _rows(self, ids: ArrayLike | None) -> np.ndarray:
        """Check ids (B, T) -> an array of its own; an empty prompt starts from bos_token_id."""
        rows = np.asarray(ids)
        if rows.ndim != 2 or len(rows) == 0:
            raise ValueError(f'input_ids: shape {rows.shape}, expected (batch, time); encode with return_tensors="np"')
        if rows.shape[1] == 0:
            if self.config.bos_token_id is None:
                raise ValueError("input_ids: empty, expected a token, since config.bos_token_id is None; give a prompt")
            rows = np.full((len(rows), 1), self.config.bos_token_id)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"input_ids: dtype {rows.dtype}, expected integers")
        return rows.astype(np.int64)

    def _prompt_mask(self, rows: np.ndarray, attention_mask: ArrayLike | None, pad: int | None, eos: list[int]) -> np.ndarray:
        """Make a mask (B, T), True at tokens.  Without attention_mask a pad token other than eos shows where the padding is."""
        if attention_mask is None or np.shape(attention_mask) == (len(rows), 0):
            mask = rows != pad if pad is not None and pad not in eos else np.ones(rows.shape, bool)
        else:
            mask = self._checked_mask(attention_mask, rows.shape)
        if not mask[:, -1].all():
            raise ValueError(
                f"attention_mask: row {mask[:, -1].argmin()} ends in padding, expected padding at the left when generating; "
                "set tokenizer.padding_side = 'left'"
            )
        return mask

    @staticmethod
    def _checked_mask(attention_mask: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
        mask = np.asarray(attention_mask)
        if mask.shape != shape:
            raise ValueError(f"attention_mask: shape {mask.shape}, expected that of input_ids {shape}")
        if not np.isin(mask, (0, 1)).all():
            raise ValueError("attention_mask: other values, expected 1 at tokens and 0 at padding")
        return mask.astype(bool)


class _StopStrings:
    """Watch the bytes of each row for stop strings.

    As in Hugging Face, a string may begin in the prompt, but must end in the output.
    """

    def __init__(self, tokenizer: GPT2Tokenizer, stop_strings: Any, rows: np.ndarray) -> None:
        stop_strings = [stop_strings] if isinstance(stop_strings, str) else stop_strings
        if not all(isinstance(string, str) and string for string in stop_strings):
            raise TypeError(f"stop_strings: {stop_strings!r}, expected a text or several, none empty")
        self.stops = [string.encode() for string in stop_strings]
        self.token_bytes = tokenizer.tokenizer.token_bytes
        self.longest = max(map(len, self.stops), default=0)
        self.tails = [b"".join(map(self.token_bytes, row)) for row in rows.tolist()]

    def reached(self, tokens: np.ndarray) -> np.ndarray:
        """Add one more token to each row, (B,) -> (B,) booleans: whether it completed a stop string."""
        reached = np.zeros(len(tokens), bool)
        for r, token in enumerate(tokens.tolist()):
            new = self.token_bytes(token)
            tail = self.tails[r][-(self.longest - 1) :] if self.longest > 1 else b""    # no new match begins earlier
            self.tails[r] = text = tail + new
            reached[r] = any(text.find(stop, max(0, len(tail) - len(stop) + 1)) >= 0 for stop in self.stops)
        return reached


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
