"""The encoding of a text that is not UTF-8 is named, or is among a few candidates, whatever its language."""

import random
import zlib

import pytest

from minigpt.system.encodings import is_suspicious, likely_encodings

WIDE = "utf-16-le utf-16-be utf-32-le utf-32-be"
SENTENCES = {       # the encodings of Python's in which people have such texts, and a text
    "Polish": (f"cp1250 iso8859-2 cp852 {WIDE}",
        "Wczoraj wieczorem poszliśmy na długi spacer wzdłuż rzeki, a potem piliśmy gorącą herbatę. Żaden "
        "z nas nie chciał jeszcze wracać do domu, choć było już późno."),
    "Czech": ("cp1250 iso8859-2",
        "Včera večer jsme šli na dlouhou procházku podél řeky a potom jsme pili horký čaj. Nikdo z nás se "
        "ještě nechtěl vracet domů, ačkoli už bylo pozdě."),
    "Hungarian": ("cp1250 iso8859-2 cp852",
        "Tegnap este hosszú sétát tettünk a folyó mentén, aztán forró teát ittunk. Egyikünk sem akart még "
        "hazamenni, bár már késő volt és erősen fújt a szél."),
    "Greek": (f"cp1253 iso8859-7 {WIDE}",
        "Χθες το βράδυ κάναμε έναν μεγάλο περίπατο δίπλα στο ποτάμι και μετά ήπιαμε ζεστό τσάι. Κανείς μας "
        "δεν ήθελε ακόμη να γυρίσει στο σπίτι, αν και ήταν αργά."),
    "Russian": (f"cp1251 koi8-r iso8859-5 cp866 {WIDE}",
        "Вчера вечером мы долго гуляли вдоль реки, а потом пили горячий чай. Никто из нас ещё не хотел возвращаться "
        "домой, хотя было уже поздно."),
    "Ukrainian": ("cp1251 koi8-u",
        "Учора ввечері ми довго гуляли вздовж річки, а потім пили гарячий чай. Ніхто з нас ще не хотів повертатися "
        "додому, хоча було вже пізно."),
    "German": (f"cp1252 latin-1 cp850 cp437 mac_roman {WIDE}",
        "Gestern Abend gingen wir lange am Fluß spazieren und tranken danach heißen Tee. Keiner von uns "
        "wollte schon nach Hause, obwohl es spät war und überall die Lichter ausgingen."),
    "French": ("cp1252 mac_roman",
        "Hier soir, nous avons fait une longue promenade près de la rivière, puis nous avons bu du thé brûlant. "
        "Personne ne voulait déjà rentrer, même s’il était tard."),
    "Turkish": (f"cp1254 iso8859-9 {WIDE}",
        "Dün akşam nehir boyunca uzun bir yürüyüş yaptık, sonra sıcak çay içtik. Geç olmasına rağmen hiçbirimiz "
        "henüz eve dönmek istemiyordu."),
    "Arabic": (f"cp1256 iso8859-6 {WIDE}",
        "خرجنا مساء أمس في نزهة طويلة على ضفة النهر، ثم شربنا الشاي الساخن. لم يكن أحد منا يريد العودة إلى "
        "البيت بعد."),
    "Hebrew": ("cp1255",
        "אתמול בערב יצאנו לטיול ארוך לאורך הנהר ואחר כך שתינו תה חם. אף אחד מאיתנו עוד לא רצה לחזור הביתה."),
    "Thai": ("cp874",
        "เมื่อวานตอนเย็นเราเดินเล่นริมแม่น้ำเป็นเวลานาน แล้วก็ดื่มชาร้อนด้วยกัน ยังไม่มีใครอยากกลับบ้าน"),
    "Japanese": (f"shift_jis cp932 euc_jp iso2022_jp {WIDE}",
        "昨日の夕方、私たちは川に沿って長い散歩をして、それから熱いお茶を飲みました。もう遅かったのに、だれもまだ家に帰りた"
        "くありませんでした。"),
    "simplified Chinese": (f"gb18030 gbk gb2312 hz {WIDE}",
        "昨天晚上，我们沿着河边散步了很久，然后喝了热茶。虽然已经很晚了，可是谁也不想马上回家。"),
    "traditional Chinese": (f"big5 {WIDE}",
        "昨天晚上，我們沿著河邊散步了很久，然後喝了熱茶。雖然已經很晚了，可是誰也不想馬上回家。"),
    "Korean": (f"euc_kr iso2022_kr {WIDE}",
        "어제 저녁에 우리는 강을 따라 오래 산책을 하고 나서 뜨거운 차를 마셨다. 이미 늦었지만 아무도 아직 "
        "집에 돌아가고 싶어 하지 않았다."),
    "English": (WIDE,
        "Last night we took a long walk along the river and drank hot tea afterwards.\n"),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_the_first_candidate_reads_the_text_as_it_was_written(language):
    encodings, text = SENTENCES[language]
    for encoding in encodings.split():
        data = text.encode(encoding)
        found = likely_encodings(data)
        assert [name for name in found if data.decode(name) == text] == found[:1], (encoding, found)
        is_valid = data.isascii() or b"\0" in data
        assert is_suspicious(data) >= is_valid, encoding        # before it is taken for UTF-8


def test_where_letters_share_their_bytes_the_next_candidates_are_named():
    assert likely_encodings(SENTENCES["Hungarian"][1].encode("iso8859-2")) == ["CP1250"]       # the same bytes in both
    assert likely_encodings("Ніхто з нас не хотів повертатися додому".encode("koi8-u")) == ["KOI8-U", "KOI8-R"]
    assert len(likely_encodings(b"caf\x8e")) == 3


def test_a_short_text_is_enough_and_what_is_no_text_gets_no_encoding():
    chinese = 9 * SENTENCES["simplified Chinese"][1]
    for data, names in [
        ("Wo ist der Fluß?".encode("latin-1"), ["CP1252"]),                   # not Fluп, of two scripts
        ("天地玄黃，宇宙洪荒。日月盈昃".encode("big5"), ["BIG5"]), (b"all ASCII", ["UTF-8"]), (b"", ["UTF-8"]),
        (b"\xff\xfea\0", ["UTF-16"]), (b"\xff\xfe\0\0a\0\0\0", ["UTF-32"]),
        ((61 * "a" + chinese).encode("utf-16-be"), ["UTF-16BE"]),           # its first high byte is at an odd place
        ("naïve ".encode() + "naïve".encode("latin-1"), ["UTF-8"]),         # damaged
        (b"text\n" * 20 + b"\0", ["UTF-8"]), (b"so ~{x}~ and ~{ab} in TeX", ["UTF-8"]),
        (b"\x1b[1mbold\x1b[0m\n" * 9, ["UTF-8"]), (b"x \x1b$B in a log", ["UTF-8"]),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x02" * 9, []), (random.Random(0).randbytes(999), []),
        (zlib.compress(chinese.encode(), 9)[:99], []),
    ]:
        assert likely_encodings(data) == names, data
    assert not is_suspicious("one\n\ttwo \x1b[1m\x1b[0m Три".encode())
