// A real Chromium, and a page in it that tells what went wrong.
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Milliseconds that the browser gets for anything. */
const WAIT_MS = 40_000;
/** Where the machine has its Chromium. */
const EXECUTABLE = process.env["CHROMIUM"] ?? Bun.which("chromium") ?? "/usr/bin/chromium";

export function startBrowser(): Promise<Browser> {
  // A container's root may make no namespaces, and its /dev/shm is small.
  return chromium.launch({ executablePath: EXECUTABLE, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A tab and all that it complained about. */
export interface Tab extends AsyncDisposable {
  page: Page;
  /** Errors of the console and of scripts, but for what Chromium itself says of answers with 4xx and of lost connections. */
  errors: string[];
  /** What the Content-Security-Policy stopped. */
  violations: string[];
  /** The addresses that were asked for. */
  requests: string[];
}

/** Opens an address in a tab with a storage of its own. */
export async function openTab(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const tab: Tab = {
    page,
    errors: [],
    violations: [],
    requests: [],
    [Symbol.asyncDispose]: () => context.close(),
  };
  page.on("console", message => {
    const text = message.text();
    if (/Content.Security.Policy|TrustedHTML|TrustedScript/i.test(text)) tab.violations.push(text);
    else if (message.type() === "error" && !/^Failed to load resource/.test(text)) tab.errors.push(text);
  });
  page.on("pageerror", error => tab.errors.push(String(error)));
  page.on("request", request => tab.requests.push(request.url()));
  await page.goto(url);
  return tab;
}
