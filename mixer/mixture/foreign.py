"""Flags that a user may have added to ``args.txt`` and that would undo what the build promises.

``checks`` asks for them when it holds ``args.txt`` against ``mixture.json``. Whatever else a training needs may stay.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

_OTHER_DATA: Final = "names other data than the blend"
FOREIGN: Final = {
    "--data-path": _OTHER_DATA,
    "--data-args-path": _OTHER_DATA,
    "--train-data-path": _OTHER_DATA,
    "--valid-data-path": _OTHER_DATA,
    "--test-data-path": _OTHER_DATA,
    "--mock-data": "puts invented data in the place of the blend",
    "--split": "cuts every dataset once more: it would be shorter than its epochs and its cap were counted on",
    "--train-iters": "gives the length in steps: that of --train-samples is the one that the caps were held for",
    "--phase-transition-iterations": "begins the blend anew at each of them, with the same samples as before",
}
"""Flags by what each breaks."""
ORDERED: Final = "single"
"""The ``--dataloader-type`` that reads samples in the order of the blend, and Megatron's default."""


def foreign_flags(found: Mapping[str, Sequence[str]], expected: Collection[str]) -> list[str]:
    """Return what is wrong with flags beside the expected ones.

    Parameters
    ----------
    found
        The values of each flag of ``args.txt``.
    expected
        Flags that the build itself has written.
    """
    broken = [f"has {flag}, which {why}" for flag, why in FOREIGN.items() if flag in found and flag not in expected]
    loader = found.get("--dataloader-type", [ORDERED])
    if list(loader) != [ORDERED]:
        broken.append(f"says --dataloader-type {' '.join(loader)}, which does not keep to the order of the blend")
    return broken
