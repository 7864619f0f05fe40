import { describe, expect, test } from "vitest";
import { type TcpMuxFrame, TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import type { Egress, FlowSink, Outflow } from "../../../durable-objects/gateway/flow.ts";
import { MuxDoor } from "../../../durable-objects/gateway/mux-door.ts";

const MiB = 2 ** 20;

/** A door whose world is in the test's hand. */
class Rig {
  nowMs = 0;
  readonly frames: TcpMuxFrame[] = [];
  sentBytes = 0;
  closed: number | undefined;
  readonly sinks: FlowSink[] = [];
  readonly granted: number[] = [];
  idles = 0;
  readonly door: MuxDoor;
  readonly #parser = new TcpMuxParser();

  constructor() {
    const outlet = {
      send: (message: Uint8Array | string) => {
        this.sentBytes += message.length;
        this.frames.push(...this.#parser.push(message).frames);
      },
      close: (code: number) => void (this.closed = code),
    };
    const egress: Egress = {
      dial: (_, sink): Outflow => {
        const index = this.sinks.push(sink) - 1;
        this.granted[index] = 0;
        return {
          write() {},
          finish() {},
          abort() {},
          grant: (bytes) => void (this.granted[index]! += bytes),
        };
      },
    };
    this.door = new MuxDoor(
      outlet,
      egress,
      () => this.nowMs,
      1024,
      () => this.idles++,
    );
  }
  /** The world says all that was asked for. */
  pour(): number {
    let poured = 0;
    for (const [index, sink] of this.sinks.entries())
      for (; this.granted[index]! > 0; poured += 16_384) {
        this.granted[index]! -= 16_384;
        sink.onBytes(new Uint8Array(16_384));
      }
    return poured;
  }
}

describe("a client that does not read", () => {
  test.each([
    ["PING", encodeTcpMux.ping(new Uint8Array(1000))],
    ["DATA for streams that are not there", encodeTcpMux.data(9, Uint8Array.of(1))],
    ["OPEN of stream 0", encodeTcpMux.open(0, "a.test", 80)],
    ["CLOSE of streams that are not there", encodeTcpMux.close(9, "rst")],
  ])("gets a bounded number of answers to %s, and is closed after 10 s", (_, message) => {
    const rig = new Rig();
    for (let count = 0; count < 60_000; count++) rig.door.onMessage(message);
    console.log(`${(rig.sentBytes / MiB).toFixed(2)} MiB of answers to 60,000 messages`);
    expect(rig.sentBytes).toBeLessThan(2.1 * MiB);
    rig.nowMs = 10_001;
    expect(rig.door.pollAt()).toBeLessThanOrEqual(10_001);
    rig.door.onTime();
    expect([rig.closed, rig.door.streamCount]).toEqual([1011, 0]);
  });

  test("of 8 streams that pour, each gets a window beyond 1 MiB, and the rest waits in the world", () => {
    const rig = new Rig();
    for (let id = 1; id <= 8; id++) rig.door.onMessage(encodeTcpMux.open(id, "a.test", 80));
    for (const sink of rig.sinks) sink.onOpen();
    for (let poured = 1; poured > 0;) poured = rig.pour();
    console.log(`${(rig.sentBytes / MiB).toFixed(2)} MiB lie in the socket of a client with 8 streams`);
    expect(rig.sentBytes).toBeLessThan(3.1 * MiB);
    expect(rig.frames.filter(({ type }) => type === "ping")).toHaveLength(1);
    // It reads on, and answers the next PING too: so does the world.
    rig.door.onMessage(encodeTcpMux.pong(Uint8Array.of(1)));
    rig.door.onMessage(encodeTcpMux.pong(Uint8Array.of(2)));
    expect(rig.granted.some((bytes) => bytes > 0)).toBe(true);
  });
});

test("the end of the last stream is told, so that an object may sleep without waiting for its timer", () => {
  const rig = new Rig();
  for (const id of [1, 2]) rig.door.onMessage(encodeTcpMux.open(id, "a.test", 80));
  for (const sink of rig.sinks) sink.onOpen();
  rig.sinks[0]!.onBroken();
  expect([rig.idles, rig.door.isQuiet]).toEqual([0, false]);
  rig.sinks[1]!.onBroken();
  expect([rig.idles, rig.door.isQuiet, rig.door.pollAt()]).toEqual([1, true, undefined]);
});

test("a stream whose ends have both been said frees its number, and its place when the world has taken all of it", () => {
  const rig = new Rig();
  const send = (message: Uint8Array): void => rig.door.onMessage(message);
  send(encodeTcpMux.open(1, "192.0.2.1", 80));
  send(encodeTcpMux.data(1, new Uint8Array(5)));
  send(encodeTcpMux.close(1, "fin"));
  rig.sinks[0]!.onEnd();
  expect(rig.door.streamCount).toBe(1);
  send(encodeTcpMux.open(1, "192.0.2.1", 80));
  expect([rig.door.streamCount, rig.frames.map(({ type }) => type)]).toEqual([2, ["close"]]);
  rig.sinks[0]!.onWritten(5);
  expect(rig.door.streamCount).toBe(1);
  send(encodeTcpMux.data(1, new Uint8Array(5)));
  send(encodeTcpMux.close(1, "fin"));
  rig.sinks[1]!.onEnd();
  rig.sinks[1]!.onBroken();
  expect([rig.door.streamCount, rig.idles]).toEqual([0, 1]);
});
