"""Makes src/model/unicode_tables.cc: categories of Unicode 16, the version that Hugging Face's regular expressions
(Oniguruma) use, from the package unicodedata2 16.0.0, which is built from the Unicode Character Database's
UnicodeData.txt. What Unicode 15 and 16 added to 14 (PCRE2's version in Debian 12) comes from the difference to a
Python whose unicodedata is 14.0.0 (Python 3.11).

    pip install --target DIR unicodedata2==16.0.0
    PYTHONPATH=DIR .venv/bin/python tools/unicode_tables.py > src/model/unicode_tables.cc
    .venv/bin/clang-format -i src/model/unicode_tables.cc
"""
import sys
import unicodedata as older

import unicodedata2 as newer

HEAD = """\
// Made by tools/unicode_tables.py; do not edit. Letters and numbers of Unicode 16, the version that Hugging Face's
// regular expressions (Oniguruma) use, and what Unicode 15 and 16 added to 14 (PCRE2's version in Debian 12), from the
// Unicode Character Database (UnicodeData.txt) by way of the package unicodedata2 16.0.0. Ranges are inclusive.
#include <iterator>

#include "model/unicode.h"

namespace retort::model::unicode_tables {
"""


def ranges(members):
    """[first, last] of each run in ascending code points."""
    out = []
    for c in members:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(kind, name, comment, rows):
    body = " ".join("{%s}," % row for row in rows)
    return f"\n// {comment}\nconst {kind} {name}[] = {{\n{body}\n}};\nconst size_t {name}Count = std::size({name});\n"


def main():
    assert newer.unidata_version == "16.0.0", newer.unidata_version
    assert older.unidata_version == "14.0.0", older.unidata_version
    category = [newer.category(chr(c)) for c in range(0x110000)]
    points = range(0x110000)
    out = HEAD
    for name, letter in (("kLetters", "L"), ("kNumbers", "N")):
        rows = [f"0x{a:X}, 0x{b:X}" for a, b in ranges(c for c in points if category[c][0] == letter)]
        out += table("CodeRange", name, f"General category {letter}*.", rows)
    added = [c for c in points if older.category(chr(c)) != category[c]]
    # U+1171E went from Mn to Mc, a mark before and after; nothing else that was assigned may have changed.
    assert [c for c in added if older.category(chr(c)) != "Cn"] == [0x1171E]
    added.remove(0x1171E)
    rows = [f'"{k}", 0x{a:X}, 0x{b:X}' for k in sorted({category[c] for c in added})
            for a, b in ranges(c for c in added if category[c] == k)]
    out += table("AddedRange", "kAdded", "Assigned after Unicode 14, with the two letters of the general category.", rows)
    han = [c for c in added if newer.name(chr(c), "").startswith("CJK UNIFIED IDEOGRAPH-")]
    rows = [f"0x{a:X}, 0x{b:X}" for a, b in ranges(han)]
    out += table("CodeRange", "kAddedHan", "Unified ideographs among them: what script=Han gained in letters.", rows)
    sys.stdout.write(out + "\n}  // namespace retort::model::unicode_tables\n")


if __name__ == "__main__":
    main()
