import { expect, test } from "bun:test";
import { programs } from "../../../cmd/programs.ts";
import { shared } from "../../../scripts/share.ts";
import { catalogOf } from "../../../src/config/program.ts";

const build = { version: "1.2.3", sha: "abc", date: "2030-04-05T06:07:08Z" };
const files = shared(build);
const file = (path: string): string => files.get(path) ?? "";

test("every option stands in the manual page and in the completions of each shell", () => {
  for (const program of programs) {
    const { name } = program;
    const page = file(`man/man1/${name}.1`).replaceAll("\\-", "-");
    const fish = file(`fish/vendor_completions.d/${name}.fish`);
    for (const { env, flag, yaml } of catalogOf(program).options) {
      expect(page).toContain(`\\fB--${flag}\\fR`);
      expect(page).toContain(`\\fB${env}\\fR`);
      expect(page).toContain(`\\fB${yaml[0]}\\fR`);
      expect(file(`bash-completion/completions/${name}`)).toContain(` --${flag}`);
      expect(file(`zsh/vendor-completions/_${name}`)).toContain(`'--${flag}[`);
      expect(fish).toContain(`-l ${flag} `);
    }
  }
});

test("a manual page says which build it is of", () => {
  expect(file("man/man1/nfrx-llm.1")).toContain('.TH NFRX\\-LLM 1 "2030-04-05" "nfrx 1.2.3" "nfrx"');
});

/** What bash offers for a command line whose last word is being typed. */
async function offered(...words: string[]): Promise<string[]> {
  const script = `${file("bash-completion/completions/nfrx")}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _nfrx; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const bash = Bun.spawn(["bash", "-c", script, "bash", ...words], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = [await bash.stdout.text(), await bash.stderr.text()];
  expect(err).toBe("");
  return out.split("\n").filter(line => line !== "");
}

test("bash offers commands, flags and the values of a choice", async () => {
  expect(await offered("nfrx", "de")).toEqual(["demo"]);
  expect(await offered("nfrx", "--log-f")).toEqual(["--log-format"]);
  expect(await offered("nfrx", "--log-format", "p")).toEqual(["pretty"]);
  expect(await offered("nfrx", "--port", "")).toEqual([]);
});
