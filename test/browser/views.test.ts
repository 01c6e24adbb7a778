// What plugins show of themselves on the dashboard.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import type { Browser } from "playwright-core";
import { AUTHORIZED, type BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";
import { startBrowser } from "./browser.ts";
import { openDashboard, signIn } from "./page.ts";

const ROOT = resolve(import.meta.dir, "..", "..");
const FILES = ["examples/plugins/relay/tool.ts", "test/kit/plugins/shown.ts"];
const EVIL = `<i id=evil>"'&</i>`;

const processes = new Processes();
let browser: Browser;
let broker: BrokerProgram;

beforeAll(async () => {
  const plugins = ["*", ...FILES.map(file => resolve(ROOT, file))].join(",");
  [browser, broker] = await Promise.all([startBrowser(), processes.broker({ PLUGINS: plugins })]);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await processes[Symbol.asyncDispose]();
});

test("views stand in their plugins' sections, follow the state, and can do nothing", async () => {
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  await signIn(page, API_KEY);
  await page.locator("#module-tool .view").getByText("0 tools, 0 greetings said.", { exact: true }).waitFor();
  const shown = page.locator("#module-shown .view");
  await shown.getByText("nothing", { exact: true }).waitFor();

  const init = { method: "POST", headers: AUTHORIZED, body: EVIL };
  expect((await fetch(`${broker.origin}/api/shown/tell`, init)).status).toBe(200);
  await shown.getByText(EVIL, { exact: true }).waitFor();
  expect((await shown.innerText()).replace(/\s+/g, " ").trim()).toBe(`Told: ${EVIL} elsewhere`);

  const bare = "[...document.querySelectorAll('#module-shown .view *')].map(one => one.cloneNode().outerHTML)";
  expect(await page.evaluate(bare)).toEqual(["<p></p>", "<b></b>"]);
  expect(await page.evaluate("window.ran")).toBeUndefined();
  expect(tab.errors).toEqual([]);
  // The policy holds for what is parsed, too, before anything is made of it.
  expect(tab.violations.filter(text => !/^(Applying|Executing) inline /.test(text))).toEqual([]);
  expect([...new Set(tab.requests.map(url => new URL(url).origin))]).toEqual([broker.origin]);
  const views = tab.requests.filter(url => url.includes("/view/")).map(url => url.slice(broker.origin.length));
  expect(new Set(views)).toEqual(new Set(["/api/state/view/tool.html", "/api/state/view/shown.html"]));
});
