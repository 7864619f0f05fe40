import { describe, expect, test } from "vitest";
import { type AeroL2Message, decodeAeroL2, encodeAeroL2, pingPayload } from "#protocol/aero-l2.ts";
import {
  AeroCarrier,
  type AeroOptions,
  aeroDefaults,
} from "../../../durable-objects/gateway/aero-carrier.ts";
import { noFrames } from "../../../durable-objects/gateway/carrier.ts";
import { valueOf } from "../../support/outcome.ts";

/** aero-l2-tunnel-v1's server by the clock: PING, idle timeout, quotas, back-pressure, and how each ends. */
class Rig {
  readonly sent: AeroL2Message[] = [];
  readonly ends: string[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly counts = noFrames();
  readonly rttsMs: number[] = [];
  readonly carrier: AeroCarrier;

  constructor(options: Partial<AeroOptions>, nowMs = 0) {
    const outlet = {
      send: (message: Uint8Array | string) =>
        void this.sent.push(valueOf(decodeAeroL2(message as Uint8Array))),
      close: (code: number, reason: string) => void (this.closed = { code, reason }),
    };
    const onClosed = (why: string): void => void this.ends.push(why);
    const onPing = (rttMs: number): void => void this.rttsMs.push(rttMs);
    this.carrier = new AeroCarrier(
      outlet,
      this.counts,
      { ...aeroDefaults, ...options },
      onClosed,
      nowMs,
      onPing,
    );
  }
  /** Lets time pass to `untilMs`, called no later than it asked to be. */
  pass(untilMs: number): void {
    for (let at = this.carrier.pollAt(); at !== undefined && at <= untilMs; at = this.carrier.pollAt())
      this.carrier.flush(at);
    this.carrier.flush(untilMs);
  }
  frame(bytes: number, nowMs: number): number {
    return this.carrier.onMessage(encodeAeroL2.frame(new Uint8Array(bytes)), nowMs).length;
  }
  pong(id: bigint, nowMs: number): void {
    this.carrier.onMessage(encodeAeroL2.pong(pingPayload(id)), nowMs);
  }
  take(): AeroL2Message[] {
    return this.sent.splice(0);
  }
}
const ping = (id: bigint) => ({ type: "ping", payload: pingPayload(id) });

describe("PING of the server (§1.4)", () => {
  test("counts from 1, one at a time; the next comes an interval after the answer", () => {
    const rig = new Rig({ pingMs: 100 });
    rig.pass(99);
    expect(rig.take()).toEqual([]);
    rig.pass(100);
    expect(rig.take()).toEqual([ping(1n)]);
    rig.pass(130);
    rig.pong(1n, 130);
    expect(rig.rttsMs).toEqual([30]);
    rig.pass(229);
    expect(rig.take()).toEqual([]);
    rig.pass(230);
    expect(rig.take()).toEqual([ping(2n)]);
  });

  test("goes out again after three intervals without an answer", () => {
    const rig = new Rig({ pingMs: 100 });
    rig.pass(399);
    expect(rig.take()).toEqual([ping(1n)]);
    rig.pass(400);
    expect(rig.take()).toEqual([ping(2n)]);
    rig.pong(2n, 410);
    rig.pass(509);
    expect(rig.take()).toEqual([]);
    rig.pass(510);
    expect(rig.take()).toEqual([ping(3n)]);
  });

  test("an answer that nobody asked for means nothing", () => {
    const rig = new Rig({ pingMs: 100 });
    rig.pong(9n, 10);
    expect([rig.rttsMs, rig.closed]).toEqual([[], undefined]);
  });

  test("interval 0 is off", () => {
    const rig = new Rig({});
    rig.pass(1_000_000);
    expect([rig.take(), rig.carrier.pollAt()]).toEqual([[], undefined]);
  });
});

test("without a frame for so long it closes with 1008 and no ERROR; PING does not keep it open", () => {
  const rig = new Rig({ idleMs: 1000, pingMs: 300 });
  expect(rig.frame(60, 500)).toBe(1);
  rig.pass(1499);
  rig.carrier.onMessage(encodeAeroL2.ping(pingPayload(7n)), 1499);
  expect(rig.closed).toBeUndefined();
  rig.take();
  rig.pass(1500);
  expect([rig.closed, rig.take(), rig.ends]).toEqual([{ code: 1008, reason: "idle timeout" }, [], ["idle"]]);
  expect(rig.frame(60, 1501)).toBe(0);
});

describe("quotas (§1.5, §1.8)", () => {
  test("bytes of both directions together: ERROR 6, then 1008", () => {
    const rig = new Rig({ quotaBytes: 1000 });
    expect(rig.frame(600, 0)).toBe(1);
    rig.carrier.transmit(new Uint8Array(300));
    rig.take();
    expect(rig.frame(100, 1)).toBe(1);
    expect(rig.frame(14, 2)).toBe(0);
    expect(rig.take()).toMatchObject([{ type: "error", code: 6 }]);
    expect([rig.closed?.code, rig.ends]).toEqual([1008, ["quota_bytes"]]);
  });

  test("frames in one second: ERROR 7, then 1008; the next second begins anew", () => {
    const rig = new Rig({ framesPerSecond: 3 }, 5000);
    for (const nowMs of [5000, 5400, 5999, 6000, 6000, 6999]) expect(rig.frame(14, nowMs)).toBe(1);
    expect(rig.frame(14, 6999)).toBe(0);
    expect(rig.take()).toMatchObject([{ type: "error", code: 7 }]);
    expect([rig.closed?.code, rig.ends]).toEqual([1008, ["quota_fps"]]);
  });
});

test("a client that does not read: frames are dropped past 2 MiB, and after 10 s ERROR 9 and 1008", () => {
  const rig = new Rig({});
  const frame = new Uint8Array(1500);
  for (let count = 0; count < 4000; count++) {
    rig.carrier.transmit(frame);
    rig.carrier.flush(0);
  }
  expect(rig.carrier.isRoomy).toBe(false);
  expect(rig.carrier.heldBytes).toBeLessThan(2 * 2 ** 20 + 2 * 1504);
  expect(rig.counts.dropped).toBeGreaterThan(2500);
  expect(rig.take().filter(({ type }) => type === "ping")).toHaveLength(1);
  rig.pass(10_000);
  expect(rig.closed).toBeUndefined();
  rig.pass(10_001);
  expect(rig.take()).toMatchObject([{ type: "error", code: 9 }]);
  expect([rig.closed?.code, rig.ends]).toEqual([1008, ["backpressure"]]);
});

test("a client that asks and does not read gets a bounded number of answers", () => {
  const rig = new Rig({});
  const question = encodeAeroL2.ping(new Uint8Array(256));
  for (let count = 0; count < 20_000; count++) {
    rig.carrier.onMessage(question, 0);
    rig.carrier.flush(0);
  }
  expect(rig.carrier.heldBytes).toBeLessThan(2 * 2 ** 20 + 1000);
  expect(rig.take().filter(({ type }) => type === "pong").length).toBeLessThan(9000);
  rig.pass(10_001);
  expect(rig.ends).toEqual(["backpressure"]);
});

test("PONG confirms what was sent before its PING, and there is room again", () => {
  const rig = new Rig({});
  const frame = new Uint8Array(1500);
  while (rig.carrier.isRoomy) {
    rig.carrier.transmit(frame);
    rig.carrier.flush(0);
  }
  rig.pong(1n, 5);
  expect(rig.carrier.isRoomy).toBe(true);
  rig.pass(60_000);
  expect(rig.closed).toBeUndefined();
});

test("the first bad message ends it with ERROR 1 and 1008, and nothing more is heard", () => {
  const rig = new Rig({});
  rig.carrier.onMessage(Uint8Array.of(0xa2, 0x02, 0, 0), 0);
  expect(rig.take()).toMatchObject([{ type: "error", code: 1 }]);
  expect([rig.closed?.code, rig.ends]).toEqual([1008, ["protocol"]]);
  rig.carrier.transmit(new Uint8Array(60));
  expect([rig.frame(60, 1), rig.take()]).toEqual([0, []]);
});
