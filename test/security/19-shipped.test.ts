// What the repository's own files promise about releases: nothing in them can be replaced by somebody else unseen.
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { lockedIntegrity } from "../../scripts/runtime.ts";
import { targetNames, targets } from "../../scripts/targets.ts";

const root = resolve(import.meta.dir, "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const files = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry =>
    entry.isFile() && ending.test(entry.name) ? [join(folder, entry.name)] : [],
  );
/** A command of a job that runs packages or our own code. `npm publish --ignore-scripts` uploads a file and runs none of it. */
const RUNS_CODE = /\bnpm (?!publish .*--ignore-scripts)\S|\bnpx\b|\.ci\//;

const step = z.object({
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.unknown()).optional(),
  env: z.record(z.string(), z.string()).optional(),
});
const workflow = z.object({
  permissions: z.unknown(),
  env: z.unknown().optional(),
  jobs: z.record(
    z.string(),
    z.object({ permissions: z.record(z.string(), z.string()), env: z.unknown().optional(), steps: z.array(step) }),
  ),
});

describe.each(files(".github/workflows", /\.ya?ml$/))("%s", path => {
  const text = read(path);
  const { permissions, env, jobs } = workflow.parse(parse(text));

  test("names each action by its commit, with the version beside it", () => {
    const lines = text.split("\n").filter(line => /\buses:/.test(line));
    expect(lines).not.toBeEmpty();
    for (const line of lines) expect(line).toMatch(/uses: [\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  test("grants nothing to all jobs, and names each job's permissions", () => {
    expect(permissions).toEqual({});
    expect(env).toBeUndefined();
    for (const [name, job] of Object.entries(jobs)) {
      expect({ name, env: job.env }).toEqual({ name, env: undefined });
      expect(Object.keys(job.permissions)).not.toContain("write-all");
    }
  });

  test("leaves no credentials in the work tree", () => {
    for (const { steps } of Object.values(jobs))
      for (const { uses, with: given } of steps)
        if (uses?.startsWith("actions/checkout@")) expect(given?.["persist-credentials"]).toBe(false);
  });

  test("runs packages and our own code in jobs that may only read, without a token", () => {
    for (const { permissions: granted, steps } of Object.values(jobs)) {
      if (!steps.some(({ run }) => run !== undefined && RUNS_CODE.test(run))) continue;
      expect(granted).toEqual({ contents: "read" });
      expect(JSON.stringify(steps)).not.toMatch(/github\.token|secrets\./);
    }
  });
});

test("a release is attested: archives, packages, checksums and images", () => {
  const { publish, images } = workflow.parse(parse(read(".github/workflows/release.yml"))).jobs;
  for (const job of [publish, images]) {
    expect(job?.permissions).toMatchObject({ "id-token": "write", attestations: "write" });
    expect(job?.steps.map(({ uses }) => uses?.split("@")[0])).toContain("actions/attest-build-provenance");
  }
  expect(JSON.stringify(publish)).toContain("SHA256SUMS.sigstore.json");
});

test("images of others are named by their digest", () => {
  const named = files("packaging/docker", /^(?:Dockerfile|.*\.ya?ml)$/).flatMap(path =>
    [...read(path).matchAll(/^(?:FROM|\s+image:) (\S+)/gm)].map(([, image = ""]) => image),
  );
  const foreign = named.filter(image => !/^(?:agent$|ghcr\.io\/nfrx\/)/.test(image));
  expect(foreign.length).toBeGreaterThan(3);
  for (const image of foreign) expect(image).toMatch(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
});

describe("Python packages", () => {
  const lists = files(".ci", /^requirements.*\.txt$/);

  test.each(lists)("%s has a hash for each", path => {
    const entries = read(path).replaceAll("\\\n", " ").split("\n");
    const packages = entries.filter(line => line !== "" && !line.startsWith("#"));
    expect(packages).not.toBeEmpty();
    for (const entry of packages)
      expect(entry).toMatch(/^[A-Za-z0-9._-]+==\S+ (?:; [^#]+? )?(?:\s*--hash=sha256:[0-9a-f]{64})+$/);
  });

  test("pip takes nothing without one", () => {
    for (const path of files(".ci", /./)) {
      for (const [line] of read(path)
        .replaceAll("\\\n", " ")
        .matchAll(/.*\bpip (?:install|download)\b.*/g))
        if (!line.startsWith("#")) expect(line).toContain("--require-hashes");
    }
  });

  test("the examples are tried with the versions that they name", () => {
    const locked = read(".ci/requirements-examples.txt");
    for (const line of read("examples/python/requirements.txt").trim().split("\n"))
      expect(locked).toContain(`${line} \\`);
  });
});

describe("the runtime that a program is compiled into", () => {
  const lock = JSON.parse(read("package-lock.json"));

  test.each([...targetNames])("for %s is in the lock file", target => {
    expect(lockedIntegrity(lock, targets[target])).toMatch(/^sha512-/);
  });

  test("is refused when the lock file does not have it", () => {
    expect(() => lockedIntegrity(lock, "@oven/bun-linux-x64-baseline")).toThrow("is not in package-lock.json");
    expect(() => lockedIntegrity(lock, "@oven/bun-linux-x64", "0.0.1")).toThrow("is not in package-lock.json");
  });
});

test("no service writes its log where other users can put a file in its place", () => {
  for (const path of files("packaging/launchd", /\.plist$/)) expect(read(path)).not.toMatch(/\/tmp\b/);
});

test("a visitor finds how to report a problem, and who reviews what", () => {
  const wanted = [
    "SECURITY.md",
    ".editorconfig",
    ".gitattributes",
    ".github/CODEOWNERS",
    ".github/PULL_REQUEST_TEMPLATE.md",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/feature.yml",
    ".github/dependabot.yml",
  ];
  expect(wanted.filter(path => !existsSync(join(root, path)))).toEqual([]);
  const config = z.object({ updates: z.array(z.object({ "package-ecosystem": z.string() })) });
  const updated = config.parse(parse(read(".github/dependabot.yml"))).updates.map(one => one["package-ecosystem"]);
  expect(updated).toEqual(expect.arrayContaining(["github-actions", "npm", "pip", "docker"]));
});
