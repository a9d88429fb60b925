"""E-mail addresses: the matcher that ``private`` asks at every ``@``.

It takes what is written in practice, not all that RFC 5322 allows: no quoted names, no addresses in square brackets, no
letters outside ASCII.
"""

from typing import Final

from numba import njit

from mixer.filters.kernels import bytes as b
from mixer.filters.kernels.bytes import ByteClasses, Words, byte_at, is_one_of, run_end
from mixer.text.utf8 import Bytes

TLD_LONGEST: Final = 24
"""Letters of the longest top-level domain in the root zone."""
FILE_ENDINGS: Final = (
    *("avif", "bmp", "css", "csv", "gif", "html", "htm", "ico", "ini", "jpeg", "jpg", "js", "json", "jsx", "less"),
    *("lock", "log", "pdf", "png", "scss", "svg", "ts", "tsx", "txt", "webp", "xml", "yaml", "yml"),
)
"""Ends of file names that are no top-level domains, as in ``icon@2x.png``."""
RESERVED: Final = ("example", "invalid", "localhost", "test")
"""Top-level domains that RFC 2606 keeps for tests and documentation."""
_DOCUMENTATION: Final = ("example.com", "example.net", "example.org")
UNIT_ENDINGS: Final = ("mount", "scope", "service", "slice", "socket", "timer", "utf")
"""Ends of the names of systemd's units and of locales, as in ``user@1000.service`` and ``sd_IN@devanagari.UTF-8``."""
NO_DOMAINS: Final = (*FILE_ENDINGS, *UNIT_ENDINGS, *RESERVED, *_DOCUMENTATION)
"""What the last label, or the last two, of an address's domain is not."""


@njit(cache=True, nogil=True)
def email_at(
    data: Bytes, at: int, width: int, begin: int, end: int, classes: ByteClasses, no_domains: Words
) -> tuple[int, int]:
    """Find the address around an ``@`` (``width`` bytes): its first byte and its end, or ``(0, 0)``."""
    start = at
    while start > begin and classes[data[start - 1]] & b.LOCAL:
        if data[start - 1] == 0x2E and start < at and data[start] == 0x2E:
            break  # two full stops part an ellipsis from the address
        start -= 1
    while start < at and not classes[data[start]] & b.ALNUM:
        start += 1
    domain = at + width
    position = domain
    stop = top = second = previous = 0  # the end of the domain, and where its last label and the one before begin
    while position < end and classes[data[position]] & b.ALNUM:  # a label a turn
        first = position
        while position < end and (classes[data[position]] & b.ALNUM or data[position] == 0x2D):
            position += 1
        if first > domain:
            letters = run_end(data, first, end, classes, b.LETTER)
            if 2 <= letters - first <= TLD_LONGEST and not classes[byte_at(data, letters, begin, end)] & b.ALNUM:
                stop, top, second = letters, first, previous
        previous = first
        if data[position - 1] == 0x2D or byte_at(data, position, begin, end) != 0x2E:
            break
        position += 1
    if start == at or not stop:
        return 0, 0
    if is_one_of(data, top, stop, no_domains) or is_one_of(data, second, stop, no_domains):
        return 0, 0
    before = byte_at(data, start - 1, begin, end)
    if before == 0x24 or (before == 0x25 and at - start == 1):  # $name@, %s@: a template
        return 0, 0
    if at - start == 3 and data[start] == 0x67 and data[start + 1] == 0x69 and data[start + 2] == 0x74:
        return 0, 0  # git@, an account that everybody shares
    return start, stop
