"""Web archives for tests, written by warcio."""

import gzip
import io

import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

ENGLISH = (
    "The committee met on Tuesday and agreed, after a long discussion, that the bridge has to be repaired at once."
)
CHINESE = "委员会星期二开会，经过长时间的讨论，一致认为这座桥必须马上修理，并决定下个月动工。镕基先生出席了会议。"
JAPANESE = "委員会は火曜日に開かれ、長い議論のすえ、この橋はすぐに修理しなければならないと決めました。①番の橋です。"


def page(*paragraphs, head="", lang=None, around=("", "")):
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    attribute = f' lang="{lang}"' if lang else ""
    return (
        f"<!DOCTYPE html><html{attribute}><head>{head}<title>t</title></head><body>{around[0]}"
        f"<article>{body}</article>{around[1]}</body></html>"
    )


class _Writer(WARCWriter):
    """warcio's writer, without the temporary files that it leaves to the garbage collector."""

    def _create_temp_file(self):
        return io.BytesIO()


class Archive:
    """Collects records; ``data`` is the file, and ``offsets`` where each begins in it."""

    def __init__(self, gzipped=True):
        self._buffer = io.BytesIO()
        self._writer = _Writer(self._buffer, gzip=gzipped)
        self.offsets = []

    def add(self, kind, url, payload, http=None, status="200 OK", **headers):
        self.offsets.append(self._buffer.tell())
        lines = None if http is None else StatusAndHeaders(status, http, protocol="HTTP/1.1")
        record = self._writer.create_warc_record(
            url,
            kind,
            payload=io.BytesIO(payload),
            http_headers=lines,
            warc_headers_dict={key.replace("_", "-"): value for key, value in headers.items()},
            warc_content_type=headers.pop("mime", "text/plain") if http is None else "",
        )
        self._writer.write_record(record)
        return self

    def response(self, payload, mime="text/html; charset=utf-8", url="https://a.test/", status="200 OK", **more):
        payload = payload.encode() if isinstance(payload, str) else payload
        http = [("Content-Type", mime)] if mime else []
        return self.add("response", url, payload, [*http, *more.pop("http", [])], status, **more)

    def request(self, url="https://a.test/"):
        return self.add("request", url, b"", [("Host", "a.test")], "GET / HTTP/1.1")

    def info(self):
        self.offsets.append(self._buffer.tell())
        self._writer.write_record(self._writer.create_warcinfo_record("a.warc.gz", {"software": "test"}))
        return self

    @property
    def data(self):
        return self._buffer.getvalue()


def framed(plain, form):
    """Put the bytes of an archive into another container."""
    if form == "plain":
        return plain
    return gzip.compress(plain, mtime=0) if form == "gzip as a whole" else zstandard.compress(plain)
