import { describe, expect, test } from "vitest";
import { reassemblyLimits } from "../../../durable-objects/net/reassembly.ts";
import { readArp, writeArp } from "../../../durable-objects/net/wire/arp.ts";
import { ipOf } from "../../../durable-objects/net/wire/address.ts";
import { readMac } from "../../../durable-objects/net/wire/ethernet.ts";
import type { DnsService } from "../../../durable-objects/net/service.ts";
import { flags } from "../../../durable-objects/net/wire/tcp.ts";
import {
  GATEWAY,
  GATEWAY6,
  GUEST,
  GUEST6,
  MAC,
  PEER,
  PEER6,
  type IpOptions,
  icmpFrame,
  ipFrame,
  readIcmpFrame,
  readPacket,
  readSegment,
  readUdpFrame,
  tcpFrame,
  udpFrame,
} from "../../support/guest-frames.ts";
import { testConfig, testStack } from "../../support/guest-stack.ts";

/** Everything below TCP: who answers whom, and what is told to a guest whose packets are not carried. */
const LINK6 = "fe80::200:ff:fe00:10";
const ROUTER6 = "fe80::ff:fe00:1";
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function arpRequest(sender: string, target: string): Uint8Array {
  const frame = new Uint8Array(42);
  frame.fill(255, 0, 6);
  frame.set(MAC, 6);
  frame.set([8, 6], 12);
  const ends = { senderMac: readMac(viewOf(MAC), 0), sender: ipOf(sender)!.d, target: ipOf(target)!.d };
  writeArp(viewOf(frame), 14, { operation: 1, ...ends }, 0);
  return frame;
}

const echo = (type: number, bytes: number): Uint8Array => {
  const message = new Uint8Array(8 + bytes).fill(0x61, 8);
  message.set([type, 0, 0, 0, 0x12, 0x34, 0, 1]);
  return message;
};

/** What the stack answers to one frame. */
function answers(frame: Uint8Array, nowMs = 0) {
  const { stack, world } = testStack();
  stack.onFrame(frame, nowMs);
  return { stack, world, frames: world.frames };
}

describe("ARP", () => {
  test("the gateway answers for itself, to a guest's probe as well (RFC 5227)", () => {
    for (const sender of [GUEST, "0.0.0.0"]) {
      const [reply] = answers(arpRequest(sender, GATEWAY)).frames;
      const arp = readArp(viewOf(reply!), 14, 42);
      expect(arp).toMatchObject({ operation: 2, sender: ipOf(GATEWAY)!.d, target: ipOf(sender)!.d });
      expect([...reply!.subarray(0, 6)]).toEqual([...MAC]);
      expect([...reply!.subarray(22, 28)]).toEqual([...testConfig().gatewayMac]);
    }
  });
  test("and for nobody else", () => {
    expect(answers(arpRequest(GUEST, "10.0.2.3")).frames).toEqual([]);
    expect(answers(arpRequest("0.0.0.0", GUEST)).frames).toEqual([]);
  });
  test("a guest that is not known is asked for, three times, and what waits is sent then", () => {
    const { stack, world } = testStack();
    const send = () =>
      stack.datagram({ address: PEER, port: 9 }, { address: GUEST, port: 9 }, Uint8Array.of(1), 0);
    send();
    for (const at of [0, 1000, 2000]) {
      stack.onTime(at);
      const [asked, more] = world.frames.splice(0);
      expect(readArp(viewOf(asked!), 14, 42)).toMatchObject({ operation: 1, target: ipOf(GUEST)!.d });
      expect(more).toBeUndefined();
    }
    stack.onTime(3000);
    expect(stack.pollAt()).toBeUndefined();
    send();
    world.frames.length = 0;
    stack.onFrame(arpRequest(GUEST, "10.0.2.99"), 3001);
    const [held] = world.frames;
    expect([...held!.subarray(0, 6)]).toEqual([...MAC]);
    expect(readUdpFrame(held!)?.data).toEqual(Uint8Array.of(1));
  });
});

describe("ICMP", () => {
  test("echo of the gateway, with its text", () => {
    const [reply] = answers(icmpFrame(GUEST, GATEWAY, echo(8, 56))).frames;
    expect(readIcmpFrame(reply!)).toMatchObject({ type: 0, rest: 0x1234_0001, from: GATEWAY, to: GUEST });
    expect(readIcmpFrame(reply!)!.data).toEqual(new Uint8Array(56).fill(0x61));
  });
  test("echo of the world is prohibited, and says so at once", () => {
    const [error] = answers(icmpFrame(GUEST, PEER, echo(8, 56))).frames;
    expect(readIcmpFrame(error!)).toMatchObject({ type: 3, code: 13, from: GATEWAY });
    // It quotes the datagram that it is about.
    expect(error!.subarray(42, 46)).toEqual(Uint8Array.of(0x45, 0, 0, 84));
  });
  const cases: readonly (readonly [string, Uint8Array, number, number])[] = [
    ["a protocol that nobody speaks", ipFrame(GUEST, PEER, 132, new Uint8Array(20)), 3, 2],
    [
      "a TTL that has run out",
      udpFrame({ from: GUEST, fromPort: 9, to: PEER, toPort: 9 }, new Uint8Array(4), { ttl: 1 }),
      11,
      0,
    ],
    [
      "a port of the gateway",
      udpFrame({ from: GUEST, fromPort: 9, to: GATEWAY, toPort: 99 }, new Uint8Array(4)),
      3,
      3,
    ],
    ["QUIC", udpFrame({ from: GUEST, fromPort: 9, to: PEER, toPort: 443 }, new Uint8Array(4)), 3, 3],
    [
      "too big, not to be fragmented",
      udpFrame({ from: GUEST, fromPort: 9, to: PEER, toPort: 9 }, new Uint8Array(1500)),
      3,
      4,
    ],
  ];
  for (const [name, frame, type, code] of cases)
    test(`${name}: ${type}/${code}`, () => {
      const { frames, world } = answers(frame);
      expect(readIcmpFrame(frames[0]!)).toMatchObject({ type, code, from: GATEWAY, to: GUEST });
      if (code === 4) expect(readIcmpFrame(frames[0]!)!.rest).toBe(1500);
      expect(world.events).toEqual([]);
    });
  test("QUIC goes to a world that takes it; one that does not want a datagram says so", () => {
    const { stack, world } = testStack();
    const frame = udpFrame({ from: GUEST, fromPort: 5000, to: PEER, toPort: 9 }, new Uint8Array(4));
    stack.onFrame(frame, 0);
    expect(world.take()).toEqual([`datagram ${GUEST}:5000 ${PEER}:9 4`]);
    stack.unreachable({ address: GUEST, port: 5000 }, { address: PEER, port: 9 }, "prohibited", 0);
    const error = readIcmpFrame(world.frames[0]!)!;
    expect([error.type, error.code]).toEqual([3, 13]);
    // The quote has the guest's addresses and ports, by which its kernel finds the socket.
    expect([...error.data.subarray(12, 24)]).toEqual([
      10,
      0,
      2,
      15,
      192,
      0,
      2,
      7,
      5000 >> 8,
      5000 & 255,
      0,
      9,
    ]);
  });
  test("no error about an error, a group, a later fragment or somebody else's address", () => {
    const dead = new Uint8Array(36);
    dead[0] = 3;
    const quiet: Uint8Array[] = [
      icmpFrame(GUEST, PEER, dead),
      udpFrame({ from: GUEST, fromPort: 9, to: "224.0.0.251", toPort: 5353 }, new Uint8Array(4)),
      udpFrame({ from: GUEST, fromPort: 9, to: "10.0.2.255", toPort: 99 }, new Uint8Array(4)),
      udpFrame({ from: GUEST, fromPort: 9, to: "10.0.2.77", toPort: 99 }, new Uint8Array(4)),
      udpFrame({ from: "192.168.9.9", fromPort: 9, to: GATEWAY, toPort: 99 }, new Uint8Array(4)),
      ipFrame(GUEST, PEER, 132, new Uint8Array(16), { fragment: 5 }),
      icmpFrame(GUEST, GATEWAY, echo(8, 4), { toMac: Uint8Array.of(2, 0, 0, 0, 0, 0x99) }),
    ];
    for (const frame of quiet) expect(answers(frame).frames).toEqual([]);
  });
  test("errors are few", () => {
    const { stack, world } = testStack();
    const frame = ipFrame(GUEST, PEER, 132, new Uint8Array(20));
    for (let count = 0; count < 500; count++) stack.onFrame(frame, 0);
    expect(world.frames).toHaveLength(50);
    for (let count = 0; count < 500; count++) stack.onFrame(frame, 100);
    expect(world.frames).toHaveLength(60);
  });
});

describe("fragments", () => {
  const MORE = 0x2000;
  const payload = Uint8Array.from({ length: 2992 }, (_, index) => index & 255);
  const whole = udpFrame({ from: GUEST, fromPort: 7, to: PEER, toPort: 9 }, payload);
  const datagram = whole.subarray(34);
  const piece = (from: number, to: number, options: IpOptions = {}): Uint8Array => {
    const fragment = (from >> 3) | (to < datagram.length ? MORE : 0);
    return ipFrame(GUEST, PEER, 17, datagram.subarray(from, to), { fragment, ...options });
  };
  const event = `datagram ${GUEST}:7 ${PEER}:9 2992`;

  test("in any order, and once when they come twice", () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 1, 2, 0, 0],
    ]) {
      const { stack, world } = testStack();
      const pieces = [piece(0, 1000), piece(1000, 2000), piece(2000, 3000)];
      for (const index of order) stack.onFrame(pieces[index]!, 0);
      expect(world.take()).toEqual([event]);
    }
  });
  test("that overlap: nothing comes of them (RFC 5722)", () => {
    const { stack, world } = testStack();
    for (const one of [piece(0, 1008), piece(1000, 2000), piece(1008, 2000), piece(2000, 3000)])
      stack.onFrame(one, 0);
    expect(world.take()).toEqual([]);
    expect(stack.counts.reassembling).toBe(0);
  });
  test("wait for a minute, and no more of them than there may be", () => {
    const { stack, world } = testStack();
    stack.onFrame(piece(0, 1000), 0);
    stack.onFrame(piece(1000, 2000), 0);
    stack.onFrame(piece(2000, 3000), reassemblyLimits.waitMs);
    expect(world.take()).toEqual([]);
    for (let identification = 2; identification < 2000; identification++)
      stack.onFrame(piece(0, 1000, { identification }), 1);
    expect(stack.counts.reassembling).toBeLessThanOrEqual(reassemblyLimits.bytes);
    expect(stack.counts.reassembling).toBeLessThanOrEqual(1000 * reassemblyLimits.datagrams);
  });
  test("of an answer that does not fit: as many as the MTU needs", () => {
    const { stack, world } = testStack();
    stack.onFrame(arpRequest(GUEST, "10.0.2.99"), 0);
    stack.datagram({ address: PEER, port: 9 }, { address: GUEST, port: 7 }, payload, 0);
    expect(world.frames).toHaveLength(3);
    expect(Math.max(...world.frames.map((frame) => frame.length))).toBeLessThanOrEqual(1514);
    const parts = world.frames.map((frame) => readPacket(frame)!);
    expect(parts.map(({ header }) => [header.fragmentOffset, header.moreFragments])).toEqual([
      [0, true],
      [1480, true],
      [2960, false],
    ]);
    expect(Buffer.concat(parts.map(({ data }) => data)).subarray(8)).toEqual(Buffer.from(payload));
  });
});

describe("IPv6", () => {
  const solicitation = (target: string, withMac: boolean): Uint8Array => {
    const message = new Uint8Array(withMac ? 32 : 24);
    message[0] = 135;
    const ip = ipOf(target)!;
    [ip.a, ip.b, ip.c, ip.d].forEach((word, index) => viewOf(message).setInt32(8 + 4 * index, word));
    if (withMac) message.set([1, 1, ...MAC], 24);
    return message;
  };
  const local = { ttl: 255 };

  test("a router solicitation is answered with prefix, MTU, resolver and a lifetime", () => {
    const message = new Uint8Array(16);
    message.set([133, 0, 0, 0, 0, 0, 0, 0, 1, 1, ...MAC]);
    const [frame] = answers(icmpFrame(LINK6, "ff02::2", message, local)).frames;
    const advertisement = readIcmpFrame(frame!)!;
    expect(advertisement).toMatchObject({ type: 134, ttl: 255, from: ROUTER6, to: LINK6 });
    expect(advertisement.rest & 0xffff).toBe(9000);
    const text = Buffer.from(advertisement.data).toString("hex");
    expect(text).toContain("05010000000005dc");
    expect(text).toContain("030440c0ffffffffffffffff00000000fd007669726700000000000000000000");
    expect(text).toContain("19030000fffffffffd007669726700000000000000000001");
  });
  test("a neighbour solicitation for either address of the gateway", () => {
    for (const target of [ROUTER6, GATEWAY6]) {
      const [frame] = answers(icmpFrame(LINK6, "ff02::1:ff00:1", solicitation(target, true), local)).frames;
      const advertisement = readIcmpFrame(frame!)!;
      expect(advertisement).toMatchObject({ type: 136, from: target, to: LINK6, rest: 0xe000_0000 });
      expect([...advertisement.data.subarray(18)]).toEqual([...testConfig().gatewayMac]);
    }
  });
  test("duplicate address detection: told to all when it asks for ours, silence otherwise", () => {
    const ours = answers(icmpFrame("::", "ff02::1:ff00:1", solicitation(GATEWAY6, false), local)).frames;
    expect(readIcmpFrame(ours[0]!)).toMatchObject({ type: 136, to: "ff02::1", rest: 0xa000_0000 });
    expect(answers(icmpFrame("::", "ff02::1:ff00:10", solicitation(GUEST6, false), local)).frames).toEqual(
      [],
    );
  });
  test("neighbour discovery from beyond a router is not believed", () => {
    const far = icmpFrame(LINK6, "ff02::1:ff00:1", solicitation(GATEWAY6, true), { ttl: 254 });
    expect(answers(far).frames).toEqual([]);
  });

  const errorsOf = (frame: Uint8Array) => answers(frame).frames.map((sent) => readIcmpFrame(sent));

  test("a LAN on which IPv6 is spoken is told of its router again, when somebody speaks", () => {
    const { stack, world } = testStack();
    stack.onFrame(icmpFrame(GUEST6, GATEWAY6, echo(128, 4)), 0);
    expect(stack.pollAt()).toBeUndefined();
    world.frames.length = 0;
    stack.onFrame(arpRequest(GUEST, "10.0.2.99"), 599_999);
    expect(world.frames).toEqual([]);
    stack.onFrame(arpRequest(GUEST, "10.0.2.99"), 600_000);
    expect(readIcmpFrame(world.frames[0]!)).toMatchObject({ type: 134, to: "ff02::1" });
  });
  test("echo of the gateway and of all nodes", () => {
    for (const to of [GATEWAY6, "ff02::1"])
      expect(errorsOf(icmpFrame(GUEST6, to, echo(128, 20)))[0]).toMatchObject({
        type: 129,
        rest: 0x1234_0001,
      });
  });
  test("errors in ICMPv6's own numbers", () => {
    const ends = { from: GUEST6, fromPort: 9, to: PEER6, toPort: 443 };
    expect(errorsOf(udpFrame(ends, new Uint8Array(4)))[0]).toMatchObject({
      type: 1,
      code: 4,
      from: GATEWAY6,
    });
    expect(errorsOf(icmpFrame(GUEST6, PEER6, echo(128, 4)))[0]).toMatchObject({ type: 1, code: 1 });
    const gone = udpFrame({ ...ends, toPort: 9 }, new Uint8Array(4), { ttl: 1 });
    expect(errorsOf(gone)[0]).toMatchObject({ type: 3, code: 0 });
    const big = udpFrame({ ...ends, toPort: 9 }, new Uint8Array(1500));
    expect(errorsOf(big)[0]).toMatchObject({ type: 2, code: 0, rest: 1500 });
  });
  test("a link-local guest does not leave the link, and nobody goes to ::1", () => {
    const ends = { fromPort: 9, toPort: 9 };
    for (const [from, to] of [
      [LINK6, PEER6],
      [GUEST6, "::1"],
      [GUEST6, "fe80::9"],
    ] as const)
      expect(answers(udpFrame({ from, to, ...ends }, new Uint8Array(4))).world.events).toEqual([]);
  });
  test("TCP to an IPv6 literal is dialled, and refused by an RST", () => {
    const { stack, world } = testStack();
    const ends = { from: GUEST6, to: PEER6, guestPort: 1000, peerPort: 80, seq: 1, ack: 0, window: 1000 };
    stack.onFrame(tcpFrame({ ...ends, flags: flags.syn }), 0);
    expect(world.take()).toEqual([`dial 1 ${PEER6}:80`]);
    world.frames.length = 0;
    stack.refused(1, "refused", 0);
    expect(readSegment(world.frames[0]!)).toMatchObject({ flags: flags.rst | flags.ack, ack: 2 });
  });
  test("a LAN without a prefix has no IPv6", () => {
    const { ipv6Prefix: _, ...rest } = testConfig();
    expect(rest.gateway).toBe(GATEWAY);
    const { stack, world } = testStack({ ipv6Prefix: undefined as unknown as string });
    stack.onFrame(icmpFrame(LINK6, "ff02::1:ff00:1", solicitation(GATEWAY6, true), local), 0);
    expect(world.frames).toEqual([]);
  });
});

describe("DNS", () => {
  /** Answers each question with itself, backwards. */
  const mirror: DnsService = {
    ask: (message, _nowMs, answer) => answer(message.slice().reverse()),
    onAnswer: () => {},
    nameOf: (address) => (address === PEER ? "peer.test" : undefined),
  };
  test("over UDP, whichever resolver the guest asks", () => {
    for (const to of [GATEWAY, "8.8.8.8"]) {
      const { stack, world } = testStack({}, { dns: mirror });
      stack.onFrame(udpFrame({ from: GUEST, fromPort: 1234, to, toPort: 53 }, Uint8Array.of(1, 2, 3)), 0);
      expect(readUdpFrame(world.frames[0]!)).toMatchObject({ from: to, data: Uint8Array.of(3, 2, 1) });
    }
  });
  test("over TCP, two questions in pieces, and the end", () => {
    const { stack, world } = testStack({}, { dns: mirror });
    let seq = 100;
    let ack = 0;
    const say = (bits: number, payload = new Uint8Array(0)) => {
      const ends = { to: GATEWAY, guestPort: 1000, peerPort: 53, window: 60_000 };
      stack.onFrame(tcpFrame({ ...ends, seq, ack, flags: bits, payload }), 0);
      seq += payload.length + (bits & (flags.syn | flags.fin) ? 1 : 0);
      const heard = world.frames.splice(0).map((frame) => readSegment(frame)!);
      for (const segment of heard) {
        const extra = segment.flags & (flags.syn | flags.fin) ? 1 : 0;
        ack = (segment.seq + segment.data.length + extra) >>> 0;
      }
      return Buffer.concat(heard.map(({ data }) => data));
    };
    say(flags.syn);
    say(flags.ack);
    expect([...say(flags.ack, Uint8Array.of(0, 3, 1))]).toEqual([]);
    expect([...say(flags.ack, Uint8Array.of(2, 3, 0, 2, 8, 9))]).toEqual([0, 3, 3, 2, 1, 0, 2, 9, 8]);
    say(flags.ack | flags.fin);
    say(flags.ack);
    expect(stack.counts.active).toBe(0);
    expect(world.take()).toEqual([]);
  });
  test("a question longer than questions are ends its connection", () => {
    const { stack, world } = testStack({}, { dns: mirror });
    const ends = { to: GATEWAY, guestPort: 1000, peerPort: 53, window: 60_000 };
    stack.onFrame(tcpFrame({ ...ends, seq: 1, ack: 0, flags: flags.syn }), 0);
    const ack = (readSegment(world.frames.splice(0)[0]!)!.seq + 1) >>> 0;
    stack.onFrame(
      tcpFrame({ ...ends, seq: 2, ack, flags: flags.ack, payload: Uint8Array.of(255, 255, 0) }),
      0,
    );
    expect(stack.counts.active).toBe(0);
    expect(readSegment(world.frames.at(-1)!)!.flags & flags.rst).toBe(flags.rst);
  });
  test("a flow knows the name that its address was asked by", () => {
    const { stack, world } = testStack({}, { dns: mirror });
    stack.onFrame(tcpFrame({ guestPort: 1, peerPort: 80, seq: 1, ack: 0, flags: flags.syn, window: 9 }), 0);
    expect(world.dials[0]!.target.name).toBe("peer.test");
  });
});
