"""``scripts/kept.py`` over a small folder."""

import runpy
from pathlib import Path

import yaml

from tests.small import chinese, english, lines

MAIN = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "kept.py"))["main"]
SPANISH = "El perro corre por la calle mientras los niños juegan en el parque con sus amigos y sus padres."


def test_a_row_for_each_file_and_language(tmp_path, capsys):
    mixed = [
        *english(3),
        "Write to someone@site.org about " + english(1)[0],
        "Too short to keep, of nine words, is this.",
        SPANISH,
    ]
    (tmp_path / "mixed.jsonl").write_bytes(lines(mixed))
    (tmp_path / "zh.jsonl").write_bytes(lines([*chinese(2), "太短", "也短", "更短", "天地玄黄。" * 200]))
    (tmp_path / "sums.jsonl").write_bytes(lines(["How many are two apples and three apples? Five apples."]))
    sources = [
        {"name": "pages", "paths": ["mixed.jsonl", "zh.jsonl"], "domain": "web"},
        {
            "name": "sums",
            "paths": ["sums.jsonl"],
            "domain": "math",
            "language": "en",
            "filters": {"document.characters": 99},
        },
    ]
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"name": "small", "sources": sources}), "utf-8")
    MAIN([str(recipe)])
    header, rule, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()
    )
    assert header[:4] == ["file", "language", "documents", "kept %"] and set(rule) == {"---"}
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert len(rows) == 4
    documents, kept, text, reasons, edits, sets = found["mixed.jsonl (web)", "en"]
    assert (documents, kept, reasons, edits) == ("5", "80.0", "`gopher.words` 1", "`privacy.email` 1")
    assert 90 < float(text) < 100
    assert sets == "gopher 80.0, c4 0, fineweb 0"
    assert found["mixed.jsonl (web)", "other"] == ["1", "0", "0", "`language.other` 1", "", ""]
    documents, kept, _, reasons, _, sets = found["zh.jsonl (web)", "zh"]
    assert (documents, kept) == ("6", "33.3")
    assert reasons.startswith("`document.characters` 3, `chinese.")
    assert [name.split()[0] for name in sets.split(", ")] == ["fineweb2-zh", "chinese"]
    assert found["sums.jsonl (math)", "en"][:4] == ["1", "0", "0", "`document.characters` 1"]
    assert found["sums.jsonl (math)", "en"][5] == "gopher 0, c4 0, fineweb 0, openwebmath 0"
