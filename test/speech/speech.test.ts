// Real speech: espeak-ng speaks, PocketSphinx listens, and nfrx-asr and the broker are between them and the SDKs.
import { expect, test } from "bun:test";
import { join } from "node:path";
import OpenAI from "openai";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";

const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";
const modules = "pocketsphinx, starlette, uvicorn, python_multipart, openai";

/** Of the speech server; only the agent knows it. */
const SERVER_KEY = "key-of-the-speech-server";
const START_MS = 30_000;

// PocketSphinx understands espeak-ng badly, and espeak-ng breathes a little differently now and then. These sentences were
// picked out of many because they are understood in this voice however it breathes, and at other speeds too.
const VOICE = "en-us+f2";
const SENTENCES = [
  "The new president will come to New York.",
  "The company has lost two million dollars.",
  "The money has come from New York.",
  "He has lost all his money.",
];

/** As one text with a pause after each sentence. */
const paragraphs = (sentences: readonly string[]): string => sentences.join("\n\n");
/** As the recogniser writes it. */
const heard = (sentences: readonly string[]): string => sentences.join(" ").toLowerCase().replaceAll(".", "");

function hasAll(): boolean {
  try {
    const imports = Bun.spawnSync([python, "-c", `import ${modules}`], { stdout: "ignore", stderr: "ignore" });
    return imports.success && Bun.which("espeak-ng") !== null;
  } catch {
    return false;
  }
}

// A named interpreter must do, and so must any on the machine that checks everything.
const required = named !== undefined || process.env["CI"] === "true";
const run = test.skipIf(!required && !hasAll());

interface Story {
  processes: Processes;
  broker: BrokerProgram;
  server: Program;
  /** The base URL of the speech server itself. */
  serverUrl: string;
  /** The base URL that callers use. */
  url: string;
  sdk: OpenAI;
  [Symbol.asyncDispose](): Promise<void>;
}

async function startStory(): Promise<Story> {
  const processes = new Processes();
  try {
    const env = {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: processes.folder,
      TMPDIR: processes.folder,
      SPEECH_API_KEY: SERVER_KEY,
    };
    const server = new Program("server.py", [python, join(import.meta.dir, "server.py")], env, process.cwd());
    processes.all.push(server);
    const [broker, listening] = await Promise.all([
      processes.broker(),
      server.line(line => line.msg === "listening", "listens", START_MS),
    ]);
    const serverUrl = String(listening["url"]);
    await processes.agent(broker, { url: serverUrl }, { ASR_API_KEY: SERVER_KEY }, "asr");
    const url = `${broker.origin}/api/asr/v1`;
    const sdk = new OpenAI({ baseURL: url, apiKey: API_KEY, maxRetries: 0 });
    return {
      processes,
      broker,
      server,
      serverUrl,
      url,
      sdk,
      [Symbol.asyncDispose]: () => processes[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await processes[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** A recording of espeak-ng, which has not been near the broker. */
async function recorded({ processes }: Story, sentences: readonly string[]): Promise<File> {
  const path = join(processes.folder, "recorded.wav");
  const command = ["espeak-ng", "-v", VOICE, "-s", "160", "--stdin", "-w", path];
  const child = Bun.spawn(command, { stdin: new Blob([paragraphs(sentences)]), stderr: "pipe" });
  const [code, complaint] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0) throw new Error(`espeak-ng ended with ${code}: ${complaint}`);
  return new File([await Bun.file(path).arrayBuffer()], "recorded.wav", { type: "audio/wav" });
}

/** What the server tells of its nth transcription when that is over. */
async function transcription({ server }: Story, nth = 1): Promise<Record<string, unknown>> {
  let seen = 0;
  const { fields, utterances, complete } = await server.line(
    line => line.msg === "transcription" && ++seen === nth,
    `has done transcription ${nth}`,
  );
  return { fields, utterances, complete };
}

function form(parts: readonly (readonly [string, string | File])[]): FormData {
  const data = new FormData();
  for (const [name, value] of parts) data.append(name, value);
  return data;
}

/** A plain request as no SDK sends it. */
const post = (story: Story, body: FormData | ReadableStream, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${story.url}/audio/transcriptions`, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${API_KEY}`, ...headers },
  });

run("the models of the server are listed", async () => {
  await using story = await startStory();
  const ids: string[] = [];
  for await (const model of story.sdk.models.list()) ids.push(model.id);
  expect(ids).toEqual(["espeak-ng", "pocketsphinx"]);
  await story.broker.quiet();
});

run("spoken words come back, wherever the model stands in the form", async () => {
  await using story = await startStory();
  const sentences = SENTENCES.slice(0, 2);
  const file = await recorded(story, sentences);
  const { transcriptions, translations } = story.sdk.audio;
  const after = await transcriptions.create({ file, model: "pocketsphinx", language: "en" });
  expect(after.text).toBe(heard(sentences));
  expect(await transcription(story)).toEqual({
    fields: ["file", "model", "language"],
    utterances: sentences.length,
    complete: true,
  });
  const before = await transcriptions.create({ model: "pocketsphinx", response_format: "text", file });
  expect(before as unknown).toBe(`${heard(sentences)}\n`);
  expect(await transcription(story, 2)).toMatchObject({ fields: ["model", "response_format", "file"] });
  const translated = await translations.create({ file, model: "pocketsphinx" });
  expect(translated.text).toBe(heard(sentences));
  await story.broker.quiet();
});

run("forms without an SDK, also in chunks of unknown number", async () => {
  await using story = await startStory();
  const sentences = SENTENCES.slice(2);
  const file = await recorded(story, sentences);
  const before = await post(
    story,
    form([
      ["model", "pocketsphinx"],
      ["file", file],
    ]),
  );
  expect([before.status, await before.json()]).toEqual([200, { text: heard(sentences) }]);
  expect(await transcription(story)).toMatchObject({ fields: ["model", "file"] });
  const whole = new Response(
    form([
      ["file", file],
      ["model", "pocketsphinx"],
    ]),
  );
  // Without it this would be a body whose length is known, and would not go out in chunks.
  const unmeasured = new TransformStream();
  const headers = { "content-type": whole.headers.get("content-type")! };
  const chunked = await post(story, whole.body!.pipeThrough(unmeasured), headers);
  expect([chunked.status, await chunked.json()]).toEqual([200, { text: heard(sentences) }]);
  expect(await transcription(story, 2)).toMatchObject({ fields: ["file", "model"] });
  await story.broker.quiet();
});

run("a stream brings the words as they are recognised", async () => {
  await using story = await startStory();
  const file = await recorded(story, SENTENCES);
  const stream = await story.sdk.audio.transcriptions.create({ file, model: "pocketsphinx", stream: true });
  const deltas: string[] = [];
  let done: string | undefined;
  for await (const event of stream) {
    expect(done).toBeUndefined();
    if (event.type === "transcript.text.delta") deltas.push(event.delta);
    if (event.type === "transcript.text.done") done = event.text;
  }
  expect(deltas.map(delta => delta.trim())).toEqual(SENTENCES.map(sentence => heard([sentence])));
  expect(deltas.join("")).toBe(heard(SENTENCES));
  expect(done).toBe(heard(SENTENCES));
  await story.broker.quiet();
});

run("a caller who leaves after the first words ends the recognition", async () => {
  await using story = await startStory();
  const sentences = Array.from({ length: 10 }, () => SENTENCES).flat();
  const file = await recorded(story, sentences);
  const stream = await story.sdk.audio.transcriptions.create({ file, model: "pocketsphinx", stream: true });
  for await (const event of stream) {
    expect(event).toMatchObject({ type: "transcript.text.delta", delta: heard(SENTENCES.slice(0, 1)) });
    break;
  }
  // Words that were held back until the end would have kept the caller, and so the recogniser, there until then.
  const { utterances, complete } = await transcription(story);
  expect(complete).toBe(false);
  expect(utterances).toBeLessThan(sentences.length / 2);
  await story.broker.quiet();
});

run("what was spoken through the broker is understood through the broker", async () => {
  await using story = await startStory();
  const spoken = await story.sdk.audio.speech.create({
    model: "espeak-ng",
    input: paragraphs(SENTENCES),
    voice: VOICE,
    response_format: "wav",
  });
  expect(spoken.headers.get("content-type")).toBe("audio/wav");
  const bytes = await spoken.arrayBuffer();
  const sent = await story.server.line(line => line.msg === "speech", "has spoken");
  expect(new Bun.CryptoHasher("sha256").update(bytes).digest("hex")).toBe(String(sent["sha256"]));
  const file = new File([bytes], "spoken.wav", { type: "audio/wav" });
  const { text } = await story.sdk.audio.transcriptions.create({ file, model: "pocketsphinx" });
  expect(text).toBe(heard(SENTENCES));
  await story.broker.quiet();
});

run("the server knows the agent's key only, and its complaints reach the caller", async () => {
  await using story = await startStory();
  const uninvited = await fetch(`${story.serverUrl}/models`, { headers: { authorization: `Bearer ${API_KEY}` } });
  expect(uninvited.status).toBe(401);
  const { audio } = story.sdk;
  const failure = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => "it did not fail",
      thrown => thrown,
    );
  const noise = new File(["no sound at all"], "noise.wav", { type: "audio/wav" });
  const deaf = await failure(audio.transcriptions.create({ file: noise, model: "pocketsphinx" }));
  expect(deaf).toBeInstanceOf(OpenAI.BadRequestError);
  expect(deaf).toMatchObject({ status: 400, code: "invalid_audio" });
  const speak = { input: "Nobody can say this.", response_format: "wav" } as const;
  const mute = await failure(audio.speech.create({ ...speak, model: "espeak-ng", voice: "nobody" }));
  expect(mute).toMatchObject({ status: 400, code: "invalid_value" });
  expect(String(mute)).toContain("voice does not exist");
  const unknown = await failure(audio.speech.create({ ...speak, model: "nobody", voice: VOICE }));
  expect(unknown).toMatchObject({ status: 404, code: "no_worker" });
  await story.broker.quiet();
});

run("the official Python SDK", async () => {
  await using story = await startStory();
  const sentences = SENTENCES.slice(0, 2);
  const path = join(story.processes.folder, "python.wav");
  await Bun.write(path, await recorded(story, sentences));
  const script = join(import.meta.dir, "python_sdk.py");
  const child = Bun.spawn([python, script, story.url, API_KEY, path, heard(sentences)], { stderr: "pipe" });
  const [code, output, complaint] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(`${output}${complaint}`).toEndWith("all good\n");
  expect(code).toBe(0);
  await story.broker.quiet();
});
