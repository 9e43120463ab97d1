"""Damage to files: flipped bits, cuts, sizes that lie; JSON with keys removed, doubled, swapped, renamed, strange values.

Each function yields (what was done, the bytes), in a fixed order.
"""

import json
import random

SEED = 5
# Values that stand where others belong, as JSON writes them
STRANGERS = (
    "null", "true", "false", "0", "-0", "-1", "1", "2", "1.5", "0.0", "-1e400", "1e400", "NaN", "Infinity",
    "1000000000", str(2**31), str(2**63), str(10**30), "9" * 5000,
    '""', '"x"', '"1"', '"' + "y" * 100_000 + '"',
    r'"\u0000"', r'"\ud800"', r'"\u001b[2J\nerror: all is lost"', r'"\u202egpj.exe"',
    "[]", "[1]", "[null]", "[[]]", "{}", '{"a": 1}', '{"a": 1, "a": 2}',
    "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "[" + "0," * 100_000 + "0]",
)
NAMES = ("", "x", "\x1b[2J", "a\nb", "\u202e", "__proto__", "é", "y" * 10_000)


def bytes_mutations(data, header=0, flips=600):
    """Flip bits, most of them in the first `header` bytes; cut, extend, blank, double and remove pieces."""
    rng = random.Random(SEED)
    n = len(data)
    if n == 0:
        return
    header = min(header or n, n)
    for i in range(flips):
        at = rng.randrange(header) if i % 4 else rng.randrange(n)
        bit = rng.randrange(8)
        yield f"bit {bit} of byte {at} flipped", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    for _ in range(flips // 4):         # a digit or letter that becomes another: what a flip seldom makes
        at = rng.randrange(header)
        other = rng.choice(b"0123456789eE.-[]{}\",: \t\n\0\x1b\xff")
        yield f"byte {at} is {bytes([other])!r}", data[:at] + bytes([other]) + data[at + 1 :]
    for cut in sorted({0, 1, 2, 7, 8, 9, 10, header - 1, header, header + 1, n // 2, n - 8, n - 1,
                       *(rng.randrange(n) for _ in range(flips // 8))} & {*range(n)}):
        yield f"cut to {cut} bytes", data[:cut]
    for tail in (b"\0", b"\n", b"}", b"x" * 1000, data):
        yield f"{len(tail)} bytes behind", data + tail
    for head in (b"\0", b"\xef\xbb\xbf", b" ", b"<!DOCTYPE html>\n", b"\x1f\x8b\x08"):
        yield f"{head!r} in front", head + data
    for _ in range(flips // 8):
        at, size = rng.randrange(n), rng.choice((1, 2, 8, 64, 512))
        yield f"{size} bytes from {at} zero", data[:at] + bytes(min(size, n - at)) + data[at + size :]
        yield f"{size} bytes from {at} gone", data[:at] + data[at + size :]
        yield f"{size} bytes from {at} twice", data[: at + size] + data[at : at + size] + data[at + size :]


def line_mutations(data):
    """Remove, double, swap and change lines, and their ends."""
    rng = random.Random(SEED)
    lines = data.splitlines(keepends=True)
    for _ in range(40):
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        one = lines[i].rstrip(b"\r\n")
        yield f"line {i + 1} gone", b"".join(lines[:i] + lines[i + 1 :])
        yield f"line {i + 1} twice", b"".join([*lines[: i + 1], *lines[i:]])
        swapped = lines.copy()
        swapped[i], swapped[j] = lines[j], lines[i]
        yield f"lines {i + 1} and {j + 1} swapped", b"".join(swapped)
        for other in (b"", b" ", b"x", one + b",1", one + b" x", one[: len(one) // 2], b"\xff\xfe", b"\0", b"," * 9,
                      b"9" * 5000, b'"', one.replace(b"0", b"o", 1), b"\x1b[2J", b"y" * 200_000, "é\u202e".encode()):
            yield f"line {i + 1} is {other[:20]!r}", b"".join([*lines[:i], other + b"\n", *lines[i + 1 :]])
    yield "line ends of Windows", data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield "line ends of old", data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    yield "no line ends", data.replace(b"\n", b"")
    yield "empty", b""
    yield "UTF-16", data.decode("latin-1").encode("utf-16")


def json_mutations(data):
    """Change a JSON text's tree: at each place another value, a key renamed, doubled, removed, swapped with a neighbor."""
    rng = random.Random(SEED)
    tree = json.loads(data)
    for place in _places(tree):
        at = "/".join(map(str, place)) or "all"
        for stranger in STRANGERS:
            yield f"{at} = {stranger:.30}", _written(tree, place, stranger)
        if not place:
            continue
        parent = tree
        for key in place[:-1]:
            parent = parent[key]
        key = place[-1]
        if isinstance(parent, dict):
            yield f"{at} removed", _written(tree, place[:-1], json.dumps({k: v for k, v in parent.items() if k != key}))
            doubled = json.dumps(parent)[:-1] + f", {json.dumps(key)}: {json.dumps(parent[key])}}}"
            yield f"{at} twice", _written(tree, place[:-1], doubled)
            escaped = json.dumps(parent)[:-1] + f', "\\u{ord(key[0]):04x}{json.dumps(key[1:])[1:]}: 1}}' if key else doubled
            yield f"{at} twice, once escaped", _written(tree, place[:-1], escaped)
            for name in (*NAMES, key.upper(), key[:-1], key + "s"):
                renamed = json.dumps({(name if k == key else k): v for k, v in parent.items()})
                yield f"{at} named {name[:20]!r}", _written(tree, place[:-1], renamed)
            other = rng.choice(list(parent))
            swapped = {**parent, key: parent[other], other: parent[key]}
            yield f"{at} and {other} swapped", _written(tree, place[:-1], json.dumps(swapped))
        elif isinstance(parent, list):
            rest = parent[:key] + parent[key + 1 :]
            yield f"{at} removed", _written(tree, place[:-1], json.dumps(rest))
            yield f"{at} twice", _written(tree, place[:-1], json.dumps(parent[: key + 1] + parent[key:]))
    text = data.decode()
    for what, other in (("BOM", "\ufeff" + text), ("comma behind", text.rstrip()[:-1] + "," + text.rstrip()[-1]),
                        ("comment", "// x\n" + text), ("twice", text * 2), ("quotes", text.replace('"', "'")),
                        ("spaces", " " * 1_000_000 + text)):
        yield what, other.encode()
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-32", text.encode("utf-32")
    yield "Latin-1", text.encode("latin-1", "replace") + b" \xe9"


def _places(tree, place=(), most=24):
    """Ways to the tree's values, of large tables the first and last ones"""
    yield place
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys if len(keys) <= most else keys[: most // 2] + keys[-most // 2 :]:
        yield from _places(tree[key], (*place, key), most)


def _written(tree, place, text):
    """The tree as JSON, with `text` at a place"""
    marker = "\ue000here"

    def replaced(node, rest):
        if not rest:
            return marker
        if isinstance(node, dict):
            return {k: replaced(v, rest[1:]) if k == rest[0] else v for k, v in node.items()}
        return [replaced(v, rest[1:]) if i == rest[0] else v for i, v in enumerate(node)]

    return json.dumps(replaced(tree, place), ensure_ascii=False).replace(json.dumps(marker, ensure_ascii=False), text).encode()
