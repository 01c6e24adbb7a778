// The bill of materials, in CycloneDX: what `npm sbom` says of the packages that are in the executables.
import { join } from "node:path";
import { z } from "zod";
import type { Stamp } from "../stamp.ts";
import type { Package } from "./packages.ts";

const root = join(import.meta.dir, "..", "..");

const bill = z.looseObject({
  metadata: z.looseObject({ component: z.looseObject({ "bom-ref": z.string() }) }),
  components: z.array(z.looseObject({ "bom-ref": z.string() })),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

/** The same stamp, packages and npm give the same text. Throws when npm is missing or fails. */
export function sbom({ version, sha, date }: Stamp, packages: readonly Package[]): string {
  const all = bill.parse(JSON.parse(npmSbom()));
  const top = all.metadata.component["bom-ref"];
  const runtime = `bun@${Bun.version}`;
  // `npm sbom --omit dev` leaves out packages that both nfrx and its tools use, and takes Bun for one of the tools.
  const shipped = new Set([runtime, ...packages.map(one => `${one.name}@${one.version}`)]);
  const components = all.components.filter(one => shipped.has(one["bom-ref"]));
  if (components.length < shipped.size) throw new Error("npm sbom does not list every package of the executables");
  const digest = new Bun.CryptoHasher("sha256").update(`nfrx ${version} ${sha}`).digest("hex");
  const document = {
    ...all,
    serialNumber: `urn:uuid:${digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-5$3-8$4-$5")}`,
    metadata: {
      ...all.metadata,
      timestamp: date,
      component: { ...all.metadata.component, name: "nfrx", version, purl: `pkg:npm/nfrx@${version}` },
    },
    components: components.map(one =>
      one["bom-ref"] === runtime ? { ...one, type: "platform", scope: "required", properties: [] } : one,
    ),
    dependencies: all.dependencies
      .filter(({ ref }) => ref === top || shipped.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(name => shipped.has(name)) })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function npmSbom(): string {
  const args = ["sbom", "--package-lock-only", "--sbom-format=cyclonedx", "--sbom-type=application"];
  const done = Bun.spawnSync([Bun.which("npm") ?? "npm", ...args], { cwd: root, stdout: "pipe", stderr: "inherit" });
  if (done.exitCode !== 0) throw new Error("npm sbom failed");
  return done.stdout.toString();
}
