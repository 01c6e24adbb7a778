import { expect, test } from "bun:test";
import { nfrx } from "../../../cmd/programs.ts";
import { defaultJobsFile } from "../../../src/config/paths.ts";
import { mistakesOf, valuesOf } from "./host.ts";

test.each<[NodeJS.Platform, Record<string, string>, string]>([
  ["linux", {}, "/var/lib/nfrx/jobs.db"],
  ["linux", { HOME: "/root" }, "/var/lib/nfrx/jobs.db"],
  ["linux", { HOME: "/home/ann" }, "/home/ann/.local/state/nfrx/jobs.db"],
  ["linux", { HOME: "/home/ann", XDG_STATE_HOME: "/state" }, "/state/nfrx/jobs.db"],
  ["linux", { HOME: "/home/ann", STATE_DIRECTORY: "/var/lib/private/nfrx" }, "/var/lib/private/nfrx/jobs.db"],
  ["linux", { STATE_DIRECTORY: "/var/lib/nfrx:/var/lib/more" }, "/var/lib/nfrx/jobs.db"],
  ["darwin", { HOME: "/Users/ann" }, "/Users/ann/Library/Application Support/nfrx/jobs.db"],
  ["win32", { ProgramData: "D:\\Data" }, "D:\\Data\\nfrx\\jobs.db"],
])("on %s with %p jobs are in %s", (platform, env, path) => {
  expect(defaultJobsFile({ platform, env })).toBe(path);
});

test("a store may be memory or a file, and not Redis yet", () => {
  const store = (text: string) => valuesOf(nfrx, { env: { JOBS_STORE: text } }).broker.jobsStore;
  expect(["memory", "/srv/jobs.db"].map(store)).toEqual(["memory", "/srv/jobs.db"]);
  for (const text of ["redis", "redis://user:hunter2@host", "rediss-sentinel://a,b/m"]) {
    const [mistake = ""] = mistakesOf(nfrx, { env: { JOBS_STORE: text } });
    expect(mistake).toStartWith("JOBS_STORE");
    expect(mistake).toEndWith("jobs cannot be stored in Redis yet: set a file, or memory");
    expect(mistake).not.toContain("hunter2");
  }
});

test("ended jobs leave room for others", () => {
  expect(mistakesOf(nfrx, { env: { JOBS_MAX: "100", JOBS_MAX_ENDED: "100" } })).toHaveLength(1);
  expect(valuesOf(nfrx, { env: { JOBS_MAX: "101", JOBS_MAX_ENDED: "100" } }).broker.jobsMax).toBe(101);
});
