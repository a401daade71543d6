"""lm-evaluation-harness itself, scoring through `retort serve` as its `hf` backend does on the same weights."""
import json
import logging

import openai
import pytest

from conftest import shared
from test_serve import Server

REQUESTS = 200


@pytest.fixture(scope="module")
def server(smollm2_hf, tmp_path_factory):
    with Server(smollm2_hf, tmp_path_factory.mktemp("lm_eval")) as s:
        yield s


def requests():
    """(question, option) pairs of short multiple-choice questions, as a harness task makes them."""
    from lm_eval.api.instance import Instance
    made = []
    for line in shared("truthfulqa/truthfulqa_dev.jsonl").read_text().splitlines():
        row = json.loads(line)
        for option in [*row["correct"], *row["incorrect"]]:
            made.append(Instance("loglikelihood", {}, (f"Q: {row['question']}\nA:", f" {option.rstrip('.')}."), len(made)))
    return made[:REQUESTS]


def test_every_log_likelihood_is_that_of_the_hf_backend(server, smollm2_hf, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    name = server.client().models.list().data[0].id
    asked = requests()
    assert len(asked) == REQUESTS
    # The harness asks for one token, then drops the last entry. Where that token ends the text it must be an entry too.
    ended = server.client().completions.create(model=name, prompt=["".join(r.args) for r in asked[:60]], temperature=0, max_tokens=1,
                                               logprobs=1)
    assert any(c.finish_reason == "stop" for c in ended.choices)
    assert all(len(c.logprobs.tokens) == 1 for c in ended.choices)
    ours = LocalCompletionsAPI(base_url=f"{server.url}/completions", model=name, tokenizer=str(smollm2_hf), tokenizer_backend="huggingface",
                               batch_size=16, num_concurrent=1, max_retries=1).loglikelihood(asked, disable_tqdm=True)
    theirs = HFLM(pretrained=str(smollm2_hf), dtype="float32", device="cpu", batch_size=16).loglikelihood(asked, disable_tqdm=True)
    far = [(r.args, a, b) for r, a, b in zip(asked, ours, theirs) if abs(a[0] - b[0]) > 1e-2]
    assert not far, f"{len(far)} of {REQUESTS} differ, the first: {far[0]}"
    assert [a[1] for a in ours] == [b[1] for b in theirs]  # whether the option is what the model would say


def test_a_wrong_name_is_told_the_right_one(server):
    with pytest.raises(openai.NotFoundError, match="served here is `"):
        server.client().completions.create(model="gpt-2", prompt="a", max_tokens=1)
