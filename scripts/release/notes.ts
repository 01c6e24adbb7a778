// What a release is said to bring: its part of the changelog.

/** The text under the heading of a version, or under "Unreleased" when there is none of its own. Throws when there is neither. */
export function releaseNotes(changelog: string, version: string): string {
  const parts = changelog.split(/^## /m).slice(1);
  const find = (name: string) => parts.find(part => part.startsWith(`[${name}]`) || part.startsWith(`${name} `));
  const part = find(version) ?? find("Unreleased");
  if (part === undefined) throw new Error(`CHANGELOG.md says nothing of ${version}`);
  // Links at the end of the page belong to no version.
  const body = part
    .split("\n")
    .slice(1)
    .join("\n")
    .replace(/\n\[[^\]]+\]: \S+[\s\S]*$/, "");
  return `# nfrx ${version}\n\n${body.trim()}\n`;
}
