"""Which encoding a text is in that is not UTF-8, guessed from the characters that each language uses most."""

import re
from typing import NamedTuple

SAMPLE = 1 << 18        # bytes that are looked at
ENOUGH = 0.4            # of the share of frequent characters that is expected

_CHINESE = (            # simplified, traditional and classical
    "的一是不了在人有我他这個个们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于於着下自之年过過发發后後"
    "作里用道行所然家种事成方多么麼去法学學如都同现當当没動面起看定天分还還进好小部其些主样理心她本前开開但因只从從想"
    "不之也者其曰无何此乃矣見问問，。、；：！？“”「」《》"
)
_KANA = "のにはをたがでてとしれさいうかもなるこりっんからまだきそくえらァアイスルントラリクシグドコーロ、。"
_HANGUL = "이다는의가에고을를은하지기로도한대사서리인그어나아자해시라들수정일보있으여게만부제었습니"
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфі"
_WESTERN = "éèêëàâäáãåæçñöôóòõøüûúùïîíìœßÿ’‘“”–—…«»°€"


class _Encoding(NamedTuple):
    """An encoding, by a name that Python and iconv know"""

    name: str
    frequent: str       # characters
    share: float        # of all characters beyond ASCII that these are in ordinary texts


_ENCODINGS = (
    _Encoding("GB18030", _CHINESE, 0.4), _Encoding("BIG5", _CHINESE, 0.4), _Encoding("SHIFT_JIS", _KANA, 0.5),
    _Encoding("EUC-JP", _KANA, 0.5), _Encoding("EUC-KR", _HANGUL, 0.4), _Encoding("CP1251", _CYRILLIC, 0.9),
    _Encoding("KOI8-R", _CYRILLIC, 0.9), _Encoding("CP1252", _WESTERN, 0.9),
    *(_Encoding(name, _CHINESE + _KANA + _HANGUL + _CYRILLIC, 0.4) for name in ("UTF-16LE", "UTF-16BE")),
)
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def guess_encoding(data: bytes) -> str | None:
    """Return the likeliest encoding of a text, under the name that iconv knows, or None where nothing fits.

        guess_encoding("天地玄黃".encode("big5")) -> "BIG5"

    A byte order mark decides, then zero bytes at every other place.  Else it is the encoding in which most of the characters
    beyond ASCII are frequent ones, measured against their usual share.  ASCII with no such characters is "UTF-8", and so is a
    text of which most is UTF-8 and some is damaged.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    sample = data[: SAMPLE]
    for start, name in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if sample[start::2].count(0) > len(sample) / 4 > 4 * sample[1 - start :: 2].count(0):
            return name
    first = next((i for i, byte in enumerate(data) if byte > 127), len(data))
    sample = data[max(0, first - 100) & ~1 :][: SAMPLE]         # subtle: an even start, for UTF-16
    utf8 = [c for c in sample.decode("utf-8", "replace") if c > "\x7f"]
    if utf8.count("\ufffd") <= len(utf8) / 2:
        return "UTF-8"
    high = re.findall(rb"[\x80-\xff]+", sample)
    alone = len(b"".join(high)) < 1.5 * len(high)               # é stands between letters of ASCII, и between others like it
    fits = {}
    for name, frequent, share in _ENCODINGS:
        if name.startswith("UTF-16") or (b"\0" not in sample and (name == "CP1252") == alone):
            beyond = [c for c in sample.decode(name, "replace") if c > "\x7f"]
            fits[name] = sum(map(set(frequent).__contains__, beyond)) / max(1, len(beyond)) / share
    best = max(fits, key=fits.__getitem__, default=None)
    return best if best and fits[best] >= ENOUGH else None
