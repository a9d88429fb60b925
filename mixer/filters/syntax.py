"""How programming languages write comments, and which of them a document is in: one small number a document.

``syntaxes_of`` reads the number from what a source says of a document (a language, an extension, a path), by Arrow's
lookups over whole columns. Where it says nothing, ``kernels.code.recognise`` looks at the first characters instead.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mixer.documents import METADATA, Batch

Syntaxes = NDArray[np.uint8]
"""Index into ``SYNTAXES`` for each document."""

# What the first byte of something may begin: bits of ``ACTIONS``.
LINE, BLOCK, QUOTE, LONG_QUOTE, SLASH, ESCAPE, OPEN, CLOSE = (1 << bit for bit in range(8))
# What is said of a whole syntax: bits of ``TRAITS``.
COMMENTS, DOCSTRINGS, SPACED, LONG_LINES, DATA, HTML = (1 << bit for bit in range(6))


@dataclass(frozen=True)
class Syntax:
    """How a group of languages writes comments and strings, and what else the rules ask of it.

    ``lines`` begin a comment that ends with its line (``spaced``: only after white space), ``blocks`` are what opens
    and what closes one. ``quotes`` delimit strings within a line, ``long_quotes`` over lines. ``docstrings``: Python's
    strings, of which those that are statements are comments. ``regexes``: JavaScript's, between slashes.
    ``long_lines``: its lines may be long, for they are paragraphs or data. ``data``: JSON and YAML. ``html``: it has
    visible text. Text, markup and data have no comments here: a share of comments says nothing about them.
    """

    name: str
    languages: str
    extensions: str
    lines: tuple[str, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()
    quotes: str = "\"'"
    long_quotes: str = ""
    docstrings: bool = False
    regexes: bool = False
    spaced: bool = False
    long_lines: bool = False
    data: bool = False
    html: bool = False

    @property
    def comments(self) -> bool:
        """Whether there are any."""
        return bool(self.lines or self.blocks)


_C = (("/*", "*/"),)

SYNTAXES: tuple[Syntax, ...] = (
    Syntax("unknown", "", ""),
    Syntax(
        "text",
        "text markdown restructuredtext asciidoc org rmarkdown literate-haskell csv",
        "md markdown mdx rst txt text adoc asciidoc org rmd qmd readme license csv tsv",
        long_lines=True,
    ),
    Syntax(
        "c",
        "c c++ cpp cuda c# c-sharp csharp java kotlin scala swift rust dart objective-c objective-c++ glsl hlsl "
        "solidity verilog systemverilog d zig less scss stan protocol-buffer protobuf thrift antlr bluespec opencl "
        "actionscript apex vala haxe pony reason bison yacc lex graphviz-(dot) webassembly",
        "c h cc cpp cxx c++ hh hpp hxx h++ inl ipp tpp cu cuh cs java kt kts scala sc swift rs dart mm glsl vert frag "
        "geom hlsl fx sol v sv svh d zig less scss stan proto thrift g4 bsv as vala hx re y l ino pde dot",
        lines=("//",),
        blocks=_C,
    ),
    Syntax(
        "javascript",
        "javascript typescript jsx tsx vue svelte groovy gradle",
        "js mjs cjs jsx ts mts cts tsx vue svelte es6 groovy gradle",
        lines=("//",),
        blocks=(*_C, ("<!--", "-->")),
        long_quotes="`",
        regexes=True,
    ),
    Syntax("go", "go golang", "go", lines=("//",), blocks=_C, long_quotes="`"),
    Syntax("php", "php hack", "php php3 php4 php5 phtml hack", lines=("//", "#"), blocks=_C),
    Syntax("css", "css", "css", blocks=_C),
    Syntax(
        "python",
        "python python2 python3 cython starlark bazel gyp sage",
        "py pyi pyw pyx pxd pxi bzl bazel gyp gypi sage build workspace sconstruct sconscript",
        lines=("#",),
        docstrings=True,
    ),
    Syntax(
        "hash",
        "shell bash sh zsh fish ruby perl raku r makefile cmake dockerfile toml awk sed tcl crystal elixir nim nix "
        "coffeescript graphql gdscript sparql turtle",
        "sh bash zsh fish ksh rb rake gemspec pl pm pl6 raku r mk mak cmake dockerfile toml awk sed tcl cr ex exs nim "
        "nix coffee graphql gql gd sparql ttl makefile gnumakefile gemfile rakefile cmakelists.txt conf properties",
        lines=("#",),
        spaced=True,
    ),
    Syntax("yaml", "yaml", "yaml yml", data=True),
    Syntax(
        "json", "json json5 jsonld", "json json5 jsonl jsonld geojson webmanifest ipynb", long_lines=True, data=True
    ),
    Syntax("julia", "julia", "jl", lines=("#",), blocks=(("#=", "=#"),)),
    Syntax("powershell", "powershell", "ps1 psm1 psd1", lines=("#",), blocks=(("<#", "#>"),)),
    Syntax("sql", "sql plsql plpgsql tsql", "sql pls plsql ddl psql", lines=("--",), blocks=_C),
    Syntax(
        "haskell",
        "haskell elm purescript agda idris dhall",
        "hs elm purs agda idr dhall",
        lines=("--",),
        blocks=(("{-", "-}"),),
        quotes='"',
    ),
    Syntax("lua", "lua", "lua", lines=("--",), blocks=(("--[[", "]]"),)),
    Syntax("ada", "ada vhdl applescript", "ada adb ads vhd vhdl applescript", lines=("--",), quotes='"'),
    Syntax(
        "lisp",
        "lisp common-lisp emacs-lisp scheme clojure racket fennel",
        "lisp lsp el scm ss clj cljs cljc edn rkt fnl",
        lines=(";",),
        blocks=(("#|", "|#"),),
        quotes="",
        long_quotes='"',
    ),
    Syntax("assembly", "assembly motorola-68k-assembly", "asm nasm s", lines=(";", "#"), blocks=_C, spaced=True),
    Syntax("ini", "ini", "ini cfg desktop editorconfig", lines=("#", ";"), quotes="", spaced=True),
    Syntax("tex", "tex latex bibtex", "tex sty ltx dtx", long_lines=True),
    Syntax("matlab", "matlab octave", "matlab", lines=("%",), blocks=(("%{", "%}"),)),
    Syntax("erlang", "erlang prolog mercury", "erl hrl pro prolog", lines=("%",), blocks=_C),
    Syntax("roff", "roff roff-manpage", "roff man", long_lines=True),
    Syntax("smt", "smt", "smt smt2", long_lines=True),
    Syntax("ocaml", "ocaml coq standard-ml isabelle", "ml mli sml coq thy", blocks=(("(*", "*)"),), quotes='"'),
    Syntax("fsharp", "f# f-sharp fsharp", "fs fsi fsx", lines=("//",), blocks=(("(*", "*)"),), quotes='"'),
    Syntax("pascal", "pascal delphi", "pas pp dpr lpr", lines=("//",), blocks=(("{", "}"), ("(*", "*)")), quotes="'"),
    Syntax("lean", "lean", "lean", lines=("--",), blocks=(("/-", "-/"),), quotes='"'),
    Syntax("fortran", "fortran", "f90 f95 f03 f08", lines=("!",)),
    Syntax("basic", "visual-basic visual-basic-.net vba vbscript", "vb vbs bas", lines=("'",), quotes='"'),
    Syntax("html", "html xhtml html+erb", "html htm xhtml erb ejs", long_lines=True, html=True),
    Syntax("xml", "xml xslt svg", "xml xsl xslt xsd svg rss plist xaml csproj", long_lines=True),
)
"""Every syntax there is; where a document's is not known, it is the first."""
INDEX = {syntax.name: index for index, syntax in enumerate(SYNTAXES)}
"""Index into ``SYNTAXES`` by name."""

_LANGUAGES = {name: index for index, syntax in enumerate(SYNTAXES) for name in syntax.languages.split()}
_EXTENSIONS = {name: index for index, syntax in enumerate(SYNTAXES) for name in syntax.extensions.split()}
# A text that stands alone in its file has the file's extension; but these are also formats of whole corpora.
_CONTAINERS = {"json", "jsonl", "jsonld", "txt", "text", "csv", "tsv", "html", "htm", "xml"}
_FILES = {name: index for name, index in _EXTENSIONS.items() if name not in _CONTAINERS}

_FIELDS = (
    *((name, _LANGUAGES) for name in ("programming_language", "lang", "language")),
    *((name, _EXTENSIONS) for name in ("ext", "extension")),
    *((name, _EXTENSIONS) for name in ("max_stars_repo_path", "path", "file_path", "filename", "file_name", "file")),
)
FIELDS = tuple(name for name, _ in _FIELDS)
"""Metadata that says what a document is written in, where the recipe names no field; the first that knows holds."""


def syntaxes_of(batch: Batch, field: str | None = None) -> Syntaxes:
    """Find the syntax of each document from its metadata, or else from the extension of its file.

    Parameters
    ----------
    field
        The carried metadata that says it, as a language (``C++``), an extension or a path; ``None``: those of
        ``FIELDS`` that are carried. A language's name there is no extension, so that ``lang: pl`` is not Perl.

    Returns
    -------
    uint8[documents]: index into ``SYNTAXES``, 0 where nothing says.
    """
    found: pa.Array = pa.nulls(len(batch), pa.uint8())
    if field is not None:
        asked = [(METADATA + field, _LANGUAGES), (METADATA + field, _EXTENSIONS)]
    else:
        last = {name.rpartition(".")[2].lower(): name for name in batch.schema.names if name.startswith(METADATA)}
        asked = [(last[name], known) for name, known in _FIELDS if name in last]
    for name, known in (*asked, ("file", _FILES)):
        if not found.null_count:
            break
        found = pc.coalesce(found, _looked_up(batch[name], known))
    return np.asarray(pc.fill_null(found, 0).to_numpy(zero_copy_only=False), np.uint8)


def _looked_up(values: pa.Array, known: dict[str, int]) -> pa.Array:
    """Look each value up as it is, as the name of a file and as its extension; null where none is known."""
    whole = pc.replace_substring(pc.utf8_lower(values), " ", "-")
    names, indices = pa.array(known), pa.array(known.values(), pa.uint8())
    if known is _LANGUAGES:
        return indices.take(pc.index_in(whole, names))
    file = pc.replace_substring_regex(whole, r"^.*[/\\]|\.(gz|zst|bz2|xz)$", "")
    extension = pc.replace_substring_regex(file, r"^.*\.", "")
    return indices.take(pc.coalesce(pc.index_in(file, names), pc.index_in(extension, names)))


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Write the syntaxes as arrays that kernels take."""
    actions = np.zeros((len(SYNTAXES), 256), np.uint8)
    lines = np.zeros((len(SYNTAXES), 2, 4), np.uint8)
    blocks = np.zeros((len(SYNTAXES), 2, 2, 5), np.uint8)
    traits = np.zeros(len(SYNTAXES), np.uint8)
    for index, syntax in enumerate(SYNTAXES):
        row = actions[index]
        row[ord("\\")] |= ESCAPE
        for place, mark in enumerate(syntax.lines):
            row[ord(mark[0])] |= LINE
            lines[index, place, : len(mark)] = list(mark.encode())
        for place, pair in enumerate(syntax.blocks):
            row[ord(pair[0][0])] |= BLOCK
            for side, mark in enumerate(pair):
                blocks[index, place, side, : len(mark)] = list(mark.encode())
        row[list(syntax.quotes.encode())] |= QUOTE
        row[list(syntax.long_quotes.encode())] |= LONG_QUOTE
        row[list(b"/" if syntax.regexes else b"")] |= SLASH
        row[list(b"([{" if syntax.docstrings else b"")] |= OPEN
        row[list(b")]}" if syntax.docstrings else b"")] |= CLOSE
        named = {
            COMMENTS: syntax.comments,
            DOCSTRINGS: syntax.docstrings,
            SPACED: syntax.spaced,
            LONG_LINES: syntax.long_lines,
            DATA: syntax.data,
            HTML: syntax.html,
        }
        traits[index] = sum(trait for trait, has in named.items() if has)
    return actions, lines, blocks, traits


ACTIONS, LINE_MARKS, BLOCK_MARKS, TRAITS = _tables()
"""For kernels, a row for each syntax. ``ACTIONS``: uint8[syntaxes, 256], what a byte may begin. ``LINE_MARKS``:
uint8[syntaxes, 2, 4] and ``BLOCK_MARKS``: uint8[syntaxes, 2, 2 (opens, closes), 5], zero-padded. ``TRAITS``: bits."""
