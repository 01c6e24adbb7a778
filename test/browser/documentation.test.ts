// The page of the API in a real browser.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { wholeBroker } from "../kit/broker/whole.ts";
import { openTab, startBrowser } from "./browser.ts";

const API_KEY = "the-api-key";
const broker = wholeBroker({ apiKey: API_KEY, clientKey: "the-client-key" });
const url = `http://127.0.0.1:${broker.port}/api/client`;
let browser: Browser;

beforeAll(async () => {
  browser = await startBrowser();
});

afterAll(async () => {
  await browser.close();
  await broker.stop();
});

/** Opens a part of the API, and in it an operation. */
async function open(page: Page, tag: string, place: string): Promise<void> {
  await page.locator(`#operations-tag-${tag}`).click();
  await page.locator(place).locator(".opblock-summary-control").first().click();
}

/** Sends an open operation as it stands; what the page shows of the answer, once it has this status. */
async function execute(page: Page, place: string, status: number): Promise<string> {
  const block = page.locator(place);
  await block.getByRole("button", { name: "Execute" }).click();
  const answer = block.locator(".live-responses-table tr.response").filter({ hasText: new RegExp(`^${status}`) });
  await answer.waitFor();
  return answer.innerText();
}

test("a reader brings a key and tries a route, and nobody but the broker is asked", async () => {
  await using tab = await openTab(browser, url);
  const { page } = tab;
  const place = "#operations-state-get_api_state";
  await open(page, "state", place);
  await page.locator(place).getByRole("button", { name: "Try it out" }).click();
  expect(await execute(page, place, 401)).toContain("authentication_error");

  await page.locator(".auth-wrapper").getByRole("button", { name: "Authorize" }).first().click();
  const dialog = page.locator(".dialog-ux .auth-container").filter({ hasText: "API_KEY  (http, Bearer)" });
  await dialog.getByRole("textbox").fill(API_KEY);
  await dialog.getByRole("button", { name: "Apply credentials" }).click();
  await page.locator(".dialog-ux .close-modal").click();
  expect(await execute(page, place, 200)).toContain("drainable_inflight");

  expect([tab.errors, tab.violations]).toEqual([[], []]);
  expect(tab.requests.filter(request => new URL(request).origin !== new URL(url).origin)).toEqual([]);
  // The key stays in the page: a tab that is opened anew knows nothing of it.
  expect(JSON.stringify(await page.context().storageState())).not.toContain(API_KEY);
});

test.each(["light", "dark"] as const)("the page is %s where its reader's system is", async colorScheme => {
  await using tab = await openTab(browser, url, { colorScheme });
  await tab.page.locator("#operations-tag-llm").waitFor();
  const background = String(await tab.page.evaluate("getComputedStyle(document.body).backgroundColor"));
  expect(Number(/\d+/.exec(background)?.[0]) > 127).toBe(colorScheme === "light");
  expect([tab.errors, tab.violations]).toEqual([[], []]);
});

test("below a path prefix the page asks the broker below it", async () => {
  const proxy = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: request => {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith("/nfrx/")) return new Response("not here", { status: 404 });
      return fetch(`http://127.0.0.1:${broker.port}${pathname.slice("/nfrx".length)}`, { decompress: false });
    },
  });
  await using tab = await openTab(browser, `http://127.0.0.1:${proxy.port}/nfrx/api/client/`);
  const { page } = tab;
  const place = "#operations-health-get_healthz";
  await open(page, "health", place);
  await page.locator(place).getByRole("button", { name: "Try it out" }).click();
  expect(await execute(page, place, 200)).toContain('"status": "ok"');
  expect(tab.requests.at(-1)).toBe(`http://127.0.0.1:${proxy.port}/nfrx/healthz`);
  expect(tab.requests.filter(request => !new URL(request).pathname.startsWith("/nfrx/"))).toEqual([]);
  await proxy.stop(true);
});
