"""Personal data and secrets: what is found, what is left, and that every kernel finds what its slow twin finds."""

import ipaddress
import random

import numpy as np
import pyarrow as pa
import pytest
from datatrove.pipeline.formatters.pii import PIIFormatter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mixer.documents import drop, make_batch, set_column
from mixer.filters.edits import edit
from mixer.filters.kernels.numbers import is_public_ipv4
from mixer.filters.kernels.private import KINDS
from mixer.filters.kernels.secrets import FORMS
from mixer.filters.privacy import NAMES, editors, redact
from mixer.filters.settings import PLACEHOLDER, PrivacySettings
from tests.filters import corpora, private_twins

PLACEHOLDERS = {kind: f"<{kind.upper().replace('4', 'FOUR').replace('6', 'SIX')}>" for kind in KINDS}
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfnygWyF8PbnGy0AHB7" * 3
    + "\n-----END RSA PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def redacted(texts, kinds=KINDS):
    column, counts = redact(
        pa.array(texts, pa.large_string()),
        {f"privacy.{kind}": True for kind in kinds},
        {f"privacy.{kind}": placeholder for kind, placeholder in PLACEHOLDERS.items()},
    )
    column.validate(full=True)
    return column.to_pylist(), {name.removeprefix("privacy."): count.tolist() for name, count in counts.items()}


def marked(text, kinds=KINDS):
    return redacted([text], kinds)[0][0]


def key_of(form, rng):
    """Make a key of a form, as a service might."""

    def run(length, kind=form.kind):
        return "".join(rng.choice(private_twins.b.members(kind).strip(".~")) for _ in range(length))

    length = rng.randint(form.fewest, min(form.most, form.fewest + 40))
    if form.shape == "around":
        return run(form.before) + form.literal + run(form.fewest)
    if form.shape == "jwt":
        return f"{form.literal}{run(20)}.{form.literal}{run(20)}.{run(43)}"
    return PEM if form.shape == "pem" else form.literal + run(length)


def identity(rng):
    """Make a number with a region, a birthday and the right check digit."""
    digits = f"{rng.choice([11, 31, 44, 65, 81])}0101{rng.randint(1930, 2020)}{rng.randint(1, 12):02}28"
    digits += f"{rng.randint(0, 999):03}"
    total = sum(int(digit) << (17 - place) for place, digit in enumerate(digits))
    return digits + "0123456789X"[(1 - total) % 11]


RNG = random.Random(7)
PIECES = [
    *("a.b-c+d@mail.example-site.co.uk", "foo@qq.com", "x@y.zz", "@", "＠", "u@2x.png", "git@", "$", "%s@", "..", "_"),
    *("88.8.100.8", "123.45.67.89", "10.0.0.1", "192.0.0.9", "224.1.2.99", "1.2.3.40", "256.1.1.99", "01.99.2.3", "99"),
    *("2606:4700:4700::1111", "2001:db8::1:2", "2400:cb00:2048:1::c629:d7a2", "fe80::1", "::", ":", "3fff:1:2::", "a0"),
    *("13812345678", "138-1234-5678", "138 1234 5678", "+86", "86", "0086", "(", ")", "=", "/", "13", "1", "138"),
    *("version", "v", "版本", "：", "é", "电话", "字", "x", "X", "-", " ", ".", ",", "\n", "0", "#", "\0"),
    *(identity(RNG) for _ in range(2)),
    *(key_of(form, RNG) for form in FORMS[:: len(FORMS) // 12]),
    *("AKIAIOSFODNN7ABCDEFG", "AKIA", "EXAMPLE", "secret_access_key", "AccountKey=", "ghp_", "sk-", "eyJ", JWT, PEM),
    *(PEM[:40], PEM[40:120], "-----BEGIN ", "PRIVATE KEY-----", "-----END ", "A" * 45, "aB3/" * 10, "aB3/" * 22),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text("ab1239.@:-_/+ ＠字", max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


def changed(draw):
    """A text with one character replaced, taken out or put in."""
    text, place, char = draw
    place %= len(text) + 1
    return st.sampled_from([text[:place] + char + text[place:], text[:place] + text[place + 1 :], text[:place] + char])


nearly = st.tuples(st.sampled_from(PIECES), st.integers(0, 100), st.sampled_from("0aA.-_@: é\0")).flatmap(changed)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(texts, nearly), max_size=4))
@example(["", "a@b.cc@d.ee", "88.8.100.8-88.8.100.9-88.8.100.8", "2606:4700:1:::", "13812345678\x001"])
def test_kernels_find_what_their_twins_find(batch):
    found, counts = redacted(batch)
    for row, text in enumerate(batch):
        expected, expected_counts = private_twins.redacted(text, PLACEHOLDERS)
        assert found[row] == expected
        assert {kind: column[row] for kind, column in counts.items()} == expected_counts


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=4), st.sampled_from(KINDS))
def test_each_kind_can_be_looked_for_alone(batch, kind):
    assert redacted(batch, [kind])[0] == [private_twins.redacted(text, PLACEHOLDERS, [kind])[0] for text in batch]


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5), st.data())
def test_batches_do_not_matter_and_nothing_is_found_twice(batch, data):
    whole, counts = redacted(batch)
    cut = data.draw(st.integers(0, len(batch)))
    parts = [redacted(part) for part in (batch[:cut], batch[cut:])]
    assert whole == parts[0][0] + parts[1][0]
    assert counts == {kind: parts[0][1][kind] + parts[1][1][kind] for kind in KINDS}
    assert redacted(whole) == (whole, {kind: [0] * len(batch) for kind in KINDS})
    sliced = pa.array(["13812345678", *batch], pa.large_string()).slice(1)
    names = {f"privacy.{kind}": placeholder for kind, placeholder in PLACEHOLDERS.items()}
    assert redact(sliced, dict.fromkeys(NAMES, True), names)[0].to_pylist() == whole


@pytest.mark.parametrize("unit", ["eyJ", "eyJ-", "sk-proj-", "8Q~", f"AIza{'aB3' * 12}-", PEM[:128] + "\n"])
def test_many_beginnings_of_keys_take_no_time(unit):
    redacted([unit * (1_000_000 // len(unit))])  # minutes, if each were read to the end of the text


def test_addresses_that_go_on_one_another_are_found_at_once():
    assert marked("88.8.100.8-" * 50) == "<IPVFOUR>-" * 50


def test_a_block_of_a_key_ends_where_another_begins():
    cut = PEM[: PEM.rindex("\n")]
    assert marked(f"{cut}\n{cut}\n-----BEGIN CERTIFICATE-----\n{'Ab' * 32}") == (
        f"<SECRETS>\n<SECRETS>\n-----BEGIN CERTIFICATE-----\n{'Ab' * 32}"
    )


def test_a_batch_without_finds_is_not_copied():
    column = pa.array(["plain", "", "3.14"], pa.large_string())
    after, counts = redact(column, {"privacy.email": True}, dict.fromkeys(NAMES, "<X>"))
    assert after is column
    assert list(counts) == ["privacy.email"] and counts["privacy.email"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+x@mail.co.uk.", "write to <EMAIL>."),
        ("<a href='mailto:Jane@Site.org?subject=x'>", "<a href='mailto:<EMAIL>?subject=x'>"),
        ("邮箱：foo@qq.com谢谢，或foo＠163.com", "邮箱：<EMAIL>谢谢，或<EMAIL>"),
        ("wait...me@site.org _me@site.org_ me@site.org-", "wait...<EMAIL> _<EMAIL>_ <EMAIL>-"),
        ("13812345678@163.com", "<EMAIL>"),
        ("https://user:word@host.com/", "https://user:<EMAIL>/"),
    ],
)
def test_email_addresses(text, expected):
    assert marked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "react@18.2.0",
            "icon@2x.png",
            "git@github.com:a/b.git",
            "user@1000.service",
            "me@example.com",
            "x@y.example",
        ),
        *("$user@site.org", "%s@site.org", "admin@192.168.33.1", "a @ b.com", "@user.name", "i7@4.3GHz", "pkg@v0.2"),
        "x@y.example",
    ],
)
def test_what_only_looks_like_an_email_address_stays(text):
    assert marked(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 123.45.67.89:80 and 88.8.100.8/24.", "from <IPVFOUR>:80 and <IPVFOUR>/24."),
        ("88.8.100.8-88.8.100.20", "<IPVFOUR>-<IPVFOUR>"),
        ("地址为195.16.15.14，", "地址为<IPVFOUR>，"),
        ("[2606:4700:4700::1111]:443 2002:c0e8:82e7:0:0:0:c0e8:82e7.", "[<IPVSIX>]:443 <IPVSIX>."),
        ("::ffff:123.45.67.89", "::ffff:<IPVFOUR>"),
    ],
)
def test_ip_addresses(text, expected):
    assert marked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.1.2.99", "192.168.0.77", "203.0.113.9", "224.0.0.251", "255.255.255.255", "100.64.3.99"),
        *("8.8.8.8", "1.1.1.1", "2.6.18.6", "8.2.4.44", "5.0.0.62", "OID 1.3.6.1.4.1.311", "1.3.6.1.4.1.99.88.77.66"),
        *(
            "v77.88.99.1",
            "version 77.88.99.1",
            'AssemblyVersion("77.88.99.1")',
            "版本：77.88.99.1",
            "lib-77.88.99.1.jar",
        ),
        *("77.88.99.1-beta", "77.88.99.1rc1", "077.88.99.1", "77.88.99.256", "77.88.99.1.com", "x_77.88.99.1"),
        *("fe80::1", "::1", "2001:db8::8:800:200c:417a", "ff02::fb", "std::vector", "dead::beef", "2001:4860::"),
        *("2024:10:12 10:11:12", "2001:0:ce49:7601:e866:efff:62c3:fffe", "3fff:abc::1:2"),
    ],
)
def test_what_is_no_public_address_stays(text):
    assert marked(text) == text


def test_public_ipv4_is_what_python_says_but_for_multicast():
    edges = [int(network.network_address) + step for network in private_twins.NETWORKS_IPV4 for step in (-1, 0, 1)]
    edges += [int(network.broadcast_address) + step for network in private_twins.NETWORKS_IPV4 for step in (-1, 0, 1)]
    rng = random.Random(3)
    protocol = ipaddress.ip_network("192.0.0.0/24")  # Python versions differ about the anycast addresses in it
    for number in [*edges, *(rng.randrange(2**32) for _ in range(2000))]:
        address = ipaddress.ip_address(number % 2**32)
        if address not in protocol:
            assert is_public_ipv4(int(address)) == (address.is_global and not address.is_multicast), address


def test_public_ipv6_is_what_python_says_within_global_unicast():
    rng = random.Random(4)
    heads = [0x2001, 0x2002, 0x2003, 0x3FFF, *(rng.randrange(0x2000, 0x4000) for _ in range(300))]
    networks = [ipaddress.ip_network(network) for network in ("2001::/23", "2002::/16", "3fff::/20")]
    for head in heads:
        for second in (0, 0x1FF, 0x200, 0xDB8, 0xDB9, 0x1000, rng.randrange(0x10000)):
            address = ipaddress.ip_address(head << 112 | second << 96 | rng.getrandbits(96))
            if not any(address in network for network in networks):  # Python versions differ about these
                assert (marked(address.exploded) == "<IPVSIX>") == address.is_global, address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("电话13812345678，或139-1234-5678", "电话<CN_MOBILE>，或<CN_MOBILE>"),
        ("tel: +86 138 1234 5678;+8613812345678", "tel: <CN_MOBILE>;<CN_MOBILE>"),
        ("0086-13812345678 / 8613812345678", "<CN_MOBILE> / <CN_MOBILE>"),
        ("010-67498258 13699120196", "010-67498258 <CN_MOBILE>"),
        ("电话-13812345678", "电话-<CN_MOBILE>"),
    ],
)
def test_chinese_mobile_numbers(text, expected):
    assert marked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "12812345678",
            "113812345678",
            "138123456789",
            "3.13812345678",
            "13812345678.50",
            "a13812345678",
            "1691234567890",
        ),
        *("13812345678abcdef", "550e8400-e29b-41d4-a716-13812345678f", "id=13812345678", "status/13812345678"),
        *("-13812345678", "+13812345678", "$13812345678", "2020 138 1234 5678", "138 1234 5678 9012", "138-1234 5678"),
    ],
)
def test_other_numbers_stay(text):
    assert marked(text) == text


def test_identity_numbers_need_region_birthday_and_check_digit():
    number = "11010519491231002X"  # the standard's own example
    assert marked(f"身份证{number}。{number.lower()}") == "身份证<CN_IDENTITY>。<CN_IDENTITY>"
    rng = random.Random(5)
    for _ in range(200):
        number = identity(rng)
        assert marked(number) == "<CN_IDENTITY>"
        place = rng.randrange(17)
        other = number[:place] + str((int(number[place]) + rng.randint(1, 9)) % 10) + number[place + 1 :]
        assert marked(other, ["cn_identity"]) == other  # MOD 11-2 finds every single wrong digit
        for text in (f"1{number}", f"{number}1", f"a{number}", f"0.{number}"):
            assert marked(text, ["cn_identity"]) == text


def test_every_form_of_secret_is_found():
    rng = random.Random(6)
    for form in FORMS:
        for _ in range(5):
            key = key_of(form, rng)
            expected = f"{form.literal}<SECRETS>" if form.shape == "value" else "<SECRETS>"
            assert marked(f'key = "{key}";', ["secrets"]) == f'key = "{expected}";', form
            longer = key + "AaZz09" * 400  # longer than any key, but for the open-ended
            if form.most < 2048 and form.shape in ("token", "value"):
                assert marked(longer, ["secrets"]) == longer, form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a\n{PEM}\nb", "a\n<SECRETS>\nb"),
        (f'"{PEM}"'.replace("\n", "\\n"), '"<SECRETS>"'),
        (PEM.replace("\n", '" +\n    "'), "<SECRETS>"),
        (PEM.rpartition("\n")[0] + "\nno end", "<SECRETS>\nno end"),
        (PEM.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,5D\n\nM"), "<SECRETS>"),
        (f'"aws_secret_access_key": "{"wJalrXUtnF/K7MDENG+b" * 2}"', '"aws_secret_access_key": "<SECRETS>"'),
        (f"AccountName=a;AccountKey={'aB3+' * 21}aB==;", "AccountName=a;AccountKey={}==;"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer <SECRETS>"),
    ],
)
def test_secrets_where_they_stand(text, expected):
    if "{}" in expected:  # too few different characters to be a key
        expected = text
    assert marked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("AKIAIOSFODNN7EXAMPLE", "ghp_" + "x" * 36, "sk-learn", "hf_hub_download", "sk_live_", "xoxb-your-token"),
        'if "-----BEGIN PRIVATE KEY-----" in text and "-----END PRIVATE KEY-----" in text:',
        PEM.replace("RSA PRIVATE", "PUBLIC"),
        "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
        "eyJhbGciOiJIUzI1NiJ9 alone",
    ],
)
def test_what_is_no_secret_stays(text):
    assert marked(text) == text


@settings(max_examples=200, deadline=None)
@given(st.from_regex(PLACEHOLDER, fullmatch=True), texts, texts)
def test_no_placeholder_that_a_recipe_can_have_is_found_or_joins_what_stands_beside_it(placeholder, before, after):
    chosen = PrivacySettings(**dict.fromkeys(PrivacySettings.model_fields, placeholder))
    assert marked(placeholder) == placeholder
    [(names, editor)] = editors(chosen)
    once, _ = editor(pa.array([before + placeholder + after], pa.large_string()), dict.fromkeys(names, True))
    again, counts = editor(once, dict.fromkeys(names, True))
    assert again is once
    assert not any(column.any() for column in counts.values())


@pytest.mark.parametrize("placeholder", ["", "EMAIL", "<>", "<a@b.cc>", "<IP4>", "me@example.com", f"<{'a' * 20}>"])
def test_other_placeholders_are_refused(placeholder):
    with pytest.raises(ValidationError, match="no placeholder"):
        PrivacySettings(email=placeholder)


def test_only_kept_documents_are_redacted_each_as_its_language_asks():
    documents = ["me@site.org 13812345678"] * 3
    batch = make_batch(["f"] * 3, range(3), documents)
    batch = set_column(batch, "language", pa.array(["en", "zh", "zh"]))
    batch = drop(batch, np.array([False, False, True]), "before")
    book = {"en": {"privacy.email": True}, "zh": {"privacy.email": True, "privacy.cn_mobile": True}}
    batch = edit(batch, book, editors(PrivacySettings()))
    assert batch["text"].to_pylist() == ["<EMAIL> 13812345678", "<EMAIL> <PHONE>", documents[2]]
    assert batch["edits.privacy.email"].to_pylist() == [1, 1, None]
    assert batch["edits.privacy.cn_mobile"].to_pylist() == [None, 1, None]


# What datatrove finds in the real files, and why ours does not; docs/privacy.md lists the same.
DATATROVE_MORE = (
    r".*@(?:[^@]*\.)?example(?:\.(?:com|net|org))?",  # kept for documentation
    r".*@(?:.*\.)?[A-Za-z0-9-]*[0-9][A-Za-z0-9-]*",  # no top-level domain has digits: a version, an address
    r".*\bgit@.*",  # everybody's account
    r".*\$[A-Za-z0-9]+@.*",  # a template, or the identifier of a message
    r".*/@.*",  # a name in a path
    r".*@[^@]*\.(?:png|service|UTF-8)",  # the name of a file, a unit, a locale
)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    ["en/dclm_majority.jsonl.zst", "en/c4_demo.jsonl.gz", "zh/go_web_book_en_zh_zhtw.jsonl.zst"],
)
def test_email_addresses_are_those_that_datatrove_finds(name):
    theirs = PIIFormatter().emails_replacer.regex
    differ = private_twins.re.compile("|".join(DATATROVE_MORE), private_twins.re.DOTALL)
    for text in corpora.texts(name):
        if "@" not in text:
            continue
        ours = [(start, end) for start, end, _ in private_twins.found(text, ["email"])]
        assert marked(text, ["email"]) == private_twins.redacted(text, PLACEHOLDERS, ["email"])[0]
        for match in theirs.finditer(text):
            within = any(start < match.end() and match.start() < end for start, end in ours)
            assert within or differ.fullmatch(match[0]), match[0]
        for start, end in ours:
            assert any(start < match.end() and match.start() < end for match in theirs.finditer(text)), text[start:end]


@pytest.mark.real_data
def test_what_is_found_in_real_files():
    def counts(name, kinds=KINDS):
        return {kind: sum(column) for kind, column in redacted(corpora.texts(name), kinds)[1].items() if sum(column)}

    assert counts("zh/laws_versions.jsonl.zst") == {}
    assert counts("zh/tang_poetry_traditional.jsonl.zst") == {}
    assert counts("math/gsm8k_train.jsonl.zst") == {}
    assert counts("en/c4_demo.jsonl.gz") == {"email": 7}
    assert counts("en/dclm_majority.jsonl.zst") == {"email": 14}
    assert counts("code/local_packages_starcoder_schema.parquet") == {"email": 114, "ipv4": 1, "ipv6": 2}
