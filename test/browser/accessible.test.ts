// What axe finds in the page: nothing, in either colours, on either screen.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { cut } from "../kit/backend/backend.ts";
import { API_KEY } from "../kit/world.ts";
import { startBrowser } from "./browser.ts";
import { BrowserFleet } from "./fleet.ts";
import { openDashboard, rowOf, signIn, tableOf } from "./page.ts";

let browser: Browser;
let fleet: BrowserFleet;

beforeAll(async () => {
  [browser, fleet] = await Promise.all([startBrowser(), BrowserFleet.start()]);
  // One that has done nothing yet, one that has failed.
  await fleet.processes.relay(fleet.broker, { http: fleet.tools.url }, { CLIENT_ID: "quiet" });
  fleet.backend("clara").respond = cut("{");
  await fleet.chat("clara-1:1b").catch(() => {});
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

const AXE = await Bun.file(join(import.meta.dir, "..", "..", "node_modules", "axe-core", "axe.min.js")).text();

/** The rules that the page breaks, each with where. */
async function broken(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found: { id: string; impact: string; nodes: { target: string[] }[] }[] = await page.evaluate(
    "axe.run().then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.map(({ target }) => ({ target })) })))",
  );
  return found.map(
    ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`,
  );
}

const SCREENS = [
  { colorScheme: "light", viewport: { width: 1440, height: 1000 } },
  { colorScheme: "dark", viewport: { width: 1440, height: 1000 } },
  { colorScheme: "light", viewport: { width: 390, height: 844 } },
  { colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

test.each(SCREENS)("axe finds nothing in the page, its prompt and its question: %j", async screen => {
  // The page's policy would keep axe out as well.
  await using tab = await openDashboard(browser, fleet.broker.origin, { ...screen, bypassCSP: true });
  const { page } = tab;
  await page.getByRole("dialog").waitFor();
  expect(await broken(page)).toEqual([]);
  await signIn(page, API_KEY);
  const row = rowOf(tableOf(page, "llm", "Workers"), "anna");
  await row.waitFor();
  expect(await broken(page)).toEqual([]);
  await row.getByRole("button", { name: "Drain anna" }).click();
  await page.getByRole("dialog", { name: "Drain anna?" }).waitFor();
  expect(await broken(page)).toEqual([]);
});

test("all that can be pressed is reached by Tab, in sight, with a ring around it", async () => {
  await using tab = await openDashboard(browser, fleet.broker.origin, { viewport: { width: 1440, height: 1000 } });
  const { page } = tab;
  await signIn(page, API_KEY);
  await tableOf(page, "llm", "Workers").waitFor();
  const wanted = await page.evaluate(
    "[...document.querySelectorAll('button, a, input, pre[tabindex]')].filter(one => one.checkVisibility()).length",
  );
  await page.evaluate("window.seen = new Set(), document.activeElement.blur()");
  const rings = new Set<unknown>();
  for (let n = 0; n < Number(wanted); n++) {
    await page.keyboard.press("Tab");
    rings.add(
      await page.evaluate(
        "window.seen.add(document.activeElement), getComputedStyle(document.activeElement).outlineStyle",
      ),
    );
  }
  expect(await page.evaluate("window.seen.size")).toBe(wanted);
  expect([...rings]).toEqual(["solid"]);
});
