"""A small speech server with OpenAI's audio API: PocketSphinx hears English, espeak-ng speaks it.

Listens on a free port of 127.0.0.1. Its log is JSON lines on standard error: one with its address when it is ready, one for
each transcription when that is over, finished or not, one for each speech that it sends. With SPEECH_API_KEY set it answers
to that key only.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import socket
import sys
import tempfile
import wave
from contextlib import asynccontextmanager

import uvicorn
from pocketsphinx import Decoder, Segmenter, Vad
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = os.environ.get("SPEECH_API_KEY")
HEARS = "pocketsphinx"
SPEAKS = "espeak-ng"
WORDS_PER_MINUTE = 160


def say(msg, **fields):
    print(json.dumps({"level": "info", "msg": msg, **fields}), file=sys.stderr, flush=True)


def refusal(status, code, message):
    return HTTPException(status, {"message": message, "type": "invalid_request_error", "param": None, "code": code})


async def on_refusal(request, error):
    known = isinstance(error.detail, dict)
    return JSONResponse({"error": error.detail if known else {"message": error.detail}}, error.status_code)


def authorize(request):
    if KEY is not None and request.headers.get("authorization") != f"Bearer {KEY}":
        raise refusal(401, "invalid_api_key", "this is not the key of the speech server")


def read_wav(data):
    """Samples and their rate. Below 16 kHz half of what the acoustic model listens to is missing."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            kind = (sound.getnchannels(), sound.getsampwidth())
            rate, samples = sound.getframerate(), sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise refusal(400, "invalid_audio", f"this is no WAV file: {error}") from error
    if kind != (1, 2) or not 16_000 <= rate <= 48_000:
        raise refusal(400, "invalid_audio", "only 16 bit mono of 16 to 48 kHz is understood")
    return samples, rate


def recognise(samples, rate):
    """The words of one utterance after the other, each as soon as it has been recognised; a pause ends an utterance."""
    # Adapts itself to what it hears; a new one for each recording owes nothing to those before.
    decoder = Decoder(samprate=rate, loglevel="FATAL")
    silence = bytes(2 * (rate // 10))
    # A window this short and a strict ear find the pause after a sentence, which lasts some 300 ms.
    segmenter = Segmenter(sample_rate=rate, window=0.2, vad_mode=Vad.STRICT)
    for segment in segmenter.segment(io.BytesIO(samples)):
        decoder.start_utt()
        decoder.process_raw(silence + segment.pcm + silence, full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        if best is not None and best.hypstr:
            yield best.hypstr


async def transcribe(fields, samples, rate):
    """The same, leaving room between utterances for the other requests and for news of a caller who has gone."""
    utterances = recognise(samples, rate)
    count, complete = 0, False
    try:
        while (words := await asyncio.to_thread(next, utterances, None)) is not None:
            yield words if count == 0 else f" {words}"
            count += 1
        complete = True
    finally:
        say("transcription", fields=fields, utterances=count, complete=complete)


async def events(parts):
    def event(kind, **fields):
        return f"data: {json.dumps({'type': f'transcript.text.{kind}', **fields})}\n\n"

    text = ""
    async for part in parts:
        text += part
        yield event("delta", delta=part)
    yield event("done", text=text)


async def models(request):
    authorize(request)
    data = [{"id": name, "object": "model", "created": 0, "owned_by": name} for name in (HEARS, SPEAKS)]
    return JSONResponse({"object": "list", "data": data})


async def transcriptions(request):
    authorize(request)
    async with request.form() as form:
        fields = [name for name, _ in form.multi_items()]
        texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        if texts.get("model") != HEARS:
            raise refusal(404, "model_not_found", f"{HEARS} is the model that hears")
        if texts.get("language", "en") != "en":
            raise refusal(400, "unsupported_language", "only English is understood")
        form_of_answer = texts.get("response_format", "json")
        if form_of_answer not in ("json", "text"):
            raise refusal(400, "invalid_value", "the answer is json or text")
        file = form.get("file")
        if file is None or isinstance(file, str):
            raise refusal(400, "missing_file", "there is no file")
        samples, rate = read_wav(await file.read())
    parts = transcribe(fields, samples, rate)
    if texts.get("stream") == "true":
        return StreamingResponse(events(parts), media_type="text/event-stream")
    text = "".join([part async for part in parts])
    return PlainTextResponse(f"{text}\n") if form_of_answer == "text" else JSONResponse({"text": text})


async def speech(request):
    authorize(request)
    try:
        asked = await request.json()
        model, text, voice = asked["model"], asked["input"], asked["voice"]
        rate = round(WORDS_PER_MINUTE * float(asked.get("speed", 1)))
    except (ValueError, TypeError, KeyError) as error:
        raise refusal(400, "invalid_body", f"the body lacks something: {error!r}") from error
    if model != SPEAKS:
        raise refusal(404, "model_not_found", f"{SPEAKS} is the model that speaks")
    if asked.get("response_format") != "wav":
        raise refusal(400, "invalid_value", "the answer is wav")
    # espeak-ng takes a voice for a path too.
    if not isinstance(voice, str) or not re.fullmatch(r"[A-Za-z0-9+-]+", voice):
        raise refusal(400, "invalid_voice", "this is no name of a voice")
    if not isinstance(text, str) or not 0 < len(text) <= 4096:
        raise refusal(400, "invalid_value", "the input is a text of at most 4096 characters")
    # A file, as the sizes in a WAV header are known at the end only and a pipe cannot be rewound.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "speech.wav")
        command = ["espeak-ng", "-v", voice, "-s", str(rate), "-b", "1", "--stdin", "-w", path]
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
        _, complaint = await child.communicate(text.encode())
        if child.returncode != 0:
            raise refusal(400, "invalid_value", complaint.decode().strip())
        with open(path, "rb") as file:
            sound = file.read()
    say("speech", sha256=hashlib.sha256(sound).hexdigest())
    return Response(sound, media_type="audio/wav")


@asynccontextmanager
async def lifespan(app):
    host, port = listener.getsockname()
    say("listening", url=f"http://{host}:{port}/v1")
    yield


app = Starlette(
    routes=[
        Route("/v1/models", models),
        Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
        # Into English, and that is all it hears.
        Route("/v1/audio/translations", transcriptions, methods=["POST"]),
        Route("/v1/audio/speech", speech, methods=["POST"]),
    ],
    exception_handlers={HTTPException: on_refusal},
    lifespan=lifespan,
)

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])
