"""What the command line says of words that it does not know: the value, the nearest known one, where the words are listed."""
import pytest

from conftest import retort


@pytest.mark.parametrize("words, said, place", [
    (["chatt"], "unknown command `chatt`; did you mean `chat`?", "`retort --help`"),
    (["frobnicate"], "unknown command `frobnicate`\n", "`retort --help`"),
    ([], "a command is missing", "`retort --help`"),
    (["train", "--exampels", "x"], "unknown option `--exampels`; did you mean `--examples`?", "`retort train --help`"),
    (["train"], "--out is required", "`retort train --help`"),
    (["chat", "a", "b"], "one word too many: `b`", "`retort chat --help`"),
])
def test_unknown_words_are_named(words, said, place):
    run = retort(*words, check=False)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("retort: ") and said in run.stderr and place in run.stderr, run.stderr
    assert len(run.stderr.splitlines()) == 2
