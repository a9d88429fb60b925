"""IP addresses, Chinese mobile and identity numbers: matchers that ``private`` asks at the first digit of a run.

Each returns the first byte of what it found and its end, or ``(0, 0)``.
"""

from typing import Final

from numba import njit

from mixer.filters.kernels import bytes as b
from mixer.filters.kernels.bytes import ByteClasses, Words, byte_at, is_one_of, run_end
from mixer.text.utf8 import Bytes

SMALL: Final = 32
"""A number whose first part and two more are below this, as in 3.36.10.0, is taken for a version or a section. So is
1 random address in 200, among them the public name servers 1.1.1.1, 8.8.8.8 and 9.9.9.9, which are nobody's."""
FEWEST_GROUPS: Final = 3
"""Groups that an IPv6 address must spell out; with fewer it names a whole network."""
VERSION_WORDS: Final = (
    *("version", "versions", "ver", "v", "build", "release", "rev", "revision", "firmware", "driver", "update"),
    *("section", "sec", "版本", "版", "版本号", "版本为"),
)
"""Words before a number of four parts that make it a version or a section, not an address."""
SPECIAL_IPV4: Final = (
    (0x00000000, 8),
    (0x0A000000, 8),
    (0x64400000, 10),
    (0x7F000000, 8),
    (0xA9FE0000, 16),
    (0xAC100000, 12),
    (0xC0000000, 24),
    (0xC0000200, 24),
    (0xC0A80000, 16),
    (0xC6120000, 15),
    (0xC6336400, 24),
    (0xCB007100, 24),
    (0xE0000000, 3),
)
"""Networks whose addresses are nobody's: IANA's IPv4 Special-Purpose Address Registry, and multicast (224.0.0.0/4)."""
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""GB 11643-1999: 2 to the power of the place from the right, modulo 11."""
_CHECKS: Final = tuple(b"10X98765432")
"""The check digit, by the weighted sum modulo 11."""
_PROVINCES: Final = (
    *(11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46),
    *(50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83),
)
"""GB/T 2260: the first two digits of the regions."""
_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@njit(cache=True, nogil=True)
def is_public_ipv4(address: int) -> bool:
    """Whether an address may belong to somebody."""
    special = False
    for network, bits in SPECIAL_IPV4:
        special = special or address >> (32 - bits) == network >> (32 - bits)
    return not special


@njit(cache=True, nogil=True)
def _after_version_word(data: Bytes, start: int, begin: int, classes: ByteClasses, version_words: Words) -> bool:
    """Whether one of the words stands before a number, but for at most four signs between them."""
    stop = start
    for _ in range(4):
        before = byte_at(data, stop - 1, begin, start)
        if before == 0x9A and stop - 3 >= begin and data[stop - 2] == 0xBC and data[stop - 3] == 0xEF:  # full-width :
            stop -= 3
        elif before in (0x20, 0x22, 0x27, 0x28, 0x2D, 0x2E, 0x3A, 0x3D, 0x5F):  # space " ' ( - . : = _
            stop -= 1
        else:
            break
    if stop > begin and data[stop - 1] >= 0x80:
        for characters in range(1, 4):
            if stop - 3 * characters >= begin and is_one_of(data, stop - 3 * characters, stop, version_words):
                return True
        return False
    first = stop
    while first > begin and stop - first < 64 and classes[data[first - 1]] & b.LETTER:
        first -= 1
    if is_one_of(data, first, stop, version_words):
        return True
    return stop - first > 7 and is_one_of(data, stop - 7, stop, version_words)  # AssemblyVersion


@njit(cache=True, nogil=True)
def ipv4_at(
    data: Bytes, start: int, begin: int, end: int, classes: ByteClasses, version_words: Words
) -> tuple[int, int]:
    """Find a public IPv4 address whose first digit stands at ``start``."""
    before = byte_at(data, start - 1, begin, end)
    if classes[before] & b.WORD or before == 0x2E:
        return 0, 0
    if before == 0x2D and classes[byte_at(data, start - 2, begin, end)] & b.ALNUM:  # name-7.64.3.40
        return 0, 0
    address = small = 0
    position = start
    for part in range(4):
        if part:
            if byte_at(data, position, begin, end) != 0x2E:
                return 0, 0
            position += 1
        stop = run_end(data, position, min(end, position + 4), classes, b.DIGIT)
        if stop == position or stop - position > 3 or (data[position] == 0x30 and stop - position > 1):
            return 0, 0
        number = 0
        for i in range(position, stop):
            number = 10 * number + data[i] - 0x30
        if number > 255:
            return 0, 0
        small += number < SMALL
        address = address << 8 | number
        position = stop
    after = byte_at(data, position, begin, end)
    then = classes[byte_at(data, position + 1, begin, end)]
    if small >= 3 and address >> 24 < SMALL:
        return 0, 0
    if classes[after] & b.WORD or (after == 0x2E and then & b.ALNUM) or (after == 0x2D and then & b.LETTER):
        return 0, 0
    if address & 0x00FFFF00 == 0 or (after == 0x2D and byte_at(data, position + 1, begin, end) == 0x2E):
        return 0, 0  # 5.0.0.62; a drawing's coordinates
    if not is_public_ipv4(address) or _after_version_word(data, start, begin, classes, version_words):
        return 0, 0
    return start, position


@njit(cache=True, nogil=True)
def _value(digit: int) -> int:
    """Return what a hexadecimal digit is worth."""
    return digit - 0x30 if digit <= 0x39 else (digit | 0x20) - 0x57


@njit(cache=True, nogil=True)
def ipv6_at(data: Bytes, start: int, begin: int, end: int, classes: ByteClasses) -> tuple[int, int]:
    """Find a public IPv6 address (2000::/3, the only part that is given out) whose first digit stands at ``start``."""
    if start + 4 >= end or data[start + 4] != 0x3A or not 0x32 <= data[start] <= 0x33:
        return 0, 0
    before = byte_at(data, start - 1, begin, end)
    if classes[before] & b.WORD or before == 0x3A or before == 0x2E:
        return 0, 0
    groups = first = second = 0
    gap = False
    position = start
    while True:
        stop = run_end(data, position, min(end, position + 5), classes, b.HEX)
        if stop == position or stop - position > 4:
            return 0, 0
        number = 0
        for i in range(position, stop):
            number = number << 4 | _value(data[i])
        if groups == 0:
            first = number
        elif groups == 1 and not gap:
            second = number
        groups += 1
        position = stop
        if byte_at(data, position, begin, end) != 0x3A:
            break
        if byte_at(data, position + 1, begin, end) == 0x3A:
            if gap:
                return 0, 0
            gap = True
            position += 2
            if not classes[byte_at(data, position, begin, end)] & b.HEX:
                break
        elif classes[byte_at(data, position + 1, begin, end)] & b.HEX:
            position += 1
        else:
            break
    after = byte_at(data, position, begin, end)
    then = byte_at(data, position + 1, begin, end)
    if (
        classes[after] & b.WORD
        or (after == 0x2E and classes[then] & b.ALNUM)
        or (after == 0x3A and data[position - 1] == 0x3A)
    ):
        return 0, 0
    if groups < FEWEST_GROUPS or groups > 8 - gap or (groups < 8 and not gap):
        return 0, 0
    if first >> 13 != 1:
        return 0, 0
    if first == 0x2001 and (second < 0x200 or second == 0x0DB8):  # protocol assignments; documentation
        return 0, 0
    return (0, 0) if first == 0x3FFF and second < 0x1000 else (start, position)


@njit(cache=True, nogil=True)
def _begins_number(data: Bytes, start: int, begin: int, end: int, classes: ByteClasses) -> bool:
    """Whether a telephone number can begin at a position: it goes on no word, number, setting or path."""
    before = byte_at(data, start - 1, begin, end)
    if classes[before] & b.WORD or before in (0x24, 0x2B, 0x2E, 0x3D):  # $ + . =
        return False
    earlier = byte_at(data, start - 2, begin, end)
    if before == 0x2D:  # only 电话-138...: else it is a sign, or goes on a number
        return earlier >= 0x80
    return before != 0x2F or not classes[earlier] & b.ALNUM


@njit(cache=True, nogil=True)
def mobile_at(data: Bytes, run: int, stop: int, begin: int, end: int, classes: ByteClasses) -> tuple[int, int]:
    """Find a Chinese mobile number in or from the run of digits ``data[run:stop]``, with its 86 if it has one."""
    length = stop - run
    if length == 11 or length == 13 or length == 15:
        number, last, sign = stop - 11, stop, 0x2D
    elif length == 3 or length == 5 or length == 7:
        number, last = stop - 3, stop + 10
        sign = byte_at(data, stop, begin, end)
        if last > end or (sign != 0x20 and sign != 0x2D) or data[stop + 5] != sign:
            return 0, 0
        if run_end(data, stop + 1, last, classes, b.DIGIT) != stop + 5:
            return 0, 0
        if run_end(data, stop + 6, last, classes, b.DIGIT) != last:
            return 0, 0
    else:
        return 0, 0
    if data[number] != 0x31 or not 0x33 <= data[number + 1] <= 0x39:
        return 0, 0
    after = byte_at(data, last, begin, end)
    digit_then = classes[byte_at(data, last + 1, begin, end)] & b.DIGIT
    if classes[after] & b.WORD or (digit_then and (after == 0x2E or after == 0x2D or after == sign)):
        return 0, 0
    code = number  # where the country code may begin
    if byte_at(data, code - 1, begin, end) in (0x20, 0x2D):
        code -= 1
    if code - 2 >= begin and data[code - 2] == 0x38 and data[code - 1] == 0x36:
        code -= 2
        plus = byte_at(data, code - 1, begin, end)
        if plus == 0x2B and _begins_number(data, code - 1, begin, end, classes):
            return code - 1, last
        zeros = plus == 0x30 and byte_at(data, code - 2, begin, end) == 0x30
        if zeros and _begins_number(data, code - 2, begin, end, classes):
            return code - 2, last
        if _begins_number(data, code, begin, end, classes):
            return code, last
    if not _begins_number(data, number, begin, end, classes):
        return 0, 0
    spaced = sign == 0x20 and byte_at(data, number - 1, begin, end) == 0x20
    goes_on = spaced and classes[byte_at(data, number - 2, begin, end)] & b.DIGIT
    return (0, 0) if goes_on else (number, last)


@njit(cache=True, nogil=True)
def _digits(data: Bytes, start: int, stop: int) -> int:
    """Return the number that digits spell."""
    number = 0
    for i in range(start, stop):
        number = 10 * number + data[i] - 0x30
    return number


@njit(cache=True, nogil=True)
def identity_at(data: Bytes, run: int, stop: int, begin: int, end: int, classes: ByteClasses) -> tuple[int, int]:
    """Find a Chinese identity number that begins a run of 17 or 18 digits: GB 11643, with a region and a birthday."""
    before = byte_at(data, run - 1, begin, end)
    last = run + 18
    if last > end or classes[before] & b.WORD or before == 0x2E:
        return 0, 0
    after = byte_at(data, last, begin, end)
    if classes[after] & b.WORD or (after == 0x2E and classes[byte_at(data, last + 1, begin, end)] & b.DIGIT):
        return 0, 0
    total = 0
    for i in range(17):
        total += _WEIGHTS[i] * (data[run + i] - 0x30)
    check = data[run + 17]
    if (check & 0xDF if check == 0x78 else check) != _CHECKS[total % 11]:
        return 0, 0
    region = _digits(data, run, run + 2)
    if region >= 90:  # foreigners with a permanent residence: 9, then the province
        region = _digits(data, run + 1, run + 3)
    if region not in _PROVINCES:
        return 0, 0
    year, month = _digits(data, run + 6, run + 10), _digits(data, run + 10, run + 12)
    day = _digits(data, run + 12, run + 14)
    if not (1900 <= year <= 2099 and 1 <= month <= 12 and day >= 1):
        return 0, 0
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (run, last) if day <= _MONTHS[month - 1] + leap else (0, 0)
