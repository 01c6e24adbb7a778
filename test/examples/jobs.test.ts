// Jobs from creation to end, with the examples as client and worker.
import { describe, expect } from "bun:test";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { Between } from "./between.ts";
import {
  type Example,
  type Language,
  LIMIT_MS,
  languages,
  nodeExamples,
  pairs,
  Stage,
  stages,
  withExamples,
} from "./examples.ts";

const SIZE = 5 * 1024 * 1024 + 1;
const JOB = /^job (\S+)$/m;
/** Work that never ends by itself: it reads from a pipe into which nobody writes. */
const ENDLESS = ["sh", "-c", 'mkfifo "$0" && echo working >&2 && exec cat "$0"', "pipe"];

const each = languages.map((language): [string, Language] => [language.name, language]);

/** The words on a client's way through a job; of the changes that follow each other at once, not every one is told. */
const path = ({ said }: { said: string }): string[] => said.split("\n").filter(line => /^[a-z_]+$/.test(line));

describe.each(stages)("%s", (_name, start) => {
  describe.each(pairs)("%s", (_pair, client, worker) => {
    withExamples(
      "a payload of some MiB goes to a worker, and the result comes back",
      async () => {
        await using stage = await start();
        const bytes = await stage.file("payload", SIZE);
        const working = stage.start(worker, "jobs-worker", ["--type", "copy", "--once", "--", "cat"]);
        const args = ["run", "copy", "--payload", "payload", "--result", "result"];
        const done = await stage.run(client, "jobs-client", args);
        expect(done.code).toBe(0);
        expect(path(done)).toContain("awaiting_payload");
        expect(path(done).at(-1)).toBe("completed");
        expect(Buffer.compare(await Bun.file(stage.path("result")).bytes(), bytes)).toBe(0);
        expect(await working.end()).toMatchObject({ code: 0, said: expect.stringContaining(": completed\n") });
      },
      LIMIT_MS,
    );
  });

  describe.each(each)("%s", (_language, language) => {
    withExamples(
      "a stream of events gives a worker its jobs, and the command is told of them",
      async () => {
        await using stage = await start();
        const command = ["sh", "-c", 'echo "$JOB_TYPE $JOB_METADATA key:$CLIENT_KEY"; tr a-z A-Z'];
        const working = stage.start(language, "jobs-worker", ["--stream", "--type", "shout", "--", ...command]);
        await Bun.write(stage.path("payload"), "one\ntwo\n");
        const args = ["run", "shout", "--payload", "payload", "--metadata", '{"x":[1]}'];
        const clients = [1, 2, 3].map(() => stage.run(language, "jobs-client", args));
        for (const { code, stdout } of await Promise.all(clients)) {
          expect(code).toBe(0);
          const [told, ...lines] = Buffer.from(stdout).toString().split("\n");
          expect(told?.replace('": ', '":')).toBe('shout {"x":[1]} key:');
          expect(lines).toEqual(["ONE", "TWO", ""]);
        }
        working.signal("SIGTERM");
        expect((await working.end()).code).toBe(130);
      },
      LIMIT_MS,
    );

    withExamples(
      "a command that fails makes the job fail",
      async () => {
        await using stage = await start();
        const working = stage.start(language, "jobs-worker", ["--once", "--", "sh", "-c", "cat >/dev/null; exit 3"]);
        const { code, said } = await stage.run(language, "jobs-client", ["run", "any"]);
        expect([code, path({ said }).at(-1)]).toEqual([1, "failed"]);
        expect(said).toContain("work_failed: sh ended with 3\n");
        expect(await working.end()).toMatchObject({
          code: 0,
          said: expect.stringContaining("failed: sh ended with 3"),
        });
      },
      LIMIT_MS,
    );
  });
});

/** A job whose work does not end, under way. */
async function underWay(
  stage: Stage,
  language: Language,
  lease = 1,
): Promise<{ id: string; client: Example; worker: Example }> {
  const worker = stage.start(language, "jobs-worker", ["--once", "--lease", String(lease), "--", ...ENDLESS]);
  const client = stage.start(language, "jobs-client", ["run", "any", "--result", "result"]);
  const id = await client.says(JOB);
  await worker.says(/^working$/m);
  return { id, client, worker };
}

describe.each(each)("%s", (_language, language) => {
  withExamples(
    "a canceled job ends at its client and its worker",
    async () => {
      await using stage = await Stage.ours();
      const { id, client, worker } = await underWay(stage, language);
      const canceled = await stage.run(language, "jobs-client", ["cancel", id]);
      expect([canceled.code, Buffer.from(canceled.stdout).toString()]).toEqual([0, "canceled\n"]);
      expect(await client.end()).toMatchObject({ code: 1, said: expect.stringContaining("\ncanceled\n") });
      // Its heartbeat tells the worker, which ends its command: only then can it end itself.
      expect(await worker.end()).toMatchObject({ code: 0, said: expect.stringContaining(`${id}: given up`) });
      expect(existsSync(stage.path("result"))).toBeFalse();
      const shown = await stage.run(language, "jobs-client", ["show", id]);
      expect(JSON.parse(Buffer.from(shown.stdout).toString())).toMatchObject({ id, status: "canceled" });
      const again = await stage.run(language, "jobs-client", ["cancel", id]);
      expect([again.code, Buffer.from(again.stdout).toString()]).toEqual([0, "canceled\n"]);
    },
    LIMIT_MS,
  );

  withExamples(
    "Ctrl-C at the client cancels its job",
    async () => {
      await using stage = await Stage.ours();
      const { id, client, worker } = await underWay(stage, language);
      client.signal("SIGINT");
      expect(await client.end()).toMatchObject({ code: 130, said: expect.stringContaining("canceling: now canceled") });
      expect(await stage.job(id)).toMatchObject({ status: "canceled" });
      expect((await worker.end()).said).toContain("given up");
    },
    LIMIT_MS,
  );

  withExamples(
    "a heartbeat keeps a job that takes longer than its lease",
    async () => {
      await using stage = await Stage.ours();
      const { id, client, worker } = await underWay(stage, language);
      // When the same lease of a silent worker, who began later, has lapsed, so would have this one.
      const silent = { types: ["other"], max_wait_seconds: 20, lease_seconds: 1, worker_id: "silent" };
      await stage.post("/api/jobs", API_KEY, { type: "other" });
      await stage.post("/api/jobs/claim", CLIENT_KEY, silent);
      expect(await stage.post("/api/jobs/claim", CLIENT_KEY, silent)).toMatchObject({ attempt: 2 });
      expect(await stage.job(id)).toMatchObject({ status: "running" });
      await writeFile(stage.path("pipe"), "done");
      expect((await client.end()).code).toBe(0);
      expect(await Bun.file(stage.path("result")).text()).toBe("done");
      expect((await worker.end()).said).toContain("completed");
    },
    LIMIT_MS,
  );

  withExamples(
    "a stream of events that is cut goes on where it was",
    async () => {
      await using stage = await Stage.ours();
      await using proxy = new Between(stage.origin);
      const client = stage.start(language, "jobs-client", ["run", "any"], proxy.url);
      await client.says(/^queued$/m);
      await proxy.cut();
      const worker = stage.start(language, "jobs-worker", ["--once", "--", "echo", "done"]);
      const done = await client.end();
      expect([done.code, Buffer.from(done.stdout).toString()]).toEqual([0, "done\n"]);
      expect((await worker.end()).code).toBe(0);
      const streams = proxy.seen.filter(({ path }) => path.endsWith("/events"));
      expect(streams.map(({ headers }) => headers.has("last-event-id"))).toEqual([false, true]);
      // Nothing twice.
      expect(path(done)).toEqual([...new Set(path(done))]);
    },
    LIMIT_MS,
  );

  withExamples(
    "client and worker outlive their broker",
    async () => {
      await using stage = await Stage.ours();
      const { id, client, worker } = await underWay(stage, language, 60);
      await stage.restart();
      await writeFile(stage.path("pipe"), "done");
      expect(await client.end()).toMatchObject({ code: 0 });
      expect(await worker.end()).toMatchObject({ code: 0, said: expect.stringContaining("completed") });
      expect(await Bun.file(stage.path("result")).text()).toBe("done");
      expect(await stage.job(id)).toMatchObject({ status: "completed" });
    },
    LIMIT_MS,
  );

  withExamples(
    "says what is wrong with a key, an address and a command line",
    async () => {
      await using stage = await Stage.ours({ API_KEY: "another", CLIENT_KEY: "another-one" });
      const said = "error: the broker does not accept this key\n";
      expect(await stage.run(language, "jobs-client", ["run", "any"])).toMatchObject({ code: 1, said });
      expect(await stage.run(language, "jobs-worker", ["--", "cat"])).toMatchObject({ code: 1, said });
      for (const args of [["run", "any", "--metadata", "[1]"], ["run"], ["run", "any", "--nonsense"]]) {
        expect((await stage.run(language, "jobs-client", args)).code).toBe(2);
      }
      expect((await stage.run(language, "jobs-worker", ["--lease", "0", "--", "cat"])).code).toBe(2);
      expect((await stage.run(language, "jobs-client", ["run", "any", "--payload", "nowhere"])).code).toBe(1);
      for (const example of ["jobs-client", "jobs-worker", "secure-client", "secure-worker"] as const) {
        const help = await stage.run(language, example, ["--help"]);
        expect([help.code, help.said]).toEqual([0, ""]);
        expect(help.stdout.length).toBeGreaterThan(200);
      }
    },
    LIMIT_MS,
  );
});

withExamples(
  "TypeScript on Node",
  async () => {
    await using stage = await Stage.ours();
    const bytes = await stage.file("payload", SIZE);
    const working = stage.start(nodeExamples, "jobs-worker", ["--stream", "--once", "--", "cat"]);
    const { code, stdout } = await stage.run(nodeExamples, "jobs-client", ["run", "copy", "--payload", "payload"]);
    expect([code, (await working.end()).code]).toEqual([0, 0]);
    expect(Buffer.compare(stdout, bytes)).toBe(0);
  },
  LIMIT_MS,
);
