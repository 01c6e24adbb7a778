import { expect, test } from "bun:test";
import { World } from "../kit/world.ts";

const FILES: Record<string, string> = {
  "/state": "text/html; charset=utf-8",
  "/state/page.js": "text/javascript; charset=utf-8",
  "/state/style.css": "text/css; charset=utf-8",
  "/state/icon.svg": "image/svg+xml",
};

test("the dashboard's files are there without a key, each with its type and a policy that allows nothing from elsewhere", async () => {
  await using world = new World();
  for (const [path, type] of Object.entries(FILES)) {
    const response = await fetch(world.origin + path);
    expect({ path, status: response.status, type: response.headers.get("content-type") }).toEqual({
      path,
      status: 200,
      type,
    });
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(policy).not.toContain("http");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect((await response.text()).length).toBeGreaterThan(100);
  }
});

test("the page names nothing but its own files, and has no script or style within it", async () => {
  await using world = new World();
  const page = await (await fetch(`${world.origin}/state`)).text();
  const named = [...page.matchAll(/(?:src|href)="([^"#][^"]*)"/g)].map(([, path]) => `/${path}`);
  expect(named.sort()).toEqual(Object.keys(FILES).slice(1).sort());
  expect(page).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/);
});

test("a browser that has a file is told so, and one that has another gets it", async () => {
  await using world = new World();
  for (const path of Object.keys(FILES)) {
    const first = await fetch(world.origin + path);
    expect(first.headers.get("cache-control")).toBe("no-cache");
    const etag = first.headers.get("etag") ?? "";
    const ask = async (tag: string) => {
      const response = await fetch(world.origin + path, { headers: { "if-none-match": tag } });
      return { status: response.status, etag: response.headers.get("etag"), body: (await response.text()).length > 0 };
    };
    expect(await ask(etag)).toEqual({ status: 304, etag, body: false });
    expect(await ask(`"other", W/${etag}`)).toEqual({ status: 304, etag, body: false });
    expect(await ask('"other"')).toEqual({ status: 200, etag, body: true });
  }
});

test("a page has one address: with a slash at its end it is not there", async () => {
  await using world = new World();
  expect((await fetch(`${world.origin}/state/`)).status).toBe(404);
  expect((await fetch(`${world.origin}/state`)).status).toBe(200);
});
