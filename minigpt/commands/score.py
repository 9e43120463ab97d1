"""The command `score`: measure how likely a model finds a text, or each of several answers."""

import argparse
import os
import sys
import time

from ..inputs import require_tokenizer
from ..models.gpt import GPT
from ..system.text import counted, printable
from ..system.text_files import read_text_file
from .common import add_keep_bytes, add_model, command_parser, exit_status, write
from .unknown import refuse_unknown


def main(argv: list[str] | None = None) -> int:
    """Score a text or a file, or rank answers to a prompt.  Returns the exit status, 0, 1 or 130."""
    parser = command_parser(
        "minigpt score", "Measure how likely a model finds a text: nats per token, perplexity and bits per byte. With "
        "--answers, rank several answers by how likely they follow the text.",
        'python -m minigpt score "To be, or not to be"', 'python -m minigpt score "My gracious " --answers lord lady lion',
    )
    parser.add_argument("text", metavar="TEXT", help="the text, or the name of a UTF-8 file; with --answers, the prompt")
    add_model(parser)
    add_keep_bytes(parser)
    parser.add_argument("--answers", nargs="+", metavar="ANSWER", help="possible continuations: prints the log-probability of "
                        "each, and its probability relative to the others (default: the text itself is scored)")
    parser.add_argument("--normalize", choices=("tokens", "bytes"), help="compare log-probabilities per token or per byte, so "
                        "that longer answers are not at a disadvantage (default: the sums are compared)")
    return exit_status(_run, parser, argv)


def _run(args: argparse.Namespace) -> int:
    if args.normalize is not None and args.answers is None:
        raise ValueError("--normalize: no --answers, expected both; without them, both means are printed anyway")
    model = GPT.from_pretrained(args.model)
    tokenizer = require_tokenizer(model, args.model)
    if args.answers is not None:
        refuse_unknown(tokenizer, args.text + "".join(args.answers), "text", args.model)
        choices = model.choose(args.text, args.answers, args.normalize)
        by = "" if args.normalize is None else f"   per {args.normalize[:-1]}"
        write(f"probability      log p{by}   answer\n")
        for choice in choices:
            mean = "" if args.normalize is None else f"{choice.score:>{len(by)}.4f}"
            write(f"{choice.probability:11.4f} {choice.logprob:10.4f}{mean}   {choice.answer!r}\n")
        return 0
    is_file = os.path.isfile(args.text)         # unlike Path.is_file(), it accepts a text of any length
    text, changes = read_text_file(args.text, args.keep_bytes) if is_file else (args.text, "")
    if changes:
        print(changes, file=sys.stderr)
    refuse_unknown(tokenizer, text, "text", args.model)
    ids = tokenizer.encode(text, allowed_special="all")
    start = time.perf_counter()
    score = model.score(ids, progress=sys.stderr.isatty())
    seconds = time.perf_counter() - start
    of = f"the file {printable(args.text)}" if is_file else "the text"
    write(f"{counted(len(score), 'token')} and {counted(score.n_bytes, 'byte')} of {of}\n"
           f"nats per token {0 - score.mean:9.4f}\n"
           f"perplexity     {score.perplexity:9.4f}\n"
           f"bits per byte  {score.bits_per_byte:9.4f}\n")
    print(f"{counted(len(score), 'token')} in {seconds:.2f} s, {len(score) / seconds:,.1f} tokens/s", file=sys.stderr)
    return 0
