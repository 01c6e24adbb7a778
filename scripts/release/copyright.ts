// Who holds the rights in what a release consists of, as Debian wants it told (DEP 5).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Package } from "./packages.ts";
import { template } from "./services.ts";

const root = join(import.meta.dir, "..", "..");
/** Licences whose text is a file of its own: Debian has them in common, an archive below licenses/. */
export const COMMON = ["Apache-2.0", "LGPL-2", "LGPL-2.1"] as const;

const OWN = [
  "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: nfrx",
  "Files: *\nCopyright: 2026 the nfrx authors\nLicense: MIT",
].join("\n\n");

/** The page of a package without the executable. */
export const ownCopyright = (): string => `${OWN}\n\n${licence("MIT", termsOf(ownLicence()))}\n`;

/** The page; `common` names the folder with the texts of the common licences. */
export function copyright(packages: readonly Package[], common: string): string {
  const texts = new Map([["MIT", termsOf(ownLicence())]]);
  for (const { license, text } of packages) {
    if (text !== undefined && !texts.has(license) && !isCommon(license)) texts.set(license, termsOf(text));
  }
  const missing = packages.filter(({ license }) => !texts.has(license) && !isCommon(license));
  if (missing.length > 0) throw new Error(`no text of the licences of ${missing.map(one => one.name).join(", ")}`);
  return `${[
    OWN,
    template("debian/copyright-bun").trim(),
    ...packages.map(
      ({ name, license, text }) =>
        `Files: node_modules/${name}/*\nCopyright: ${holders(name, license, text)}\nLicense: ${license}`,
    ),
    ...[...texts].map(([license, terms]) => licence(license, terms)),
    ...COMMON.map(license => `License: ${license}\n The text of this licence is in ${common}/${license}.`),
  ].join("\n\n")}\n`;
}

const ownLicence = (): string => readFileSync(join(root, "LICENSE"), "utf8");

const licence = (name: string, terms: string): string => `License: ${name}\n${indented(terms)}`;

const isCommon = (license: string): boolean => COMMON.some(name => name === license);

/** The lines of a licence that say whose it is; the Apache licence is the same for all. */
function holders(name: string, license: string, text: string | undefined): string {
  const lines = (text ?? "")
    .split("\n")
    .filter(line => /^\W*copyright\b/i.test(line) && /\d{4}|rights|@|by/i.test(line));
  const found = lines.map(line => line.replace(/^\W*copyright\s*(\(c\)|©)?\s*/i, "").trim());
  return isCommon(license) || found.length === 0 ? `the authors of ${name}` : found.join("\n ");
}

/** A licence without its title and without whose it is. */
function termsOf(text: string): string {
  const paragraphs = text.split(/\n\s*\n/).map(part => part.trim());
  return paragraphs
    .filter(part => !/^\W*copyright\b/i.test(part) && !/^[\w\s()-]*licen[cs]e[\w\s()-]*$/i.test(part))
    .join("\n\n");
}

const indented = (text: string): string =>
  text
    .split("\n")
    .map(line => (line.trim() === "" ? " ." : ` ${line.trim()}`))
    .join("\n");
