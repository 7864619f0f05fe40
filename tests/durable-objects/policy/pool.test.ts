import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Claim, Pool, PoolState } from "../../../durable-objects/policy/pool.ts";
import { Share } from "../../../durable-objects/policy/share.ts";

const limits = { flows: 32, connections: 1, burst: 32, bytes: 1600, hosts: 16 };
const all = { connections: true, hosts: true, bytes: true };
const claim = (holder: string, more: Partial<Claim> = {}): Claim => ({
  holder,
  flows: 1,
  wants: all,
  owedBytes: 0,
  attempts: 0,
  failures: 0,
  ...more,
});

describe("what an account or an address may use", () => {
  test("is lent in slices, and is used up however many tunnels ask", () => {
    const pool = new Pool(limits);
    const lent = Array.from({ length: 40 }, (_, at) => pool.lend(claim(`t${at}`), 0));
    const sum = (of: "connections" | "hosts" | "bytes") =>
      lent.reduce((total, grant) => total + grant[of], 0);
    expect([sum("connections"), sum("hosts"), sum("bytes")]).toEqual([32, 16, 1600]);
    expect(lent[0]).toMatchObject({ connections: 2, hosts: 1, bytes: 100, flows: 3 });
    expect(pool.lend(claim("late"), 0)).toMatchObject({ connections: 0, hosts: 0, bytes: 0 });
    // It fills again with time.
    expect(pool.lend(claim("late"), 2000)).toMatchObject({ connections: 2 });
  });

  test("places for open flows come back when their tunnel is lost", () => {
    const pool = new Pool(limits);
    for (let at = 0; at < 10; at++) pool.lend(claim(`t${at}`, { flows: 3 }), 0);
    const [before] = [pool.lend(claim("next", { flows: 1 }), 30_000).flows];
    expect(before).toBe(1);
    expect(pool.lend(claim("next", { flows: 1 }), 61_000).flows).toBe(3);
    // One that asks in time keeps them.
    expect(pool.lend(claim("next", { flows: 30 }), 100_000).flows).toBe(32);
    expect(pool.lend(claim("other", { flows: 0 }), 150_000).flows).toBe(0);
    expect(pool.lend(claim("other", { flows: 0 }), 161_000).flows).toBe(2);
  });

  test("survives the loss of its object", () => {
    const pool = new Pool(limits);
    for (let at = 0; at < 16; at++) pool.lend(claim("a", { flows: 16 }), 1000);
    const stored = PoolState.parse(JSON.parse(JSON.stringify(pool.state())));
    const again = new Pool(limits, stored);
    expect(again.lend(claim("b", { flows: 0 }), 1000)).toEqual(pool.lend(claim("b", { flows: 0 }), 1000));
    expect(again.lend(claim("b"), 1000)).toMatchObject({ connections: 0, hosts: 0, bytes: 0 });
  });

  test("a scan spread over many sessions is one scan", () => {
    const pool = new Pool(limits);
    for (let at = 0; at < 9; at++) pool.lend(claim(`t${at}`, { attempts: 2, failures: 2 }), 0);
    expect(pool.lend(claim("t9", { attempts: 1, failures: 1 }), 0).brokenMs).toBe(0);
    expect(pool.lend(claim("t9", { attempts: 1, failures: 1 }), 0).brokenMs).toBe(60_000);
    expect(pool.lend(claim("innocent"), 59_000).brokenMs).toBe(1000);
    expect(pool.lend(claim("innocent"), 60_000).brokenMs).toBe(0);
  });

  test("holders are bounded", () => {
    const pool = new Pool({ ...limits, flows: 100_000 });
    for (let at = 0; at < 3000; at++) pool.lend(claim(`t${at}`), 0);
    expect(pool.state().holders.length).toBe(1024);
    expect(pool.lend(claim("one more"), 0).flows).toBe(0);
  });
});

describe("a tunnel's share", () => {
  test("asks first, then opens by itself until its slice is used up", () => {
    const pool = new Pool(limits);
    const share = new Share("t", limits);
    expect(share.open(true, 0)).toBe("ask");
    share.onGrant(pool.lend(share.claim(), 0), 0);
    expect(share.open(true, 0)).toBeUndefined();
    expect(share.open(false, 0)).toBeUndefined();
    expect(share.open(false, 0)).toBe("ask");
    share.onGrant(pool.lend(share.claim(), 0), 0);
    expect(share.open(false, 0)).toBeUndefined();
  });

  test("says what is empty, and asks again after a second", () => {
    const share = new Share("t", limits);
    const empty = { flows: 9, connections: 0, hosts: 9, bytes: 9, lendMs: 60_000, brokenMs: 0 };
    share.onGrant(empty, 0);
    expect(share.open(true, 0)).toBe("too-many-connections");
    expect(share.open(true, 1000)).toBe("ask");
    share.onGrant({ ...empty, connections: 9, hosts: -9 }, 1000);
    expect(share.open(true, 1000)).toBe("too-many-hosts");
    expect(share.open(false, 1000)).toBeUndefined();
    share.onGrant({ ...empty, connections: 9, bytes: -99 }, 2000);
    expect(share.open(false, 2000)).toBe("too-many-bytes");
    share.onGrant({ ...empty, bytes: 199, flows: 1 }, 3000);
    expect(share.open(false, 3000)).toBe("too-many-flows");
    share.onGrant({ ...empty, flows: 9, brokenMs: 5000 }, 4000);
    expect(share.open(false, 8999)).toBe("looks-like-a-scan");
  });

  test("what is not there for one is not there for those who wait with it, and places are never overdrawn", () => {
    const pool = new Pool({ ...limits, flows: 4 });
    const shares = [new Share("a", limits), new Share("b", limits)];
    let open = 0;
    for (let count = 0; count < 20; count++)
      for (const share of shares) {
        if (share.open(false, 0) === "ask") share.onGrant(pool.lend(share.claim(), 0), 0);
        if (share.open(false, 0) === undefined) open++;
      }
    expect(open).toBe(4);
  });

  test("has no more hosts, and goes on with those that it knows", () => {
    const pool = new Pool({ ...limits, hosts: 1 });
    const share = new Share("t", limits);
    const open = (isNewHost: boolean) => {
      if (share.open(isNewHost, 0) !== "ask") return;
      share.onGrant(pool.lend(share.claim(), 0), 0);
    };
    open(true);
    expect(share.open(true, 0)).toBeUndefined();
    open(true);
    expect(share.open(true, 0)).toBe("too-many-hosts");
    for (let count = 0; count < 10; count++) {
      open(false);
      share.closed();
    }
    expect(share.open(false, 0)).not.toBe("too-many-hosts");
    expect(share.open(false, 0)).not.toBe("too-many-connections");
  });

  test("fails safe: without an answer nothing more is let through", () => {
    const share = new Share("t", limits);
    expect(share.open(true, 0)).toBe("ask");
    share.onSilence(0);
    expect(share.open(true, 0)).toBe("too-many-flows");
    expect(share.carried(1)).toBe(false);
  });

  test("places that were not asked for again in time are void", () => {
    const share = new Share("t", limits);
    share.onGrant({ flows: 9, connections: 9, hosts: 9, bytes: 9, lendMs: 60_000, brokenMs: 0 }, 0);
    expect(share.open(false, 0)).toBeUndefined();
    expect([share.isExpiring(29_999), share.isExpiring(30_000)]).toEqual([false, true]);
    expect(share.open(false, 60_000)).toBe("ask");
  });

  test("bytes: at most two slices pass without an answer, and the debt is told", () => {
    const pool = new Pool(limits);
    const share = new Share("t", limits);
    share.onGrant(pool.lend(share.claim(), 0), 0);
    expect(share.isLow(0)).toBe(false);
    expect(share.carried(60)).toBe(true);
    expect(share.isLow(0)).toBe(true);
    expect(share.carried(100)).toBe(true);
    expect(share.carried(40)).toBe(false);
    expect(share.claim().owedBytes).toBe(100);
    expect(share.claim().owedBytes).toBe(0);
  });

  test("many tunnels together never pass more than the limits, and a slice each that is under way", () => {
    const steps = fc.array(fc.tuple(fc.nat(7), fc.nat(60), fc.nat(500)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (todo) => {
        const pool = new Pool(limits);
        const shares = Array.from({ length: 8 }, (_, at) => new Share(`t${at}`, limits));
        let [nowMs, opened, bytes] = [0, 0, 0];
        for (const [at, count, afterMs] of todo) {
          nowMs += afterMs;
          const share = shares[at]!;
          if (share.open(true, nowMs) === "ask") share.onGrant(pool.lend(share.claim(), nowMs), nowMs);
          if (share.open(true, nowMs) !== undefined) continue;
          opened++;
          if (share.carried(count)) bytes += count;
          share.closed();
        }
        expect(opened).toBeLessThanOrEqual(32 + nowMs / 1000);
        expect(bytes).toBeLessThanOrEqual(1600 + 8 * 200 + nowMs);
      }),
    );
  });
});
