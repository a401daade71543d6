"""The docs against the program: tools/docs.py finds nothing in the checkout, and does find planted faults; the help texts
are of one form."""
import pathlib
import re
import shutil
import sys

import pytest

from conftest import ROOT, program, retort

sys.path.insert(0, str(ROOT / "tools"))
import docs  # noqa: E402


def test_docs_have_no_fault():
    assert list(docs.faults(ROOT, pathlib.Path(program()))) == []


PLANTED = {
    "a link to nothing": ("docs/glossary.md", lambda t: t + "\nSee [this](no-such-file.md).\n", "no-such-file.md"),
    "a verb of dev that is none": ("README.md", lambda t: t + "\nRun `./dev frobnicate`.\n", "frobnicate"),
    "a command left out": ("README.md", lambda t: re.sub(r"^\| `retort verify.*\n", "", t, flags=re.M), "`retort verify` is not"),
    "a command that is none": ("README.md", lambda t: t + "\n| `retort transmute` | gold |\n", "transmute"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault, tmp_path):
    for name in ("README.md", "LICENSE", "dev"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    assert list(docs.faults(tmp_path, pathlib.Path(program()))) == []
    where, change, sign = PLANTED[fault]
    text = (tmp_path / where).read_text()
    assert change(text) != text
    (tmp_path / where).write_text(change(text))
    found = list(docs.faults(tmp_path, pathlib.Path(program())))
    assert len(found) == 1 and sign in found[0]


def summaries():
    listed = retort("--help").stdout.split("Subcommands:")[-1]
    return dict(re.findall(r"^  ([a-z]+) {2,}(\S.*)$", listed, re.M))


def test_summaries_are_of_one_form():
    found = summaries()
    assert len(found) >= 17
    for verb, summary in found.items():
        assert summary[0].islower() and not summary.endswith("."), (verb, summary)
        assert len(summary) <= 100, (verb, summary)


def test_every_verb_and_option_is_explained():
    for verb, summary in summaries().items():
        text = retort(verb, "--help").stdout
        assert text.startswith(summary), verb
        options = text[text.index("Options:"):] + "\n"
        # NAME [TYPE [REQUIRED]] and its words, on the same line or, indented further, on the next.
        for match in re.finditer(r"^  (-\S+)(.*)$(?=\n(.*))", options, re.M):
            name, rest, following = match.groups()
            assert len(rest.split()) >= 3 or re.match(r" {10,}\S", following), (verb, name)
