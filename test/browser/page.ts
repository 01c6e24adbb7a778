// The dashboard in a tab: how it is opened, and where things are in it.
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { openTab, type Tab } from "./browser.ts";

/** Opens the dashboard of a broker in a tab with a storage of its own. */
export function openDashboard(browser: Browser, origin: string, options: BrowserContextOptions = {}): Promise<Tab> {
  return openTab(browser, `${origin}/state`, options);
}

/** Gives the page its API key. */
export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The card of a table within a section of the page, such as the workers of `llm`. */
export function tableOf(page: Page, section: string, title: string): Locator {
  return page
    .locator(`#module-${section} .card`)
    .filter({ has: page.getByRole("heading", { name: title, exact: true }) });
}

/** The row that has this name. */
export function rowOf(table: Locator, name: string): Locator {
  return table.getByRole("row").filter({ has: table.page().getByRole("rowheader", { name, exact: true }) });
}

/** The names of the rows, from top to bottom. */
export async function namesOf(table: Locator): Promise<string[]> {
  return table.locator("tbody th .lines > span:first-child").allTextContents();
}

/** Resolves once the page has shown another state than the one before: the broker's uptime is told in seconds. */
export async function nextState(page: Page): Promise<void> {
  const before = await page.locator("#uptime").textContent();
  await page
    .locator("#uptime")
    .filter({ hasNotText: before ?? "" })
    .waitFor();
}
