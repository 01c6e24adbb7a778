// Value formats as zod schemas: each parses the text of an option.
import { z } from "zod";
import type { Address } from "../lib/address.ts";
import { mayForward } from "../lib/request-headers.ts";
import { parseDuration } from "./duration.ts";

export interface Range {
  readonly min: number;
  readonly max: number;
}

export type { Address };

/** Creates a schema from a parser that returns undefined for invalid text. */
function reading<T>(read: (text: string) => T | undefined): z.ZodType<T> {
  return z.string().transform((text, context) => {
    const value = read(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "unreadable" });
    return z.NEVER;
  });
}

function within(value: number | undefined, { min, max }: Range): number | undefined {
  return value !== undefined && value >= min && value <= max ? value : undefined;
}

export const text = (pattern?: RegExp): z.ZodType<string> =>
  pattern === undefined ? z.string() : z.string().regex(pattern);

/** A key is sent in an HTTP header, which allows only these characters. */
export const key: z.ZodType<string> = z.string().regex(/^[\x20-\x7e]+$/);

export const whole = ({ min, max }: Range): z.ZodType<number> =>
  z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number)
    .pipe(z.int().min(min).max(max));

export const decimal = ({ min, max }: Range): z.ZodType<number> =>
  z
    .string()
    .regex(/^-?\d+(?:\.\d+)?$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max));

export const truth: z.ZodType<boolean> = z.stringbool({
  truthy: ["true", "yes", "on", "1"],
  falsy: ["false", "no", "off", "0"],
});

const BYTE_UNITS = ["", "k", "m", "g", "t"];

/** `1048576`, `1024k`, `1MiB`, `1MB`: binary units, except that a bare B after the letter makes them decimal. */
export const bytes = (range: Range): z.ZodType<number> =>
  reading(written => {
    const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?$/i.exec(written);
    if (match === null) return undefined;
    const [, amount, unit = "", suffix = ""] = match;
    const base = suffix.toLowerCase() === "b" ? 1000 : 1024;
    return within(Math.round(Number(amount) * base ** BYTE_UNITS.indexOf(unit.toLowerCase())), range);
  });

/** A duration in milliseconds. Negative durations such as `-1` or `-1s` yield Infinity, where that is allowed. */
export const duration = (range: Range, allow: { forever: boolean; plainSeconds: boolean }): z.ZodType<number> =>
  reading(written => {
    if (written === "-1" || (written.startsWith("-") && parseDuration(written.slice(1)) !== undefined))
      return allow.forever ? Number.POSITIVE_INFINITY : undefined;
    if (allow.plainSeconds && /^\d+(?:\.\d+)?$/.test(written)) {
      return within(Math.ceil(Number(written) * 1000), range);
    }
    return within(parseDuration(written), range);
  });

/** An absolute URL of one of these schemes, unchanged. */
export const url = (schemes: readonly string[]): z.ZodType<string> =>
  z.string().refine(written => {
    if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#]/i.test(written) || !URL.canParse(written)) return false;
    return schemes.includes(new URL(written).protocol.slice(0, -1));
  });

/** One of these words, in any case. */
export const choice = <C extends string>(values: readonly C[]): z.ZodType<C> =>
  reading(written => values.find(value => value === written.toLowerCase()));

/** `9090` (on `bareHost`), `:9090` (every interface), `127.0.0.1:9090`, `[::1]:9090`. */
export const address = (bareHost: string): z.ZodType<Address> =>
  reading(written => {
    const match = /^(?:(\[[0-9a-f:.]+\]|[^\s:/[\]]*):)?(\d{1,5})$/i.exec(written);
    if (match === null) return undefined;
    const [, host, port] = match;
    const number = within(Number(port), { min: 0, max: 65_535 });
    if (number === undefined) return undefined;
    return { host: host === undefined ? bareHost : host.replace(/^\[|\]$/g, ""), port: number };
  });

/** A network in CIDR notation; a single address is a network of one. */
export const network: z.ZodType<string> = z.union([
  z.cidrv4(),
  z.cidrv6(),
  z.ipv4().transform(ip => `${ip}/32`),
  z.ipv6().transform(ip => `${ip}/128`),
]);

/** An origin as browsers send it, `null` and `file://` (pages from a disk) included, or `*`. */
export const origin: z.ZodType<string> = z
  .string()
  .regex(/^(?:\*|null|file:\/\/|[a-z][a-z0-9+.-]*:\/\/[^\s/?#@]+\/?)$/i)
  .transform(written => written.replace(/(?<=[^/])\/$/, "").toLowerCase());

/** A forwarded header name, in lower case, optionally with a trailing star. */
export const forwardedHeader: z.ZodType<string> = z
  .string()
  .transform(written => written.toLowerCase())
  .pipe(z.string().regex(/^[a-z\d!#$%&'+.^_`|~-]+\*?$/))
  .refine(name => mayForward(name.replace(/\*$/, "")));

/** Splits at commas. A text that begins with `[` is a JSON list, for items that contain commas. */
function split(written: string): unknown {
  return written.startsWith("[") ? jsonOf(written) : written.split(",").flatMap(item => item.trim() || []);
}

function jsonOf(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return undefined;
  }
}

/**
 * A list from YAML, or from one text. `emptyWord` stands for the empty list, which an environment variable cannot
 * express otherwise.
 */
export const list = <E>(item: z.ZodType<E>, emptyWord?: string): z.ZodType<E[]> =>
  z
    .union([z.string().transform(written => (written === emptyWord ? [] : split(written))), z.array(z.string())])
    .pipe(z.array(item));

const pairItems: z.ZodType<Record<string, string>> = list(z.string().regex(/^[^{=\s][^=\s]*=/)).transform(items =>
  Object.fromEntries(items.map(item => [item.slice(0, item.indexOf("=")), item.slice(item.indexOf("=") + 1)])),
);

/** A JSON object of names and values, for values that contain commas. */
const pairsObject: z.ZodType<Record<string, string>> = z
  .string()
  .startsWith("{")
  .transform(jsonOf)
  .pipe(z.record(z.string().regex(/^[^=\s]+$/), z.union([z.string(), z.number(), z.boolean()])))
  .transform(object => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, String(value)])));

/** `NAME=value` pairs, or a JSON object. */
export const pairs: z.ZodType<Record<string, string>> = z.union([pairsObject, pairItems]);

/** A base URL without trailing slashes, because paths are appended with a leading slash. */
export const baseUrl = (written: string): string => written.replace(/\/+$/, "");

/** True if a name in PLUGINS is a file: it contains a slash or has a file extension. */
export const namesFile = (name: string): boolean => /[\\/]/.test(name) || /\.[cm]?[jt]s$/.test(name);
