import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { lanDefaults } from "../../../durable-objects/net/lan.ts";
import { Stack } from "../../../durable-objects/net/stack.ts";
import type { World } from "../../../durable-objects/net/world.ts";
import { type Result, againstLimit } from "../report.ts";

/**
 * The stack by itself: a scripted guest that costs next to nothing. Its frames are made once and only the numbers in them
 * change, with the checksum kept up by RFC 1624, so that what is measured is the stack, which verifies every one.
 */
const SEGMENT = 1460;
const HEADERS = 54;
const GBITS_PROMISED = 3;
const ROUND_MS = 1500;

class CountingWorld implements World {
  flow = 0;
  received = 0;
  frames = 0;
  /** What the guest learns from the last frame. */
  last: Uint8Array = new Uint8Array(0);
  seqEnd = 0;
  onSend: (bytes: Uint8Array) => void = () => {};
  transmit(frame: Uint8Array): void {
    this.frames++;
    this.last = frame;
  }
  dial(flow: number): void {
    this.flow = flow;
  }
  send(_flow: number, bytes: Uint8Array): void {
    this.received += bytes.length;
    this.onSend(bytes);
  }
  finish(): void {}
  closed(_flow: number, why: string): void {
    throw new Error(`closed: ${why}`);
  }
  roomy(): void {}
  opened(): void {}
  resolve(): void {}
  datagram(): void {}
}

const config = { ...lanDefaults, secret: new Uint8Array(32).fill(5), epochMs: 0 };

const fold = (value: number): number => {
  let sum = value;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
};
const sum16 = (view: DataView, from: number, to: number): number => {
  let sum = 0;
  for (let at = from; at < to; at += 2) sum += at + 1 < to ? view.getUint16(at) : view.getUint8(at) << 8;
  return fold(sum);
};

/** MSS 1460 and a window scale of 3, for the SYN. */
const SYN_OPTIONS = [2, 4, 0x05, 0xb4, 1, 3, 3, 3];

/** A frame of the guest to 192.0.2.1:80 with `payload` bytes, and its numbers still zero. */
class GuestFrame {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #base: number;

  constructor(port: number, flags: number, payload: number, window: number) {
    this.bytes = new Uint8Array(HEADERS + payload);
    this.#view = new DataView(this.bytes.buffer);
    const view = this.#view;
    this.bytes.set(config.gatewayMac);
    this.bytes.set([2, 0, 0, 0, 0, 9, 8, 0, 0x45], 6);
    view.setUint16(16, 40 + payload);
    view.setUint16(20, 0x4000);
    view.setUint16(22, 0x4006);
    this.bytes.set([10, 0, 2, 15, 192, 0, 2, 1], 26);
    view.setUint16(24, ~sum16(view, 14, 34) & 0xffff);
    view.setUint16(34, port);
    view.setUint16(36, 80);
    const isSyn = (flags & 2) !== 0;
    view.setUint8(46, isSyn ? 0x70 : 0x50);
    view.setUint8(47, flags);
    view.setUint16(48, window);
    for (let at = HEADERS; at < this.bytes.length; at++) this.bytes[at] = (at * 7) & 255;
    if (isSyn) this.bytes.set(SYN_OPTIONS, HEADERS);
    this.#base = fold(sum16(view, 26, this.bytes.length) + 6 + 20 + payload);
  }

  /** The same frame with these numbers and its checksum right. */
  at(seq: number, ack: number): Uint8Array {
    const view = this.#view;
    view.setUint32(38, seq);
    view.setUint32(42, ack);
    view.setUint16(
      50,
      ~fold(this.#base + (seq >>> 16) + (seq & 0xffff) + (ack >>> 16) + (ack & 0xffff)) & 0xffff,
    );
    return this.bytes;
  }
}

interface Session {
  readonly stack: Stack;
  readonly world: CountingWorld;
  seq: number;
  ack: number;
}

const seqOf = (frame: Uint8Array): number => new DataView(frame.buffer, frame.byteOffset).getUint32(38);

function connect(port = 40_000, world = new CountingWorld(), stack = new Stack(config, {}, world)): Session {
  stack.onFrame(new GuestFrame(port, 2, SYN_OPTIONS.length, 65_535).at(999, 0), 0);
  stack.dialed(world.flow, 0);
  const session = { stack, world, seq: 1000, ack: (seqOf(world.last) + 1) >>> 0 };
  stack.onFrame(new GuestFrame(port, 16, 0, 65_535).at(session.seq, session.ack), 0);
  return session;
}

interface Measured {
  readonly gbits: number;
  readonly framesPerSecond: number;
}

/**
 * Runs `turn` (which returns payload bytes moved) until the round is over, twice; the second counts. Seconds are those of
 * the processor, of all our threads together: another program on the machine does not make the stack slower.
 */
function run(world: CountingWorld, turn: (nowMs: number) => number): Measured {
  let result: Measured = { gbits: 0, framesPerSecond: 0 };
  for (let round = 0; round < 2; round++) {
    const from = performance.now();
    const cpu = process.cpuUsage();
    let bytes = 0;
    let segments = 0;
    const sentBefore = world.frames;
    let now = from;
    while (now - from < ROUND_MS) {
      for (let turns = 0; turns < 16; turns++) {
        const moved = turn(now);
        bytes += moved;
        segments += moved / SEGMENT;
      }
      now = performance.now();
    }
    const used = process.cpuUsage(cpu);
    const seconds = (used.user + used.system) / 1e6;
    result = {
      gbits: (bytes * 8) / seconds / 1e9,
      framesPerSecond: (segments + world.frames - sentBefore) / seconds,
    };
  }
  return result;
}

/** Segments of the guest, 16 a turn as a message of the tunnel brings them. */
export function guestToWorld(): Measured {
  const session = connect();
  const { stack, world } = session;
  const frame = new GuestFrame(40_000, 16, SEGMENT, 65_535);
  let taken = 0;
  world.onSend = (bytes) => (taken += bytes.length);
  return run(world, (nowMs) => {
    taken = 0;
    for (let count = 0; count < 16; count++) {
      stack.onFrame(frame.at(session.seq, session.ack), nowMs);
      session.seq = (session.seq + SEGMENT) >>> 0;
    }
    stack.written(world.flow, taken, nowMs);
    return taken;
  });
}

/** 16 KiB deliveries of the world; the guest acknowledges every second segment. */
export function worldToGuest(): Measured {
  const session = connect();
  const { stack, world } = session;
  const ack = new GuestFrame(40_000, 16, 0, 65_535);
  const chunk = new Uint8Array(11 * SEGMENT).fill(0x5a);
  const view = { end: session.ack };
  world.transmit = (frame: Uint8Array) => {
    world.frames++;
    world.last = frame;
    if (frame.length > HEADERS) view.end = (seqOf(frame) + frame.length - HEADERS) >>> 0;
  };
  let sent = session.ack;
  return run(world, (nowMs) => {
    if (stack.room(world.flow) >= chunk.length) stack.deliver(world.flow, chunk, nowMs);
    const before = sent;
    while (sent !== view.end) {
      const left = (view.end - sent) >>> 0;
      sent = (sent + Math.min(left, 2 * SEGMENT)) >>> 0;
      stack.onFrame(ack.at(session.seq, sent), nowMs);
    }
    return (sent - before) >>> 0;
  });
}

/** Bytes of heap that one open and idle flow costs. */
export function memoryPerFlow(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const world = new CountingWorld();
  const stack = new Stack(config, {}, world);
  const flows = 1000;
  const sessions = [connect(30_000, world, stack)];
  // Twice: array buffers go one collection after the views on them.
  const held = (): number => {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = held();
  for (let index = 1; index <= flows; index++) connect(30_000 + index, world, stack);
  world.last = new Uint8Array(0);
  const after = held();
  return sessions.length > 0 ? (after - before) / flows : 0;
}

export function measureStack(): Result[] {
  const up = guestToWorld();
  const down = worldToGuest();
  const limit = `limit ${GBITS_PROMISED} Gbit/s`;
  const throughput = (name: string, { gbits }: Measured): Result => ({
    name,
    value: gbits,
    unit: "Gbit/s",
    peer: limit,
    ratio: gbits / GBITS_PROMISED,
  });
  return [
    throughput("stack-alone", { gbits: Math.min(up.gbits, down.gbits), framesPerSecond: 0 }),
    throughput("stack-alone-up", up),
    throughput("stack-alone-down", down),
    { name: "stack-frames-up", value: up.framesPerSecond, unit: "frames/s" },
    { name: "stack-frames-down", value: down.framesPerSecond, unit: "frames/s" },
    againstLimit("stack-memory-per-idle-flow", memoryPerFlow(), "bytes", 8192),
  ];
}
