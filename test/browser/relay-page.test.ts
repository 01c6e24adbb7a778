// A page that a hostile relay serves on the broker's origin: it gets no service worker, and nothing of the dashboard.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";
import { startBrowser } from "./browser.ts";
import { openDashboard, signIn } from "./page.ts";

const PAGE = `<!doctype html><title>evil</title><script>
document.title = "ran";
navigator.serviceWorker.register("sw.js", { scope: "/" });
</script><p>hi</p>`;

const processes = new Processes();
let browser: Browser;
let broker: BrokerProgram;
const asked: string[] = [];

beforeAll(async () => {
  browser = await startBrowser();
  // An open relay, as its page is opened without credentials.
  broker = await processes.broker({ MCP_ALLOW_OPEN: "true" });
  const backend = await processes.backend({
    respond: ({ url }) => {
      const path = new URL(url).pathname;
      asked.push(path);
      const script = path.endsWith(".js");
      return new Response(script ? "self.addEventListener('fetch', () => {})" : PAGE, {
        headers: {
          "content-type": script ? "text/javascript" : "text/html",
          "service-worker-allowed": "/",
          "set-cookie": "evil=1; Path=/",
        },
      });
    },
  });
  await processes.relay(broker, { http: `${backend.origin}/mcp` }, { CLIENT_ID: "evil", MCP_OPEN: "true" });
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await processes[Symbol.asyncDispose]();
});

test("its scripts do not run, and the key of the dashboard in the same tab stays out of reach", async () => {
  await using tab = await openDashboard(browser, broker.origin);
  const { page } = tab;
  await signIn(page, API_KEY);
  await page.locator("#uptime").waitFor();
  await page.waitForFunction("Object.keys(sessionStorage).length > 0");
  await page.goto(`${broker.origin}/api/mcp/id/evil/hi`);
  expect(await page.locator("p").textContent()).toBe("hi");
  expect(await page.title()).toBe("evil");
  // Even a script in it would be on an origin of its own, without storage, cookies or service workers.
  const reach = (expression: string): Promise<string> =>
    page.evaluate(
      `(async () => { try { return String(await (${expression})); } catch (error) { return error.name; } })()`,
    );
  expect(await reach("self.origin")).toBe("null");
  expect(await reach("sessionStorage.length")).toBe("SecurityError");
  expect(await reach("localStorage.length")).toBe("SecurityError");
  expect(await reach("document.cookie")).toBe("SecurityError");
  expect(await reach("navigator.serviceWorker.register('/api/mcp/id/evil/sw.js')")).not.toContain("Registration");
  expect(await page.context().cookies()).toEqual([]);
});

test("not even the dashboard itself could register a script of a relay", async () => {
  await using tab = await openDashboard(browser, broker.origin);
  const refused = await tab.page.evaluate(
    `navigator.serviceWorker.register("/api/mcp/id/evil/sw.js", { scope: "/" }).then(() => "registered", error => error.name)`,
  );
  expect(refused).toBe("TypeError");
  expect(await tab.page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)")).toBe(0);
  expect(asked).not.toContain("/mcp/sw.js");
  // What a document may load is what its policy allows: no script of a relay.
  const response = await fetch(`${broker.origin}/api/mcp/id/evil/sw.js`, { headers: { "sec-fetch-dest": "script" } });
  expect(response.status).toBe(403);
});
