"""Privacy: personal data and secrets, each kind an edit of its own; docs/privacy.md says what is found and what is not.

Rules judge the text as it was; these edits come after them, on kept documents only. The published sets look for what is
said here by other means: FineWeb and FineWeb2 by two regular expressions, for e-mail and IPv4; StarCoder and StarCoder2
by a model (StarPII), for e-mail, addresses of both kinds and keys, and for names and passwords, which are left alone
here.
"""

from mixer.filters.check import Check, Edit

_COUNTED = "replaced"
_STARCODER = dict.fromkeys(("starcoder", "starcoder2"), True)
_PUBLISHED = {"fineweb": True, "fineweb2-zh": True, **_STARCODER}

CHECKS: tuple[Check, ...] = (
    Edit(
        "privacy.email",
        "FineWeb and StarCoder replace them too; on everywhere, as prose, code and papers all carry their authors' own",
        "E-mail addresses, also with the full-width ＠; not those of example.com and the like.",
        defaults={"*/*": True},
        profiles=_PUBLISHED,
        counted=_COUNTED,
    ),
    Edit(
        "privacy.ipv4",
        "IANA's special-purpose registry; FineWeb and StarCoder; off in books, poems and mathematics, whose numbers of "
        "four parts are sections",
        "Public IPv4 addresses; not numbers that look like a version or a section.",
        defaults=dict.fromkeys(("web/*", "qa/*", "code/*"), True),
        profiles=_PUBLISHED,
        counted=_COUNTED,
    ),
    Edit(
        "privacy.ipv6",
        "IANA's special-purpose registry; StarCoder; off where privacy.ipv4 is",
        "Public IPv6 addresses.",
        defaults=dict.fromkeys(("web/*", "qa/*", "code/*"), True),
        profiles=_STARCODER,
        counted=_COUNTED,
    ),
    Edit(
        "privacy.cn_mobile",
        "calibrated: eleven digits are a telephone number in Chinese prose, and anything in English, mathematics and "
        "code",
        "Chinese mobile numbers, with or without the country code.",
        defaults=dict.fromkeys(("web/zh", "book/zh", "qa/zh"), True),
        counted=_COUNTED,
    ),
    Edit(
        "privacy.cn_identity",
        "GB 11643-1999 and GB/T 2260; on everywhere, as region, birthday and check digit leave 1 of 50,000 numbers",
        "Chinese identity numbers of 18 digits.",
        defaults={"*/*": True},
        counted=_COUNTED,
    ),
    Edit(
        "privacy.secrets",
        "prefixes as the services publish them; StarCoder replaces keys; on everywhere, as questions and pages about "
        "programs quote keys too",
        "Keys and tokens of well-known services, signed JSON Web Tokens, and private key blocks.",
        defaults={"*/*": True},
        profiles=_STARCODER,
        counted=_COUNTED,
    ),
)
