// The store interface for keys, usage and the audit.
import type { AuditEvent, AuditLine } from "./audit.ts";
import type { UsageAmounts, UsageRow, UsageSeries } from "./usage.ts";

/** Kinds of records. */
export type RecordKind = "key" | "machine" | "invitation";

/** One key, machine or invitation, as JSON. */
export interface StoredRecord {
  readonly id: string;
  /** No two records of a kind have the same name. */
  readonly name: string;
  readonly json: string;
}

/** A change for the audit; the store adds the time. */
export type Change = Omit<AuditEvent, "at" | "target">;

export interface UsageQuery {
  /** Fields to sum by; `hour` and `day` stand for time. */
  readonly by: readonly (keyof UsageSeries | "hour" | "day")[];
  /** Milliseconds since 1970; the hour that `since` lies in counts whole, that of `until` not at all. */
  readonly since: number;
  readonly until: number;
  /** Only what these people, or this key, have used. */
  readonly person?: string;
  readonly key?: string;
}

/** Sums, with what they were summed up by; `time` is the start of the hour or day in milliseconds since 1970. */
export interface UsageSum extends Partial<UsageSeries>, UsageAmounts {
  readonly time?: number;
}

/**
 * Keeps keys, machines, invitations, the ledger and the audit. A change and its audit line are written together or not at
 * all. What a promise answers has been written, where the store is one that outlives the process.
 */
export interface PeopleStore {
  /** True when what it has outlives the process. */
  readonly durable: boolean;
  /** Every record of a kind, oldest first. */
  list(kind: RecordKind): Promise<StoredRecord[]>;
  /** Adds a record. Throws `exists` when the name is taken. */
  add(kind: RecordKind, record: StoredRecord, change: Change): Promise<void>;
  /** Replaces the record with the same id; false when it is not there. Throws `exists` when another one has the name. */
  replace(kind: RecordKind, record: StoredRecord, change: Change): Promise<boolean>;
  /** Deletes a record; false when it is not there. */
  remove(kind: RecordKind, id: string, change: Change): Promise<boolean>;
  /** Adds up; rows of the same hour and series are summed. */
  count(rows: readonly UsageRow[]): Promise<void>;
  /** Sums, the largest first. At most `USAGE_ROWS_MAX`. */
  usage(query: UsageQuery): Promise<UsageSum[]>;
  /** Deletes what was used in hours before this time; how many rows. */
  forgetUsage(before: number): Promise<number>;
  /** Lines with a number above `after`, oldest first, at most `limit`. */
  audit(after: number, limit: number): Promise<AuditLine[]>;
  /** The last lines, newest first. */
  lastAudit(limit: number): Promise<AuditLine[]>;
  /** Writes a copy of everything to a new file, which is whole at one moment. Throws when the file exists. */
  copyTo(file: string): Promise<void>;
  /** Ends when all that was asked for is done. */
  close(): Promise<void>;
}

/** Rows that one question to the ledger gets at most. */
export const USAGE_ROWS_MAX = 100_000;
