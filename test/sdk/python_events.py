"""Official SDKs for Python whose streams wait in the queue: python_events.py <origin> <key>.

A word on a line of standard output takes the only worker and says how the backend answers the request that waits behind
it. Ends with a traceback when anything is not as it should be. The SDKs of Anthropic and Ollama run where they are installed.
"""

import importlib.util
import sys

import openai

origin, key = sys.argv[1:3]
model = "test-model"
messages = [{"role": "user", "content": "Will it rain?"}]
client = openai.OpenAI(base_url=f"{origin}/api/llm/v1", api_key=key, max_retries=0)


def wait_for(word):
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


def chat():
    for word in ("stream", "whole"):
        wait_for(word)
        stream = client.chat.completions.create(model=model, messages=messages, stream=True)
        # The plain loop, which an event without choices would end.
        same("".join(chunk.choices[0].delta.content or "" for chunk in stream), "It rains.")


def chat_refused():
    wait_for("refused")
    error = failure(
        openai.APIError, lambda: list(client.chat.completions.create(model=model, messages=messages, stream=True))
    )
    same(error.code, "context_length_exceeded")


def response():
    for word in ("stream", "whole"):
        wait_for(word)
        with client.responses.stream(model=model, input="Will it rain?") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            same(stream.get_final_response().output_text, text)
        same(text, "It rains.")


def message():
    import anthropic

    sdk = anthropic.Anthropic(base_url=f"{origin}/api/llm", api_key=key, max_retries=0)
    for word in ("stream", "whole"):
        wait_for(word)
        with sdk.messages.stream(model=model, max_tokens=50, messages=messages) as stream:
            same("".join(stream.text_stream), "It rains.")
            same(stream.get_final_message().stop_reason, "end_turn")
    wait_for("refused")

    def refused():
        with sdk.messages.stream(model=model, max_tokens=50, messages=messages) as stream:
            stream.until_done()

    assert "too long" in str(failure(anthropic.APIError, refused))


def ollama_chat():
    import ollama

    sdk = ollama.Client(host=f"{origin}/api/llm/ollama", headers={"Authorization": f"Bearer {key}"})
    wait_for("stream")
    parts = sdk.chat(model=model, messages=messages, stream=True)
    same("".join(part.message.content for part in parts), "It rains.")
    wait_for("cut")
    failed = failure(
        ollama.ResponseError, lambda: [part for part in sdk.chat(model=model, messages=messages, stream=True)]
    )
    assert "the backend failed" in failed.error, failed.error


for story in (chat, chat_refused, response):
    story()
if importlib.util.find_spec("anthropic"):
    message()
if importlib.util.find_spec("ollama"):
    ollama_chat()
print("all good", flush=True)
