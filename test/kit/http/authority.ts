import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority of its own and the certificates it gives, made by openssl in a folder. */
export class Authority {
  constructor(readonly folder: string) {
    this.#openssl("req", "-x509", ...KEY, "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem");
  }

  get file(): string {
    return join(this.folder, "ca.pem");
  }

  async pem(): Promise<string> {
    return await Bun.file(this.file).text();
  }

  /** A pair for 127.0.0.1 whose common name is `name`: `<name>.pem` and `<name>.key`; with negative `days` it has expired. */
  issue(name: string, days = 2): void {
    writeFileSync(join(this.folder, "san.txt"), "subjectAltName=IP:127.0.0.1\n");
    this.#openssl("req", ...KEY, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", String(days)];
    const files = ["-in", `${name}.csr`, "-extfile", "san.txt", "-out", `${name}.pem`];
    this.#openssl("x509", "-req", ...files, ...signed);
  }

  /** Puts a pair where the broker looks for it, by renaming, as certbot does. */
  install(name: string): void {
    for (const kind of ["key", "pem"])
      renameSync(join(this.folder, `${name}.${kind}`), join(this.folder, `server.${kind}`));
  }

  #openssl(...args: string[]): void {
    const done = Bun.spawnSync(["openssl", ...args], { cwd: this.folder, stdout: "ignore", stderr: "pipe" });
    if (done.exitCode !== 0) throw new Error(`openssl ${args[0]}: ${done.stderr}`);
  }
}
