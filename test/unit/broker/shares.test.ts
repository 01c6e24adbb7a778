// No caller takes all of what callers share.
import { expect, test } from "bun:test";
import { Shares } from "../../../src/broker/http/access/shares.ts";
import { networkOf } from "../../../src/lib/network.ts";

test("one caller has half, others the rest, and what is given back is there again", () => {
  const shares = new Shares(5, "things");
  const first = shares.take("a");
  shares.take("a");
  expect(() => shares.take("a")).toThrow(expect.objectContaining({ code: "limit_exceeded", status: 429 }));
  shares.take("b");
  shares.take("b");
  shares.take("c");
  expect(() => shares.take("d")).toThrow(expect.objectContaining({ code: "overloaded", status: 503 }));
  first();
  first();
  expect(shares.size).toBe(4);
  shares.take("a");
  expect(() => shares.take("a")).toThrow();
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0DB8::1", "2001:db8:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
  ["a:b:c:d:e:f:1.2.3.4", "a:b:c:d::/64"],
  ["no address", "no address"],
])("the network of %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
