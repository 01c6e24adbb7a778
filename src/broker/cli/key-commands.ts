// nfrx key …
import { z } from "zod";
import { keyList, limitSpecOf, madeKey, shownKey } from "../people/key-shape.ts";
import { formatLimit, LIMIT_NAMES } from "../people/limit.ts";
import type { Asked, Command, Flag, Printed } from "./command.ts";
import { periodOf, timeOf } from "./periods.ts";
import { table } from "./table.ts";
import { UsageError } from "./usage-error.ts";

const KEYS = "/api/admin/keys";
const pathOf = (name: string | undefined): string => `${KEYS}/${encodeURIComponent(name ?? "")}`;

const ABOUT: Readonly<Record<string, Flag>> = {
  person: { value: "NAME", help: "The person it belongs to. Default: the key's name." },
  scopes: {
    value: "LIST",
    help: "Scopes: llm, asr, docling, mcp, mcp:<relay>, jobs, transfer, state, admin.",
  },
  models: {
    value: "LIST",
    help: "Allowed models, with * for any characters, such as 'qwen*,llama3'; all for every model.",
  },
  limit: {
    value: "NAME=N",
    many: true,
    help: `A limit, such as tokens/day=100k or concurrent=2:soft; NAME=none removes it. Names: ${LIMIT_NAMES.join(", ")}.`,
  },
  expires: { value: "WHEN", help: "Expiry: a period such as 90d, a date, or never." },
  weight: { value: "N", help: "Share of the slots while requests wait, from 1 to 100." },
};

const app: Flag = { help: "The key may name the person behind each request, as Open WebUI does." };

export const keyCommands: readonly Command[] = [
  {
    words: "key add",
    args: ["NAME"],
    flags: { ...ABOUT, app },
    help: "Make a key and print it. It is not shown again.",
    run: async asked => made(await asked.api.post(KEYS, { name: asked.args[0], ...spec(asked) }), "made"),
  },
  {
    words: "key list",
    args: [],
    flags: {},
    help: "List the keys.",
    run: async ({ api }) => {
      const json = await api.get(KEYS);
      const { keys } = keyList.parse(json);
      const rows = keys.map(({ name, person, scopes, models, limits, expires_at, source }) => [
        name,
        person,
        scopes.join(","),
        models?.join(",") ?? "all",
        limits.map(formatLimit).join(","),
        expires_at?.slice(0, 10) ?? "never",
        source,
      ]);
      return { json, text: table(["name", "person", "scopes", "models", "limits", "expires", "source"], rows) };
    },
  },
  {
    words: "key show",
    args: ["NAME"],
    flags: {},
    help: "Show a key with its limits and their use.",
    run: async ({ api, args }) => {
      const json = await api.get(pathOf(args[0]));
      return { json, text: about(json) };
    },
  },
  {
    words: "key set",
    args: ["NAME"],
    flags: {
      ...ABOUT,
      name: { value: "NAME", help: "A new name." },
      app,
      "no-app": { help: "The key may not name persons." },
    },
    help: "Change a key. Requests that it no longer allows end.",
    run: async asked => {
      const { flags, api, args } = asked;
      const name = flags.text("name");
      const appChange = flags.on("no-app") ? { app: false } : {};
      const json = await api.patch(pathOf(args[0]), {
        ...spec(asked),
        ...appChange,
        ...(name !== undefined && { name }),
      });
      return { json, text: about(json) };
    },
  },
  {
    words: "key rotate",
    args: ["NAME"],
    flags: {
      overlap: { value: "PERIOD", help: "Time for which the old key stays valid, such as 24h. Default: none." },
    },
    help: "Replace a key with a new one and print it. It is not shown again.",
    run: async ({ api, args, flags }) => {
      const overlap = flags.text("overlap");
      const seconds = overlap === undefined ? 0 : Math.ceil(periodOf(overlap, "overlap") / 1000);
      return made(await api.post(`${pathOf(args[0])}/rotate`, { overlap_seconds: seconds }), "rotated");
    },
  },
  {
    words: "key revoke",
    args: ["NAME"],
    flags: {},
    help: "Revoke a key. Requests in progress end.",
    run: async ({ api, args }) => {
      const json = await api.delete(pathOf(args[0]));
      return { json, text: `revoked ${shownKey.parse(json).name}` };
    },
  },
];

/** A key's properties as the API takes them: only those that were given. */
function spec({ flags, now }: Asked): object {
  const [person, scopes, models, expires, weight] = ["person", "scopes", "models", "expires", "weight"].map(name =>
    flags.text(name),
  );
  const limits = flags.list("limit");
  return {
    ...(person !== undefined && { person }),
    ...(scopes !== undefined && { scopes: listOf(scopes) }),
    ...(models !== undefined && { models: models === "all" ? null : listOf(models) }),
    ...(expires !== undefined && {
      expires_at: expires === "never" ? null : new Date(timeOf(expires, "expires", now, 1)).toISOString(),
    }),
    ...(weight !== undefined && { weight: Number(weight) }),
    ...(flags.on("app") && { app: true }),
    ...(limits.length > 0 && { limits: limitsOf(limits) }),
  };
}

function limitsOf(texts: readonly string[]): object {
  try {
    return limitSpecOf(texts);
  } catch (error) {
    throw new UsageError(`--limit: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const listOf = (text: string): string[] =>
  text
    .split(",")
    .map(part => part.trim())
    .filter(part => part !== "");

/** The key alone on standard output, so that it can go into a file or a variable. */
function made(json: unknown, verb: string): Printed {
  const { key, secret } = madeKey.parse(json);
  return { json, text: secret, note: `${verb} ${key.name} (${key.id}); the key is not shown again` };
}

const withUse = shownKey.extend({
  use: z.array(z.object({ name: z.enum(LIMIT_NAMES), used: z.number(), resets_at: z.string().nullable() })).optional(),
});

function about(json: unknown): string {
  const { limits, use = [], ...key } = withUse.parse(json);
  const rows: (readonly [string, string])[] = [
    ["id", key.id],
    ["name", key.name],
    ["person", key.person],
    ["scopes", key.scopes.join(", ")],
    ["models", key.models?.join(", ") ?? "all"],
    ["expires", key.expires_at ?? "never"],
    ["app", key.app ? "yes" : "no"],
    ["weight", String(key.weight)],
    ["created", key.created_at],
    ["source", key.source],
    ...limits.map(limit => {
      const used = use.find(({ name }) => name === limit.name);
      const so = used === undefined ? "" : `, ${Math.ceil(used.used).toLocaleString("en")} used`;
      return [limit.name, `${formatLimit(limit).split("=")[1]}${so}`] as const;
    }),
  ];
  return table(["property", "value"], rows);
}
