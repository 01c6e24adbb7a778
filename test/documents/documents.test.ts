// Real documents through broker and agent to docling-serve with docling, and back.
//
// The server is docling-serve itself, without its models (see server.py), run by $NFRX_PYTHON or python3, which must have
// the packages of .ci/requirements-documents.txt. With NFRX_DOCLING_URL the same goes to a docling-serve that runs
// already, with its key in NFRX_DOCLING_KEY; Python then needs docling-slim[service-client] and python-docx only.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { type Env, Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const running = process.env["NFRX_DOCLING_URL"];
const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";
const beside = (file: string): string => new URL(file, import.meta.url).pathname;

/** How long docling-serve may take to start, with others beside it on a busy machine. */
const SERVER_MS = 90_000;
const TEST_MS = 120_000;

function hasDocling(): boolean {
  const wanted = `import docx, ${running === undefined ? "docling_serve" : "docling.service_client"}`;
  try {
    return Bun.spawnSync([python, "-c", wanted], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

// A named interpreter or server must do, and so must any on the machine that checks everything.
const required = named !== undefined || running !== undefined || process.env["CI"] === "true";

/** What a document says, whatever its format. */
interface Report {
  title: string;
  heading: string;
  items: string[];
  rows: string[][];
}

interface Document {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

interface Server {
  url: string;
  key: string | undefined;
}

/** A request as it came to a server. */
interface Seen {
  method: string;
  path: string;
  headers: [name: string, value: string][];
  status: number;
}

/** As much of an answer of docling-serve as is looked at. */
interface Converted {
  status: string;
  document: {
    filename: string;
    md_content: string;
    json_content: {
      texts: { label: string; text: string }[];
      tables: { data: { grid: { text: string }[][] } }[];
    };
  };
}

interface TaskStatus {
  task_id: string;
  task_type: string;
  task_status: string;
}

interface Chunked {
  chunks: { text: string; headings: string[] }[];
}

const report = (name: string | number): Report => ({
  title: `Überblick ${name}`,
  heading: "Städte, 都市",
  items: [`the first of ${name}`, `the second of ${name}, żółty 🐦`],
  rows: [
    ["Stadt", "Name"],
    ["東京", `cell of ${name}`],
    ["Łódź", "last cell"],
  ],
});

function html(name: string, { title, heading, items, rows }: Report): Document {
  const list = items.map(item => `<li>${item}</li>`).join("");
  const [head = [], ...others] = rows;
  const row = (cells: string[], tag: string): string =>
    `<tr>${cells.map(cell => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
  const table = row(head, "th") + others.map(cells => row(cells, "td")).join("");
  const body = `<h1>${title}</h1><h2>${heading}</h2><ul>${list}</ul><table>${table}</table>`;
  const page = `<!doctype html><html><head><meta charset="utf-8"></head><body>${body}</body></html>`;
  return { name, bytes: new TextEncoder().encode(page) };
}

/** Runs a script that lies beside this file; the JSON that it prints. */
async function run<T>(script: string, args: readonly string[], input = ""): Promise<T> {
  const child = Bun.spawn([python, beside(script), ...args], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  child.stdin.write(input);
  child.stdin.end();
  const [printed, complaint] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(complaint);
  return JSON.parse(printed) as T;
}

async function docx(reports: readonly Report[]): Promise<Uint8Array<ArrayBuffer>[]> {
  const made = await run<string[]>("make_docx.py", [], JSON.stringify(reports));
  return made.map(text => Uint8Array.from(Buffer.from(text, "base64")));
}

function form(files: readonly Document[], options: readonly [name: string, value: string][]): FormData {
  const data = new FormData();
  for (const [name, value] of options) data.append(name, value);
  for (const { name, bytes } of files) data.append("files", new Blob([bytes]), name);
  return data;
}

const FORMATS = ["md", "json"];
const convertForm = (file: Document): FormData =>
  form(
    [file],
    FORMATS.map(format => ["to_formats", format]),
  );

const source = ({ name, bytes }: Document): Record<string, string> => ({
  kind: "file",
  filename: name,
  base64_string: Buffer.from(bytes).toString("base64"),
});
const convertJson = (file: Document): string =>
  JSON.stringify({ sources: [source(file)], options: { to_formats: FORMATS } });

/** That all a report says has come back as what it was. */
function expectReport({ status, document }: Converted, { title, heading, items, rows }: Report): void {
  expect(status).toBe("success");
  const lines = document.md_content.split("\n");
  expect(lines.filter(line => line.startsWith("#"))).toEqual([`# ${title}`, `## ${heading}`]);
  expect(lines.filter(line => line.startsWith("- "))).toEqual(items.map(item => `- ${item}`));
  const table = lines.filter(line => line.startsWith("|") && !line.startsWith("|-"));
  const cells = table.map(line =>
    line
      .split("|")
      .slice(1, -1)
      .map(cell => cell.trim()),
  );
  expect(cells).toEqual(rows);

  const { texts, tables } = document.json_content;
  const labelled = (label: string): string[] => texts.filter(text => text.label === label).map(({ text }) => text);
  expect(labelled("title")).toEqual([title]);
  expect(labelled("section_header")).toEqual([heading]);
  expect(labelled("list_item")).toEqual(items);
  expect(tables.map(({ data }) => data.grid.map(row => row.map(({ text }) => text)))).toEqual([rows]);
}

function expectChunks({ chunks }: Chunked, { title, heading, items, rows }: Report): void {
  const text = chunks.map(chunk => chunk.text).join("\n");
  for (const words of [...items, ...rows.slice(1).flat()]) expect(text).toContain(words);
  expect(chunks[0]?.headings).toEqual([title, heading]);
}

/** Two servers with an agent beside each, and the broker that these dial. */
class World {
  readonly processes = new Processes();
  readonly servers: Server[] = [];
  broker!: BrokerProgram;

  async start(): Promise<void> {
    if (running === undefined) {
      this.servers.push(...(await Promise.all(["key-of-the-first", "key-of-the-second"].map(key => this.#serve(key)))));
    } else {
      const server = { url: running, key: process.env["NFRX_DOCLING_KEY"] };
      this.servers.push(server, server);
    }
    this.broker = await this.connect();
  }

  /** A broker to which both servers are connected. */
  async connect(): Promise<BrokerProgram> {
    const broker = await this.processes.broker();
    const agents = this.servers.map(({ url, key }) =>
      this.processes.agent(broker, { url }, key === undefined ? {} : { DOC_API_KEY: key }, "docling"),
    );
    await Promise.all(agents);
    return broker;
  }

  /** What came to each server of our own until now. */
  seen(): Promise<Seen[][]> {
    return Promise.all(this.servers.map(async ({ url }) => (await (await fetch(`${url}/seen`)).json()) as Seen[]));
  }

  async #serve(key: string): Promise<Server> {
    const { folder, all } = this.processes;
    const path = process.env["PATH"] ?? "/usr/bin:/bin";
    const env: Env = { PATH: path, HOME: folder, TMPDIR: folder, DOCLING_SERVE_API_KEY: key };
    const program = new Program("docling-serve", [python, beside("server.py")], env, folder);
    all.push(program);
    const { port } = await program.line(({ msg }) => msg === "listening", "listens", SERVER_MS);
    return { url: `http://127.0.0.1:${port}`, key };
  }
}

/** What callers bring besides the key of the API, and what must stay at the broker. */
const CALLERS_OWN = "a-key-of-the-caller";

function call(broker: BrokerProgram, path: string, init: BunFetchRequestInit = {}): Promise<Response> {
  const headers: Env = { authorization: `Bearer ${API_KEY}`, "x-api-key": CALLERS_OWN, cookie: `sid=${CALLERS_OWN}` };
  if (typeof init.body === "string") headers["content-type"] = "application/json";
  return fetch(`${broker.origin}/api/docling/v1${path}`, { keepalive: false, ...init, headers });
}

async function ask<T>(broker: BrokerProgram, path: string, body?: FormData | string): Promise<T> {
  const response = await call(broker, path, body === undefined ? {} : { method: "POST", body });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${text}`);
  return JSON.parse(text) as T;
}

/** Begins a task; its id. */
async function begin(broker: BrokerProgram, path: string, body: FormData | string): Promise<string> {
  const { task_id: id, task_status: status } = await ask<TaskStatus>(broker, path, body);
  expect(status).toBeOneOf(["pending", "started", "success"]);
  return id;
}

/** The result of a task, once its status says that it is done. */
async function outcome<T>(broker: BrokerProgram, id: string): Promise<T> {
  for (;;) {
    // A local engine answers at once, whatever it is told to wait; each question still takes its way there and back.
    const { task_id, task_status } = await ask<TaskStatus>(broker, `/status/poll/${id}?wait=5`);
    expect(task_id).toBe(id);
    if (task_status === "pending" || task_status === "started") continue;
    expect(task_status).toBe("success");
    return ask<T>(broker, `/result/${id}`);
  }
}

/** Begins a task of its own for each of `count` reports, by turns as HTML and as DOCX; each task's id and report. */
async function beginMany(broker: BrokerProgram, count: number): Promise<{ id: string; report: Report }[]> {
  const reports = Array.from({ length: count }, (_, i) => report(`task ${i}`));
  const papers = await docx(reports);
  return Promise.all(
    reports.map(async (report, i) => {
      const file = i % 2 === 0 ? html(`${i}.html`, report) : { name: `${i}.docx`, bytes: papers[i]! };
      const id = await (i % 4 < 2
        ? begin(broker, "/convert/file/async", convertForm(file))
        : begin(broker, "/convert/source/async", convertJson(file)));
      return { id, report };
    }),
  );
}

describe.skipIf(!required && !hasDocling())("documents", () => {
  let world: World;
  beforeAll(() => {
    world = new World();
    return world.start();
  }, TEST_MS);
  afterAll(() => world.processes[Symbol.asyncDispose]());

  test(
    "HTML and DOCX are converted, sent as files of a form and within JSON",
    async () => {
      const said = report("one");
      const [paper] = await docx([said]);
      const files = [html("page.html", said), { name: "paper.docx", bytes: paper! }];
      const answers = files.flatMap(file => [
        ask<Converted>(world.broker, "/convert/file", convertForm(file)),
        ask<Converted>(world.broker, "/convert/source", convertJson(file)),
      ]);
      const converted = await Promise.all(answers);
      expect(converted.map(({ document }) => document.filename)).toEqual([
        "page.html",
        "page.html",
        "paper.docx",
        "paper.docx",
      ]);
      for (const answer of converted) expectReport(answer, said);
    },
    TEST_MS,
  );

  test(
    "a document of megabytes goes there and comes back whole",
    async () => {
      const long = report("many");
      long.items = Array.from({ length: 1_200 }, (_, i) => `${i}: ${`word${i} `.repeat(250)}end`);
      const file = html("long.html", long);
      expect(file.bytes.length).toBeGreaterThan(2 * 1024 * 1024);
      expectReport(await ask<Converted>(world.broker, "/convert/file", convertForm(file)), long);
    },
    TEST_MS,
  );

  test(
    "two files come back as one archive, byte by byte",
    async () => {
      const files = ["first", "second"].map(name => html(`${name}.html`, report(name)));
      const body = form(files, [["to_formats", "md"]]);
      const response = await call(world.broker, "/convert/file", { method: "POST", body });
      expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/zip"]);
      const archive = Buffer.from(await response.arrayBuffer());
      // It begins with a file and ends with the record that counts them and has no comment.
      expect(archive.subarray(0, 4).toString("latin1")).toBe("PK\u0003\u0004");
      const end = archive.subarray(-22);
      expect(end.subarray(0, 4).toString("latin1")).toBe("PK\u0005\u0006");
      expect(end.readUInt16LE(10)).toBe(2);
      const listed = archive.subarray(end.readUInt32LE(16)).toString("latin1");
      expect(listed).toContain("first.md");
      expect(listed).toContain("second.md");
    },
    TEST_MS,
  );

  test(
    "a document is cut into chunks, at once and as a task",
    async () => {
      const said = report("chunks");
      const file = html("page.html", said);
      const json = JSON.stringify({ sources: [source(file)], chunking_options: { chunker: "hierarchical" } });
      const answers = await Promise.all([
        ask<Chunked>(world.broker, "/chunk/hierarchical/file", form([file], [])),
        begin(world.broker, "/chunk/hierarchical/source/async", json).then(id => outcome<Chunked>(world.broker, id)),
      ]);
      for (const answer of answers) expectChunks(answer, said);
    },
    TEST_MS,
  );

  test(
    "tasks are asked for where they are",
    async () => {
      const tasks = await beginMany(world.broker, 12);
      expect(new Set(tasks.map(({ id }) => id)).size).toBe(tasks.length);
      await Promise.all(
        tasks.map(async ({ id, report }) => expectReport(await outcome<Converted>(world.broker, id), report)),
      );
      if (running !== undefined) return;
      const seen = await world.seen();
      const questions = tasks.map(({ id }) =>
        seen.map(requests =>
          requests.filter(({ path }) => path.includes(id)).map(({ path, status }) => ({ path, status })),
        ),
      );
      // Each task was asked for at one server alone, with the query as it was given, and each server had some of them.
      for (const [i, { id }] of tasks.entries()) {
        const asked = questions[i]!.filter(requests => requests.length > 0);
        expect(asked).toHaveLength(1);
        expect(asked[0]).toContainEqual({ path: `/v1/status/poll/${id}?wait=5`, status: 200 });
        expect(asked[0]?.at(-1)).toEqual({ path: `/v1/result/${id}`, status: 200 });
        expect(asked[0]?.every(({ status }) => status === 200)).toBe(true);
      }
      const shares = world.servers.map((_, at) => questions.filter(servers => servers[at]!.length > 0).length);
      expect(Math.min(...shares)).toBeGreaterThan(0);
    },
    TEST_MS,
  );

  test(
    "a broker that has not seen the tasks begin finds them",
    async () => {
      const tasks = await beginMany(world.broker, 4);
      const other = await world.connect();
      for (const { id, report } of tasks) expectReport(await outcome<Converted>(other, id), report);
      const unknown = await call(other, `/result/${crypto.randomUUID()}`);
      expect([unknown.status, await unknown.json()]).toEqual([404, { detail: "Task not found." }]);
    },
    TEST_MS,
  );

  test(
    "a WebSocket follows a task to its end",
    async () => {
      const id = await begin(world.broker, "/convert/file/async", convertForm(html("page.html", report("followed"))));
      const url = `${world.broker.origin}/api/docling/v1/status/ws/${id}?api_key=${API_KEY}`;
      const socket = new WebSocket(url.replace(/^http/, "ws"));
      const said: { message: string; task: TaskStatus; error: string | null }[] = [];
      const { promise, resolve } = Promise.withResolvers<number>();
      socket.onmessage = ({ data }) => said.push(JSON.parse(String(data)));
      socket.onclose = ({ code }) => resolve(code);
      expect(await promise).toBe(1000);
      expect(said.map(({ message }) => message).slice(0, 2)).toEqual(["connection", "update"]);
      expect(said.at(-1)).toMatchObject({ message: "update", task: { task_id: id, task_status: "success" } });
    },
    TEST_MS,
  );

  test(
    "Docling's own client converts and chunks, and follows its tasks over the WebSocket",
    async () => {
      const said = report("client");
      const [paper] = await docx([said]);
      const names = ["page.html", "paper.docx"];
      const paths = names.map(name => join(world.processes.folder, name));
      await Bun.write(paths[0]!, html("page.html", said).bytes);
      await Bun.write(paths[1]!, paper!);
      const url = `${world.broker.origin}/api/docling`;
      const answers = await run<(Converted & Chunked)[]>("client.py", [url, API_KEY, ...paths]);
      expect(answers.map(({ document }) => document.filename)).toEqual(names);
      for (const answer of answers) {
        expectReport(answer, said);
        expectChunks(answer, said);
      }
    },
    TEST_MS,
  );

  test(
    "what the server refuses comes back as the server said it",
    async () => {
      const response = await call(world.broker, "/convert/source", { method: "POST", body: "{}" });
      expect(response.status).toBe(422);
      expect(await response.json()).toMatchObject({ detail: [{ loc: ["body", "sources"], type: "missing" }] });
    },
    TEST_MS,
  );

  test.skipIf(running !== undefined)(
    "a server gets the key that its agent has, and nothing that the caller brought",
    async () => {
      // One after the other, so that both take their turn.
      for (const name of ["first", "second"]) {
        const id = await begin(world.broker, "/convert/file/async", convertForm(html("page.html", report(name))));
        await outcome(world.broker, id);
      }
      const seen = await world.seen();
      for (const [i, { key }] of world.servers.entries()) {
        const requests = seen[i]!;
        const of = (wanted: string): string[][] =>
          requests.map(({ headers }) => headers.filter(([name]) => name === wanted).map(([, value]) => value));
        expect(requests.filter(({ method, status }) => method === "POST" && status === 200)).not.toBeEmpty();
        expect(requests.filter(({ path }) => path === "/health")).not.toBeEmpty();
        expect(of("authorization")).toEqual(requests.map(() => [`Bearer ${key}`]));
        expect(of("x-api-key")).toEqual(requests.map(() => [`${key}`]));
        expect(of("cookie")).toEqual(requests.map(() => []));
        const everything = JSON.stringify(requests);
        for (const secret of [API_KEY, CLIENT_KEY, CALLERS_OWN]) expect(everything).not.toContain(secret);
      }
      // And a server without its key does nothing.
      const bare = await fetch(`${world.servers[0]!.url}/v1/convert/source`, { method: "POST", body: "{}" });
      expect(bare.status).toBe(401);
    },
    TEST_MS,
  );
});
