import { expect, test } from "bun:test";
import { METRICS_EVERY_MS, Memo, Meters } from "../../../src/lib/series.ts";
import { TestClock } from "../../kit/time/clock.ts";

/** The lines of the text, those that are empty left out. */
const text = async (meters: Meters): Promise<string[]> =>
  (await (await meters.response()).text()).split("\n").filter(line => line !== "");

test("the text of counters, gauges and histograms", async () => {
  const meters = new Meters();
  meters.counter("a_total", "One.").cell({}).value = 3;
  const b = meters.gauge("b", "Two.", ["x", "y"]);
  b.cell({ x: "1", y: 'say "hi"\\\n' }).value = -0.5;
  const c = meters.histogram("c_seconds", "Three.", [0.1, 1], ["z"]);
  for (const value of [0.1, 0.2, 7]) c.cell({ z: "q" }).observe(value);
  expect(await text(meters)).toEqual([
    "# HELP a_total One.",
    "# TYPE a_total counter",
    "a_total 3",
    "# HELP b Two.",
    "# TYPE b gauge",
    'b{x="1",y="say \\"hi\\"\\\\\\n"} -0.5',
    "# HELP c_seconds Three.",
    "# TYPE c_seconds histogram",
    'c_seconds_bucket{z="q",le="0.1"} 1',
    'c_seconds_bucket{z="q",le="1"} 2',
    'c_seconds_bucket{z="q",le="+Inf"} 3',
    'c_seconds_sum{z="q"} 7.3',
    'c_seconds_count{z="q"} 3',
  ]);
  expect((await meters.response()).headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
});

test("a metric without labels is at zero from the start, one with labels has no series yet", async () => {
  const meters = new Meters();
  meters.counter("a_total", "A.");
  meters.counter("b_total", "B.", ["x"]);
  expect((await text(meters)).filter(line => !line.startsWith("#"))).toEqual(["a_total 0"]);
  expect(meters.declared.map(({ name, type, labelNames }) => [name, type, ...labelNames])).toEqual([
    ["a_total", "counter"],
    ["b_total", "counter", "x"],
  ]);
  expect(() => meters.gauge("a_total", "Again.")).toThrow("a_total has already been registered");
});

test("what is read when somebody looks: a gauge has no series besides, a counter keeps its own", async () => {
  const meters = new Meters();
  let names = ["x", "y"];
  for (const type of ["gauge", "counter"] as const)
    meters[type](`of_${type}`, "Read.", ["name"]).read(async set => {
      for (const name of names) set({ name }, 1);
    });
  await text(meters);
  names = ["y"];
  expect((await text(meters)).filter(line => line.startsWith("of_"))).toEqual([
    'of_gauge{name="y"} 1',
    'of_counter{name="x"} 1',
    'of_counter{name="y"} 1',
  ]);
});

test("one that cannot be read does not hide the others", async () => {
  const meters = new Meters();
  meters.gauge("broken", "Broken.").read(() => Promise.reject(new Error("closed")));
  meters.gauge("whole", "Whole.").cell({}).value = 1;
  expect((await text(meters)).filter(line => !line.startsWith("#"))).toEqual(["whole 1"]);
});

test("series end by the value of a label, whatever else they are", async () => {
  const meters = new Meters();
  const counter = meters.counter("a_total", "A.", ["x", "y"]);
  counter.cell({ x: "1", y: "2" }).value++;
  counter.cell({ x: "2", y: "1" }).value++;
  meters.histogram("b_seconds", "B.", [1], ["y"]).cell({ y: "2" });
  meters.forget("y", "2");
  expect((await text(meters)).filter(line => !line.startsWith("#"))).toEqual(['a_total{x="2",y="1"} 1']);
  expect(counter.cell({ x: "1", y: "2" }).value).toBe(0);
});

test("a metric has 5,000 series at most; the rest is one", async () => {
  const meters = new Meters();
  const counter = meters.counter("a_total", "A.", ["x", "y"]);
  for (let n = 0; n < 5_010; n++) counter.cell({ x: String(n), y: "here" }).value++;
  counter.cell({ x: "0", y: "here" }).value++;
  const lines = (await text(meters)).filter(line => line.startsWith("a_total{"));
  expect(lines).toHaveLength(5_001);
  expect(lines).toContain('a_total{x="other",y="other"} 10');
  expect(lines).toContain('a_total{x="0",y="here"} 2');
});

test("what is remembered is made once, until it is cleared", () => {
  let made = 0;
  const remembered = new Memo(key => `${key}${++made}`);
  expect([remembered.of("a"), remembered.of("a"), remembered.of("b")]).toEqual(["a1", "a1", "b2"]);
  remembered.clear();
  expect(remembered.of("a")).toBe("a3");
});

test("however many look at once, all is written once a second, and nobody sees what is older than its look", async () => {
  const clock = new TestClock();
  const meters = new Meters(clock);
  let written = 0;
  meters.gauge("written", "How often.").read(set => set({}, ++written));
  const look = async (): Promise<string | undefined> => (await text(meters)).at(-1);
  expect(await look()).toBe("written 1");
  const late = Array.from({ length: 50 }, look);
  // The first of them has armed a timer once what came before is over.
  while (clock.armed === 0) await Promise.resolve();
  clock.advance(METRICS_EVERY_MS - 1);
  expect(written).toBe(1);
  clock.advance(1);
  expect(new Set(await Promise.all(late))).toEqual(new Set(["written 2"]));
});

test("a look at very many series lets others have their turn", async () => {
  const meters = new Meters(new TestClock());
  const seconds = meters.histogram("seconds", "Time.", [0.1, 1, 10], ["worker"]);
  for (let at = 0; at < 5_000; at++) seconds.cell({ worker: `worker-${at}` }).observe(1);
  let turns = 0;
  let over = false;
  const others = (): void => {
    turns++;
    if (!over) setImmediate(others);
  };
  setImmediate(others);
  const lines = await text(meters);
  over = true;
  expect(turns).toBeGreaterThan(4);
  // 1,000 workers of their own, and one for all others: four buckets, sum and count, and two lines of head.
  expect(lines).toHaveLength(1_001 * 6 + 2);
  expect(lines).toContain('seconds_count{worker="other"} 4000');
});
