import { describe, expect, test } from "bun:test";
import {
  Admission,
  KEYLESS_MAX,
  KEYLESS_PER_ADDRESS,
  KEYLESS_READ_AT_ONCE,
} from "../../../src/broker/pool/admission.ts";

const address = (n: number): string => `203.0.113.${n}`;

describe("who is let in", () => {
  test("agents up to the limit, and each leaves once", () => {
    const admission = new Admission(2);
    const [first] = [admission.join(), admission.join()];
    expect(admission.hasRoom).toBe(false);
    first?.();
    first?.();
    expect(admission.hasRoom).toBe(true);
    admission.join();
    expect(admission.hasRoom).toBe(false);
  });

  test("connections without a key take no agent's place", () => {
    const admission = new Admission(1);
    for (let n = 0; n < KEYLESS_MAX; n++) admission.keyless(address(n), () => {});
    expect([admission.hasRoom, admission.takesKeyless(address(200))]).toEqual([true, false]);
  });

  test("a few of them from one address, and from one network of IPv6", () => {
    const admission = new Admission(1);
    for (const [one, other] of [
      ["203.0.113.1", "203.0.113.2"],
      ["2001:db8::1", "2001:db8:0:1::1"],
    ] as const) {
      const places = Array.from({ length: KEYLESS_PER_ADDRESS }, () => admission.keyless(one, () => {}));
      expect([admission.takesKeyless(one), admission.takesKeyless(other)]).toEqual([false, true]);
      places[0]?.leave();
      places[0]?.leave();
      expect(admission.takesKeyless(one)).toBe(true);
      admission.keyless(one, () => {});
      expect(admission.takesKeyless(one)).toBe(false);
    }
    expect(admission.takesKeyless("2001:db8:0:0:ffff::1")).toBe(false);
  });

  test("they are read a few at a time, in their order", () => {
    const admission = new Admission(1);
    const read: number[] = [];
    const places = Array.from({ length: KEYLESS_READ_AT_ONCE + 3 }, (_, n) =>
      admission.keyless(address(n), () => read.push(n)),
    );
    expect(read).toEqual([0, 1, 2, 3]);
    // One that still waits leaves without making room.
    places[4]?.leave();
    expect(read).toEqual([0, 1, 2, 3]);
    places[2]?.leave();
    expect(read).toEqual([0, 1, 2, 3, 5]);
    for (const place of places) place.leave();
    expect(read).toEqual([0, 1, 2, 3, 5, 6]);
    expect(admission.takesKeyless(address(0))).toBe(true);
  });
});
