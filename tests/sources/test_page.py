import subprocess
import sys
from types import SimpleNamespace

import pytest

from mixer.errors import UsageError
from mixer.sources import extra
from mixer.sources import page as subject
from mixer.sources.fields import UnreadableError
from mixer.sources.page import extract
from mixer.sources.settings import HtmlSettings
from tests.sources.archives import CHINESE, ENGLISH, JAPANESE, page

DEFAULT = HtmlSettings()
PARAGRAPHS = [f"{ENGLISH} It was paragraph {number}." for number in range(5)]


def test_main_text_without_its_surroundings():
    around = ("<nav><a href='/'>Home</a></nav>", "<footer>Copyright</footer>")
    assert extract(page(*PARAGRAPHS, around=around), DEFAULT).text == "\n".join(PARAGRAPHS)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE])
def test_scripts_without_spaces(text):
    assert extract(page(*[text + str(n) for n in range(3)]), DEFAULT).text == "\n".join(text + str(n) for n in range(3))


@pytest.mark.parametrize(
    ("html", "language"),
    [
        ("<html lang='zh-CN'><body><p>x</p></body></html>", "zh-CN"),
        ('<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="ja"><body><p>x</p></body></html>', "ja"),
        ('<html><head><meta http-equiv="Content-Language" content="fr"></head><body><p>x</p></body></html>', "fr"),
        ("<html><body><p>x</p></body></html>", None),
    ],
)
def test_the_declared_language(html, language):
    assert extract(html, DEFAULT).language == language


def test_settings_reach_the_extractor():
    table = "<table><tr><td>Bolts</td><td>forty-two</td></tr><tr><td>Beams</td><td>seven</td></tr></table>"
    html = page(*PARAGRAPHS).replace("</article>", f"{table}</article>")
    assert "forty-two" in extract(html, DEFAULT).text
    assert "forty-two" not in extract(html, HtmlSettings(tables=False)).text
    remark = (
        "<div class='comments'><div class='comment'><p>I walked over it myself last year and it shook.</p></div></div>"
    )
    html = page(*PARAGRAPHS).replace("</article>", f"</article>{remark}")
    assert "shook" not in extract(html, DEFAULT).text
    assert "shook" in extract(html, HtmlSettings(comments=True)).text


@pytest.mark.parametrize(
    "html", ["", " \n", "<html></html>", "<html><body><script>var a = 1;</script></body></html>", "<!-- only this -->"]
)
def test_a_page_without_text(html):
    with pytest.raises(UnreadableError, match="no text found in the page"):
        extract(html, DEFAULT)


def test_lines_of_white_space_become_empty(monkeypatch):
    found = "one\n \t\u3000\n  two \n\u00a0\n\nthree\n "
    monkeypatch.setattr(subject, "library", lambda name: SimpleNamespace(extract=lambda *_, **__: found))
    assert subject._text(None, DEFAULT, fast=True) == "one\n\n  two \n\n\nthree\n"


def test_roots_that_close_themselves_and_control_characters():
    html = page(*PARAGRAPHS)
    for odd in (
        html.replace("<html>", "<html lang='en'/>"),
        "\x00\x01" + html.replace("committee", "commit\x02\x00tee"),
    ):
        assert extract(odd, DEFAULT).text == "\n".join(PARAGRAPHS)


def test_what_is_too_large_deep_or_intricate_is_rejected(monkeypatch):
    with pytest.raises(UnreadableError, match=r"a page of 9,000,\d+ bytes, more than the 8,000,000"):
        extract(page("x" * 9_000_000), DEFAULT)
    with pytest.raises(UnreadableError, match="Excessive depth"):
        extract(page(*PARAGRAPHS, "<b>" * 300 + ENGLISH), DEFAULT)
    monkeypatch.setattr(subject, "MOST_ELEMENTS", 1000)
    monkeypatch.setattr(subject, "THOROUGH_ELEMENTS", 500)
    with pytest.raises(UnreadableError, match=r"a page of 1,007 elements, more than the 1,000"):
        extract(page(*["x"] * 1002), DEFAULT)
    assert extract(page(*PARAGRAPHS * 150), DEFAULT).text == "\n".join(PARAGRAPHS * 150)


def test_only_the_fast_extractor_sees_pages_of_many_elements(monkeypatch):
    asked = []
    real = subject._text
    monkeypatch.setattr(subject, "THOROUGH_ELEMENTS", 100)
    monkeypatch.setattr(subject, "_text", lambda *a, fast: asked.append(fast) or real(*a, fast=fast))
    extract(page(*PARAGRAPHS * 10), DEFAULT)
    extract(page(*PARAGRAPHS * 30), DEFAULT)
    assert asked == [False, True]


def test_a_text_that_the_extractor_multiplies_is_rejected():
    html = page(*PARAGRAPHS, "<ul><li>" * 100 + "<li>a word of it" * 2000)
    with pytest.raises(UnreadableError, match="longer than the page"):
        extract(html, DEFAULT)


def test_a_failing_library_costs_one_page(monkeypatch):
    class Failing:
        @staticmethod
        def extract(*_, **__):
            raise RecursionError("too deep")

    monkeypatch.setattr(subject, "library", lambda name: Failing if name == "trafilatura" else extra.library(name))
    with pytest.raises(UnreadableError, match="extraction failed: RecursionError: too deep"):
        extract(page(ENGLISH), DEFAULT)


def test_the_missing_extra_is_named(corpus, monkeypatch):
    monkeypatch.setattr(extra, "NEEDED", ("trafilatura", "no_such_module"))
    corpus.write("a.html", page(ENGLISH))
    with pytest.raises(UsageError, match="extra html \\(no_such_module not installed\\)") as caught:
        corpus.tasks()
    assert caught.value.remedy == "pip install 'mixer[html]'"
    corpus.write("b.jsonl", '{"text": "x"}\n')
    with pytest.raises(UsageError):
        corpus.tasks("b.jsonl", html=True)
    assert corpus.texts("b.jsonl") == ["x"]


def test_the_extra_is_imported_only_where_it_is_needed():
    code = "import sys, mixer.prepare; print([n for n in ('trafilatura', 'warcio', 'lxml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
