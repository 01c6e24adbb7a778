// Pool options of the worker modules: the same for all, with each module's prefix.
import { option } from "../config/option.ts";
import type { PoolSettings } from "./module.ts";

const HOUR = 3_600_000;

/** Maximum number of concurrent task queries per worker. */
const SLOT_EXEMPT_MAX = 64;

const named = (module: string, name: string) => ({
  env: `${module.toUpperCase()}_${name}`,
  yaml: `plugin_options.${module}.${name.toLowerCase()}`,
});

/** Queue options. */
export const queueOptions = (module: string) => ({
  queueSize: option.int({
    ...named(module, "QUEUE_SIZE"),
    default: 100,
    min: 0,
    max: 100_000,
    help: "Maximum number of queued requests; 0 disables the queue.",
  }),
  queueTimeoutMs: option.duration({
    ...named(module, "QUEUE_TIMEOUT"),
    default: "5m",
    min: 1,
    max: 24 * HOUR,
    help: "Maximum time that a request waits in the queue.",
  }),
  graceMs: option.duration({
    ...named(module, "WORKER_GRACE"),
    default: "10s",
    max: HOUR,
    help: "Time that a request waits for a worker that was just lost, or whose backend is down, before it fails.",
  }),
});

/** How long a module's requests may be silent; `usual` is the module's default. */
export const timeoutOption = (module: string, usual: string) => ({
  requestTimeoutMs: option.seconds({
    ...named(module, "REQUEST_TIMEOUT"),
    default: undefined,
    defaultNote: `REQUEST_TIMEOUT, else ${usual}`,
    min: 1_000,
    max: 24 * HOUR,
    help: "Idle timeout of this module's requests, in seconds: a request fails when its worker sends nothing for this long.",
  }),
});

/** For a module with event streams. */
export const eventOptions = (module: string) => ({
  queueUpdateMs: option.seconds({
    ...named(module, "QUEUE_UPDATE_SECONDS"),
    default: "10",
    max: HOUR,
    help: "Interval at which a queued stream gets its position, in seconds; 0 sends none.",
  }),
  queueEvents: option.choice({
    ...named(module, "QUEUE_EVENTS"),
    values: ["auto", "event", "comment", "off"],
    default: "auto",
    help: "How a queued stream gets its position: as an event, as a comment, or not at all. auto sends comments to clients that fail on unknown events. A request can override it with the header x-nfrx-queue.",
  }),
});

/** For a module that routes by model. */
export const matchOptions = (module: string) => ({
  minScore: option.number({
    ...named(module, "MIN_SCORE"),
    default: 0.01,
    min: 0,
    max: 1,
    help: "Required similarity between a worker's model name and the requested one; 1 requires the exact name.",
  }),
});

/** The settings of a pool, from the options and defaults. Other values are ignored. */
export function poolSettings({
  queueSize,
  queueTimeoutMs,
  graceMs,
  queueUpdateMs = 0,
  queueEvents,
  minScore = 0,
  defaultModel,
  maxParallel = 1,
  maxSlotExempt = SLOT_EXEMPT_MAX,
  maxSlots = Number.POSITIVE_INFINITY,
  requestTimeoutMs,
}: Partial<PoolSettings> & Pick<PoolSettings, "queueSize" | "queueTimeoutMs" | "graceMs">): PoolSettings {
  return {
    queueSize,
    queueTimeoutMs,
    graceMs,
    queueUpdateMs,
    queueEvents,
    minScore,
    defaultModel,
    maxParallel,
    maxSlotExempt,
    maxSlots,
    requestTimeoutMs,
  };
}
