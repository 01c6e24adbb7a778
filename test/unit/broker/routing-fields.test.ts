import { expect, test } from "bun:test";
import { LABEL_VALUES_MAX, LiveLabel, SERIES_KEPT_MS } from "../../../src/broker/observe/labels.ts";
import { TestClock } from "../../kit/time/clock.ts";

function label(): { clock: TestClock; here: Set<string>; gone: string[]; label: LiveLabel } {
  const [clock, here, gone] = [new TestClock(), new Set<string>(), [] as string[]];
  const onGone = (value: string): void => void gone.push(value);
  return { clock, here, gone, label: new LiveLabel({ clock, isHere: value => here.has(value), onGone }) };
}

test("as many values live as there is room for, while all of them are here", () => {
  const { here, label: workers, gone } = label();
  for (let n = 0; n < LABEL_VALUES_MAX; n++) {
    here.add(`w${n}`);
    expect(workers.of(`w${n}`)).toBe(`w${n}`);
  }
  expect(workers.of("late")).toBe("other");
  expect(workers.of("w0")).toBe("w0");
  expect(gone).toEqual([]);
});

test("a newcomer takes the room of the one that left first", () => {
  const { clock, here, label: workers, gone } = label();
  for (let n = 0; n < LABEL_VALUES_MAX; n++) {
    here.add(`w${n}`);
    workers.of(`w${n}`);
  }
  for (const left of ["w7", "w3"]) {
    workers.sweep();
    here.delete(left);
    clock.advance(1_000);
  }
  expect(workers.of("new")).toBe("new");
  expect(gone).toEqual(["w7"]);
  expect(workers.has("w7")).toBeFalse();
  expect(workers.of("newer")).toBe("newer");
  expect(gone).toEqual(["w7", "w3"]);
});

test("a value goes a day after it left, and not while it comes back in between", () => {
  const { clock, here, label: workers, gone } = label();
  for (const id of ["stays", "leaves", "returns"]) workers.of(id);
  here.add("stays");
  clock.advance(SERIES_KEPT_MS / 2);
  here.add("returns");
  workers.sweep();
  here.delete("returns");
  clock.advance(SERIES_KEPT_MS / 2);
  workers.sweep();
  expect(gone).toEqual(["leaves"]);
  clock.advance(SERIES_KEPT_MS / 2);
  workers.sweep();
  expect(gone).toEqual(["leaves", "returns"]);
  expect(workers.has("stays")).toBeTrue();
});
