// What workers and clients say is text, and on a narrow screen it stays within it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { JobsApi } from "../kit/jobs/jobs.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY } from "../kit/world.ts";
import { startBrowser } from "./browser.ts";
import { ADMIN_KEY } from "./fleet.ts";
import { openDashboard, signIn, tableOf } from "./page.ts";

/** Text that would run a script, or ask another host, if it were taken for HTML; each with a mark of its own. */
const evil = (mark: string): string =>
  `<img src=x onerror="window.ran=1"><script>window.ran=1</script><link rel=stylesheet href=http://192.0.2.1/>"'&${mark}`;
const LONG = "x".repeat(200);

const WORKER = evil("worker");
const MODEL = evil("model");
const ERROR = evil("error");

const processes = new Processes();
let browser: Browser;
let broker: BrokerProgram;
let hand: HandWorker;

beforeAll(async () => {
  browser = await startBrowser();
  broker = await processes.broker({ ADMIN_KEY, JOBS_STORE: "memory", JOBS_CLIENT_TTL: "0" });
  hand = await HandWorker.connect(broker.connectUrl(), { v2: true });
  hand.register({
    worker_id: evil("id").slice(0, 200),
    worker_name: WORKER,
    version: evil("version"),
    models: [MODEL, evil("second"), LONG],
    agent_config: {
      hostname: evil("host"),
      os_name: evil("os"),
      backend_family: evil("family"),
      backend_version: LONG,
    },
  });
  await hand.handled();
  const failing = broker.chat({ model: MODEL });
  const { id } = await hand.frame("head");
  hand.put(batch => batch.putReset(id, "upstream_error", ERROR));
  await (await failing).arrayBuffer();
  void broker.chat({ model: MODEL }, { headers: {} }).catch(() => {});
  const jobs = new JobsApi(broker.origin);
  await jobs.created({ type: evil("type") });
  const { job_id, claim_id } = await jobs.claimed({
    types: [evil("type")],
    worker_id: evil("job-worker"),
    worker_group: LONG,
  });
  await jobs.status(job_id, "running", { claim_id, progress: { [evil("progress")]: evil("value") } });
  await jobs.status(job_id, "failed", { claim_id, error: { code: evil("code"), message: evil("reason") } });
}, 60_000);

afterAll(async () => {
  hand?.close();
  await browser?.close();
  await processes[Symbol.asyncDispose]();
});

/** Presses every button that shows more, until there is none. */
async function unfold(page: Page): Promise<void> {
  const folded = page.getByRole("button", { name: /^more$|^Show \d+ more/ });
  while ((await folded.count()) > 0) await folded.first().click();
}

test("names, models, errors, hosts and jobs made of HTML are text, and nothing of them runs or is asked for", async () => {
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  await signIn(page, API_KEY);
  const workers = tableOf(page, "llm", "Workers");
  await workers.getByText(WORKER, { exact: true }).waitFor();
  await unfold(page);
  await workers.getByText(ERROR, { exact: true }).waitFor();
  await workers.getByRole("listitem").getByText(MODEL, { exact: true }).waitFor();
  for (const mark of ["host", "version"]) await workers.getByText(evil(mark), { exact: true }).waitFor();
  await tableOf(page, "llm", "Models").getByRole("rowheader", { name: MODEL, exact: true }).waitFor();
  const jobs = tableOf(page, "jobs", "Recent jobs");
  // What a worker tells a client is not for everybody who may read the state.
  for (const mark of ["type", "job-worker", "code"]) await jobs.getByText(evil(mark), { exact: true }).waitFor();

  await workers.getByRole("button", { name: `Drain ${WORKER}`, exact: true }).click();
  await page
    .getByRole("dialog")
    .getByRole("heading", { name: `Drain ${WORKER}?`, exact: true })
    .waitFor();

  expect(await page.evaluate("window.ran")).toBeUndefined();
  expect(await page.locator("main img, main script, main link, dialog img, dialog script").count()).toBe(0);
  expect(tab.errors).toEqual([]);
  expect(tab.violations).toEqual([]);
  expect([...new Set(tab.requests.map(url => new URL(url).origin))]).toEqual([broker.origin]);
});

test("the page's own policy lets no text become HTML, no script run within it, and nobody else be asked", async () => {
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  const tried = await page.evaluate(`(async () => {
    const script = document.createElement("script");
    const said = [];
    try { document.body.innerHTML = "<b>x</b>"; said.push("html"); } catch { said.push("refused"); }
    try { script.textContent = "window.ran=1"; document.body.append(script); } catch { said.push("refused"); }
    await fetch("http://192.0.2.1/").then(() => said.push("asked"), () => said.push("refused"));
    return said.join() + window.ran;
  })()`);
  expect(tried).toBe("refused,refused,refusedundefined");
  expect(tab.requests.filter(url => !url.startsWith(broker.origin))).toEqual([]);
});

test.each([320, 390, 768, 1140, 1280, 1920])("nothing is wider than a screen of %d pixels", async width => {
  await using tab = await openDashboard(browser, broker.origin, { viewport: { width, height: 800 } });
  const { page } = tab;
  await signIn(page, API_KEY);
  await tableOf(page, "llm", "Workers").getByText(WORKER, { exact: true }).waitFor();
  await unfold(page);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
});
