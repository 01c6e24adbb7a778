// What a release says of itself: units, notes, formulas, the bill of materials, the rights.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { programs } from "../../../cmd/programs.ts";
import { archiveName } from "../../../scripts/release/archive.ts";
import { copyright } from "../../../scripts/release/copyright.ts";
import { agentPackages, brokerPackage, debianVersion, type Named } from "../../../scripts/release/debian.ts";
import type { Entry } from "../../../scripts/release/entry.ts";
import { fill } from "../../../scripts/release/fill.ts";
import { formula } from "../../../scripts/release/formula.ts";
import { releaseNotes } from "../../../scripts/release/notes.ts";
import { bundledPackages } from "../../../scripts/release/packages.ts";
import { sbom } from "../../../scripts/release/sbom.ts";
import { services, unit } from "../../../scripts/release/services.ts";
import { targetNames } from "../../../scripts/targets.ts";

const root = join(import.meta.dir, "..", "..", "..");
const stamp = { version: "1.2.3", sha: "abc", epoch: 1_700_000_000, date: "2023-11-14T22:13:20Z" };

test("a template with a name that nobody knows is refused", () => {
  expect(fill("@A@ and a@b.example", { A: "1" })).toBe("1 and a@b.example");
  expect(() => fill("@toString@", {})).toThrow("@toString@");
});

describe("notes", () => {
  const changelog =
    "# Changelog\n\n## [Unreleased]\n\nsoon\n\n## [1.2.3] - 2030-01-01\n\n### Added\n\n- much\n\n## [1.2.2]\n\n- little\n\n[1.2.3]: https://x.example\n";
  test.each([
    ["1.2.3", "# nfrx 1.2.3\n\n### Added\n\n- much\n"],
    ["1.2.2", "# nfrx 1.2.2\n\n- little\n"],
    ["1.3.0", "# nfrx 1.3.0\n\nsoon\n"],
  ])("of %s", (version, text) => {
    expect(releaseNotes(changelog, version)).toBe(text);
  });

  test("need a part of the changelog", () => {
    expect(() => releaseNotes("# Changelog\n\n## [1.0.0]\n", "2.0.0")).toThrow("2.0.0");
  });
});

test("each formula has the checksum of each archive that it names", () => {
  const sums = new Map(targetNames.map((target, index) => [target, `${index}`.repeat(64)] as const));
  const text = readFileSync(join(root, "packaging", "homebrew", "formula.rb"), "utf8");
  for (const service of services) {
    const filled = formula(text, service, { version: "1.2.3", repository: "some/where", sums });
    expect(filled).toContain(
      `class ${{ nfrx: "Nfrx", "nfrx-llm": "NfrxLlm", "nfrx-mcp": "NfrxMcp", "nfrx-asr": "NfrxAsr", "nfrx-docling": "NfrxDocling" }[service.name]} < Formula`,
    );
    const pairs = [...filled.matchAll(/url "(\S+)"\s+sha256 "(\w+)"/g)].map(([, url, sum]) => [url, sum]);
    expect(pairs.length).toBeGreaterThan(0);
    for (const [url, sum] of pairs) {
      const target = targetNames.find(name => url?.includes(`/${archiveName(name, "1.2.3")}.`));
      expect(url).toStartWith("https://github.com/some/where/releases/download/v1.2.3/");
      expect(sums.get(target ?? "linux-x64-musl")).toBe(sum ?? "");
    }
    expect(() => formula(text, service, { version: "1.2.3", repository: "some/where", sums: new Map() })).toThrow(
      "SHA256",
    );
  }
});

test("the bill of materials names Bun and every package, and is the same each time", () => {
  const packages = bundledPackages();
  const text = sbom(stamp, packages);
  expect(sbom(stamp, packages)).toBe(text);
  const bill = JSON.parse(text);
  const dependencies: Record<string, string> = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  ).dependencies;
  const named: string[] = bill.components.map((one: { purl: string }) => one.purl);
  for (const [name, version] of Object.entries({ ...dependencies, bun: Bun.version })) {
    expect(named).toContain(`pkg:npm/${name.replace("@", "%40")}@${version}`);
  }
  expect(named).not.toContainEqual(expect.stringContaining("typescript"));
  const sums = bill.components.flatMap((one: { hashes?: { content: string }[] }) => one.hashes ?? []);
  expect(sums).not.toBeEmpty(); // the lock file has checksums of most packages
  for (const { content } of sums) expect(content).toMatch(/^[0-9a-f]{128}$/);
  expect(bill.serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("the rights name every package and the text of every licence", () => {
  const page = copyright(bundledPackages(), "licenses");
  for (const { name, license } of bundledPackages()) {
    expect(page).toContain(`Files: node_modules/${name}/*\n`);
    expect(page).toContain(`\nLicense: ${license}\n `);
  }
  expect(page).toContain("Permission is hereby granted");
});

describe("a unit", () => {
  test.each(services)("of $name names its program, settings and folders", service => {
    const text = unit(service, "/usr/bin");
    const { name, config } = service;
    expect(text).toContain(`\nExecStart=/usr/bin/${name}\n`);
    expect(text).toContain(`\nEnvironmentFile=-/etc/nfrx/${config}.env\n`);
    expect(text).toContain(`\nStateDirectory=${name}\n`);
    // The group nfrx may open the broker's control socket, which is there: see controlSockets.
    expect(text).toContain(`\nRuntimeDirectory=${name}\nRuntimeDirectoryMode=${name === "nfrx" ? "0750" : "0700"}\n`);
    expect(programs.some(program => program.name === name && program.configFile === `${config}.yaml`)).toBe(true);
    // Whoever has no broker waits for one.
    expect(text.includes("\nEnvironment=RECONNECT=true\n")).toBe(name !== "nfrx");
    expect(text).not.toMatch(/@[A-Z_]+@/);
  });
});

describe("a package", () => {
  const release = { stamp, maintainer: "a <a@b.example>" };
  const executable = { arch: "amd64", bytes: Buffer.from("program"), dependencies: bundledPackages() };
  const textOf = (files: readonly Entry[], path: string): string =>
    files.flatMap(one => (one.path === path && one.kind === "file" ? [Buffer.from(one.body).toString()] : [])).join();
  const packageOf = async (name: string): Promise<Named> => {
    const all = [await brokerPackage(release, executable), ...(await agentPackages(release))];
    const found = all.filter(one => one.name.startsWith(`${name}_`));
    expect(found).toHaveLength(1);
    return found[0] as Named;
  };

  test.each(services)("of $name has its settings as a file that is kept", async service => {
    const { control, data } = (await packageOf(service.name)).contents;
    const [settings, other] = textOf(control, "conffiles").trim().split("\n");
    expect(settings).toBe(`/etc/nfrx/${service.config}.env`);
    expect(other).toBeUndefined();
    expect(textOf(data, settings?.slice(1) ?? "")).toBe(
      readFileSync(join(root, "examples", "config", `${service.config}.env`), "utf8"),
    );
    // Every line of the description but the first begins with a blank and is not too long.
    const [, description = ""] = textOf(control, "control").split("\nDescription: ");
    const [synopsis = "", ...lines] = description.trimEnd().split("\n");
    expect(synopsis.length).toBeLessThan(80);
    for (const line of lines) expect(line).toMatch(/^ .{1,79}$/);
    expect(data.map(({ path }) => path)).toContain(`usr/share/man/man1/${service.name}.1.gz`);
  });

  test("of the broker alone has the executable; those of the agents link to it and depend on the same version", async () => {
    const programs = (entries: readonly Entry[]) =>
      entries
        .filter(({ path }) => path.startsWith("usr/bin/"))
        .map(one => ("to" in one ? `${one.path} -> ${one.to}` : one.path));
    const broker = await brokerPackage(release, executable);
    expect(broker.name).toBe("nfrx_1.2.3_amd64.deb");
    expect(programs(broker.contents.data)).toEqual(["usr/bin/nfrx"]);
    const agents = await agentPackages(release);
    expect(agents.map(({ name }) => name).sort()).toEqual(
      ["nfrx-asr", "nfrx-docling", "nfrx-llm", "nfrx-mcp"].map(name => `${name}_1.2.3_all.deb`),
    );
    for (const { name, contents } of agents) {
      expect(programs(contents.data)).toEqual([`usr/bin/${name.split("_")[0]} -> nfrx`]);
      expect(textOf(contents.control, "control")).toContain("\nDepends: adduser, nfrx (= 1.2.3)\n");
    }
    // No file is in two packages.
    const paths = [broker, ...agents].flatMap(({ contents }) => contents.data.map(({ path }) => path));
    expect(new Set(paths).size).toBe(paths.length);
  });

  test.each([
    ["0.1.0", "0.1.0"],
    ["1.0.0-rc.1", "1.0.0~rc.1"],
    ["0.1.0-snapshot.abc-dirty", "0.1.0~snapshot.abc.dirty"],
  ])("of version %s is %s", (version, debian) => {
    expect(debianVersion(version)).toBe(debian);
  });

  test.skipIf(Bun.which("sh") === null)("has scripts that a shell can read", async () => {
    for (const service of services) {
      for (const { mode, body } of (await packageOf(service.name)).contents.control) {
        if (mode !== 0o755) continue;
        const read = Bun.spawnSync(["sh", "-n"], { stdin: Buffer.from(body) });
        expect(read.stderr.toString()).toBe("");
        expect(read.exitCode).toBe(0);
      }
    }
  });
});
