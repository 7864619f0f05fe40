import { expect, test } from "vitest";
import { makeGateway } from "../../../durable-objects/net/gateway.ts";
import { flags } from "../../../durable-objects/net/wire/tcp.ts";
import { NotedWorld, testConfig, testStack } from "../../support/guest-stack.ts";
import { MAC, readSegment, readUdpFrame, tcpFrame, udpFrame } from "../../support/guest-frames.ts";

test("a guest's connection is dialled, opened, carries bytes both ways and ends", () => {
  const { world, stack } = testStack();
  let seq = 0xffff_fff0;
  let ack = 0;
  const say = (bits: number, text = ""): void => {
    const payload = new TextEncoder().encode(text);
    const frame = tcpFrame({
      guestPort: 40_000,
      peerPort: 80,
      seq,
      ack,
      flags: bits,
      window: 60_000,
      payload,
    });
    stack.onFrame(frame, 1000);
    seq = (seq + payload.length + (bits & (flags.syn | flags.fin) ? 1 : 0)) >>> 0;
  };
  const hear = () => {
    const found = world.frames.splice(0).map((frame) => readSegment(frame)!);
    for (const segment of found)
      ack = (segment.seq + segment.data.length + (segment.flags & (flags.syn | flags.fin) ? 1 : 0)) >>> 0;
    return found;
  };
  say(flags.syn);
  expect(world.take()).toEqual(["dial 1 192.0.2.7:80"]);
  expect(world.frames).toHaveLength(0);
  stack.dialed(1, 1000);
  expect(hear()[0]).toMatchObject({ flags: flags.syn | flags.ack });
  say(flags.ack);
  say(flags.ack, "hello");
  expect(world.take()).toEqual(["send 1 5"]);
  stack.written(1, 5, 1000);
  stack.deliver(1, new TextEncoder().encode("world"), 1000);
  expect(new TextDecoder().decode(hear().at(-1)!.data)).toBe("world");
  say(flags.ack | flags.fin);
  expect(world.take()).toEqual(["finish 1"]);
  stack.ended(1, 1001);
  expect(hear().at(-1)!.flags & flags.fin).toBe(flags.fin);
  say(flags.ack);
  expect(world.take()).toEqual(["closed 1 done"]);
});

test("the gateway of a LAN gives an address to who asks for one", () => {
  const world = new NotedWorld();
  const gateway = makeGateway(testConfig(), world);
  const discover = new Uint8Array(244);
  discover.set([1, 1, 6, 0, 1, 2, 3, 4]);
  discover.set(MAC, 28);
  // The magic cookie, DISCOVER, end (RFC 2131 §3).
  discover.set([99, 130, 83, 99, 53, 1, 1, 255], 236);
  gateway.onFrame(
    udpFrame({ from: "0.0.0.0", fromPort: 68, to: "255.255.255.255", toPort: 67 }, discover),
    0,
  );
  expect(world.frames).toHaveLength(1);
  const offer = readUdpFrame(world.frames[0]!)!;
  expect(offer.destinationPort).toBe(68);
  expect([...offer.data.subarray(16, 20)]).toEqual([10, 0, 2, 15]);
});
