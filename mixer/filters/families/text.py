"""Edits that repair a text, whatever its kind. Only what cannot harm is on by default."""

import importlib.util
from typing import Any

from mixer.filters.check import Check, Edit, Value


class Repair(Edit):
    """An edit that a recipe may only ask for where ftfy is installed, so that no task has to find out."""

    def read(self, given: Any) -> Value:
        """Read true, and look whether the library is there, without paying for its import."""
        value = super().read(given)
        if importlib.util.find_spec("ftfy") is None:
            raise ValueError(f"{self.name} needs ftfy, which is not installed: pip install 'mixer[repair]'")
        return value


CHECKS: tuple[Check, ...] = (
    Repair(
        "text.encoding",
        "ftfy's fix_encoding, as FineWeb2 uses ftfy; needs the extra `repair`",
        "Undoes a wrong decoding: what was UTF-8 and was read as Windows-1252 or the like.",
        counted="documents",
    ),
    Edit(
        "text.entities",
        "HTML 5",
        "Replaces HTML's entities such as &nbsp; by their characters.",
        counted="entities",
    ),
    Edit(
        "text.control_characters",
        "Unicode: C0 and C1 controls other than tab and line ends, the byte order mark, noncharacters",
        "Removes control characters.",
        counted="characters",
        defaults={"web/*": True, "book/*": True, "qa/*": True},
    ),
    Edit("text.line_ends", "Unicode, section 5.8", "Writes CR LF and CR as LF.", counted="line ends"),
    Edit(
        "text.unicode",
        "Unicode Standard Annex 15; NFKC also makes full-width letters and punctuation narrow, which Chinese is not "
        "written with",
        "Brings the text to a normalisation form.",
        counted="documents",
        choices=("NFC", "NFKC"),
    ),
)
