/**
 * One clock for all processes of the bench. Bun's own `process.hrtime` and `Bun.nanoseconds` count from the start of
 * the process, so a backend's send time means nothing to the load generator; the kernel's CLOCK_MONOTONIC does.
 */
import { dlopen, ptr } from "bun:ffi";

const CLOCK_MONOTONIC = process.platform === "darwin" ? 6 : 1;

function libraries(): string[] {
  if (process.platform === "darwin") return ["libSystem.dylib"];
  return ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];
}

function kernelClock(): (() => number) | null {
  for (const library of libraries()) {
    try {
      const libc = dlopen(library, { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });
      const time = new BigInt64Array(2);
      const address = ptr(time);
      if (libc.symbols.clock_gettime(CLOCK_MONOTONIC, address) !== 0) continue;
      return () => {
        libc.symbols.clock_gettime(CLOCK_MONOTONIC, address);
        return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
      };
    } catch {
      // Not this C library: try the next name.
    }
  }
  return null;
}

/** Milliseconds, comparable between processes of this machine; the wall clock where the kernel's cannot be had. */
export const now: () => number = kernelClock() ?? (() => performance.timeOrigin + performance.now());
