import { expect, test } from "bun:test";
import { programs } from "../../../cmd/programs.ts";
import { misspelt } from "../../../src/config/nearest.ts";
import { catalogOf } from "../../../src/config/program.ts";

const namesOf = (program: (typeof programs)[number]): string[] =>
  catalogOf(program).options.flatMap(({ env, aliases }) => [env, ...aliases]);
const [broker] = programs;
const names = broker === undefined ? [] : namesOf(broker);

test.each([
  ["API_KYE", "API_KEY"],
  ["APIKEY", "API_KEY"],
  ["API_KEYS", "API_KEY"],
  ["CLIENT_KEI", "CLIENT_KEY"],
  ["METRICS_PROT", "METRICS_PORT"],
  ["api_key", "API_KEY"],
])("%s is probably %s", (name, meant) => {
  expect(misspelt({ [name]: "x" }, names)).toEqual([{ name, meant }]);
  expect(misspelt({ [name]: " " }, names)).toEqual([]);
});

test("what any machine has in its environment is no misspelt option", () => {
  const common =
    "HOME HOSTNAME PATH PWD OLDPWD USER LOGNAME SHELL SHLVL TERM LANG LC_ALL TZ TMPDIR EDITOR PAGER MAIL DISPLAY SSH_TTY SSH_AUTH_SOCK INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET STATE_DIRECTORY LISTEN_FDS NODE_ENV KUBERNETES_PORT KUBERNETES_SERVICE_HOST HTTP_PROXY HTTPS_PROXY NO_PROXY DOCKER_HOST XDG_RUNTIME_DIR NFRX_PORT OPENAI_API_KEY OLLAMA_HOST";
  const env = Object.fromEntries(common.split(" ").map(name => [name, "x"]));
  for (const program of programs) expect(misspelt(env, namesOf(program))).toEqual([]);
});

test("an option of one program is no misspelt one of another", () => {
  const all = Object.fromEntries(programs.flatMap(namesOf).map(name => [name, "x"]));
  for (const program of programs) expect(misspelt(all, namesOf(program))).toEqual([]);
});
