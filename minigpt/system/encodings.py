r"""Which encodings a text may be in that is not UTF-8: those under which its characters surprise least.

    surprise = −Σ log p(c)      over the characters c that the bytes become, p being rough frequencies of a language's letters

A byte that is a rare letter in one encoding is a common one in another.  Where the letters of two languages share their bytes,
as Polish ones do in CP1250 and ISO-8859-2, several encodings remain.
"""

import codecs
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

SAMPLE = 1 << 16        # bytes that are looked at
MOST = 3                # candidates
FITS = 4.4              # nats per byte: random bytes surprise by more, in any encoding
MIXED = 6.0             # nats for two letters of different scripts side by side
RARER = 1.0             # nats from one encoding of a language to the next, rarer one
CLOSE = 0.3             # nats per character by which a candidate may surprise more than the likeliest one,
CLOSE_IN_SUM = 4.5      # or in all, since a short text says little

_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_ESCAPED = {            # encodings whose bytes are all below 128, and how they come to other characters
    "ISO-2022-JP": re.compile(rb"\x1b\$[@B]"), "ISO-2022-KR": re.compile(rb"\x1b\$\)C"),
    "HZ": re.compile(rb"~\{(?:[!-w][!-~])+~\}"),
}
_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\f\r"})
_PUNCTUATION = "’‘“”„–—…«»°§€\xa0，。、；：？！「」『』（）《》・"
_IDEOGRAPHS = "\u2e80"          # where they, kana and hangul begin
_MIXED = re.compile(r"[A-Za-z][^\W\x00-\x7f]|[^\W\x00-\x7f][A-Za-z]")      # two scripts in a word
_WIDE = ("UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE")
_WESTERN = ("CP1252", "CP850", "MACINTOSH", *_WIDE)
_CENTRAL = ("CP1250", "ISO-8859-2", "CP852", *_WIDE)
_RUSSIAN = ("CP1251", "KOI8-R", "ISO-8859-5", "CP866", *_WIDE)
_CHINESE = ("GB18030", "BIG5", *_WIDE)

# Letters beyond ASCII, the commonest first, and the encodings in which they are written, the commonest first too.
_LANGUAGES = (
    ("", _WIDE),  # English
    ("éèàêçùâôîûœïëü", _WESTERN),  # French
    ("üäöß", _WESTERN),  # German
    ("óíáéñúü¿¡", _WESTERN),  # Spanish
    ("ãçáéíóõêâúàô", _WESTERN),  # Portuguese
    ("èàòùéì", _WESTERN),  # Italian
    ("äåöé", _WESTERN),  # Swedish, Finnish
    ("øåæé", _WESTERN),  # Danish, Norwegian
    ("áíðéþóúöæý", _WESTERN),  # Icelandic
    ("łąężóćśńź", _CENTRAL),  # Polish
    ("íáéěýřžčšůúťňďó", _CENTRAL),  # Czech
    ("áíéýčžúšťľôňäďóĺŕ", _CENTRAL),  # Slovak
    ("áéöóőíüúű", _CENTRAL),  # Hungarian
    ("čšžćđ", _CENTRAL),  # Croatian, Slovene
    ("ăîâşţ", _CENTRAL),  # Romanian
    ("ışüğçöîâ", ("CP1254", "CP857", *_WIDE)),  # Turkish
    ("ėšųįžčūąę", ("CP1257", "CP775", *_WIDE)),  # Lithuanian
    ("āīēšūņļžķģč", ("CP1257", "CP775", *_WIDE)),  # Latvian
    ("αοιετνσηρπκμςλυίάόγέδήωθχύφβώξζψϊ", ("CP1253", "ISO-8859-7", "CP737", *_WIDE)),  # Greek
    ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", _RUSSIAN),  # and Bulgarian
    ("оаиніврестклдумпьязгбчйхєжїюцшщґф", ("CP1251", "KOI8-U", "CP1125", *_WIDE)),  # Ukrainian
    ("аоиенрсјтдукмпвлзгбчшцњјжћљхфђџ", ("CP1251", "ISO-8859-5", "CP855", *_WIDE)),  # Serbian
    ("יולהאתרבמשנעםדחפקגצזןטסכךףץ", ("CP1255", "ISO-8859-8", *_WIDE)),  # Hebrew
    ("الينمتروبعدسفهكقأحةجشصىخإطذضزثءآئؤغظ،", ("CP1256", "ISO-8859-6", *_WIDE)),  # Arabic
    ("าร่นอกเ้งีมยัลวดทสะตปคิหไบแขจพชโใุื์ูผำซถธศฟ", ("CP874", *_WIDE)),  # Thai
    ("的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
     "么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想者曰无何此乃矣见问", _CHINESE),
    ("的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方多"
     "麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想者曰無何此乃矣見問", _CHINESE),
    ("のいにはをたがでとしてれさるなうかもこりっんからまだきそくらえァアイスルントラリクシグドコーロ",
     ("CP932", "EUC-JP", *_WIDE)),  # Japanese
    ("이다는의가에고을를은하지기로도한대사서리인그어나아자해시라들수정일보있으여게만부제었습니", ("CP949", *_WIDE)),  # Korean
)


def likely_encodings(data: bytes) -> list[str]:
    """Return the likeliest encodings of a text, the likeliest first, under names that iconv knows; [] where nothing fits.

        likely_encodings("天地玄黃".encode("big5")) -> ["BIG5"]

    A byte order mark decides, then escapes.  ["UTF-8"] is also the answer to a text of which most is UTF-8 and some is damaged.
    Of encodings under which the text is the same the commonest is named.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return [name]
    for name, escape in _ESCAPED.items():
        if escape.search(data[:SAMPLE]) and _is_text_beyond_ascii(data[:SAMPLE].decode(name, "replace")):
            return [name]
    high = re.search(rb"[\x80-\xff]", data)
    sample = data[max(0, high.start() - 100 if high else 0) & ~3 :][:SAMPLE]     # subtle: UTF-32 begins at multiples of 4
    utf8 = [c for c in sample.decode("utf-8", "replace") if c > "\x7f"]
    if not _has_controls(sample) and utf8.count("\ufffd") <= len(utf8) / 2:
        return ["UTF-8"]
    texts = {}
    for name in dict.fromkeys(name for _, names in _LANGUAGES for name in ("UTF-8", *names)):
        decoder = codecs.getincrementaldecoder(name)("strict" if name in _WIDE else "replace")     # drops half a character
        with suppress(UnicodeDecodeError):
            texts[name] = decoder.decode(sample)
    counts = {name: Counter(text) for name, text in texts.items()}
    mixed = {name: len(_MIXED.findall(text)) for name, text in texts.items()}
    found: dict[str, float] = {}
    for letters, names in _LANGUAGES:
        for rank, name in enumerate(("UTF-8", *names)):
            if name in texts:
                surprise = _surprise(counts[name], letters) + mixed[name] * MIXED * (letters[:1] > "\u0250")
                found[name] = min(surprise + RARER * (rank if name not in _WIDE else 0), found.get(name, math.inf))
    best, *others = sorted(found, key=found.__getitem__)
    if best == "UTF-8" or found[best] > FITS * len(sample):
        return [best] if best == "UTF-8" else []
    n = sum(count for char, count in counts[best].items() if char > "\x7f")
    most = found[best] + max(CLOSE_IN_SUM, CLOSE * n)
    near: dict[str, str] = {}
    for name in (best, *others):
        if found[name] <= most:
            near.setdefault(texts[name], name)
    return [*near.values()][:MOST]


def is_suspicious(data: bytes) -> bool:
    """Whether bytes that are valid UTF-8 look as if they were to be read otherwise.

    There are zero bytes, as in UTF-16, or so many other control characters, or escapes as in ISO-2022-JP.
    """
    return _has_controls(data) or any(escape.search(data[:SAMPLE]) for escape in _ESCAPED.values())


def _has_controls(data: bytes) -> bool:
    return b"\0" in data or len(data[:SAMPLE].translate(None, _CONTROLS)) < 0.75 * len(data[:SAMPLE])


def _is_text_beyond_ascii(text: str) -> bool:
    counts = Counter(c for c in text if c > "\x7f")
    return min(_surprise(counts, letters) for letters, _ in _LANGUAGES) <= 2 * FITS * counts.total()


def _surprise(counts: Mapping[str, int], letters: str) -> float:
    """−Σ log p(c), in nats, of a text in a language with these letters beyond ASCII"""
    costs, is_ideographic = _costs(letters), letters[:1] >= _IDEOGRAPHS
    total = 0.0
    for char, count in counts.items():
        if char in costs:
            cost = costs[char]
        elif char < "\x80":
            cost = 3.0 if char.isprintable() or char.isspace() else 12.0
        elif unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs") or char == "\ufffd":
            cost = 15.0
        elif char >= _IDEOGRAPHS:
            cost = 9.6 if is_ideographic else 14.0          # one of thousands
        else:
            cost = 8.0
        total += count * cost
    return total


@cache
def _costs(letters: str) -> dict[str, float]:
    """−log p(c) of the letters, of their capitals and of punctuation"""
    share = 0.5 if letters[:1] >= _IDEOGRAPHS else 0.85     # of the characters beyond ASCII
    weights = [math.exp(-3 * i / len(letters)) for i in range(len(letters))]
    costs = {c: 4.5 for c in _PUNCTUATION}
    for letter, weight in zip(letters, weights, strict=True):
        costs[letter] = -math.log(share * weight / sum(weights))
        costs.setdefault(letter.upper(), costs[letter] + 2.6)
    return costs
