/** Environment variables that programs need; MCP's own SDK passes the same ones, except for the language. */
const PASSED = [
  ...["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"],
  ...["APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PROCESSOR_ARCHITECTURE", "PROGRAMFILES", "SYSTEMDRIVE"],
  ...["SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "PATHEXT", "COMSPEC"],
];

export interface EnvironmentOptions {
  /** Variables that are set for the server. */
  env: Readonly<Record<string, string>>;
  /** Names of variables of this process that are passed on. */
  passEnv: readonly string[];
}

/** Variables for network access: proxies and trusted certificates. */
const NETWORK = [
  ...["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"],
];

/** The environment of a server: few of this process's variables, which contain keys, and those that were configured. */
export function environment({ env: set, passEnv }: EnvironmentOptions): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of [...PASSED, ...NETWORK, ...passEnv]) {
    const value = process.env[name];
    // A shell function is code, not a value.
    if (value !== undefined && !value.startsWith("()")) env[name] = value;
  }
  return { ...env, ...set };
}
