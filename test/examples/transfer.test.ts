// A file through a transfer channel, sent and received by the examples.
import { describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { LIMIT_MS, languages, nodeExamples, pairs, Stage, stages, withExamples } from "./examples.ts";

const SIZE = 5 * 1024 * 1024 + 1;
const CHANNEL = /^channel (\S+) \(until /m;

describe.each(stages)("%s", (_name, start) => {
  describe.each(pairs)("%s", (_pair, one, other) => {
    withExamples(
      "sends to one that comes later, and receives from one that comes later",
      async () => {
        await using stage = await start();
        const bytes = await stage.file("file", SIZE);

        const sender = stage.start(one, "transfer", ["send", "file"]);
        const channel = await sender.says(CHANNEL);
        const received = await stage.run(other, "transfer", ["receive", "--channel", channel, "--output", "copy"]);
        expect(received).toMatchObject({ code: 0, said: "received application/octet-stream\n" });
        expect(await sender.end()).toMatchObject({ code: 0, said: expect.stringContaining(`sent ${SIZE} bytes`) });
        expect(Buffer.compare(await Bun.file(stage.path("copy")).bytes(), bytes)).toBe(0);

        const receiver = stage.start(one, "transfer", ["receive"]);
        const second = await receiver.says(CHANNEL);
        expect(await stage.run(other, "transfer", ["send", "--channel", second, "file"])).toMatchObject({ code: 0 });
        const { code, stdout } = await receiver.end();
        expect(code).toBe(0);
        expect(Buffer.compare(stdout, bytes)).toBe(0);
      },
      LIMIT_MS,
    );
  });
});

describe.each(languages.map(language => [language.name, language] as const))("%s", (_name, language) => {
  withExamples(
    "says what a file is",
    async () => {
      await using stage = await Stage.ours();
      await stage.file("file", 10);
      const sender = stage.start(language, "transfer", ["send", "--content-type", "image/png", "file"]);
      const received = await stage.fetch(`/api/transfer/${await sender.says(CHANNEL)}`);
      expect(received.headers.get("content-type")).toBe("image/png");
      expect((await received.bytes()).length).toBe(10);
      expect((await sender.end()).code).toBe(0);
    },
    LIMIT_MS,
  );

  withExamples(
    "leaves no file behind when the sender breaks off",
    async () => {
      await using stage = await Stage.ours();
      const receiver = stage.start(language, "transfer", ["receive", "--output", "copy"]);
      const abort = new AbortController();
      const body = new ReadableStream<Uint8Array>({
        start: controller => controller.enqueue(new Uint8Array(1000)),
        pull: () => new Promise<void>(() => {}),
      });
      const sent = stage.fetch(`/api/transfer/${await receiver.says(CHANNEL)}`, {
        method: "POST",
        body,
        signal: abort.signal,
      });
      sent.catch(() => {});
      await stage.appears("copy.part");
      abort.abort();
      expect(await receiver.end()).toMatchObject({
        code: 1,
        said: expect.stringContaining("broke off before everything"),
      });
      expect([existsSync(stage.path("copy")), existsSync(stage.path("copy.part"))]).toEqual([false, false]);
    },
    LIMIT_MS,
  );

  withExamples(
    "fails when the receiver breaks off",
    async () => {
      await using stage = await Stage.ours();
      await stage.file("file", 64 * 1024 * 1024);
      const sender = stage.start(language, "transfer", ["send", "file"]);
      const abort = new AbortController();
      const received = await stage.fetch(`/api/transfer/${await sender.says(CHANNEL)}`, { signal: abort.signal });
      await received.body?.getReader().read();
      abort.abort();
      const { code, said } = await sender.end();
      expect(code).toBe(1);
      // What comes first: the answer, or the end of the connection that the file was written to.
      expect(said).toMatch(/the other side broke off|no connection to the broker/);
    },
    LIMIT_MS,
  );

  withExamples(
    "says what is wrong with a channel, a key, an address and a command line",
    async () => {
      await using stage = await Stage.ours();
      await stage.file("file", 10);
      const unknown = ["receive", "--channel", crypto.randomUUID()];
      expect(await stage.run(language, "transfer", unknown)).toMatchObject({
        code: 1,
        said: "error: the broker knows no such channel\n",
      });
      const first = stage.start(language, "transfer", ["send", "file"]);
      const channel = await first.says(CHANNEL);
      // Whichever of the two comes first, the other is told.
      const second = stage.start(language, "transfer", ["send", "--channel", channel, "file"]);
      const refused = await Promise.race([first.end(), second.end()]);
      expect(refused).toMatchObject({ code: 1, said: expect.stringContaining("somebody else is at this end") });
      const wrong = await stage.run(language, "transfer", ["send"]);
      expect(wrong.code).toBe(2);
      const help = await stage.run(language, "transfer", ["--help"]);
      expect(help).toMatchObject({ code: 0, said: "" });
      expect(Buffer.from(help.stdout).toString()).toContain("NFRX_URL");
    },
    LIMIT_MS,
  );
});

withExamples(
  "TypeScript on Node",
  async () => {
    await using stage = await Stage.ours();
    const bytes = await stage.file("file", SIZE);
    const sender = stage.start(nodeExamples, "transfer", ["send", "file"]);
    const channel = await sender.says(CHANNEL);
    const { code, stdout } = await stage.run(nodeExamples, "transfer", ["receive", "--channel", channel]);
    expect([code, (await sender.end()).code]).toEqual([0, 0]);
    expect(Buffer.compare(stdout, bytes)).toBe(0);
  },
  LIMIT_MS,
);
