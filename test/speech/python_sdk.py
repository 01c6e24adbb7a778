"""The official SDK for Python against a broker in front of a speech server: python_sdk.py <url> <key> <wav> <words>.

Ends with a traceback when anything is not as it should be.
"""

import sys

import openai

url, key, path, words = sys.argv[1:5]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)


def same(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def transcribe(**options):
    with open(path, "rb") as file:
        return client.audio.transcriptions.create(model="pocketsphinx", file=file, **options)


same([model.id for model in client.models.list()], ["espeak-ng", "pocketsphinx"])
same(transcribe().text, words)
events = list(transcribe(stream=True))
same("".join(event.delta for event in events if event.type == "transcript.text.delta"), words)
same((events[-1].type, events[-1].text), ("transcript.text.done", words))
spoken = client.audio.speech.create(model="espeak-ng", input="thank you", voice="en-us+f2", response_format="wav")
same(spoken.content[:4], b"RIFF")
print("all good", flush=True)
