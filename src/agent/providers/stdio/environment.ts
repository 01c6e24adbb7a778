/** What programs need of the environment they are started from; MCP's own SDK passes on the same, but for the language. */
const PASSED = [
  ...["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"],
  ...["APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PROCESSOR_ARCHITECTURE", "PROGRAMFILES", "SYSTEMDRIVE"],
  ...["SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "PATHEXT", "COMSPEC"],
];

/** The environment of a server: little of this process's own, which holds keys, and what was set for it. */
export function environment(set: Readonly<Record<string, string>>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of PASSED) {
    const value = process.env[name];
    // A shell function is code, not a value.
    if (value !== undefined && !value.startsWith("()")) env[name] = value;
  }
  return { ...env, ...set };
}
