import { isHeader } from "../lib/http.ts";
import { maySet } from "../lib/request-headers.ts";
import type { Objection } from "./group.ts";

/** Checks headers of the option: HTTP must allow them, and the program must not set them itself. */
export function headerObjections(key: string, headers: Readonly<Record<string, string>>): Objection[] {
  const wrong = Object.entries(headers).find(([name, value]) => !isHeader(name, value) || !maySet(name.toLowerCase()));
  return wrong === undefined ? [] : [{ keys: [key], problem: `${wrong[0]} cannot be set as a header; remove it` }];
}
