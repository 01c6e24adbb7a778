"""Clients of the public API, driven by the tests: a command a line of JSON in, pieces of the answer and its end as lines out.

A command names the client and its address: {"client", "url", "key", "model", "stream", "retries"}. What comes back is
{"text"} for each piece, and at last {"end": true} or {"error": {"type", "kinds", "status", "code", "message"}}.
"""

import json
import os
import sys

# Nothing here may reach for the internet: no price list, no traces.
os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LANGCHAIN_TRACING_V2="false", LANGSMITH_TRACING="false")

# ruff: noqa: E402
import anthropic
import litellm
import ollama
import openai
from langchain_openai import ChatOpenAI

litellm.telemetry = False
litellm.suppress_debug_info = True

QUESTION = "Will it rain?"
MESSAGES = [{"role": "user", "content": QUESTION}]


def openai_client(command):
    return openai.OpenAI(base_url=f"{command['url']}/v1", api_key=command["key"], max_retries=command["retries"])


def openai_chat(command):
    chat = openai_client(command).chat.completions
    if not command["stream"]:
        yield chat.create(model=command["model"], messages=MESSAGES).choices[0].message.content
        return
    for chunk in chat.create(model=command["model"], messages=MESSAGES, stream=True):
        # The plain loop of OpenAI's own examples: every chunk has a choice.
        yield chunk.choices[0].delta.content or ""


def openai_chat_helper(command):
    chat = openai_client(command).chat.completions
    with chat.stream(model=command["model"], messages=MESSAGES) as stream:
        for event in stream:
            if event.type == "content.delta":
                yield event.delta


def openai_responses(command):
    responses = openai_client(command).responses
    if not command["stream"]:
        yield responses.create(model=command["model"], input=QUESTION).output_text
        return
    with responses.stream(model=command["model"], input=QUESTION) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta
        assert stream.get_final_response().status == "completed"


def anthropic_messages(command):
    client = anthropic.Anthropic(base_url=command["url"], api_key=command["key"], max_retries=command["retries"])
    question = {"model": command["model"], "max_tokens": 50, "messages": MESSAGES}
    if not command["stream"]:
        yield client.messages.create(**question).content[0].text
        return
    with client.messages.stream(**question) as stream:
        yield from stream.text_stream
        assert stream.get_final_message().stop_reason == "end_turn"


def ollama_chat(command):
    client = ollama.Client(host=f"{command['url']}/ollama", headers={"Authorization": f"Bearer {command['key']}"})
    if not command["stream"]:
        yield client.chat(model=command["model"], messages=MESSAGES).message.content
        return
    for part in client.chat(model=command["model"], messages=MESSAGES, stream=True):
        yield part.message.content or ""


def langchain(command):
    model = ChatOpenAI(
        model=command["model"],
        base_url=f"{command['url']}/v1",
        api_key=command["key"],
        max_retries=command["retries"],
    )
    if not command["stream"]:
        yield model.invoke(QUESTION).content
        return
    for chunk in model.stream(QUESTION):
        yield chunk.content


def litellm_completion(command):
    answer = litellm.completion(
        model=f"openai/{command['model']}",
        messages=MESSAGES,
        api_base=f"{command['url']}/v1",
        api_key=command["key"],
        max_retries=command["retries"],
        stream=command["stream"],
    )
    if not command["stream"]:
        yield answer.choices[0].message.content
        return
    for chunk in answer:
        yield chunk.choices[0].delta.content or ""


CLIENTS = {
    "openai": openai_chat,
    "openai helper": openai_chat_helper,
    "openai responses": openai_responses,
    "anthropic": anthropic_messages,
    "ollama": ollama_chat,
    "langchain": langchain,
    "litellm": litellm_completion,
}


def tell(**line):
    print(json.dumps(line), flush=True)


def failure(error):
    return {
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "message": str(error),
    }


tell(ready=True)
for line in sys.stdin:
    command = json.loads(line)
    try:
        for text in CLIENTS[command["client"]](command):
            if text:
                tell(text=text)
        tell(end=True)
    except Exception as error:
        tell(error=failure(error))
