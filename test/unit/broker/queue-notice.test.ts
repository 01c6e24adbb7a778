import { expect, test } from "bun:test";
import { type QueueNotice, queueNotice } from "../../../src/broker/proxy/response/queue-status.ts";
import type { QueueEvents } from "../../../src/modules/module.ts";

test.each([
  ["auto", {}, false, "event"],
  ["auto", {}, true, "comment"],
  ["auto", { "X-Stainless-Lang": "js" }, false, "comment"],
  ["auto", { "user-agent": "ai/5.0.1 ai-sdk/openai-compatible/1.0.0" }, false, "comment"],
  ["auto", { "user-agent": "ai-sdk-openai-compatible/3.0.92 ai-sdk-provider-utils/5.0.81" }, false, "comment"],
  ["auto", { "user-agent": "curl/8" }, false, "event"],
  ["auto", { "x-nfrx-queue": "Event", "x-stainless-lang": "js" }, true, "event"],
  ["auto", { "x-nfrx-queue": "off" }, false, "off"],
  ["auto", { "x-nfrx-queue": "nonsense" }, true, "comment"],
  ["event", { "x-stainless-lang": "js" }, true, "event"],
  ["comment", {}, false, "comment"],
  ["comment", { "x-nfrx-queue": "event" }, false, "event"],
  ["off", { "x-nfrx-queue": "event" }, false, "off"],
] satisfies [QueueEvents, Record<string, string>, boolean, QueueNotice][])(
  "%s with %j, closed API: %p: %s",
  (setting, headers, closed, notice) => {
    expect(queueNotice(setting, new Headers(headers), { closed })).toBe(notice);
  },
);
