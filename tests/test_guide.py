"""docs/guide.md is true: its `sh` blocks run from the top in one shell, as they stand but for the ports, and do what the
text around them says."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from conftest import ROOT, program

GUIDE = (ROOT / "docs" / "guide.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.S | re.M)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """The folder in which a reader has typed every command of the guide, and what the shell said."""
    folder = tmp_path_factory.mktemp("guide")
    text = "set -e\n" + "\n".join(blocks("sh"))
    for port in ("8000", "8080"):
        assert f"--port {port} " in text and f":{port}/" in text
        text = re.sub(rf"(--port |:){port}\b", rf"\g<1>{free_port()}", text)
    environment = {**os.environ, "PATH": f"{pathlib.Path(program()).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    with (folder / "said.txt").open("w") as said:
        shell = subprocess.Popen(["bash", "-c", text], cwd=folder, env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                                 start_new_session=True)
        try:
            status = shell.wait(timeout=900)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)  # the servers that the guide started
    said = (folder / "said.txt").read_text()
    assert status == 0, said[-3000:]
    return folder, said


def test_the_runs_end_with_a_report_and_a_student(followed):
    folder, said = followed
    for name in ("first", "mine"):
        out = folder / name / "out" / name
        assert (out / "report.html").exists()
        assert (out / "student" / "model" / "model.safetensors").exists()
        assert len((out / "split" / "train.jsonl").read_text().splitlines()) == 320
    assert "as it should: nothing is permitted yet" in said
    assert (folder / "scores" / "summary.json").exists()
    assert '"choices"' in said


def test_the_chats_are_what_other_trainers_read(followed):
    folder, _ = followed
    chats = [json.loads(line) for line in (folder / "chats.jsonl").read_text().splitlines()]
    examples = [json.loads(line) for line in (folder / "mine/out/mine/curate/examples.jsonl").read_text().splitlines()]
    assert len(chats) == len(examples) > 100
    for chat, example in zip(chats, examples):
        assert [turn["role"] for turn in chat["messages"]] == ["user", "assistant"]
        assert chat["messages"][-1]["content"] == f"<think>\n{example['reasoning']}\n</think>\n\n{example['content']}"


def test_transformers_loads_the_exported_student(followed):
    folder, _ = followed
    [code] = blocks("python")
    check = code + '\nprint(model.num_parameters(), len(tokenizer("What is 3 + 4?").input_ids))'
    done = subprocess.run([sys.executable, "-c", check], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    parameters, tokens = map(int, done.stdout.split()[-2:])
    assert parameters > 10_000 and tokens > 0


def test_no_command_stands_where_it_is_not_run():
    """Every command that the guide shows in a block is run: none stands in a block of another kind, but for the two that
    are about another machine and a file's form."""
    others = [text for text in re.split(r"^```", GUIDE, flags=re.M)[1::2] if not text.startswith(("sh\n", "python\n"))]
    assert [text for text in others if "retort" in text and "cmake --install" not in text] == []
