// Responses of the administration API about usage and changes.
import { z } from "zod";
import { USAGE_AMOUNTS, USAGE_FIELDS } from "./usage.ts";

const text = Object.fromEntries(USAGE_FIELDS.map(name => [name, z.string().optional()]));
const amounts = Object.fromEntries(
  USAGE_AMOUNTS.filter(name => name !== "slot_ms" && name !== "energy_mwh").map(name => [name, z.int()]),
);

/** One sum of the ledger. */
const usageSum = z
  .looseObject({
    ...text,
    day: z.string().optional().describe("The UTC day, as 2026-01-31."),
    hour: z.iso.datetime().optional().describe("When the hour began."),
    ...amounts,
    requests: z.int(),
    failures: z.int().describe("Answers with a status from 500."),
    tokens_in: z.int(),
    tokens_out: z.int(),
    slot_seconds: z.number().describe("Seconds for which slots of workers were held."),
    energy_wh: z.number().describe("Watt-hours, where agents know them."),
    estimated: z.int().describe("Requests whose tokens were estimated."),
  })
  .meta({ id: "UsageSum" });

export const usageAnswer = z
  .object({ since: z.iso.datetime(), until: z.iso.datetime(), usage: z.array(usageSum) })
  .meta({ id: "Usage" });

const auditLine = z
  .object({
    seq: z.int().describe("Counts from 1, without a gap."),
    at: z.iso.datetime(),
    actor: z.string().describe("Author of the change: a key, or `local:` and a user for the control socket."),
    action: z.string(),
    target: z.string().describe("ID of the changed record."),
    before: z.string().nullable().describe("The record before, as JSON."),
    after: z.string().nullable().describe("The record after, as JSON."),
    hash: z.string().describe("SHA-256 over the hash of the line before and this line."),
  })
  .meta({ id: "AuditLine" });

export const auditPage = z.object({ lines: z.array(auditLine) }).meta({ id: "Audit" });
