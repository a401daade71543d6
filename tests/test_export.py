"""What leaves with an exported model: where it comes from, a card that hubs read, and a word on each file."""
import json

import pytest

from conftest import retort


@pytest.fixture(scope="module")
def student(tiny_run):
    return tiny_run / "student" / "model"


def card_of(folder):
    from huggingface_hub import ModelCard
    return ModelCard((folder / "README.md").read_text())


def test_a_trained_model_keeps_its_pedigree(tiny_run, student, tmp_path):
    out = tmp_path / "out"
    said = retort("export", student, out, "--summary", tiny_run / "eval_student" / "summary.json").stdout
    files = sorted(out.iterdir())
    assert [line.split("  ")[0] for line in said.splitlines()] == [str(f) for f in files]
    for file, line in zip(files, said.splitlines()):
        assert line.endswith(f" {file.stat().st_size} bytes") and (", " in line) == (file.suffix == ".safetensors"), line
    assert "bf16, " in said
    record = json.loads((out / "provenance.json").read_text())
    before = json.loads((student / "provenance.json").read_text())
    assert record["method"] == "export as bf16" and record["base"]["provenance"] == before
    assert before["chat_template"] == {"date": "2026-01-01", "variables": []}
    card = card_of(out)
    assert card.data.library_name == "transformers" and card.data.base_model is None  # from scratch
    summary = json.loads((tiny_run / "eval_student" / "summary.json").read_text())
    assert {r.dataset_name: r.metric_value for r in card.data.eval_results} == {t: f["pass1"] for t, f in summary["tasks"].items()}
    for teacher in before["examples"]["teachers"]:
        assert teacher["teacher"] in card.text and teacher["permission_hash"] in card.text
    assert before["examples"]["sha256"] in card.text and "states none" in card.text


def test_a_licence_and_a_base_go_along(student, tmp_path):
    """A student of a base that states its licence, exported twice."""
    base = tmp_path / "base"
    retort("export", student, base, "--dtype", "f32")
    (base / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# Base\n")
    (base / "LICENSE").write_text("the licence\n")
    examples = student.parent.parent / "curate" / "examples.jsonl"
    retort("train", "--examples", examples, "--base", base, "--max_steps", 1, "--out", tmp_path / "tuned")
    tuned = json.loads((tmp_path / "tuned" / "provenance.json").read_text())
    assert tuned["base"]["licence"] == "apache-2.0"
    retort("export", tmp_path / "tuned", tmp_path / "out")
    card = card_of(tmp_path / "out")
    assert card.data.license == "apache-2.0" and card.data.base_model == "base" and "`base`" in card.text
    retort("export", base, tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text().endswith("# Base\n") and (tmp_path / "again" / "LICENSE").exists()


def test_a_gguf_is_its_own_base(smollm2, tmp_path):
    retort("export", smollm2, tmp_path / "out")
    data = card_of(tmp_path / "out").data
    assert data.base_model and json.loads((tmp_path / "out" / "provenance.json").read_text())["base"]["name"] == data.base_model


@pytest.mark.parametrize("name", ["student.gguf", "student.gguf/"])
def test_a_folder_named_like_a_file_is_refused(student, tmp_path, name):
    run = retort("export", student, f"{tmp_path}/{name}", check=False)
    assert run.returncode == 2 and "convert_hf_to_gguf.py" in run.stderr and not list(tmp_path.iterdir())


def test_what_is_no_summary_is_refused(student, tmp_path):
    run = retort("export", student, tmp_path / "out", "--summary", student / "config.json", check=False)
    assert run.returncode == 2 and "retort eval" in run.stderr and not list(tmp_path.iterdir())
