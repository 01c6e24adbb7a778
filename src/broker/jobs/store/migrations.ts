// Schema migrations: one step from each version to the next.
import type { Schema } from "../../../lib/sqlite.ts";
import { SCHEMA } from "./rows.ts";

export const MIGRATIONS: Schema["migrations"] = [
  db => {
    for (const statement of SCHEMA) db.change(statement);
  },
  // Progress and properties are kept as the text that was sent.
  db => {
    const carrying = "SELECT seq, rest FROM jobs WHERE rest LIKE '%\"progress\"%' OR rest LIKE '%\"properties\"%'";
    for (const { seq, rest } of db.all(carrying))
      db.change("UPDATE jobs SET rest = ? WHERE seq = ?", asTexts(String(rest)), Number(seq));
  },
  // Each caller has a share of the jobs and their bytes.
  db => {
    db.change("ALTER TABLE jobs ADD COLUMN caller TEXT NOT NULL DEFAULT ''");
    db.change("ALTER TABLE jobs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0");
    db.change("CREATE INDEX by_caller ON jobs (caller, ended_at)");
  },
];

interface Carrying {
  progress?: unknown;
  transfers?: { properties?: unknown }[];
}

function asTexts(rest: string): string {
  // Written by version 1 of the schema.
  const job: Carrying = JSON.parse(rest);
  const text = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));
  const transfers = job.transfers?.map(one => ({ ...one, properties: text(one.properties) }));
  return JSON.stringify({ ...job, progress: text(job.progress), transfers });
}
