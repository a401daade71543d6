"""`retort init` and `retort permission`: what they write is refused until its user has said what only he can say, and
works from then on."""
import json
import threading
import http.server

import pytest

from conftest import retort

HOSTED = {"openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"), "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
          "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY")}


@pytest.mark.parametrize("kind", HOSTED)
def test_a_hosted_teacher_waits_for_leave_and_prices(kind, tmp_path):
    endpoint, variable = HOSTED[kind]
    project = tmp_path / "p"
    said = retort("init", project, "--teacher", kind, "--model", "some/model").stdout
    assert "fill in permission.yaml" in said and "fill in prices.yaml" in said and variable in said and "retort run recipe.yaml" in said
    recipe = (project / "recipe.yaml").read_text()
    assert endpoint in recipe and variable in recipe and '"some/model"' in recipe
    checked = retort("permission", "check", project / "permission.yaml", "--endpoint", endpoint, check=False)
    assert checked.returncode == 1
    for member in ("clause", "checked_by", "allowed_uses", "licence"):
        assert f"`{member}`" in checked.stdout, checked.stdout
    # A licence of the weights is no leave of who serves them.
    retort("init", tmp_path / "licensed", "--teacher", kind, "--model", "some/model", "--licence", "MIT", "--checked-by", "me")
    assert "`clause`" in retort("permission", "check", tmp_path / "licensed" / "permission.yaml", check=False).stdout
    # No permission, and no price, is made up: the run refuses.
    run = retort("run", project / "recipe.yaml", "--out", tmp_path / "out", check=False, env={variable: "key"})
    assert run.returncode == 2
    assert not list((tmp_path / "out").glob("collect/traces.jsonl"))


class FakeApi(http.server.BaseHTTPRequestHandler):
    """Answers every question alike, in the form of a hosted API with a thought."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers.get("Authorization"), asked["model"]))
        answers = {json.loads(line)["question"]: json.loads(line)["answer"] for line in self.server.prompts}
        answer = answers[asked["messages"][-1]["content"]]
        reply = {"id": "x", "object": "chat.completion", "created": 1, "model": asked["model"],
                 "choices": [{"index": 0, "finish_reason": "stop",
                              "message": {"role": "assistant", "reasoning_content": f"I find {answer}.", "content": f"The answer is {answer}."}}],
                 "usage": {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40}}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_project_runs_as_it_was_written(tmp_path):
    """With the flags that say what only the user knows, nothing is left to edit: example prompts, a server, a report."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeApi)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    project = tmp_path / "p"
    retort("init", project, "--teacher", "local", "--model", "some-model", "--endpoint", f"http://127.0.0.1:{server.server_port}/v1",
           "--licence", "MIT", "--checked-by", "a test", "--input-price", "0.10", "--output-price", "0.20")
    server.prompts = (project / "prompts.jsonl").read_text().splitlines()
    assert retort("permission", "check", project / "permission.yaml").stdout.startswith("permits: ")
    retort("run", "recipe.yaml", "--dry-run", cwd=project)
    retort("run", "recipe.yaml", cwd=project, env={"RETORT_API_KEY": "sesame"})
    server.shutdown()
    assert {path for path, _, _ in server.seen} == {"/v1/chat/completions"}
    assert {(key, model) for _, key, model in server.seen} == {("Bearer sesame", "some-model")}
    assert (project / "out" / "p" / "report.html").exists()
    kept = (project / "out" / "p" / "curate" / "examples.jsonl").read_text().splitlines()
    assert len(kept) >= 8
    for path in project.rglob("*"):
        assert path.is_dir() or b"sesame" not in path.read_bytes(), path


def test_init_writes_into_new_or_empty_folders_only(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    refused = retort("init", tmp_path, check=False)
    assert refused.returncode == 2 and "thesis.tex" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    file = retort("init", tmp_path / "thesis.tex", check=False)
    assert file.returncode == 2 and (tmp_path / "thesis.tex").read_text() == "years"
    (tmp_path / "empty").mkdir()
    retort("init", tmp_path / "empty")
    assert sorted(p.name for p in (tmp_path / "empty").iterdir()) == [".gitignore", "permission.yaml", "prices.yaml", "prompts.jsonl", "recipe.yaml"]


@pytest.mark.parametrize("words, said", [
    (["--teacher", "opnai", "--model", "m"], "choose openai"),
    (["--teacher", "openai"], "--model"),
])
def test_init_says_what_is_missing(words, said, tmp_path):
    run = retort("init", tmp_path / "p", *words, check=False)
    assert run.returncode == 2 and said in run.stderr and not (tmp_path / "p").exists()


def test_permission_new_and_check(tmp_path):
    record = tmp_path / "r.yaml"
    retort("permission", "new", "--endpoint", "http://127.0.0.1:8000/v1", "--name", 'a "quoted": name', "--out", record)
    again = retort("permission", "new", "--out", record, check=False)
    assert again.returncode == 2 and "exists" in again.stderr
    assert retort("permission", "check", record, check=False).returncode == 1
    text = retort("permission", "new", "--endpoint", "http://127.0.0.1:8000/v1", "--name", 'a "quoted": name', "--licence", "Apache-2.0",
                  "--evidence", "section 2", "--checked-by", "me", "--uses", "distillation").stdout
    record.write_text(text)
    good = json.loads(retort("permission", "check", record, "--endpoint", "http://localhost:8000/v1", "--json").stdout)
    assert good["permits"] and good["name"] == 'a "quoted": name' and good["faults"] == []
    short = retort("permission", "check", record, "--endpoint", "http://127.0.0.1:8000", check=False)
    assert short.returncode == 1 and "`/v1` is missing" in short.stdout and short.stdout.count("\n") == 2
    record.write_text(text.replace("checked_by", "cheked_by"))
    typo = retort("permission", "check", record, check=False)
    assert typo.returncode == 2 and "did you mean `checked_by`" in typo.stderr
    record.write_text(text.replace('expires: "never"', 'expires: "2020-01-01"'))
    old = retort("permission", "check", record, check=False)
    assert old.returncode == 1 and "expired on 2020-01-01" in old.stdout


def test_a_refusal_does_not_print_the_whole_form(tmp_path):
    """newcomer.md 25: only a user without a record is shown one."""
    record = tmp_path / "r.yaml"
    record.write_text(retort("permission", "new", "--endpoint", "http://127.0.0.1:1/v1").stdout)
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"id": "1", "question": "x"}\n')
    prices = tmp_path / "prices.yaml"
    prices.write_text("m: {input: 0, output: 0}\n")
    common = ["collect", "--prompts", prompts, "--prices", prices, "--cap", "1", "--model", "m", "--endpoint", "http://127.0.0.1:1/v1",
              "--out", tmp_path / "out"]
    with_one = retort(*common, "--permission", record, check=False)
    assert with_one.returncode == 2 and "evidence:" not in with_one.stderr and "retort permission check" in with_one.stderr
    without = retort(*common, check=False)
    assert without.returncode == 2 and "evidence:" in without.stderr
