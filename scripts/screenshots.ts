// The pictures of the dashboard in doc/img: a fleet of real agents, and the machine's Chromium.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startBrowser } from "../test/browser/browser.ts";
import { openDashboard, signIn } from "../test/browser/page.ts";
import { API_KEY } from "../test/kit/world.ts";
import { liveThrough } from "./screenshots/day.ts";
import { Fleet } from "./screenshots/fleet.ts";

const folder = process.argv[2] ?? join(import.meta.dir, "..", "doc", "img");

const PICTURES = [
  { name: "dashboard-light", colorScheme: "light", viewport: { width: 1440, height: 1100 } },
  { name: "dashboard-dark", colorScheme: "dark", viewport: { width: 1440, height: 1100 } },
  { name: "dashboard-phone", colorScheme: "light", viewport: { width: 390, height: 1500 } },
] as const;

mkdirSync(folder, { recursive: true });
await using fleet = new Fleet();
await liveThrough(fleet);
await using browser = await startBrowser();
for (const { name, colorScheme, viewport } of PICTURES) {
  await using tab = await openDashboard(browser, fleet.origin, { colorScheme, viewport, reducedMotion: "reduce" });
  await signIn(tab.page, API_KEY);
  await tab.page.getByRole("rowheader", { name: "atelier" }).first().waitFor();
  await tab.page.mouse.move(0, 0);
  await tab.page.screenshot({ path: join(folder, `${name}.png`), fullPage: process.argv.includes("--full") });
  for (const trouble of [...tab.errors, ...tab.violations]) console.error(trouble);
  console.log(`wrote ${name}.png`);
}
