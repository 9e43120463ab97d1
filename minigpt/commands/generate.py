"""The command `generate`: continue a prompt."""

import argparse
import sys
import time
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from ..generation.characters import INCOMPLETE, whole_characters
from ..generation.streaming import with_words
from ..inputs import require_tokenizer
from ..models.gpt import GPT
from ..system.shell import quoted
from ..system.text import counted, for_terminal
from ..tokenization import CharTokenizer, Tokenizer
from ..tokenization.formats import END_OF_TEXT
from .common import add_model, add_raw, command_parser, exit_status, shown, write
from .runs import newest
from .unknown import knows, refuse_unknown

BUNDLED = "shakespeare-char"


def main(argv: list[str] | None = None) -> int:
    """Continue a prompt: write the text to stdout while it is generated, the speed to stderr.

    Returns the exit status: 0, 1 after an error, 130 after Ctrl-C; the text generated so far is then kept.
    """
    return exit_status(_run, _parser(), argv)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "minigpt generate", "Continue a text with a model, token by token.",
        'python -m minigpt generate "ROMEO:" --temperature 0.7 --seed 4', 'python -m minigpt generate "To be" --force " art"',
        notes="When the model's context is full, generation continues from the newer half of the text.",
        defaults={"model": BUNDLED},
    )
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("text", nargs="?", metavar="PROMPT", help="the text to continue (default: a line feed)")
    prompt.add_argument("--prompt", metavar="PROMPT", help="the same, given as a flag (default: PROMPT)")
    add_model(parser)
    parser.set_defaults(model=None)         # so that what speaks unasked can be named
    parser.add_argument("--max-new-tokens", type=int, default=300, metavar="N", help="tokens to add")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T",
                        help="below 1 favors likely tokens, 0 always takes the most likely")
    parser.add_argument("--top-k", type=int, metavar="K", help="sample only from the K most likely tokens (default: all)")
    parser.add_argument("--top-p", type=float, metavar="P",
                        help="sample only from the most likely tokens whose probabilities add up to P (default: all)")
    parser.add_argument("--ban", action="append", default=[], metavar="TEXT",
                        help="text that must not appear, not even inside a word; may be repeated, like the next two flags "
                        "(default: none)")
    parser.add_argument("--force", action="append", default=[], metavar="TEXT",
                        help="text that must appear before the end; start it with a space, as in ' art', to force a whole word "
                        "(default: none)")
    parser.add_argument("--bias", action="append", default=[], metavar="TOKEN=NUMBER",
                        help="add NUMBER to a token's logit: e=-2 makes e less likely, e=-100 rules it out (default: none)")
    parser.add_argument("--num-samples", type=int, default=1, metavar="N", help="number of continuations")
    add_raw(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text (default: random)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU cores to use (default: all)")
    return parser


def _run(args: argparse.Namespace) -> int:
    name = args.model or BUNDLED
    if args.model is None:
        run = newest(holding="config.json")
        own = "" if run is None else f"; your newest run: --model {for_terminal(quoted(run))}"
        print(f"model: {BUNDLED}, which comes with minigpt{own}", file=sys.stderr)
    model = GPT.from_pretrained(name, threads=args.threads)
    tokenizer = require_tokenizer(model, name)
    prompt = args.text if args.text is not None else _line_feed(tokenizer) if args.prompt is None else args.prompt
    refuse_unknown(tokenizer, prompt, "prompt", name)
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    stop_ids = () if end is None else (end,)
    prompt_ids = tokenizer.encode(prompt, allowed_special="all")        # special tokens typed on the command line are parsed
    if not prompt_ids and end is None:
        raise ValueError("--prompt: empty, and this model has no token that begins a text, expected at least one character; "
                         "without a prompt it begins with a line feed")
    steps = model.stream(prompt_ids, args.max_new_tokens, **with_words(
        tokenizer, args.ban, args.force, logit_bias=_bias(tokenizer, args.bias), temperature=args.temperature,
        top_k=args.top_k, top_p=args.top_p, seed=args.seed, num_samples=args.num_samples, start_id=end, stop_ids=stop_ids,
        sliding_window=True,
    ))
    samples: list[list[int]] = [[] for _ in range(args.num_samples)]
    start, status, pieces = time.perf_counter(), 0, [""]
    show = shown(args)
    write(show(prompt))
    try:
        for piece in whole_characters(tokenizer, _first_of(steps, samples, stop_ids)):
            write(show(piece))
            pieces.append(piece)
    except KeyboardInterrupt:
        status = 130
    seconds = time.perf_counter() - start
    write("\n")
    samples = [ids[: next((i for i, id in enumerate(ids) if id in stop_ids), len(ids))] for ids in samples]
    for i, ids in enumerate(samples[1:], start=2):  # the first was written while it was generated
        pieces.append("".join(whole_characters(tokenizer, ids)))
        write(f"--- {i} ---\n{show(prompt + pieces[-1])}\n")
    tokens = sum(map(len, samples))
    print(f"{counted(tokens, 'token')} in {seconds:.2f} s, {tokens / seconds:.1f} tokens/s", file=sys.stderr)
    if isinstance(tokenizer, Tokenizer) and any("\ufffd" in piece for piece in pieces):
        print(INCOMPLETE, file=sys.stderr)
    return status


def _line_feed(tokenizer: Tokenizer | CharTokenizer) -> str:
    """A line feed, or the first character of a vocabulary without one"""
    return "\n" if knows(tokenizer, "\n") else tokenizer.decode([0])


def _bias(tokenizer: Tokenizer | CharTokenizer, flags: list[str]) -> dict[int, float]:
    """Parse flags TOKEN=NUMBER -> {id: number}.  Raises ValueError."""
    bias = {}
    for flag in flags:
        token, _, number = flag.rpartition("=")
        ids = tokenizer.encode(token, allowed_special="all")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"--bias: {flag!r}, expected TOKEN=NUMBER; write 'e=-2'") from None
        if len(ids) != 1:
            raise ValueError(f"--bias: {token!r} is {len(ids)} tokens, expected one; see python -m minigpt tokenize")
        bias[ids[0]] = value
    return bias


def _first_of(steps: Iterable[int | np.ndarray], samples: list[list[int]], stop_ids: Collection[int]) -> Iterator[int]:
    """Yield the first sample's tokens until it ends; append the tokens of all samples to `samples`."""
    ended = False
    for step in steps:
        row = [step] if isinstance(step, int) else step.tolist()
        for ids, id in zip(samples, row, strict=True):
            ids.append(id)
        ended = ended or row[0] in stop_ids
        if not ended:
            yield row[0]
