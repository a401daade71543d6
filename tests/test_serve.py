"""The official `openai` client against `retort serve` on SmolLM2's weights."""
import concurrent.futures
import os
import signal
import subprocess
import threading
import time

import openai
import pytest

from conftest import models, program

HI = [{"role": "user", "content": "Name three colours."}]


class Server:
    """`retort serve` on a free port for as long as the `with` lasts."""

    def __init__(self, model, folder, *flags):
        self.port_file = folder / "port"
        self.process = subprocess.Popen([program(), "serve", str(model), "--port", "0", "--port-file", str(self.port_file), *flags],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        while not self.port_file.exists():
            assert self.process.poll() is None, f"retort serve ended with {self.process.returncode}"
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self.port_file.read_text().strip()}/v1"
        return self

    def client(self, key="none"):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=120)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0
        assert self.process.stdout.read().strip() == self.url


@pytest.fixture(scope="module")
def server(smollm2, tmp_path_factory):
    with Server(smollm2, tmp_path_factory.mktemp("serve")) as s:
        yield s


@pytest.fixture(scope="module")
def client(server):
    return server.client()


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def test_chat_is_an_answer_and_usage_counts_it(client, model):
    r = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "What is the capital of France?"}],
                                       temperature=0, max_tokens=16, logprobs=True)
    assert r.choices[0].message.content.strip()
    known = client.completions.create(model=model, prompt="The capital of France is", temperature=0, max_tokens=4)
    assert "Paris" in known.choices[0].text
    assert r.choices[0].finish_reason in ("stop", "length")
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens
    assert len(r.choices[0].logprobs.content) == r.usage.completion_tokens  # the end token included


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.0, "seed": 7}, {"temperature": 0.8, "top_p": 0.9, "seed": -3}])
def test_streaming_equals_whole(client, model, sampling):
    ask = dict(model=model, messages=HI, max_tokens=24, n=2, **sampling)
    whole = client.chat.completions.create(**ask)
    texts, finishes, usage, roles = ["", ""], [None, None], None, [[], []]
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            finishes[choice.index] = choice.finish_reason or finishes[choice.index]
            roles[choice.index].append(choice.delta.role)
        usage = chunk.usage or usage
    assert texts == [c.message.content for c in whole.choices]
    assert finishes == [c.finish_reason for c in whole.choices]
    assert all(role[0] == "assistant" and not any(role[1:]) for role in roles)
    assert usage == whole.usage


def test_seed_and_n(client, model):
    def ask(**more):
        r = client.chat.completions.create(model=model, messages=HI, max_tokens=16, temperature=1.0, **more)
        return [c.message.content for c in r.choices]
    three = ask(seed=5, n=3)
    assert three == ask(seed=5, n=3)
    assert ask(seed=5) == three[:1]  # a choice does not depend on its neighbours
    assert len(set(three)) > 1
    assert ask(seed=6, n=3) != three


def test_stop_and_max_tokens(client, model):
    ask = dict(model=model, messages=[{"role": "user", "content": "Count from one to ten."}], temperature=0)
    free = client.chat.completions.create(**ask, max_tokens=32).choices[0].message.content
    word = free.split()[3]
    stopped = client.chat.completions.create(**ask, max_tokens=32, stop=[word, "never so"])
    assert stopped.choices[0].message.content == free[:free.index(word)]
    assert stopped.choices[0].finish_reason == "stop"
    short = client.chat.completions.create(**ask, max_completion_tokens=3)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3
    assert free.startswith(short.choices[0].message.content)


def test_logprobs_of_chat(client, model):
    r = client.chat.completions.create(model=model, messages=HI, max_tokens=8, temperature=0, logprobs=True, top_logprobs=5)
    tokens = r.choices[0].logprobs.content
    assert b"".join(bytes(t.bytes) for t in tokens).decode() == r.choices[0].message.content
    for t in tokens:
        assert len(t.top_logprobs) == 5
        values = [top.logprob for top in t.top_logprobs]
        assert values == sorted(values, reverse=True) and values[0] <= 0
        assert t.token == t.top_logprobs[0].token and t.logprob == values[0]  # greedy takes the likeliest


def test_completion_echo_scores_the_prompt(client, model):
    text = "The capital of France is Paris"
    r = client.completions.create(model=model, prompt=text, max_tokens=0, echo=True, logprobs=2)
    c = r.choices[0]
    assert c.text == text and r.usage.completion_tokens == 0
    assert "".join(c.logprobs.tokens) == text
    assert c.logprobs.token_logprobs[0] is None and all(v <= 0 for v in c.logprobs.token_logprobs[1:])
    assert [text[o:o + len(t)] for o, t in zip(c.logprobs.text_offset, c.logprobs.tokens)] == c.logprobs.tokens
    longer = client.completions.create(model=model, prompt=text, max_tokens=4, echo=True, logprobs=0, temperature=0)
    assert longer.choices[0].text.startswith(text) and len(longer.choices[0].logprobs.tokens) == len(c.logprobs.tokens) + 4
    assert longer.choices[0].logprobs.token_logprobs[1:len(c.logprobs.tokens)] == c.logprobs.token_logprobs[1:]


def test_completion_prompts_and_streaming(client, model):
    ask = dict(model=model, prompt=["One two three", "Red green"], max_tokens=6, temperature=1.0, seed=4, n=2)
    whole = client.completions.create(**ask)
    assert [c.index for c in whole.choices] == [0, 1, 2, 3] and len({c.text for c in whole.choices}) == 4
    alone = client.completions.create(**{**ask, "prompt": "Red green"})
    assert [c.text for c in alone.choices] == [c.text for c in whole.choices[2:]]  # batch composition changes nothing
    texts, usage = [""] * 4, None
    for chunk in client.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
        usage = chunk.usage or usage
    assert texts == [c.text for c in whole.choices] and usage == whole.usage


def test_streamed_logprobs_of_completions_equal_the_whole(client, model):
    # The stop string begins with what the text repeats, so that text waits while its tokens are sent.
    ask = dict(model=model, prompt="é ü ö é ü ö é ü ö é ü", max_tokens=24, temperature=0, logprobs=2, stop=["ö é never", " ü never"])
    whole = client.completions.create(**ask).choices[0].logprobs
    fields = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    got = {name: [] for name in fields}
    for chunk in client.completions.create(**ask, stream=True):
        for name in fields:
            got[name] += getattr(chunk.choices[0].logprobs, name) if chunk.choices[0].logprobs else []
    assert got == {name: getattr(whole, name) for name in fields}
    assert len(got["tokens"]) == 24


@pytest.mark.parametrize("prompt", ["", [999999], [1, 2, -1], [[1], []]])
def test_prompts_that_cannot_be_are_named(client, model, prompt):
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model=model, prompt=prompt, max_tokens=1)
    assert error.value.param == "prompt"


def test_prompts_as_tokens(client, model):
    text = "The capital of France is"
    ask = dict(model=model, max_tokens=6, temperature=0)
    ids = [int(i) for i in subprocess.run([program(), "tokenize", "--model", str(models.smollm2())], input=text, capture_output=True,
                                          text=True, check=True).stdout.split()]
    want = client.completions.create(**ask, prompt=text)
    got = client.completions.create(**ask, prompt=ids, echo=True)
    assert got.usage == want.usage and got.usage.prompt_tokens == len(ids)
    assert got.choices[0].text == text + want.choices[0].text
    both = client.completions.create(**ask, prompt=[ids[:3], ids])
    assert both.choices[1].text == want.choices[0].text


def test_a_temperature_or_share_next_to_nothing_is_greedy(client, model):
    knobs = [{"temperature": 0}, {"temperature": 1e-9}, {"temperature": 1e-320}, {"temperature": 2, "top_p": 1e-9},
             {"temperature": 2, "extra_body": {"top_k": 1}}]
    texts = [client.chat.completions.create(model=model, messages=HI, max_tokens=6, seed=1, **k).choices[0].message.content for k in knobs]
    assert texts[0] and texts == texts[:1] * 5


@pytest.mark.parametrize("extra, param", [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"logit_bias": {"5": 3}}, "logit_bias"),
    ({"presence_penalty": 1}, "presence_penalty"),
    ({"frequency_penalty": 1}, "frequency_penalty"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 0}, "n"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"extra_body": {"min_p": 0.1}}, "min_p"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content[0].type"),
    ({"messages": []}, "messages"),
])
def test_what_is_not_supported_is_named(client, model, extra, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": model, "messages": HI, **extra})
    assert error.value.param == param and param.split("[")[0] in str(error.value)


def test_over_long_prompts_are_refused_with_both_numbers(client, model):
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model=model, prompt="one " * 9000)
    assert error.value.code == "context_length_exceeded"
    numbers = [int(w) for w in "".join(c if c.isdigit() else " " for c in error.value.body["message"]).split()]
    assert any(n >= 9000 for n in numbers) and any(n in (2048, 8192) for n in numbers)


def test_a_model_is_called_as_its_file(client, server, smollm2, tmp_path):
    assert [m.id for m in client.models.list()] == [smollm2.stem] == ["SmolLM2-135M-Instruct.Q4_1"]
    with Server(smollm2, tmp_path, "--name", "mine") as named:
        assert [m.id for m in named.client().models.list()] == ["mine"]
        assert named.client().models.retrieve("mine").id == "mine"


def test_unknown_model_and_path(client, model):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-4", messages=HI)
    assert error.value.code == "model_not_found" and f"`{model}`" in str(error.value) and "`gpt-4`" in str(error.value)
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="m" * 5_000_000, messages=HI)
    assert len(str(error.value)) < 5000  # what a client sent is not sent back to it at length
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="x", input="y")


def test_a_client_that_leaves_frees_the_engine(smollm2, tmp_path):
    with Server(smollm2, tmp_path, "--max-batch", "1") as server:
        client = server.client()
        model = client.models.list().data[0].id
        stream = client.chat.completions.create(model=model, messages=HI, stream=True, n=64, max_tokens=3000, temperature=2)
        next(iter(stream))
        one = dict(model=model, messages=HI, max_tokens=1)
        with pytest.raises(openai.APITimeoutError):  # the engine, which takes one at a time, is held
            client.with_options(timeout=2).chat.completions.create(**one)
        stream.close()
        assert client.chat.completions.create(**one).usage.completion_tokens == 1


def test_many_clients_at_once_get_what_each_gets_alone(client, model):
    prompts = [f"Say the number {i}." for i in range(6)]

    def ask(prompt):
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}], temperature=1.0,
                                              seed=3, max_tokens=8).choices[0].message.content
    together = [None] * len(prompts)
    threads = [threading.Thread(target=lambda i=i: together.__setitem__(i, ask(prompts[i]))) for i in range(len(prompts))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == [ask(p) for p in prompts]


def test_streams_at_once_have_the_pieces_that_each_has_alone(client, model):
    def pieces(i):
        stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": f"Say the number {i}."}], logprobs=True,
                                                temperature=1.0, seed=i, max_tokens=12, stream=True, stream_options={"include_usage": True})
        return [chunk.model_dump(exclude={"id", "created"}) for chunk in stream]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        together = list(pool.map(pieces, range(5)))
    assert together == [pieces(i) for i in range(5)]


def test_keys(smollm2, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# for tests\nsk-right\n")
    with Server(smollm2, tmp_path, "--host", "0.0.0.0", "--key-file", str(keys)) as server:
        assert server.client("sk-right").models.list().data
        with pytest.raises(openai.AuthenticationError) as error:
            server.client("sk-wrong").chat.completions.create(model="x", messages=HI)
        assert error.value.code == "invalid_api_key" and "sk-wrong" not in str(error.value)
        server.url = server.url.replace("127.0.0.1", "0.0.0.0")


def test_start_errors(smollm2, server):
    def run(*flags):
        r = subprocess.run([program(), "serve", *flags], capture_output=True, text=True, timeout=60)
        return r.returncode, r.stderr
    code, words = run(str(smollm2), "--host", "0.0.0.0", "--port", "0")
    assert code == 2 and "--key-file" in words
    port = server.url.split(":")[2].split("/")[0]
    code, words = run(str(smollm2), "--port", port)
    assert code == 5 and port in words and "in use" in words
    code, words = run("/no/such/model")
    assert code == 3 and "/no/such/model" in words


def test_chat_command_through_pipes(smollm2, server, model):
    turns = "What is the capital of France?\n/reset\n/quit\n"
    run = subprocess.run([program(), "chat", str(smollm2), "--temperature", "0", "--max-tokens", "16"], input=turns,
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() and "\033" not in run.stdout
    remote = subprocess.run([program(), "chat", "--endpoint", server.url, "--prices", "free", "--model", model, "--temperature", "0", "--max-tokens", "16",
                             "--top-p", "1", "--top-k", "0"], input=turns, capture_output=True, text=True, timeout=120,
                            env={**os.environ, "no_proxy": "127.0.0.1"})
    assert remote.returncode == 0, remote.stderr
    assert remote.stdout == run.stdout  # the same model over the API says the same
