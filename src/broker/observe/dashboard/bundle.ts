import { join } from "node:path";

/**
 * The page's scripts as one file for browsers. Called as a macro: it runs where the broker is compiled, or started from
 * source, and leaves its answer behind as a text. Within a macro Bun.build would wait for itself, so a process does it.
 */
export function pageScript(): string {
  const entry = join(import.meta.dir, "page", "main.ts");
  const command = [process.execPath, "build", entry, "--target=browser", "--minify"];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`the dashboard's scripts: ${stderr}`);
  return stdout.toString();
}
