// nfrx usage, audit, worker, state, backup
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { defaultJobsFile, defaultPeopleFile } from "../../config/paths.ts";
import { MEMORY } from "../../lib/open-sqlite.ts";
import { auditPage, usageAnswer } from "../people/admin-shapes.ts";
import { firstBroken } from "../people/audit.ts";
import { JOBS_FILE, KEYS_FILE, restoreBackup } from "../people/backup.ts";
import { USAGE_FIELDS } from "../people/usage.ts";
import type { Command } from "./command.ts";
import { timeOf } from "./periods.ts";
import { table } from "./table.ts";
import { UsageError } from "./usage-error.ts";

const DEFAULT_SINCE = "30d";
const DEFAULT_BY = "person,model";
const AUDIT_PAGE = 1_000;

const usage: Command = {
  words: "usage",
  args: [],
  flags: {
    by: {
      value: "LIST",
      help: `Fields to sum by: ${[...USAGE_FIELDS, "day", "hour"].join(", ")}. Default: ${DEFAULT_BY}.`,
    },
    since: { value: "WHEN", help: `A period such as 30d, or a date. Default: ${DEFAULT_SINCE}.` },
    until: { value: "WHEN", help: "A date. Default: now." },
    csv: { help: "Print CSV." },
  },
  help: "Show usage.",
  run: async ({ api, flags, now }) => {
    const by = flags.text("by") ?? DEFAULT_BY;
    const until = flags.text("until");
    const query = {
      by,
      since: new Date(timeOf(flags.text("since") ?? DEFAULT_SINCE, "since", now, -1)).toISOString(),
      until: until === undefined ? undefined : new Date(timeOf(until, "until", now, -1)).toISOString(),
    };
    if (flags.on("csv")) {
      const text = (await api.text("/api/admin/usage", { ...query, format: "csv" })).trimEnd();
      return { json: text, text };
    }
    const json = await api.get("/api/admin/usage", query);
    const names = by.split(",");
    const rows = usageAnswer
      .parse(json)
      .usage.map(row => [
        ...names.map(name => String(row[name] ?? "")),
        row.requests,
        row.failures,
        row.tokens_in,
        row.tokens_out,
        Math.round(row.slot_seconds),
      ]);
    return { json, text: table([...names, "requests", "failures", "tokens in", "tokens out", "slot seconds"], rows) };
  },
};

const audit: Command = {
  words: "audit",
  args: [],
  flags: {
    verify: {
      help: "Verify the whole chain; exit with 1 if it is broken. A removed end cannot be detected: compare the head.",
    },
    limit: { value: "N", help: "Lines to show. Default: 50." },
  },
  help: "List the changes that operators made.",
  run: async ({ api, flags }) => {
    if (!flags.on("verify")) {
      const json = await api.get("/api/admin/audit", { limit: flags.text("limit") ?? "50" });
      const rows = auditPage
        .parse(json)
        .lines.map(({ seq, at, actor, action, target }) => [seq, at, actor, action, target]);
      return { json, text: table(["line", "time", "actor", "action", "target"], rows) };
    }
    const lines = [];
    for (let after = 0; ; after = lines.length) {
      const page = auditPage.parse(
        await api.get("/api/admin/audit", { after: String(after), limit: String(AUDIT_PAGE) }),
      );
      lines.push(...page.lines.map(line => ({ ...line, at: Date.parse(line.at) })));
      if (page.lines.length < AUDIT_PAGE) break;
    }
    const broken = firstBroken(lines);
    const head = lines.at(-1)?.hash ?? null;
    if (broken !== undefined)
      return { json: { ok: false, broken }, text: `the chain is broken at line ${broken}`, exitCode: 1 };
    return { json: { ok: true, lines: lines.length, head }, text: `${lines.length} lines fit; head ${head ?? "-"}` };
  },
};

const acted = z.object({ id: z.string(), status: z.string() });
const workers: readonly Command[] = (["drain", "undrain", "disconnect"] as const).map(action => ({
  words: `worker ${action}`,
  args: ["MODULE", "ID"],
  flags: {},
  help: {
    drain: "Send a worker no new requests.",
    undrain: "Send a drained worker requests again.",
    disconnect: "Close a worker's connection.",
  }[action],
  run: async ({ api, args }) => {
    const [module, id] = args.map(encodeURIComponent);
    const json = await api.post(`/api/admin/${module}/workers/${id}/${action}`);
    const now = acted.parse(json);
    return { json, text: `${now.id}: ${now.status}` };
  },
}));

const worker = z.looseObject({
  id: z.string(),
  name: z.string().optional(),
  status: z.string(),
  inflight: z.number().optional(),
});
const stateShape = z.object({ plugins: z.record(z.string(), z.looseObject({ workers: z.array(worker).optional() })) });

const state: Command = {
  words: "state",
  args: [],
  flags: {},
  help: "Show the workers; with --json the whole state.",
  run: async ({ api }) => {
    const json = await api.get("/api/state");
    const rows = Object.entries(stateShape.parse(json).plugins).flatMap(([module, { workers: list = [] }]) =>
      list.map(({ id, name, status, inflight }) => [module, name ?? id, id, status, inflight ?? 0]),
    );
    return { json, text: table(["module", "name", "id", "status", "in flight"], rows) };
  },
};

const backup: Command = {
  words: "backup",
  args: ["FILE"],
  flags: {},
  help: "Write a copy of all data of the broker to a new file.",
  run: async ({ api, args }) => {
    const [file = ""] = args;
    const archive = await api.bytes("/api/admin/backup");
    writeFileSync(file, archive, { mode: 0o600, flag: "wx" });
    return { json: { file, bytes: archive.length }, text: `${file}: ${archive.length.toLocaleString("en")} bytes` };
  },
};

const restore: Command = {
  words: "restore",
  args: ["FILE"],
  flags: {
    "keys-store": { value: "FILE", help: "File for keys and usage. Default: KEYS_STORE." },
    "jobs-store": { value: "FILE", help: "File for jobs. Default: JOBS_STORE." },
  },
  help: "Restore a backup while the broker is stopped. Then revoke again the keys that were revoked since.",
  run: async ({ args, flags, host }) => {
    const targets = {
      [KEYS_FILE]: flags.text("keys-store") || host.env["KEYS_STORE"] || defaultPeopleFile(host),
      [JOBS_FILE]: flags.text("jobs-store") || host.env["JOBS_STORE"] || defaultJobsFile(host),
    };
    if (Object.values(targets).includes(MEMORY))
      throw new UsageError("a store in memory cannot be restored: name files with --keys-store and --jobs-store");
    const files = await restoreBackup(readFileSync(args[0] ?? ""), targets);
    return { json: { files }, text: files.join("\n") };
  },
};

export const otherCommands: readonly Command[] = [usage, ...workers, state, audit, backup, restore];
