"""HTML, written as text: escaping, tables, sections, and the frame of the page with its style."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160)], 65533)
"""Characters that HTML does not allow, or that show nothing."""
STYLE = """
:root { color-scheme: light; --line: #d9dde3; --soft: #f5f7f9; --dim: #5b6573; --additional: #c2410c; --base: #1d5fa8 }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif;
  color: #16202c; background: #fff }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px }
h1 { font-size: 28px; margin: 0 } h2 { font-size: 20px; margin: 44px 0 8px; border-top: 1px solid var(--line);
  padding-top: 22px } h3 { font-size: 15px; margin: 22px 0 6px }
p { max-width: 78ch; margin: 6px 0 12px } .dim { color: var(--dim) } code { font-size: 90% }
nav { margin: 10px 0 20px; display: flex; flex-wrap: wrap; gap: 4px 16px } a { color: var(--base) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 10px; margin: 18px 0 }
.card { background: var(--soft); border-radius: 8px; padding: 12px 14px } .card b { display: block; font-size: 21px;
  font-weight: 650; font-variant-numeric: tabular-nums } .card span { color: var(--dim); font-size: 13px }
.scroll { overflow-x: auto; margin: 10px 0 18px }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; color: var(--dim); white-space: nowrap } .n { text-align: right; white-space: nowrap }
td:first-child { white-space: nowrap }
.additional { color: var(--additional) } .base { color: var(--base) } .warn { color: #b42318; font-weight: 600 }
figure { margin: 14px 0 20px } figure img { max-width: 100%; height: auto; display: block }
figcaption { color: var(--dim); font-size: 13px; margin-top: 4px }
details { border: 1px solid var(--line); border-radius: 8px; margin: 6px 0; padding: 0 12px }
summary { cursor: pointer; padding: 7px 0; font-weight: 600; font-size: 14px }
summary span { font-weight: 400; color: var(--dim) }
article { border-top: 1px solid var(--line); padding: 8px 0 10px; font-size: 13px }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); border-radius: 6px; padding: 8px 10px;
  margin: 6px 0 0; font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", "Noto Sans Mono CJK SC", monospace;
  unicode-bidi: isolate }
@media print { details { break-inside: avoid } nav { display: none } }
"""


def escape(text: object) -> str:
    """Return a text that shows itself, in an element or an attribute; control characters become U+FFFD."""
    return html.escape(str(text).translate(_CONTROLS))


def short(count: int) -> str:
    """Return a large number in three digits, such as 1.7T."""
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:,}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column that begins with ``>`` holds numbers. Cells are HTML already, titles are text."""
    kinds = [' class="n"' if column.startswith(">") else "" for column in columns]
    head = "".join(f"<th{kind}>{escape(column.lstrip('>'))}</th>" for kind, column in zip(kinds, columns, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>\n" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def cards(values: Mapping[str, str]) -> str:
    """Return figures in boxes, by what they are."""
    boxes = (
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in values.items()
    )
    return f'<div class="cards">{"".join(boxes)}</div>\n'


def picture(content: bytes, caption: str) -> str:
    """Return a picture (SVG or PNG) that the page holds itself. As an image, an SVG can run no script."""
    kind = "png" if content.startswith(b"\x89PNG") else "svg+xml"
    text = escape(caption)
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return f'<figure><img alt="{text}" src="{source}"><figcaption>{text}</figcaption></figure>\n'


def section(name: str, title: str, *parts: str) -> str:
    """Return a section that can be linked to by its name."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{"".join(parts)}</section>\n'


def paragraph(text: str) -> str:
    """Return a paragraph of HTML."""
    return f"<p>{text}</p>\n"


def frame(title: str, sections: Mapping[str, str], body: str) -> str:
    """Return a whole page; ``sections`` are names and titles to link to."""
    links = "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text in sections.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n<h1>{escape(title)}</h1>\n"
        f"<nav>{links}</nav>\n{body}</main></body></html>\n"
    )
