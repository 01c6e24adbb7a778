// The tables of nfrx.db.
import type { Schema } from "../../lib/sqlite.ts";
import { USAGE_AMOUNTS } from "./usage.ts";

const amounts = USAGE_AMOUNTS.map(name => `${name} INTEGER NOT NULL`).join(", ");

/** The names of a series are kept once, so that an hour of it takes some forty bytes. */
export const PEOPLE_SCHEMA: Schema = {
  content: "keys and usage",
  table: "records",
  migrations: [
    db => {
      db.change(`CREATE TABLE records (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        json TEXT NOT NULL,
        UNIQUE (kind, id),
        UNIQUE (kind, name)
      )`);
      db.change(`CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        person TEXT NOT NULL,
        key TEXT NOT NULL,
        module TEXT NOT NULL,
        model TEXT NOT NULL,
        worker TEXT NOT NULL,
        UNIQUE (person, key, module, model, worker)
      )`);
      db.change(`CREATE TABLE ledger (hour INTEGER NOT NULL, series INTEGER NOT NULL, ${amounts},
        PRIMARY KEY (hour, series)) WITHOUT ROWID`);
      db.change(`CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        before TEXT,
        after TEXT,
        hash TEXT NOT NULL
      )`);
    },
  ],
};
