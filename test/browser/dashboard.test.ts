// The dashboard in a real browser, clicked through in front of a real fleet.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { AUTHORIZED } from "../kit/process/broker.ts";
import { API_KEY } from "../kit/world.ts";
import { startBrowser, type Tab } from "./browser.ts";
import { ADMIN_KEY, BrowserFleet, SERVED } from "./fleet.ts";
import { namesOf, nextState, openDashboard, rowOf, signIn, tableOf } from "./page.ts";

let browser: Browser;
let fleet: BrowserFleet;

beforeAll(async () => {
  [browser, fleet] = await Promise.all([startBrowser(), BrowserFleet.start()]);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

/** A tab that shows the fleet. */
async function open(): Promise<Tab> {
  const tab = await openDashboard(browser, fleet.broker.origin);
  await signIn(tab.page, API_KEY);
  await workers(tab.page).getByRole("rowheader", { name: "anna" }).waitFor();
  return tab;
}

const workers = (page: Page) => tableOf(page, "llm", "Workers");

/** Nothing went wrong in the page, and it asked nobody but its broker. */
function expectQuiet(tab: Tab): void {
  expect(tab.errors).toEqual([]);
  expect(tab.violations).toEqual([]);
  expect([...new Set(tab.requests.map(url => new URL(url).origin))]).toEqual([fleet.broker.origin]);
}

test("it asks for the key, says when one is wrong, keeps the right one for the tab and forgets it when told to", async () => {
  await using tab = await openDashboard(browser, fleet.broker.origin);
  const { page } = tab;
  const prompt = page.getByRole("dialog", { name: "API key" });
  await signIn(page, "wrong");
  await prompt.getByRole("alert").filter({ hasText: "rejected" }).waitFor();
  expect(await page.locator("main").isVisible()).toBe(false);

  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Enter API key" }).click();
  await signIn(page, API_KEY);
  await workers(page).waitFor();
  expect(await prompt.isVisible()).toBe(false);

  await page.reload();
  await workers(page).waitFor();
  const other = await page.context().newPage();
  await other.goto(`${fleet.broker.origin}/state`);
  await other.getByRole("dialog", { name: "API key" }).waitFor();

  await page.getByRole("button", { name: "Forget key" }).click();
  await prompt.waitFor();
  expect(await page.locator("main").isVisible()).toBe(false);
  expect(await page.evaluate("[...Object.values(sessionStorage), ...Object.values(localStorage)].join()")).toBe("");
  expectQuiet(tab);
});

test("it shows the whole fleet: workers, models, relays, calls, jobs, charts", async () => {
  await using tab = await open();
  const { page } = tab;
  expect(await namesOf(workers(page))).toEqual(["anna", "berta", "clara"]);
  expect(await namesOf(tableOf(page, "asr", "Workers"))).toEqual(["dora"]);
  expect(await namesOf(tableOf(page, "mcp", "Relays"))).toEqual(["weather"]);
  await rowOf(tableOf(page, "mcp", "Relays"), "weather")
    .getByText("active", { exact: true })
    .waitFor();
  await tableOf(page, "mcp", "Calls in flight").getByRole("cell", { name: "tools/call" }).waitFor();
  const shared = rowOf(tableOf(page, "llm", "Models"), "shared:8b");
  expect(await shared.getByRole("listitem").allTextContents()).toEqual(["anna", "berta", "clara"]);
  const jobs = tableOf(page, "jobs", "Recent jobs");
  await rowOf(jobs, fleet.running.job_id.slice(0, 8)).waitFor();
  for (const status of ["queued", "running", "failed"]) await jobs.getByText(status, { exact: true }).waitFor();
  await tableOf(page, "jobs", "Job workers").getByRole("rowheader", { name: "scanner" }).waitFor();
  // The agent of a module that nobody serves.
  await page.getByText(`SERVER_URL=${fleet.broker.connectUrl("docling")} CLIENT_KEY=…`).waitFor();
  await page.getByRole("img", { name: /^Requests \(last 5 s\): ended \d/ }).waitFor();
  await page.getByRole("img", { name: /^Tokens per second: out/ }).waitFor();
  await page.getByRole("img", { name: /^Time to first byte: median/ }).waitFor();
  expectQuiet(tab);
});

test("every column sorts, by mouse and by keyboard, and says so", async () => {
  await using tab = await open();
  const { page } = tab;
  const table = workers(page);
  const heads = table.getByRole("columnheader");
  const titles = (await heads.allTextContents()).map(title => title.replace(/[↑↓]/, ""));
  for (const title of titles.filter(title => title !== "Actions")) {
    expect(await table.getByRole("button", { name: title, exact: true }).count()).toBe(1);
  }
  const sort = table.getByRole("button", { name: "Requests" });
  const head = table.getByRole("columnheader", { name: "Requests" });
  const byServed = Object.entries(SERVED).sort(([, a], [, b]) => b - a);
  const most = byServed.map(([name]) => name);

  await sort.click();
  expect(await head.getAttribute("aria-sort")).toBe("descending");
  expect(await namesOf(table)).toEqual(most);
  await page.keyboard.press("Enter");
  expect(await head.getAttribute("aria-sort")).toBe("ascending");
  expect(await namesOf(table)).toEqual(most.toReversed());
  await page
    .getByRole("status")
    .filter({ hasText: "Workers sorted by Requests, ascending" })
    .waitFor({ state: "attached" });

  // From here on by keyboard alone.
  await table.getByRole("button", { name: "Worker", exact: true }).focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("Space");
  expect(await namesOf(table)).toEqual(["clara", "berta", "anna"]);
  await nextState(page);
  expect(await namesOf(table)).toEqual(["clara", "berta", "anna"]);
  expect(await table.locator("[aria-sort]").count()).toBe(1);
  expectQuiet(tab);
});

test("a filter finds rows by any of their words, in every table", async () => {
  await using tab = await open();
  const { page } = tab;
  await page.getByRole("searchbox").fill("BERTA-4");
  expect(await namesOf(workers(page))).toEqual(["berta"]);
  await workers(page).getByText("1 of 3").waitFor();
  await tableOf(page, "mcp", "Relays").getByText("No matching rows.").waitFor();
  await nextState(page);
  expect(await namesOf(workers(page))).toEqual(["berta"]);
  await page.getByRole("searchbox").fill("");
  expect(await namesOf(workers(page))).toEqual(["anna", "berta", "clara"]);
});

test("a new state leaves focus, selection, scrolling and what was unfolded as they are, also when the row moves", async () => {
  await using tab = await open();
  const { page } = tab;
  await workers(page).getByRole("button", { name: "Requests" }).click();
  expect(await namesOf(workers(page))).toEqual(["berta", "clara", "anna"]);
  const row = rowOf(workers(page), "berta");
  const more = row.getByRole("button", { name: /models/ });
  await more.click();
  await row.getByText("berta-4:1b").waitFor();
  await rowOf(tableOf(page, "jobs", "Recent jobs"), fleet.running.job_id.slice(0, 8))
    .getByRole("rowheader")
    .selectText();
  await more.focus();
  await page.evaluate("window.kept = document.activeElement, scrollTo(0, 150)");
  const before = await page.evaluate("scrollY");
  expect(before).toBe(150);

  for (let n = 0; n < 4; n++) await fleet.chat("clara-1:1b");
  await workers(page).locator("tbody tr:first-child").filter({ hasText: "clara" }).waitFor();
  expect(await namesOf(workers(page))).toEqual(["clara", "berta", "anna"]);
  expect(await page.evaluate("document.activeElement === window.kept")).toBe(true);
  expect(await page.evaluate("getSelection().toString()")).toBe(fleet.running.job_id.slice(0, 8));
  expect(await page.evaluate("scrollY")).toBe(before);
  expect(await row.getByText("berta-4:1b").isVisible()).toBe(true);
  expectQuiet(tab);
});

test("an operator drains a worker, undrains it and disconnects it, each time after a question", async () => {
  await fleet.worker("emma", ["emma-1:1b"]);
  await using tab = await open();
  const { page } = tab;
  const row = rowOf(workers(page), "emma");
  const drain = row.getByRole("button", { name: "Drain emma" });
  const question = page.getByRole("dialog", { name: "Drain emma?" });

  await drain.click();
  await page.keyboard.press("Escape");
  await question.waitFor({ state: "hidden" });
  expect(await page.evaluate("document.activeElement.ariaLabel")).toBe("Drain emma");

  await page.keyboard.press("Enter");
  await question.getByLabel("Operator key").fill("wrong");
  await question.getByRole("button", { name: "Drain" }).click();
  await question.getByRole("alert").filter({ hasText: "rejected" }).waitFor();
  // The question stays while the page goes on.
  await nextState(page);
  await question.getByLabel("Operator key").fill(ADMIN_KEY);
  await page.keyboard.press("Enter");
  await question.waitFor({ state: "hidden" });
  await page.getByRole("status").filter({ hasText: "emma is draining" }).waitFor({ state: "attached" });
  await row.getByText("draining", { exact: true }).waitFor();
  await row.getByText(/^by operator/).waitFor();
  expect(await fleet.chat("emma-1:1b")).toBe(503);

  await row.getByRole("button", { name: "Undrain emma" }).click();
  const back = page.getByRole("dialog", { name: "Undrain emma?" });
  expect(await back.getByLabel("Operator key").isVisible()).toBe(false);
  await back.getByRole("button", { name: "Undrain" }).click();
  await row.getByText("idle", { exact: true }).waitFor();
  expect(await fleet.chat("emma-1:1b")).toBe(200);

  await row.getByRole("button", { name: "Disconnect emma" }).click();
  await page.getByRole("dialog", { name: "Disconnect emma?" }).getByRole("button", { name: "Disconnect" }).click();
  await row.getByText("gone", { exact: true }).waitFor();
  expect(await row.getByRole("button", { name: /emma/ }).count()).toBe(0);
  // The key was in the page's memory and nowhere else.
  expect(await page.evaluate("[...Object.values(sessionStorage), ...Object.values(localStorage)].join()")).toBe(
    API_KEY,
  );
  expectQuiet(tab);
});

test("a relay drains like a worker", async () => {
  await using tab = await open();
  const { page } = tab;
  const row = rowOf(tableOf(page, "mcp", "Relays"), "weather");
  await row.getByRole("button", { name: "Drain weather" }).click();
  await page.getByLabel("Operator key").fill(ADMIN_KEY);
  await page.keyboard.press("Enter");
  await row.getByText("draining", { exact: true }).waitFor();
  await row.getByRole("button", { name: "Undrain weather" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Undrain" }).click();
  await row.getByText("active", { exact: true }).waitFor();
  expectQuiet(tab);
});

test("who waits is shown with a place and a time, and goes when it is served", async () => {
  await using tab = await open();
  const { page } = tab;
  const backend = fleet.backend("anna");
  const { respond } = backend;
  backend.respond = async (request, recorded) => {
    await fleet.gate.wait(request.signal);
    return respond(request, recorded);
  };
  const asked = Array.from({ length: 4 }, () => fleet.chat("anna-1:1b"));
  const queue = tableOf(page, "llm", "Queue");
  await queue.getByRole("row").nth(2).waitFor();
  expect(await queue.locator("tbody th").allTextContents()).toEqual(["1", "2"]);
  expect(await queue.locator("tbody tr:first-child td").allTextContents()).toEqual([
    "anna-1:1b",
    expect.stringMatching(/^[\d.]+ m?s$/),
    expect.any(String),
  ]);
  await rowOf(workers(page), "anna").getByRole("meter", { name: "2 of 2 in flight" }).waitFor();
  fleet.gate.release(4);
  expect(await Promise.all(asked)).toEqual([200, 200, 200, 200]);
  await queue.getByText("Queue is empty.").waitFor();
  expectQuiet(tab);
});

test("the theme is remembered", async () => {
  await using tab = await openDashboard(browser, fleet.broker.origin, { colorScheme: "light" });
  const { page } = tab;
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  const ground = (): Promise<string> => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
  const light = await ground();
  await page.getByRole("button", { name: /^Color theme: system/ }).click();
  await page.getByRole("button", { name: /^Color theme: light/ }).click();
  const dark = await ground();
  expect(dark).not.toBe(light);
  await page.reload();
  await page.getByRole("dialog").waitFor();
  expect(await ground()).toBe(dark);
});

test("a broker that goes away is told at once and found again when it is back", async () => {
  const broker = await fleet.processes.broker({ JOBS_STORE: "memory" });
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  await signIn(page, API_KEY);
  await workers(page).waitFor();
  await broker.kill();
  await page.getByText(/^Cannot reach the broker\. Showing the state of|^The broker closed the connection/).waitFor();
  expect(await page.locator("main").isVisible()).toBe(true);
  await fleet.processes.broker({ PORT: String(broker.port), JOBS_STORE: "memory" });
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.getByText("live", { exact: true }).waitFor();
  expect(await page.getByRole("button", { name: "Retry now" }).isVisible()).toBe(false);
  expect(tab.errors).toEqual([]);
});

test("a key that nobody answered to can be tried again when the broker is back", async () => {
  const broker = await fleet.processes.broker({ JOBS_STORE: "memory" });
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  const prompt = page.getByRole("dialog", { name: "API key" });
  await prompt.waitFor();
  await broker.kill();
  await signIn(page, "wrong");
  await prompt.getByRole("alert").filter({ hasText: "Cannot reach the broker" }).waitFor();
  await fleet.processes.broker({ PORT: String(broker.port), JOBS_STORE: "memory" });
  await signIn(page, API_KEY);
  await prompt.waitFor({ state: "hidden" });
  await page.getByText("live", { exact: true }).waitFor();
  expect(tab.errors).toEqual([]);
});

test("without an ADMIN_KEY there are no operator's buttons", async () => {
  const broker = await fleet.processes.broker({ JOBS_STORE: "memory" });
  await fleet.processes.agent(broker, await fleet.processes.backend(), { CLIENT_ID: "plain" });
  await using tab = await openDashboard(browser, broker.origin);
  await signIn(tab.page, API_KEY);
  const row = rowOf(workers(tab.page), "plain");
  await row.waitFor();
  expect(await row.getByRole("button", { name: /plain/ }).count()).toBe(0);
  expect(await workers(tab.page).getByRole("columnheader", { name: "Actions" }).count()).toBe(0);
  const headers = { ...AUTHORIZED };
  const answer = await fetch(`${broker.origin}/api/admin/llm/workers/plain/drain`, { method: "POST", headers });
  expect(answer.status).toBe(403);
});
