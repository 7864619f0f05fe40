import { describe, expect, test } from "vitest";
import { lanDefaults, largeLan } from "../../../durable-objects/net/lan.ts";
import { initialSequence, sipHash } from "../../../durable-objects/net/tcp/iss.ts";
import { limits } from "../../../durable-objects/net/tcp/limits.ts";
import { SendBuffer } from "../../../durable-objects/net/tcp/send-buffer.ts";
import { addRange, trimRanges } from "../../../durable-objects/net/tcp/ranges.ts";
import { flags } from "../../../durable-objects/net/wire/tcp.ts";
import { Stack } from "../../../durable-objects/net/stack.ts";
import type { FlowId, World } from "../../../durable-objects/net/world.ts";
import { memoryPerFlow } from "../../bench/net/stack.ts";
import { readSegment, tcpFrame } from "../../support/guest-frames.ts";
import { testConfig } from "../../support/guest-stack.ts";

const MIB = 1 << 20;
const FLOWS = 1000;

/** Hears as little as it can, so that a test measures the stack. */
class DeafWorld implements World {
  flow: FlowId = 0;
  last: Uint8Array | undefined;
  readonly ends: string[] = [];
  transmit(frame: Uint8Array): void {
    this.last = frame;
  }
  dial(flow: FlowId): void {
    this.flow = flow;
  }
  send(): void {}
  finish(): void {}
  closed(flow: FlowId, why: string): void {
    this.ends.push(`${flow} ${why}`);
  }
  roomy(): void {}
  opened(): void {}
  resolve(): void {}
  datagram(): void {}
}

interface Flow {
  readonly id: FlowId;
  readonly port: number;
  seq: number;
  readonly ack: number;
}

/** A flow of a guest that offers a small window and never reads. */
function open(stack: Stack, world: DeafWorld, port: number): Flow {
  const options = Uint8Array.of(2, 4, 5, 0xb4, 1, 3, 3, 7);
  const ends = { guestPort: port, peerPort: 80, window: 1000 };
  stack.onFrame(tcpFrame({ ...ends, seq: 999, ack: 0, flags: flags.syn, options }), 0);
  stack.dialed(world.flow, 0);
  const ack = (readSegment(world.last!)!.seq + 1) >>> 0;
  stack.onFrame(tcpFrame({ ...ends, seq: 1000, ack, flags: flags.ack }), 0);
  return { id: world.flow, port, seq: 1000, ack };
}

const fill = (stack: Stack, flow: Flow, chunk: Uint8Array): void => {
  for (let room = stack.room(flow.id); room > 0; room = stack.room(flow.id))
    stack.deliver(flow.id, chunk.subarray(0, room), 0);
};

/** As much as the stack takes of a guest whose world writes nothing. */
const flood = (stack: Stack, flow: Flow, segments: number, step: number): void => {
  const payload = new Uint8Array(step);
  for (let count = 0; count < segments; count++) {
    const numbers = { seq: flow.seq, ack: flow.ack, window: 1000, flags: flags.ack };
    stack.onFrame(tcpFrame({ guestPort: flow.port, peerPort: 80, ...numbers, payload }), 0);
    flow.seq += step;
  }
};

describe("memory is bounded whatever the peers do", () => {
  test.each([
    ["segments of the MTU", lanDefaults, 1400],
    ["long segments", largeLan, 14_000],
  ])(
    "1,000 flows whose guest reads nothing and whose world writes nothing: within 64 MB, in %s",
    (_, lan, step) => {
      const world = new DeafWorld();
      const stack = new Stack(testConfig(lan), {}, world);
      const flows: Flow[] = [];
      const chunk = new Uint8Array(65_536);
      // Each is filled as soon as it is there: the first ones take the largest shares.
      for (let index = 0; index < FLOWS; index++) {
        const flow = open(stack, world, 10_000 + index);
        flows.push(flow);
        fill(stack, flow, chunk);
        flood(stack, flow, 4, step);
      }
      for (const flow of flows) {
        fill(stack, flow, chunk);
        flood(stack, flow, 200, 1400);
        flood(stack, flow, 8, step);
      }
      const { sendHeld, receiveHeld, active } = stack.counts;
      expect(active).toBe(FLOWS);
      // Full enough for the bound to mean something.
      expect(sendHeld).toBeGreaterThan(16 * MIB);
      expect(receiveHeld).toBeGreaterThan(14 * MIB);
      expect(sendHeld).toBeLessThan(limits.stackSendBytes + FLOWS * limits.leastFlowBytes);
      expect(receiveHeld).toBeLessThan(limits.stackReceiveBytes + FLOWS * lan.mtu);
      expect(sendHeld + receiveHeld + FLOWS * 8192).toBeLessThan(64_000_000);
      for (const flow of flows) stack.reset(flow.id, 1);
      expect(stack.counts).toMatchObject({ active: 0, sendHeld: 0, receiveHeld: 0 });
    },
  );

  test("stacks of one place hold together what one of them may, and one that goes gives back all of it", () => {
    const held = { send: 0, receive: 0 };
    const chunk = new Uint8Array(65_536);
    const made = [1, 2, 3].map(() => {
      const world = new DeafWorld();
      const stack = new Stack(testConfig({ ...largeLan, held }), {}, world);
      const flows = Array.from({ length: 40 }, (_, index) => open(stack, world, 10_000 + index));
      for (const flow of flows) {
        fill(stack, flow, chunk);
        flood(stack, flow, 40, 14_000);
      }
      return { stack, flows };
    });
    const all = made.map(({ stack }) => stack.counts);
    expect(held.send).toBe(all.reduce((sum, { sendHeld }) => sum + sendHeld, 0));
    expect(held.receive).toBe(all.reduce((sum, { receiveHeld }) => sum + receiveHeld, 0));
    expect(held.send).toBeGreaterThan(15 * MIB);
    expect(held.send).toBeLessThan(limits.stackSendBytes + 120 * limits.leastFlowBytes + MIB);
    expect(held.receive).toBeGreaterThan(15 * MIB);
    expect(held.receive).toBeLessThan(limits.stackReceiveBytes + 120 * largeLan.mtu);
    const [first, ...others] = made;
    first!.stack.discard();
    expect(held.send).toBe(others.reduce((sum, { stack }) => sum + stack.counts.sendHeld, 0));
    for (const { stack, flows } of others) for (const { id } of flows) stack.reset(id, 1);
    expect(held).toEqual({ send: 0, receive: 0 });
  });

  test("what a flow that is over left with a host that breaks is given back", () => {
    const world = new DeafWorld();
    const stack = new Stack(testConfig(), {}, world);
    const { id, port, ack } = open(stack, world, 10_000);
    const payload = new Uint8Array(1400);
    const ends = { guestPort: port, peerPort: 80, window: 1000 };
    stack.ended(id, 0);
    const numbers = { seq: 1000, ack: (ack + 1) >>> 0, flags: flags.ack | flags.fin };
    stack.onFrame(tcpFrame({ ...ends, ...numbers, payload }), 0);
    expect([stack.counts.active, stack.counts.receiveHeld, world.ends]).toEqual([0, 1400, []]);
    stack.reset(id, 1);
    expect([stack.counts.receiveHeld, world.ends]).toEqual([0, [`${id} reset`]]);
    stack.reset(id, 2);
    expect(world.ends).toHaveLength(1);
  });

  test("an open and idle flow costs less than 8 KiB", () => {
    expect(memoryPerFlow()).toBeLessThan(8192);
  });

  test("segments out of order are kept in a bounded number", () => {
    const world = new DeafWorld();
    const stack = new Stack(testConfig(), {}, world);
    const flow = open(stack, world, 10_000);
    flow.seq += 2;
    for (let count = 0; count < 5000; count++) {
      flood(stack, flow, 1, 1);
      flow.seq += 1;
    }
    expect(stack.counts.receiveHeld).toBe(limits.reorderSegments);
  });

  test("deliveries of one byte are gathered", () => {
    const buffer = new SendBuffer();
    for (let count = 0; count < 10_000; count++) buffer.push(Uint8Array.of(count & 255));
    expect(buffer.length).toBe(10_000);
    buffer.drop(4000);
    const into = new Uint8Array(6000);
    buffer.copy(0, 6000, into, 0);
    expect(into).toEqual(Uint8Array.from({ length: 6000 }, (_, index) => (index + 4000) & 255));
    buffer.copy(10, 5, into, 0);
    expect([...into.subarray(0, 5)]).toEqual([170, 171, 172, 173, 174]);
  });

  test("the scoreboard has a bounded number of ranges, and joins what touches", () => {
    const ranges: number[] = [];
    const base = 0xffff_ff00;
    for (let index = 0; index < 1000; index++)
      addRange(ranges, (base + 4 * index) >>> 0, (base + 4 * index + 2) >>> 0, limits.sackRanges);
    expect(ranges).toHaveLength(2 * limits.sackRanges);
    addRange(ranges, base, (base + 4 * limits.sackRanges) >>> 0, limits.sackRanges);
    expect(ranges).toEqual([base, (base + 4 * limits.sackRanges) >>> 0]);
    trimRanges(ranges, (base + 300) >>> 0);
    expect(ranges).toEqual([(base + 300) >>> 0, (base + 4 * limits.sackRanges) >>> 0]);
  });

  test("connections in TIME-WAIT do not count as flows, and are bounded", () => {
    const world = new DeafWorld();
    const stack = new Stack(testConfig({ maxFlows: 2 }), {}, world);
    for (let index = 0; index < limits.timeWaits + 50; index++) {
      const { id, port, ack } = open(stack, world, 10_000 + index);
      stack.ended(id, 0);
      const numbers = { seq: 1000, ack: (ack + 1) >>> 0, window: 1000, flags: flags.fin | flags.ack };
      stack.onFrame(tcpFrame({ guestPort: port, peerPort: 80, ...numbers }), 0);
    }
    expect(stack.counts).toMatchObject({ active: 0, timeWaits: limits.timeWaits });
  });
});

describe("initial sequence numbers (RFC 6528)", () => {
  const key = Uint8Array.from({ length: 32 }, (_, index) => index);
  test("SipHash-2-4 of its paper's appendix A: 0xa129ca6149be45e5", () => {
    const message = Uint8Array.from({ length: 15 }, (_, index) => index);
    expect(sipHash(key, message)).toEqual([0x49be_45e5, 0xa129_ca61]);
  });
  test("differ by the ends and the secret, and go on with the clock", () => {
    const at = (secret: Uint8Array, ends: string, nowMs: number) => initialSequence(secret, ends, nowMs).iss;
    const first = at(key, "10.0.2.15 1 192.0.2.1 80", 0);
    expect(at(key, "10.0.2.15 2 192.0.2.1 80", 0)).not.toBe(first);
    expect(
      at(
        key.map((byte) => byte ^ 1),
        "10.0.2.15 1 192.0.2.1 80",
        0,
      ),
    ).not.toBe(first);
    expect((at(key, "10.0.2.15 1 192.0.2.1 80", 4) - first) >>> 0).toBe(1000);
  });
  test("are taken by every connection from its own ends", () => {
    const world = new DeafWorld();
    const stack = new Stack({ ...lanDefaults, secret: key, epochMs: 0 }, {}, world);
    const seen = new Set([1, 2, 3].map((port) => open(stack, world, port).ack));
    expect(seen.size).toBe(3);
  });
});
