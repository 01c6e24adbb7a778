// What nfrx is built for.

/**
 * Our name of a target → Bun's npm package with that target's runtime, each of them in package-lock.json. The x64 runtime
 * of Bun 1.4.5 needs no AVX, so there is no second one for older processors.
 */
export const targets = {
  "linux-x64": "@oven/bun-linux-x64",
  "linux-x64-musl": "@oven/bun-linux-x64-musl",
  "linux-arm64": "@oven/bun-linux-aarch64",
  "darwin-x64": "@oven/bun-darwin-x64",
  "darwin-arm64": "@oven/bun-darwin-aarch64",
  "windows-x64": "@oven/bun-windows-x64",
} as const;
export type Target = keyof typeof targets;

export const targetNames = Object.keys(targets).filter(isTarget);

export function isTarget(name: string): name is Target {
  return Object.hasOwn(targets, name);
}

/** The name of a program's file. */
export function fileName(program: string, target: Target | undefined): string {
  const windows = target === undefined ? process.platform === "win32" : target.startsWith("windows");
  return windows ? `${program}.exe` : program;
}
