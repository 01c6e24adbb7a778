"""The official SDK for Python against a broker: python_sdk.py <url> <key>.

What happens on the other side is asked for by a word on a line of standard output; the test does it and answers with a line.
Ends with a traceback when anything is not as it should be.
"""

import sys

import openai

url, key = sys.argv[1:3]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
messages = [{"role": "user", "content": "one two three"}]


def tell(word):
    print(word, flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "done", f"{word}: {answer}"


def same(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def failure(kind, run):
    try:
        run()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def models():
    ids = [model.id for model in client.models.list()]
    assert {"demo-echo", "demo-embed", "embed"} <= set(ids), ids
    same(ids, sorted(ids))
    same(client.models.retrieve("demo-echo").owned_by, "nfrx")


def chat():
    plain = client.chat.completions.create(model="demo-echo", messages=messages)
    text = plain.choices[0].message.content
    assert "one two three" in text, text
    parts, usage = [], None
    options = {"include_usage": True}
    for chunk in client.chat.completions.create(
        model="demo-echo", messages=messages, stream=True, stream_options=options
    ):
        parts += [choice.delta.content or "" for choice in chunk.choices]
        usage = chunk.usage or usage
    same("".join(parts), text)
    same(usage, plain.usage)


def responses():
    plain = client.responses.create(model="demo-echo", input="one two three")
    assert "one two three" in plain.output_text, plain.output_text
    events = list(client.responses.create(model="demo-echo", input="one two three", stream=True))
    same("".join(event.delta for event in events if event.type == "response.output_text.delta"), plain.output_text)
    same([events[0].type, events[-1].type], ["response.created", "response.completed"])


def embeddings():
    texts = [f"text{i}" for i in range(500)]
    for options in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="embed", input=texts, **options)
        same([item.index for item in answer.data], list(range(500)))
        same([item.embedding for item in answer.data], [[float(i), 0.5] for i in range(500)])
        same(answer.usage.total_tokens, 500)
    assert len(client.embeddings.create(model="demo-embed", input="one text").data[0].embedding) > 10


def abort():
    tell("words")
    stream = client.chat.completions.create(model="endless", messages=messages, stream=True)
    for _ in range(3):
        same(next(stream).choices[0].delta.content, "word ")
    stream.close()
    tell("aborted")


def failures():
    def ask(model, of=client):
        return lambda: of.chat.completions.create(model=model, messages=messages)

    stranger = openai.OpenAI(base_url=url, api_key="wrong", max_retries=0)
    same(failure(openai.AuthenticationError, ask("demo-echo", stranger)).status_code, 401)
    unknown = failure(openai.NotFoundError, ask("nobody"))
    same((unknown.status_code, unknown.code, unknown.param), (404, "no_worker", "model"))
    failure(openai.NotFoundError, lambda: client.models.retrieve("nobody"))
    limited = failure(openai.RateLimitError, ask("limited"))
    same((limited.status_code, limited.code), (429, "rate_limit_exceeded"))
    failure(openai.BadRequestError, ask("invalid"))
    busy = failure(openai.InternalServerError, ask("busy"))
    same((busy.status_code, busy.code), (503, "worker_busy"))
    late = failure(openai.InternalServerError, ask("silent"))
    same((late.status_code, late.code), (504, "timeout"))
    assert late.request_id


def broken():
    stream = client.chat.completions.create(model="broken", messages=messages, stream=True)
    same(next(stream).model, "broken")
    tell("cut")
    error = failure(openai.APIError, lambda: list(stream))
    same(error.code, "upstream_error")


for story in (models, chat, responses, embeddings, abort, failures, broken):
    story()
print("all good", flush=True)
