import { assert, property, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import { flags } from "../../../durable-objects/net/wire/tcp.ts";
import {
  GATEWAY,
  GATEWAY6,
  GUEST,
  GUEST6,
  PEER,
  PEER6,
  icmpFrame,
  readPacket,
  readSegment,
  readUdpFrame,
  tcpFrame,
  udpFrame,
} from "../../support/guest-frames.ts";
import { testStack } from "../../support/guest-stack.ts";

/** What a guest says by ICMP about packets that the stack sent to it. */

/** The error, with the whole packet quoted, or as much as `bytes`. */
function unreachable(
  sent: Uint8Array,
  code: number,
  { bytes = 576, from = "", to = GATEWAY } = {},
): Uint8Array {
  const packet = readPacket(sent)!;
  const quote = sent.subarray(packet.header.start, packet.header.end).subarray(0, bytes);
  const message = new Uint8Array(8 + quote.length);
  message.set([packet.header.version === 4 ? 3 : 1, code]);
  message.set(quote, 8);
  return icmpFrame(from === "" ? packet.to : from, to, message);
}
/** The guest has spoken, and the host opens a connection to its port 8080. */
function opening() {
  const { stack, world } = testStack();
  stack.onFrame(udpFrame({ from: GUEST, fromPort: 9, to: GATEWAY, toPort: 9 }, new Uint8Array(1)), 0);
  world.frames.length = 0;
  const flow = stack.open({ address: GUEST, port: 8080 }, { address: GATEWAY, port: 50_000 }, 1)!;
  const syn = world.frames.at(-1)!;
  expect(readSegment(syn)!.flags).toBe(flags.syn);
  world.take();
  return { stack, world, flow, syn };
}

describe("a connection that the host opens to a port of the guest", () => {
  test.each([
    ["port", 3],
    ["protocol", 2],
    ["prohibited by a firewall", 13],
    ["host prohibited by a firewall", 10],
  ])("ends at once when the guest says: %s", (_, code) => {
    const { stack, world, flow, syn } = opening();
    stack.onFrame(unreachable(syn, code, { bytes: 28 }), 2);
    expect(world.take()).toEqual([`closed ${flow} reset`]);
    expect(stack.counts.active).toBe(0);
    expect(stack.pollAt()).toBeUndefined();
  });

  test.each([
    ["a soft error", 1, {}],
    ["fragmentation needed", 4, {}],
    ["a quote that is too short for ports", 3, { bytes: 27 }],
    ["an error by somebody else", 3, { from: "10.0.2.99" }],
  ])("goes on after %s", (_, code, how) => {
    const { stack, world, syn } = opening();
    stack.onFrame(unreachable(syn, code, how), 2);
    expect(world.take()).toEqual([]);
    expect(stack.counts.active).toBe(1);
  });

  test("goes on when the number is not that of its SYN, which only a guesser would not know", () => {
    const { stack, world, syn } = opening();
    const other = syn.slice();
    other[41]! ^= 1;
    stack.onFrame(unreachable(other, 3), 2);
    expect(world.take()).toEqual([]);
  });

  test("goes on once it is established (RFC 5927 §5.2)", () => {
    const { stack, world, flow, syn } = opening();
    const { seq } = readSegment(syn)!;
    const ends = { to: GATEWAY, guestPort: 8080, peerPort: 50_000, window: 1000 };
    stack.onFrame(tcpFrame({ ...ends, seq: 100, ack: (seq + 1) >>> 0, flags: flags.syn | flags.ack }), 2);
    expect(world.take()).toContain(`opened ${flow}`);
    stack.onFrame(unreachable(syn, 3), 3);
    expect(world.take()).toEqual([]);
    expect(stack.counts.active).toBe(1);
  });
});

describe("a conversation of datagrams", () => {
  /** The guest wrote to the peer, which has answered: the answer's frame. */
  function answered(guest: string, peer: string) {
    const { stack, world } = testStack();
    stack.onFrame(udpFrame({ from: guest, fromPort: 5000, to: peer, toPort: 6000 }, new Uint8Array(4)), 0);
    stack.datagram({ address: peer, port: 6000 }, { address: guest, port: 5000 }, new Uint8Array(9), 1);
    world.take();
    return { stack, world, answer: world.frames.find((frame) => readUdpFrame(frame) !== null)! };
  }

  test.each([
    [GUEST, PEER, 3],
    [GUEST6, PEER6, 4],
  ])("of %s is over when the guest says that nobody listens there", (guest, peer, code) => {
    const { stack, world, answer } = answered(guest, peer);
    stack.onFrame(unreachable(answer, code, { to: peer.includes(":") ? GATEWAY6 : GATEWAY }), 2);
    expect(world.take()).toEqual([`unheard ${guest}:5000 ${peer}:6000`]);
  });

  test("goes on when another machine says so", () => {
    const { stack, world, answer } = answered(GUEST, PEER);
    stack.onFrame(unreachable(answer, 3, { from: "10.0.2.99" }), 2);
    expect(world.take()).toEqual([]);
  });
});

test("no quote whatever ends what it does not name", () => {
  const { stack, world } = opening();
  assert(
    property(uint8Array({ maxLength: 80 }), (quote) => {
      const message = new Uint8Array(8 + quote.length);
      message.set([3, 3]);
      message.set(quote, 8);
      stack.onFrame(icmpFrame(GUEST, GATEWAY, message), 3);
      expect(world.take().filter((event) => event.startsWith("closed"))).toEqual([]);
    }),
  );
});
