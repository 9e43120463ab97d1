"""The command lines of generate, score, tokenize and trace. Training's is train_command.py's; the names are __main__.py's."""

import argparse
import os
import sys
import time
from pathlib import Path

from . import tokenizer as tokenizers
from .command import exit_status
from .data import load_corpus
from .model import GPT
from .pretrained import find
from .study.report import next_tokens, report
from .text import END_OF_TEXT, tokenizer_of, whole_characters, with_words


def generate(argv=None) -> int:
    """Continue a prompt as the flags say; the text goes to stdout while it is made, its speed to stderr.

    Returns the exit status: 0, 1 after an error, 130 after Ctrl-C, which keeps the text so far.
    """
    return exit_status(_generate, _generate_parser(), argv)


def score(argv=None) -> int:
    """How likely a model finds a text or a file, or which answer to a prompt. Returns the exit status, 0, 1 or 130."""
    parser = argparse.ArgumentParser(
        prog="score", description="Say how likely a model finds a text: nats per token, perplexity and bits per byte; or with "
        "--answers which of several answers it finds the likeliest after it.",
        epilog='Example: score "My gracious " --answers lord lady lion',
    )
    parser.add_argument("text", metavar="TEXT", help="the text, or the name of a UTF-8 file; with --answers the prompt itself")
    _add_model(parser)
    parser.add_argument("--answers", nargs="+", metavar="ANSWER", help="what may follow: each gets its log-probability and "
                        "its probability among them")
    parser.add_argument("--normalise", choices=("tokens", "bytes"), help="compare log-probabilities per token or per byte, so "
                        "that long answers are not the less likely (default: neither)")
    return exit_status(_score, parser, argv)


def tokenize(argv=None) -> int:
    """Show the tokens of a text, one a line: id, then what it stands for. Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(prog="tokenize", description="Show the tokens of a text: each id and its bytes.")
    parser.add_argument("text", metavar="TEXT", help="the text to tokenize; special tokens in it count as such")
    _add_model(parser)
    return exit_status(_tokenize, parser, argv)


def trace(argv=None) -> int:
    """Show what a model computes on a text, by name, or write it as a page. Returns the exit status, 0 or 1."""
    parser = argparse.ArgumentParser(
        prog="trace", description="Show every activation and every gradient of a model on a text: a table of names, shapes and "
        "equations, with --names the numbers of some, with --html a page of pictures.",
        epilog="The targets are the text's own next tokens. Example: trace 'To be' --names 'h.0.attn.*' loss",
    )
    parser.add_argument("text", metavar="TEXT", help="the text to read; special tokens in it count as such")
    _add_model(parser)
    parser.add_argument("--names", nargs="+", metavar="PATTERN", help="show these in full; * is anything: 'h.*.attn.att'")
    parser.add_argument("--html", metavar="FILE", help="write a page instead: surprise, attention, logit lens, gradients")
    parser.add_argument("--log", metavar="FILE", help="with --html: the log.csv of a training run, for the curve of its loss")
    return exit_status(_trace, parser, argv)


def _generate_parser():
    parser = argparse.ArgumentParser(
        prog="generate", description="Continue a text with a model, token by token.",
        epilog="When the model's context is full, the older half of the text is forgotten and the text goes on.",
    )
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("text", nargs="?", metavar="PROMPT", help="the text to continue (default: a line feed)")
    prompt.add_argument("--prompt", metavar="PROMPT", help="the same as a flag")
    _add_model(parser)
    parser.add_argument("--max-new-tokens", type=int, default=300, metavar="N", help="tokens to add (default 300)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T",
                        help="below 1 the likely becomes likelier, 0 takes the likeliest (default 0.8)")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens only")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest tokens that together reach P")
    parser.add_argument("--ban", action="append", default=[], metavar="TEXT",
                        help="what never comes, also inside longer words; may be given several times, like the next two")
    parser.add_argument("--force", action="append", default=[], metavar="TEXT",
                        help="what comes in any case, at the end at the latest; ' art' with its space is no part of a word")
    parser.add_argument("--bias", action="append", default=[], metavar="TOKEN=NUMBER",
                        help="add to a token's score: e=-2 makes e less likely, e=-100 rules it out, e=100 leaves little else")
    parser.add_argument("--num-samples", type=int, default=1, metavar="N", help="continuations of the prompt (default 1)")
    parser.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text (default: a new one)")
    parser.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    return parser


def _add_model(parser):
    parser.add_argument("--model", default="shakespeare-char", metavar="FOLDER",
                        help="a folder written by training, or the name of a model (default shakespeare-char)")


def _generate(args):
    model = GPT.from_pretrained(args.model, threads=args.threads)
    tokenizer = tokenizer_of(model, args.model)
    prompt = args.text if args.text is not None else "\n" if args.prompt is None else args.prompt
    end = tokenizer.special_tokens.get(END_OF_TEXT)
    stop_ids = () if end is None else (end,)
    prompt_ids = tokenizer.encode(prompt, allowed_special="all")        # who types <|endoftext|> in a command line means it
    steps = model.stream(prompt_ids, args.max_new_tokens, **with_words(
        tokenizer, args.ban, args.force, logit_bias=_bias(tokenizer, args.bias), temperature=args.temperature,
        top_k=args.top_k, top_p=args.top_p, seed=args.seed, num_samples=args.num_samples, start_id=end, stop_ids=stop_ids,
        sliding_window=True,
    ))
    made: list[list[int]] = [[] for _ in range(args.num_samples)]
    start, status = time.perf_counter(), 0
    _write(prompt)
    try:
        for piece in whole_characters(tokenizer, _first_of(steps, made, stop_ids)):
            _write(piece)
    except KeyboardInterrupt:
        status = 130
    seconds = time.perf_counter() - start
    _write("\n")
    made = [ids[: next((i for i, id in enumerate(ids) if id in stop_ids), len(ids))] for ids in made]
    for i, ids in enumerate(made[1:], start=2):     # the first was written while it was made
        _write(f"--- {i} ---\n{prompt}{''.join(whole_characters(tokenizer, ids))}\n")
    tokens = sum(map(len, made))
    print(f"{tokens} tokens in {seconds:.2f} s, {tokens / seconds:.1f} tokens/s", file=sys.stderr)
    return status


def _bias(tokenizer, flags):
    """TOKEN=NUMBER, several -> logit_bias"""
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


def _score(args):
    if args.normalise is not None and args.answers is None:
        raise ValueError("--normalise: no --answers, expected both; per token and per byte is what is printed without them")
    model = GPT.from_pretrained(args.model)
    tokenizer = tokenizer_of(model, args.model)
    if args.answers is not None:
        choices = model.choose(args.text, args.answers, args.normalise)
        by = "" if args.normalise is None else f"   per {args.normalise[:-1]}"
        _write(f"probability      log p{by}   answer\n")
        for choice in choices:
            mean = "" if args.normalise is None else f"{choice.score:>{len(by)}.4f}"
            _write(f"{choice.probability:11.4f} {choice.logprob:10.4f}{mean}   {choice.answer!r}\n")
        return 0
    is_file = os.path.isfile(args.text)         # unlike Path's it takes a text of any length
    text = load_corpus(Path(args.text)).text if is_file else args.text
    ids = tokenizer.encode(text, allowed_special="all")
    start = time.perf_counter()
    score = model.score(ids, progress=sys.stderr.isatty())
    seconds = time.perf_counter() - start
    of = f"the file {args.text}" if is_file else "the text"
    _write(f"{len(score):,} tokens and {score.n_bytes:,} bytes of {of}\n"
           f"nats per token {0 - score.mean:9.4f}\n"
           f"perplexity     {score.perplexity:9.4f}\n"
           f"bits per byte  {score.bits_per_byte:9.4f}\n")
    print(f"{len(score)} tokens in {seconds:.2f} s, {len(score) / seconds:,.1f} tokens/s", file=sys.stderr)
    return 0


def _tokenize(args):
    tokenizer = tokenizers.load(find(args.model))
    ids = tokenizer.encode(args.text, allowed_special="all")
    _write("".join(f"{id:6}  {tokenizer.token_bytes(id).decode('utf-8', 'backslashreplace')!r}\n" for id in ids))
    print(f"{len(ids)} tokens, {len(args.text)} characters", file=sys.stderr)
    return 0


def _trace(args):
    if args.log is not None and args.html is None:
        raise ValueError("--log: no --html, expected both; the curve is drawn in the page")
    model = GPT.from_pretrained(args.model)
    ids = tokenizer_of(model, args.model).encode(args.text, allowed_special="all")
    if args.html is not None:
        report(model, ids, args.html, log=args.log)
        print(f"{args.html} written; it opens in any browser, offline", file=sys.stderr)
    inputs, targets = next_tokens(model, ids)
    if args.names is not None:
        steps = model.trace(inputs, targets, args.names)
        _write("\n\n".join(map(repr, steps.values())) + "\n")
    elif args.html is None:
        _write(f"{model.trace(inputs, targets)}\n")
    return 0


def _first_of(steps, made, stop_ids):
    """The first sample's tokens as they come, up to where it ends; all samples' are kept in `made`."""
    ended = False
    for step in steps:
        row = [step] if isinstance(step, int) else step.tolist()
        for ids, id in zip(made, row, strict=True):
            ids.append(id)
        ended = ended or row[0] in stop_ids
        if not ended:
            yield row[0]


def _write(text):
    sys.stdout.write(text)
    sys.stdout.flush()
