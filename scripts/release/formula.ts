// Homebrew's formulas, with the version and the checksums of a release.
import { fill } from "./fill.ts";
import type { Service } from "./services.ts";

export interface Published {
  readonly version: string;
  /** `owner/name` on GitHub, under whose releases the archives are. */
  readonly repository: string;
  /** SHA-256 in hex of the archive of each target, as `linux-x64`. */
  readonly sums: ReadonlyMap<string, string>;
}

/** The formula of a program out of that for all of them. Throws when it asks for what there is not. */
export function formula(text: string, service: Service, { version, repository, sums }: Published): string {
  const checksums = [...sums].map(([target, sum]) => [`SHA256_${target.replaceAll("-", "_")}`, sum]);
  const filled = fill(text, {
    NAME: service.name,
    DESCRIPTION: service.title.replace(/^./, first => first.toUpperCase()),
    CONFIG: `${service.config}.yaml`,
    VERSION: version,
    REPOSITORY: repository,
    ...Object.fromEntries(checksums),
  });
  return filled.replace(
    "FormulaName",
    service.name.replaceAll(/(?:^|-)(.)/g, (_, first: string) => first.toUpperCase()),
  );
}
