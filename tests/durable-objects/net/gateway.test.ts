import { expect, test } from "vitest";
import { lanDefaults } from "../../../durable-objects/net/lan.ts";
import { ACK, FIN, SYN, parseSegment, writeSegment } from "../../../durable-objects/net/tcp/segment.ts";
import { parseIpv4 } from "../../../durable-objects/net/wire/ip.ts";
import { parseUdp, writeUdp } from "../../../durable-objects/net/udp.ts";
import { NotedWorld, testConfig, testStack } from "../../support/guest-stack.ts";
import { makeGateway } from "../../../durable-objects/net/gateway.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x10);
const route = {
  toMac: lanDefaults.gatewayMac,
  fromMac: MAC,
  to: Uint8Array.of(192, 0, 2, 7),
  from: Uint8Array.of(10, 0, 2, 15),
};
const ports = { from: 40_000, to: 80 };

test("a guest's connection is dialled, opened, carries bytes both ways and ends", () => {
  const { world, stack } = testStack();
  let seq = 0xffff_fff0;
  let ack = 0;
  const say = (flags: number, text = ""): void => {
    const payload = new TextEncoder().encode(text);
    stack.onFrame(
      writeSegment(
        route,
        ports,
        { seq, ack, flags, window: 60_000, options: {}, payloadBytes: payload.length },
        (frame, at) => frame.set(payload, at),
      ),
      1000,
    );
    seq = (seq + payload.length + (flags & (SYN | FIN) ? 1 : 0)) >>> 0;
  };
  const hear = () => {
    const found = world.frames.splice(0).map((frame) => parseSegment(parseIpv4(frame)!)!);
    for (const segment of found)
      ack = (segment.seq + segment.payload.length + (segment.flags & (SYN | FIN) ? 1 : 0)) >>> 0;
    return found;
  };
  say(SYN);
  expect(world.take()).toEqual(["dial 1 192.0.2.7:80"]);
  expect(world.frames).toHaveLength(0);
  stack.dialed(1, 1000);
  expect(hear()[0]).toMatchObject({ flags: SYN | ACK });
  say(ACK);
  say(ACK, "hello");
  expect(world.take()).toEqual(["send 1 5"]);
  stack.written(1, 5, 1000);
  stack.deliver(1, new TextEncoder().encode("world"), 1000);
  expect(new TextDecoder().decode(hear().at(-1)!.payload)).toBe("world");
  say(ACK | FIN);
  expect(world.take()).toEqual(["finish 1"]);
  stack.ended(1, 1001);
  expect(hear().at(-1)!.flags & FIN).toBe(FIN);
  say(ACK);
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
  const everyone = Uint8Array.of(255, 255, 255, 255);
  const from = { toMac: new Uint8Array(6).fill(255), fromMac: MAC, to: everyone, from: new Uint8Array(4) };
  for (const frame of writeUdp(from, 68, 67, discover, 1500, 1)) gateway.onFrame(frame, 0);
  expect(world.frames).toHaveLength(1);
  const offer = parseUdp(parseIpv4(world.frames[0]!)!)!;
  expect(offer.toPort).toBe(68);
  expect([...offer.payload.subarray(16, 20)]).toEqual([10, 0, 2, 15]);
});
