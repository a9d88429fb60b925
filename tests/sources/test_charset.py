import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer.sources.charset import decode, known
from mixer.sources.fields import UnreadableError
from tests.sources.archives import CHINESE, ENGLISH, JAPANESE, page

TRADITIONAL = "委員會星期二開會，經過長時間的討論，一致認為這座橋必須馬上修理，並決定下個月動工。"
KOREAN = "위원회는 화요일에 모여 오랜 논의 끝에 이 다리를 곧 고쳐야 한다고 결정했습니다."
RUSSIAN = "Комитет собрался во вторник и после долгого обсуждения решил, что мост надо срочно чинить."
FRENCH = "Le comité s'est réuni mardi et a décidé, après un long débat, que le pont doit être réparé dès l'été."
CZECH = "Výbor se sešel v úterý a po dlouhé debatě rozhodl, že most musí být co nejdříve opraven. Řeka šumí."

ENCODED = [
    ("gb18030", CHINESE),
    ("big5hkscs", TRADITIONAL),
    ("cp932", JAPANESE),
    ("euc_jis_2004", JAPANESE),
    ("cp949", KOREAN),
    ("cp1251", RUSSIAN),
    ("koi8-r", RUSSIAN),
]


def meta(label):
    return f'<meta charset="{label}">'


@pytest.mark.parametrize(("codec", "text"), ENCODED)
def test_an_encoding_is_declared_by_the_transport_or_by_the_page_or_detected(codec, text):
    plain, told = page(text), page(text, head=meta(codec))
    assert decode(plain.encode(codec), codec).text == plain
    assert decode(told.encode(codec)).text == told
    found = decode(plain.encode(codec))
    assert (found.text, found.charset) == (plain, codec)


def test_gb2312_is_read_as_gb18030():
    for label in ("gb2312", "GBK", "x-gbk"):
        told = page(CHINESE, "𠀀", head=f'<meta http-equiv="Content-Type" content="text/html; charset={label}">')
        assert decode(told.encode("gb18030")) == decode(told.encode("gb18030"), "gb2312")
        assert decode(told.encode("gb18030")).text == told
    with pytest.raises(UnicodeEncodeError):
        page(CHINESE).encode("gb2312")


@pytest.mark.parametrize("label", ["shift_jis", "Shift-JIS", "x-sjis", "windows-31j"])
def test_shift_jis_is_read_as_windows_has_it(label):
    told = page(JAPANESE, head=meta(label))
    assert decode(told.encode("cp932")).text == told


def test_japanese_that_looks_like_ascii():
    told = page(JAPANESE.replace("①", "1"), head=meta("iso-2022-jp"))
    data = told.encode("iso2022_jp")
    assert data.isascii()
    assert decode(data).text == told
    assert decode(data.replace(meta("iso-2022-jp").encode(), b""), "ISO-2022-JP").text == told.replace(
        meta("iso-2022-jp"), ""
    )


@pytest.mark.parametrize(
    ("transport", "told", "text", "codec"),
    [
        ("iso-8859-1", "utf-8", CHINESE, "utf-8"),  # a server's default
        ("gb2312", "gb2312", CHINESE, "utf-8"),  # a page that was converted, but not its head
        ("utf-8", "gb2312", CHINESE, "gb18030"),
        ("iso-8859-1", "gb2312", CHINESE, "gb18030"),
        ("iso-8859-1", "", CHINESE, "gb18030"),
        ("iso-8859-1", "", RUSSIAN, "cp1251"),
        ("utf-8", "", JAPANESE, "cp932"),
        ("utf-8", "windows-1252", FRENCH, "cp1252"),
        ("nonsense", "base64", CHINESE, "gb18030"),
    ],
)
def test_wrong_claims_are_held_against_the_bytes(transport, told, text, codec):
    html = page(text, head=meta(told) if told else "")
    found = decode(html.encode(codec), transport)
    assert (found.text, found.charset) == (html, codec)


def test_the_transport_goes_before_the_page():
    html = page(RUSSIAN, head=meta("koi8-r"))
    assert decode(html.encode("cp1251"), "windows-1251").text == html
    html = page(RUSSIAN, head=meta("windows-1251"))
    assert decode(html.encode("koi8-r"), "koi8-r").text == html


def test_byte_order_marks_win():
    html = page(CHINESE, head=meta("gb2312"))
    for codec in ("utf-8-sig", "utf-16"):
        assert decode(html.encode(codec), "iso-8859-1").text == html
    assert decode(html.encode("utf-16-le"), "utf-16-le").text == html


def test_a_page_that_says_utf_16_in_ascii_is_utf_8():
    html = page(CHINESE, head=meta("utf-16"))
    assert decode(html.encode()).text == html


def test_a_declaration_in_a_comment_declares_nothing():
    html = page(CHINESE, head="<!-- <meta charset=big5> -->" + meta("gbk"))
    assert decode(html.encode("gbk")).text == html


def test_latin_without_a_declaration_goes_by_the_language_of_the_page():
    for text, lang, codec in ((FRENCH, "fr", "cp1252"), (CZECH, "cs-CZ", "cp1250")):
        html = page(text, lang=lang)
        assert decode(html.encode(codec)).text == html
        with pytest.raises(UnreadableError, match="cannot be told"):
            decode(page(text).encode(codec))


def test_a_few_spoilt_bytes_cost_themselves_alone():
    html = page(CHINESE * 10, head=meta("gbk"))
    data = html.encode("gbk")
    half = CHINESE.encode("gbk")[:15] + b"\x20"
    found = decode(data.replace(b"</article>", half + b"</article>"))
    assert found.charset == "gb18030"
    assert found.text.startswith(html[:500])
    found = decode(html.encode()[:-1000] + b"\xff")
    assert found.charset == "utf-8"
    assert found.text.endswith("\ufffd")
    assert decode(html.encode().split(b"</p>")[0][:-1]).text.endswith("了会议")  # cut off within a character


def test_what_fits_no_encoding_is_refused():
    with pytest.raises(UnreadableError, match="cannot be told; it claims utf-8"):
        decode(page(ENGLISH, head=meta("utf-8")).encode() + bytes(range(128, 256)) * 20)
    with pytest.raises(UnreadableError, match="cannot be told"):
        decode("caf\xe9!".encode("latin-1"))


def test_labels_that_are_no_charsets_of_pages():
    assert [known(label) for label in ("base64", "punycode", "utf-7", "unicode_escape", "", "x" * 1000, "é\0")] == [
        None
    ] * 7
    assert [known(label) for label in ("UTF8", " latin1 ", "ks_c_5601-1987", "Big5")] == [
        "utf-8",
        "cp1252",
        "cp949",
        "big5hkscs",
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.sampled_from([None, "gbk", "latin-1"]))
def test_utf_8_comes_back_whatever_is_declared(text, declared):
    assert decode(text.encode(), declared).text == text.removeprefix("\ufeff")


@given(st.binary(max_size=200), st.sampled_from([None, "utf-8", "gb2312", "shift_jis", "latin-1", "utf-16-le", "hz"]))
def test_any_bytes_are_decoded_or_refused(data, declared):
    with contextlib.suppress(UnreadableError):
        decode(data, declared).text.encode()
