"""Arguments that transformers has and minigpt.hf has not: which do no harm, and what to do instead of the others."""

import warnings
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from ..system.option_names import nearest
from ..tokenization.checks import shortened
from .generation_config import PASSED_OVER, SETTINGS, asks_for_nothing

_LOGPROBS = "model.gpt.generate(ids, logprobs=True) returns the log-probability of each new token"
_INSIDE = "model.gpt.trace(ids) shows what the model computes"
_TAIL = "top_p and min_p leave out unlikely tokens"
_INSTEAD = {
    "return_dict_in_generate": _LOGPROBS, "output_scores": _LOGPROBS, "output_logits": _LOGPROBS,
    "output_attentions": _INSIDE, "output_hidden_states": _INSIDE,
    "streamer": "for piece in model.gpt.stream_text(prompt) yields the text piece by piece",
    "stopping_criteria": "stop_strings and eos_token_id end a row, model.gpt.stream(ids) can be left at any token",
    "max_time": "model.gpt.stream(ids) can be left at any token",
    "prefix_allowed_tokens_fn": "logits_processor=[f] rules tokens out at each step",
    "suppress_tokens": "bad_words_ids=[[id], …] rules tokens out",
    "begin_suppress_tokens": "logits_processor=[f] rules tokens out at each step",
    "forced_eos_token_id": "append it to the result", "forced_bos_token_id": "let the prompt begin with it",
    "exponential_decay_length_penalty": "logits_processor=[f] changes scores at each step",
    "guidance_scale": "logits_processor=[f] changes scores at each step",
    "typical_p": _TAIL, "top_h": _TAIL, "epsilon_cutoff": _TAIL, "eta_cutoff": _TAIL, "penalty_alpha": _TAIL,
    "num_beam_groups": "do_sample=True gives several rows", "diversity_penalty": "do_sample=True gives several rows",
    "inputs_embeds": "pass input_ids", "position_ids": "pass attention_mask", "past_key_values": "pass the whole text",
    "assistant_model": "leave it out; the tokens are the same",
}


def check_no_others(who: str, options: Mapping[str, Any]) -> None:
    """Raises TypeError for options that there are not, ValueError for those that only transformers has."""
    for name, value in options.items():
        if name in _INSTEAD:
            if not asks_for_nothing(name, value):
                raise ValueError(f"{name}: {shortened(value)}, expected none; {_INSTEAD[name]}")
        elif not (name in PASSED_OVER or name == "return_dict" or (who == "generate" and name in SETTINGS)):
            names = f" {nearest(name, SETTINGS)}" if who == "generate" else " input_ids, attention_mask and labels"
            raise TypeError(f"{who}: unknown argument {name!r}, expected{names}")


_TOKENIZER_INSTEAD = {
    "text_pair": "encode each text alone, and join the ids",
    "text_target": "encode each text alone", "text_pair_target": "encode each text alone",
    "return_offsets_mapping": "tokenizer.tokenizer.encode_with_offsets(text) of a GPT2Tokenizer says where each id comes from",
    "return_special_tokens_mask": "np.isin(ids, tokenizer.all_special_ids) finds special tokens",
    "return_overflowing_tokens": "encode without truncation, and cut the ids",
    "stride": "encode without truncation, and cut the ids",
    "is_split_into_words": "join the words to a text", "return_length": "take len() of the ids",
}


def check_tokenizer_options(options: Mapping[str, Any]) -> None:
    """Raises TypeError for options of a tokenizer's call that there are not, ValueError for those of transformers alone."""
    for name, value in options.items():
        if name in _TOKENIZER_INSTEAD:
            if value is not None and value is not False and value != 0:
                raise ValueError(f"{name}: {shortened(value)}, expected none; {_TOKENIZER_INSTEAD[name]}")
        elif name != "verbose":
            raise TypeError(f"tokenizer: unknown argument {name!r}, expected padding, truncation, max_length, return_tensors "
                            "or another that its docstring lists")


def warn_of_types(token_type_ids: ArrayLike | None) -> None:
    """Warn once of token_type_ids."""
    if token_type_ids is not None:
        warnings.warn(
            "token_type_ids ignored, expected none for GPT-2; transformers adds the embeddings of tokens 0 and 1, with which "
            "no GPT-2 was trained. Pass return_token_type_ids=False to the tokenizer", stacklevel=3,
        )


def warn_of_ignored(options: Mapping[str, Any], do_sample: bool) -> None:
    """Warn once of options in a call that do not count: those of sampling while greedy, those of beams always."""
    sampling = {} if do_sample else {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": None}
    for needed, defaults in (("do_sample=True", sampling), ("beams", {"early_stopping": False, "length_penalty": 1.0})):
        ignored = [f"{name}={options[name]!r}" for name, usual in defaults.items() if options.get(name) not in (None, usual)]
        if ignored:
            taken = "; the most likely token is taken at each step" if sampling else ""
            warnings.warn(f"generate: {', '.join(ignored)} ignored, expected {needed} with it{taken}", stacklevel=3)
