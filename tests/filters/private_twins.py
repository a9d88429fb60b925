"""Slow, readable twins of ``kernels.private``: regular expressions over one text, one for each kind."""

import datetime
import ipaddress
import re

from mixer.filters.kernels import bytes as b
from mixer.filters.kernels.email import NO_DOMAINS
from mixer.filters.kernels.numbers import FEWEST_GROUPS, SMALL, VERSION_WORDS
from mixer.filters.kernels.private import KINDS
from mixer.filters.kernels.secrets import FEWEST_DIFFERENT, FORMS, PEM_GAP, PEM_LINE

LOCAL = re.compile(r"(?:[A-Za-z0-9_%+-]|\.(?!\.))*$")
DOMAIN = re.compile(r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,24})(?![A-Za-z0-9])")
IPV4 = re.compile(
    r"(?<![A-Za-z0-9_.])(?<![A-Za-z0-9]-)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![A-Za-z0-9_])(?!\.[A-Za-z0-9])(?!-[A-Za-z.])"
)
NETWORKS_IPV4 = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
    )
]
NETWORKS_IPV6 = [ipaddress.ip_network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")]
BEGINS = r"(?<![A-Za-z0-9_$+.=])(?<![A-Za-z0-9]/)(?:(?<!-)|(?<=[^\x00-\x7f]-))"
ENDS = r"(?![A-Za-z0-9_])(?![.-][0-9])"
MOBILE = re.compile(
    rf"{BEGINS}(?:(?:(?:\+|00)?86[ -]?)(?:1[3-9][0-9]{{9}}|1[3-9][0-9](?:-[0-9]{{4}}){{2}}|"
    rf"1[3-9][0-9](?: [0-9]{{4}}){{2}}(?! [0-9])){ENDS}"
    rf"|(?:1[3-9][0-9]{{9}}|1[3-9][0-9](?:-[0-9]{{4}}){{2}}|"
    rf"(?<![0-9] )1[3-9][0-9](?: [0-9]{{4}}){{2}}(?! [0-9])){ENDS})"
)
IDENTITY = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{17}[0-9Xx](?![A-Za-z0-9_])(?!\.[0-9])")
PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66)} | {
    *(71, 81, 82, 83)
}


def everywhere(pattern, text):
    """Every match at every place, those inside others too."""
    matches = (pattern.match(text, start) for start in range(len(text)))
    return [match for match in matches if match]


def emails(text):
    for at in re.finditer("[@＠]", text):
        local = LOCAL.search(text[max(0, at.start() - 2000) : at.start()])[0].lstrip("._%+-")
        domain = DOMAIN.match(text, at.end())
        if not local or not domain:
            continue
        labels = domain[1].lower().split(".")
        before = text[: at.start() - len(local)][-1:]
        template = before == "$" or (before == "%" and len(local) == 1)
        if labels[-1] not in NO_DOMAINS and ".".join(labels[-2:]) not in NO_DOMAINS and not template and local != "git":
            yield at.start() - len(local), at.end() + len(domain[1])


def after_version_word(before):
    before = re.sub(r"[ \"'(.:=_：-]{0,4}$", "", before[-80:])  # the longest run of at most four: leftmost match
    if before[-1:] > "\x7f":
        return any(before.endswith(word) for word in VERSION_WORDS if word > "\x7f")
    word = re.search("[A-Za-z]*$", before)[0][-64:].lower()
    return word in VERSION_WORDS or (len(word) > 7 and word[-7:] in VERSION_WORDS)


def ipv4(text):
    for match in everywhere(IPV4, text):
        try:
            address = ipaddress.IPv4Address(match[0])
        except ValueError:
            continue
        parts = address.packed
        small = parts[0] < SMALL and sum(part < SMALL for part in parts) >= 3
        special = any(address in network for network in NETWORKS_IPV4)
        if not (small or special or parts[1:3] == b"\0\0" or after_version_word(text[: match.start()])):
            yield match.span()


def ipv6(text):
    for match in re.finditer(r"(?<![A-Za-z0-9_.:])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]*", text):
        written = match[0][:-1] if re.search("[^:]:$", match[0]) else match[0]
        rest = text[match.start() + len(written) :]
        try:
            address = ipaddress.IPv6Address(written)
        except ValueError:
            continue
        groups = len([group for group in written.split(":") if group])
        ends = not re.match(r"[A-Za-z0-9_]|\.[A-Za-z0-9]", rest)
        if ends and groups >= FEWEST_GROUPS and not any(address in network for network in NETWORKS_IPV6):
            yield match.start(), match.start() + len(written)


def mobiles(text):
    return [match.span() for match in everywhere(MOBILE, text)]


def identities(text):
    for match in everywhere(IDENTITY, text):
        number = match[0].upper()
        digits = [10 if digit == "X" else int(digit) for digit in number]
        region = int(number[1:3]) if number[0] == "9" else int(number[:2])
        try:
            birthday = datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
        except ValueError:
            continue
        sound = sum(digit << (17 - place) for place, digit in enumerate(digits)) % 11 == 1  # ISO 7064, MOD 11-2
        if sound and region in PROVINCES and 1900 <= birthday.year <= 2099:
            yield match.span()


def one_of(flag):
    return f"[{re.escape(b.members(flag))}]"


def pattern_of(form):
    """The regular expression of a form; group 1 is the secret."""
    literal, kind, word = re.escape(form.literal), one_of(form.kind), one_of(b.WORD)
    run = f"{kind}{{{form.fewest},{form.most}}}(?!{kind})(?!{word})"
    if form.shape == "token":
        return re.compile(f"(?<!{word})({literal}{run})")
    if form.shape == "value":
        return re.compile(f"{literal}{one_of(b.FILL)}{{0,8}}({run})")
    if form.shape == "around":
        return re.compile(f"(?<!{word})({kind}{{{form.before}}}{literal}{kind}{{{form.fewest}}}(?!{word}))")
    part = f"{kind}{{{form.fewest},}}"
    whole = rf"{literal}{part}\.{literal}{part}\.{kind}{{{2 * form.fewest},}}"
    return re.compile(f"(?<!{word})({whole}(?!{kind})(?!{word}))")


PATTERNS = [(form, pattern_of(form)) for form in FORMS if form.shape != "pem"]
LABEL = re.compile("(?=[A-Z ]{0,60}-----)[A-Z ]*PRIVATE KEY[A-Z ]*-----")


def blocks(text):
    for first in re.finditer("-----BEGIN ", text):
        label = LABEL.match(text, first.end())
        if not label:
            continue
        position = lines = label.end()
        found = 0
        while position < len(text) and len(text[lines:position].encode()) < PEM_GAP:
            run = re.match("[A-Za-z0-9+/]*", text[position:])[0]
            if len(run) >= PEM_LINE:
                found = lines = position + len(run)
            elif found and text.startswith("-----END ", position):
                last = LABEL.match(text, position + 9)
                found = last.end() if last else found
                break
            elif text.startswith("-----BEGIN ", position):
                break
            position += max(len(run), 1)
        if found:
            yield first.start(), found


def secrets(text):
    yield from blocks(text)
    for form, pattern in PATTERNS:
        for match in everywhere(pattern, text):
            real = len(set(match[1])) >= FEWEST_DIFFERENT and "EXAMPLE" not in match[1]
            if real and (form.shape != "jwt" or len(match[1]) <= form.most):
                yield match.span(1)


TWINS = dict(zip(KINDS, (secrets, emails, identities, ipv6, ipv4, mobiles), strict=True))


def found(text, kinds=KINDS):
    """What is found in a text: (start, end, kind), those that overlap joined under the kind that comes first."""
    spans = sorted((start, end, KINDS.index(kind)) for kind in kinds for start, end in TWINS[kind](text))
    joined = []
    for start, end, kind in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1]), min(kind, joined[-1][2])
        else:
            joined.append((start, end, kind))
    return [(start, end, KINDS[kind]) for start, end, kind in joined]


def redacted(text, placeholders, kinds=KINDS):
    """The text with placeholders by kind, and how many of each were put."""
    counts = dict.fromkeys(kinds, 0)
    while spans := found(text, kinds):
        for start, end, kind in reversed(spans):
            text = text[:start] + placeholders[kind] + text[end:]
            counts[kind] += 1
    return text, counts
