import { describe, expect, test } from "vitest";
import { decodeWisp, encodeWisp } from "#protocol/wisp.ts";
import type { Outlet } from "../../../durable-objects/gateway/carrier.ts";
import type { Egress, FlowSink } from "../../../durable-objects/gateway/flow.ts";
import { TcpDoor } from "../../../durable-objects/gateway/tcp-door.ts";
import { Unanswered } from "../../../durable-objects/gateway/unanswered.ts";
import { WispDoor } from "../../../durable-objects/gateway/wisp-door.ts";
import { noDatagrams } from "../../../durable-objects/gateway/guarded-datagrams.ts";

const MiB = 2 ** 20;
const BURST = 32 * MiB;
const RATE = MiB;
const PIECE = new Uint8Array(64 * 1024);

/** A world that sends as much as it may, for ever, to a client that takes all and says nothing. */
function rig() {
  let nowMs = 0;
  const sinks: { sink: FlowSink; granted: number }[] = [];
  const egress: Egress = {
    dial(_, sink) {
      const flow = { sink, granted: 0 };
      sinks.push(flow);
      const grant = (bytes: number): void => void (flow.granted += bytes);
      return { write: () => {}, finish: () => {}, abort: () => {}, grant };
    },
  };
  let sentBytes = 0;
  const outlet: Outlet = {
    send: (message) => {
      const packet = typeof message === "string" ? null : decodeWisp(message);
      sentBytes += packet?.ok && packet.value.type === "data" ? packet.value.bytes.length : message.length;
    },
    close: () => {},
  };
  const flood = (): void => {
    for (let moved = true; moved;) {
      moved = false;
      for (const flow of sinks)
        if (flow.granted >= PIECE.length) {
          flow.granted -= PIECE.length;
          flow.sink.onBytes(PIECE);
          moved = true;
        }
    }
  };
  return {
    egress,
    outlet,
    sinks,
    flood,
    now: () => nowMs,
    wait: (ms: number) => (nowMs += ms),
    get sentBytes() {
      return sentBytes;
    },
  };
}

describe("a client that never reads", () => {
  test("of /tcp is sent 32 MiB and then the rate, and no more", async () => {
    const world = rig();
    const dialled = TcpDoor.dial(
      world.outlet,
      world.egress,
      world.now,
      { host: "a", port: 1 },
      new Unanswered(RATE),
    );
    world.sinks[0]!.sink.onOpen();
    const { door } = await dialled;
    world.flood();
    expect(world.sentBytes).toBeGreaterThan(BURST - MiB);
    expect(world.sentBytes).toBeLessThanOrEqual(BURST);
    const before = world.sentBytes;
    for (let step = 0; step < 100; step++) {
      const at = door.pollAt()!;
      expect(at).toBeGreaterThan(world.now());
      world.wait(at - world.now());
      door.onTime();
      world.flood();
    }
    const rate = (world.sentBytes - before) / (world.now() / 1000);
    expect(rate).toBeGreaterThan(RATE * 0.5);
    expect(rate).toBeLessThanOrEqual(RATE * 1.1);
  });

  test("of Wisp has the same bound for all its streams together", () => {
    const world = rig();
    const door = new WispDoor({
      outlet: world.outlet,
      egress: world.egress,
      openDatagrams: noDatagrams(world.now),
      hasUdp: false,
      now: world.now,
      isVersion2: false,
      maxStreams: 64,
      isGreeted: true,
      unanswered: new Unanswered(RATE),
    });
    for (let stream = 1; stream <= 8; stream++)
      door.onMessage(encodeWisp.connect(stream, "tcp", "a.test", 80));
    for (const { sink } of world.sinks) sink.onOpen();
    world.flood();
    expect(world.sentBytes).toBeLessThanOrEqual(BURST);
    const before = world.sentBytes;
    world.wait(10_000);
    door.onTime();
    world.flood();
    expect(world.sentBytes - before).toBeLessThanOrEqual(11 * RATE);
    expect(world.sentBytes - before).toBeGreaterThan(RATE);
  });

  test("has no bound where the operator wants none", async () => {
    const world = rig();
    const dialled = TcpDoor.dial(world.outlet, world.egress, world.now, { host: "a", port: 1 });
    const { sink } = world.sinks[0]!;
    sink.onOpen();
    await dialled;
    for (let sent = 0; sent < 2 * BURST; sent += PIECE.length) sink.onBytes(PIECE);
    expect(world.sinks[0]!.granted).toBe(2 * BURST + 256 * 1024);
  });
});
