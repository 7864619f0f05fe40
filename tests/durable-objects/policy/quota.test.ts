import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Quota, TokenBucket } from "../../../durable-objects/policy/quota.ts";

const limits = { flows: 3, connections: 1, burst: 5, bytes: 86_400_000, hosts: 2 };

describe("a token bucket", () => {
  test("gives its burst at once and its rate afterwards", () => {
    const bucket = new TokenBucket(2, 3);
    expect([1, 1, 1, 1].map((count) => bucket.take(count, 0))).toEqual([true, true, true, false]);
    expect(bucket.waitMs(1, 0)).toBe(500);
    expect(bucket.take(1, 499)).toBe(false);
    expect(bucket.take(1, 500)).toBe(true);
    expect(bucket.take(3, 100_000)).toBe(true);
    expect(bucket.waitMs(4, 100_000)).toBe(Infinity);
  });

  test("never gives more than burst and rate allow, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(10_000)), { maxLength: 50 }), (steps) => {
        const bucket = new TokenBucket(2, 10);
        let taken = 0;
        let latest = 0;
        for (const [count, nowMs] of steps) {
          if (bucket.take(count, nowMs)) taken += count;
          latest = Math.max(latest, nowMs);
        }
        expect(taken).toBeLessThanOrEqual(10 + (2 * latest) / 1000 + 1e-9);
      }),
    );
  });
});

describe("a quota", () => {
  test("bounds the flows that are open at once", () => {
    const quota = new Quota({ ...limits, burst: 100 });
    expect([1, 2, 3, 4].map(() => quota.open("a", 0))).toEqual([
      undefined,
      undefined,
      undefined,
      "too-many-flows",
    ]);
    quota.closed();
    expect(quota.open("a", 0)).toBeUndefined();
    expect(quota.flows).toBe(3);
    expect(quota.retryAfterMs("too-many-flows", 0)).toBe(0);
  });

  test("bounds how fast they are opened", () => {
    const quota = new Quota({ ...limits, flows: 100 });
    for (let count = 0; count < 5; count++) expect(quota.open("a", 0)).toBeUndefined();
    expect(quota.open("a", 0)).toBe("too-many-connections");
    expect(quota.retryAfterMs("too-many-connections", 0)).toBe(1000);
    expect(quota.open("a", 1000)).toBeUndefined();
  });

  test("bounds the distinct hosts of a minute", () => {
    const quota = new Quota({ ...limits, flows: 100, burst: 100 });
    quota.open("a", 0);
    quota.open("b", 1000);
    expect(quota.open("c", 2000)).toBe("too-many-hosts");
    expect(quota.retryAfterMs("too-many-hosts", 2000)).toBe(58_000);
    expect(quota.open("a", 2000)).toBeUndefined();
    // "a" was used again at 2000, "b" was not: its place is free at 61000.
    expect(quota.open("c", 60_999)).toBe("too-many-hosts");
    expect(quota.open("c", 61_000)).toBeUndefined();
  });

  test("bounds bytes, which refill through the day", () => {
    const quota = new Quota(limits);
    expect(quota.carried(86_399_000, 0)).toBe(true);
    expect(quota.carried(2000, 0)).toBe(false);
    expect(quota.open("a", 0)).toBe("too-many-bytes");
    expect(quota.retryAfterMs("too-many-bytes", 0)).toBe(1001);
    expect(quota.open("a", 1001)).toBeUndefined();
  });

  test("breaks for a minute when most of many attempts fail", () => {
    const quota = new Quota({ ...limits, flows: 100, burst: 100 });
    for (let count = 0; count < 4; count++) quota.dialed(false, 0);
    for (let count = 0; count < 15; count++) quota.dialed(true, 0);
    expect(quota.open("a", 0)).toBeUndefined();
    quota.dialed(true, 0);
    expect(quota.open("a", 59_999)).toBe("looks-like-a-scan");
    expect(quota.retryAfterMs("looks-like-a-scan", 0)).toBe(60_000);
    expect(quota.open("a", 60_000)).toBeUndefined();
    // A new minute counts anew.
    for (let count = 0; count < 19; count++) quota.dialed(true, 61_000);
    expect(quota.open("a", 61_000)).toBeUndefined();
  });
});
