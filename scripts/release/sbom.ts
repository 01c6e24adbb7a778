// The bill of materials, in CycloneDX 1.5: what is in the executables.
import type { Stamp } from "../stamp.ts";
import type { Package } from "./packages.ts";

interface Component {
  type: string;
  name: string;
  version: string;
  license?: string;
  integrity?: string;
}

/** The same stamp and packages give the same text. */
export function sbom(stamp: Stamp, packages: readonly Package[], bun: string): string {
  const { version, sha, date } = stamp;
  const digest = new Bun.CryptoHasher("sha256").update(`nfrx ${version} ${sha}`).digest("hex");
  const serial = digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-5$3-8$4-$5");
  const runtime: Component = { type: "platform", name: "bun", version: bun, license: "MIT" };
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${serial}`,
    version: 1,
    metadata: {
      timestamp: date,
      component: component({ type: "application", name: "nfrx", version, license: "MIT" }),
    },
    components: [runtime, ...packages.map(one => ({ type: "library", ...one }))].map(component),
    dependencies: [
      { ref: `nfrx@${version}`, dependsOn: [`bun@${bun}`, ...packages.map(one => `${one.name}@${one.version}`)] },
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function component({ type, name, version, license, integrity }: Component) {
  return {
    type,
    "bom-ref": `${name}@${version}`,
    name,
    version,
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    ...(license ? { licenses: [{ license: { id: license } }] } : {}),
    ...(integrity ? { hashes: [{ alg: "SHA-512", content: hexOf(integrity) }] } : {}),
  };
}

const hexOf = (integrity: string): string => Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
