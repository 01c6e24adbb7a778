// The parts `model` and `stream` of a multipart form: found wherever they stand, however the bytes are cut.

import { describe, expect, test } from "bun:test";
import { type BodyLimits, bodyOf, RequestBody } from "../../../src/broker/http/body/body.ts";
import { SmallBodies } from "../../../src/broker/http/body/body-source.ts";
import { BodyStore } from "../../../src/broker/http/body/body-store.ts";
import { Budget } from "../../../src/broker/http/body/budget.ts";
import { Spool } from "../../../src/broker/http/body/spool.ts";
import { FormRoutingFields } from "../../../src/broker/proxy/routing/form-routing-fields.ts";
import type { RoutingFields } from "../../../src/broker/proxy/routing/routing-fields.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { systemClock } from "../../../src/lib/time.ts";
import { type Form, type FormPart, form, model, recording } from "../../kit/http/form.ts";

const budget = new Budget(1e9, "");
const LIMITS: BodyLimits = {
  maxBytes: 1e9,
  memory: budget,
  spool: new Spool("/nowhere", budget),
  pace: { clock: systemClock, bytesPerSecond: 0 },
  small: new SmallBodies({ clock: systemClock, bytesPerSecond: 0 }),
  holders: () => [],
};

function request(type: string | undefined, headers: Record<string, string> = {}): Request {
  return new Request("http://broker/", {
    method: "POST",
    headers: type === undefined ? headers : { "content-type": type, ...headers },
  });
}

/** As a small form is read: looked at as a whole. */
async function whole({ type, body }: Form): Promise<RoutingFields> {
  return new FormRoutingFields(request(type)).read(bodyOf(body, LIMITS));
}

/** As a form of unknown length is read that turns out small: chunk by chunk until the model is known, then as a whole. */
async function scanned({ type, body }: Form, size: number): Promise<RoutingFields> {
  const reader = new FormRoutingFields(request(type));
  for (let at = 0, known = false; at < body.length && !known; at += size)
    known = (await reader.scan(body.subarray(at, at + size))) !== false;
  return reader.read(bodyOf(body, LIMITS));
}

/** As a large form is read: chunk by chunk until the model is known, the rest unseen. */
async function passing({ type, body }: Form, size: number): Promise<RoutingFields> {
  const reader = new FormRoutingFields(request(type));
  let at = 0;
  for (let known = false; at < body.length && !known; at += size)
    known = (await reader.scan(body.subarray(at, at + size))) !== false;
  const rest = new Blob([body.subarray(at)]).stream().getReader();
  const store = new BodyStore(LIMITS, []);
  store.hold(body.subarray(0, at));
  return reader.read(new RequestBody({ store, rest }, LIMITS.maxBytes));
}

async function failure(promise: Promise<unknown>): Promise<{ code: string; param: string | undefined }> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof NfrxError) return { code: error.code, param: error.detail.param };
  throw new Error(`not an NfrxError: ${error}`);
}

const file = recording(2_000);
const stream: FormPart = { name: "stream", content: "true" };
const named = (head: string, content: string | Uint8Array = "test-model"): FormPart => ({ name: "", head, content });

/** The model's value, the first time that it stands on a line of its own. */
const VALUE = /(?<=\r\n\r\n)test-model(?=\r\n--)/;

async function* chunksOf(body: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += size) {
    const chunk = Buffer.from(body.subarray(at, at + size));
    yield chunk;
    // As a body's chunks are: gone when the next one is asked for.
    chunk.fill(0);
  }
}

const FOUND: Record<string, readonly FormPart[]> = {
  "before the file": [model(), file],
  "after the file": [file, model()],
  "between two files": [file, model(), { ...file, name: "other" }],
  alone: [model()],
  "named without quotes": [named("Content-Disposition: form-data; name=model")],
  "in small letters": [named('content-disposition: form-data; name="model"')],
  "in large letters": [named('CONTENT-DISPOSITION: FORM-DATA; NAME="model"')],
  "with its header lines in another order": [
    named('Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="model"\r\nX-More: 1'),
  ],
  "as a Blob, with a file name": [{ ...model(), filename: "blob", type: "application/octet-stream" }],
  "with a length of its own": [named('Content-Disposition: form-data; name="model"\r\nContent-Length: 10')],
  "behind a folded header line": [named('Content-Disposition: form-data;\r\n name="model"')],
  "behind a part without a name": [named("Content-Disposition: form-data", "other"), model()],
  "behind a part that is no form-data": [named('Content-Disposition: attachment; name="model"', "other"), model()],
  "behind a part without headers of note": [named("X-Nothing: 1", "other"), model()],
  "behind a part whose name only begins so": [{ name: "models", content: "other" }, model()],
  "behind a part whose name is written otherwise": [{ name: "Model", content: "other" }, model()],
  "behind empty parts": [{ name: "prompt", content: "" }, { ...file, content: "" }, model()],
  "behind names of objects": [{ name: "__proto__", content: "other" }, { name: "constructor", content: "x" }, model()],
  "twice: the first counts": [model(), model("other-model")],
  "behind a file that looks like a model part": [
    { ...file, content: 'x\r\n\r\nContent-Disposition: form-data; name="model"\r\n\r\nother-model\r\n' },
    model(),
  ],
  "behind a file that looks like the boundary": [
    { ...file, content: "--a-boundary-of-the-tests\r\n\r\n--a-boundary-of-the-test\r\n-\r\r\n--a-boundary" },
    model(),
  ],
  "behind a file with many line breaks": [{ ...file, content: "\r\n".repeat(3_000) }, model()],
  "behind a file that ends like a line": [{ ...file, content: "x\r\n\r\n\r" }, model()],
};

describe.each(Object.entries(FOUND))("the model is found: %s", (_, parts) => {
  test("whole", async () => {
    expect(await whole(form(parts))).toMatchObject({ model: "test-model", stream: false });
  });

  test("and exchanged, with nothing else", async () => {
    const sent = form(parts);
    const { name } = await whole(sent);
    for (const other of ["ü", "a-longer-name:7b-q4_0"]) {
      const changed = Buffer.from(
        sent.body.toString("latin1").replace(VALUE, Buffer.from(other).toString("latin1")),
        "latin1",
      );
      const exchanged = Buffer.from(name!.whole(sent.body, other));
      expect(exchanged.equals(changed)).toBeTrue();
      expect(exchanged.length).toBe(sent.body.length + name!.growth(other));
      for (const size of [1, 7, 1_000]) {
        const pieces: Uint8Array[] = [];
        for await (const piece of name!.stream(chunksOf(sent.body, size), other)) pieces.push(Buffer.from(piece));
        expect(Buffer.concat(pieces).equals(changed)).toBeTrue();
      }
    }
  });

  test.each([1, 2, 3, 7, 64, 1_000, 100_000])("in chunks of %i", async size => {
    expect((await passing(form(parts), size)).model).toBe("test-model");
    expect((await scanned(form(parts), size)).model).toBe("test-model");
  });
});

test("the boundary: quoted, long, with every character that is allowed, upper case, further parameters", async () => {
  for (const [boundary, type] of [
    ["quoted boundary", 'multipart/form-data; boundary="quoted boundary"'],
    ["x".repeat(70), undefined],
    ["0'()+_,-./:=?", `multipart/form-data; boundary="0'()+_,-./:=?"`],
    ["----WebKitFormBoundaryAbC", undefined],
    ["-", undefined],
    ["B", "Multipart/Form-Data; Boundary=B"],
    ["B", "multipart/form-data; charset=utf-8; boundary=B"],
    ["B", "multipart/form-data;boundary=B; charset=utf-8"],
  ] as const) {
    const { body, type: plain } = form([file, model()], boundary);
    const sent = { type: type ?? plain, body };
    expect([boundary, (await whole(sent)).model]).toEqual([boundary, "test-model"]);
    expect([boundary, (await passing(sent, 5)).model]).toEqual([boundary, "test-model"]);
  }
});

test("names beyond ASCII, with spaces, quotes and slashes, reach the pool as they are", async () => {
  for (const name of [
    "größer-模型-😀",
    "a b",
    'say "hi"',
    "org/model:8b-q4",
    "100%41",
    "a+b",
    " spaced ",
    "m".repeat(256),
  ]) {
    for (const part of [
      model(name),
      { ...model(name), type: "text/plain; charset=UTF-8" },
      { ...model(name), filename: "ü.txt" },
    ])
      expect((await whole(form([{ ...file, filename: "größe-模.wav" }, part]))).model).toBe(name);
    expect((await passing(form([model(name), file]), 1)).model).toBe(name);
  }
});

test("text before the first boundary and behind the last is passed over", async () => {
  const { type, body } = form([file, model()]);
  const sent = { type, body: Buffer.concat([Buffer.from("a preamble\r\n"), body, Buffer.from("\r\nan epilogue\r\n")]) };
  expect((await whole(sent)).model).toBe("test-model");
  for (const size of [1, 10, 5_000]) expect((await scanned(sent, size)).model).toBe("test-model");
});

test("`stream` is true for the words that mean it, wherever it stands in a form that is seen whole", async () => {
  for (const [content, expected] of [
    ["true", true],
    ["True", true],
    ["TRUE", true],
    ["1", true],
    [" true\n", true],
    ["t", true],
    ["false", false],
    ["0", false],
    ["", false],
    ["truest", false],
    ["yes please", false],
  ] as const) {
    for (const parts of [
      [model(), file, { name: "stream", content }],
      [{ name: "stream", content }, file, model()],
    ]) {
      expect([content, (await whole(form(parts))).stream]).toEqual([content, expected]);
      for (const size of [1, 50, 1_000])
        expect([content, (await scanned(form(parts), size)).stream]).toEqual([content, expected]);
    }
  }
});

const BAD: Record<string, [parts: readonly FormPart[], param: string | undefined]> = {
  "no model": [[file, stream], "model"],
  "an empty model": [[model(""), file], "model"],
  "a model that is too long": [[model("m".repeat(257)), file], "model"],
  "a model of a megabyte": [[file, model("m".repeat(1024 * 1024))], "model"],
  "a model of long characters": [[model("😀".repeat(129))], "model"],
  "a form without parts": [[], "model"],
  "only a file that looks like a model": [
    [{ ...file, content: 'Content-Disposition: form-data; name="model"\r\n\r\nm' }],
    "model",
  ],
};

describe.each(Object.entries(BAD))("refused: %s", (_, [parts, param]) => {
  test("whole and in chunks", async () => {
    const expected = { code: "invalid_request", param };
    expect(await failure(whole(form(parts)))).toEqual(expected);
    for (const size of [1, 100, 3_000_000]) expect(await failure(scanned(form(parts), size))).toEqual(expected);
  });
});

test("a form that is cut before its model is known to be whole is refused, wherever", async () => {
  const { type, body } = form([{ ...file, content: "some sound" }, model()]);
  const closing = body.lastIndexOf("\r\n--");
  const cuts = Array.from({ length: closing + 2 }, (_, at) => at);
  for (const at of cuts) {
    const sent = { type, body: body.subarray(0, at) };
    expect([at, (await failure(whole(sent))).code]).toEqual([at, "invalid_request"]);
    for (const size of [1, 40, 1_000])
      expect([at, (await failure(scanned(sent, size))).code]).toEqual([at, "invalid_request"]);
  }
});

test("a body that is no form, whatever its type says", async () => {
  const { type } = form([]);
  for (const text of [
    "",
    "model=test-model",
    '{"model":"test-model"}',
    "\r\n\r\n",
    "--",
    `--other\r\n\r\n--other--\r\n`,
  ]) {
    const sent = { type, body: Buffer.from(text) };
    expect([text, (await failure(whole(sent))).code]).toEqual([text, "invalid_request"]);
    expect([text, (await failure(scanned(sent, 3))).code]).toEqual([text, "invalid_request"]);
  }
});

test("parts whose headers make no sense do no harm", async () => {
  for (const head of [
    "",
    "no colon here",
    ": no name",
    `X-Long: ${"x".repeat(200_000)}`,
    "X: 1\r\n".repeat(3_000),
    'Content-Disposition: form-data; name="mod\nel"',
    "Content-Disposition:",
    "Content-Disposition: form-data; name*=UTF-8''model%",
    "Content-Type: text/plain; charset=nonsense",
  ]) {
    const sent = form([named(head, "other"), file, model()]);
    expect([head.slice(0, 40), (await whole(sent)).model]).toEqual([head.slice(0, 40), "test-model"]);
    expect([head.slice(0, 40), (await passing(sent, 999)).model]).toEqual([head.slice(0, 40), "test-model"]);
  }
});

test("an unknown charset of the model is no reason to fall over", async () => {
  for (const charset of ["nonsense", "utf-16le", "latin1", ""]) {
    const label = await whole(form([{ ...model(), type: `text/plain; charset=${charset}` }])).catch(failure);
    expect(label).toBeDefined();
  }
});

test("other content types are refused before anything is read", async () => {
  for (const type of [
    undefined,
    "",
    "application/json",
    "application/x-www-form-urlencoded",
    "audio/wav",
    "multipart/mixed; boundary=x",
    "multipart/form-datax; boundary=x",
    "multipart/form-data",
    "multipart/form-data; charset=utf-8",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=; charset=x",
    "multipart/form-data; unbound; xboundary=x",
    'multipart/form-data; boundary=""',
    "text/plain; multipart/form-data; boundary=x",
  ]) {
    const make = async (): Promise<FormRoutingFields> => new FormRoutingFields(request(type));
    expect([type, await failure(make())]).toEqual([type, { code: "invalid_request", param: "content-type" }]);
  }
});
