import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Dhcp } from "../../../durable-objects/net/dhcp.ts";
import { lanDefaults } from "../../../durable-objects/net/lan.ts";
import { bytesOf, hex } from "../../support/hex.ts";

const types = { DISCOVER: 1, REQUEST: 3, DECLINE: 4, RELEASE: 7, INFORM: 8 } as const;
const names = ["", "", "OFFER", "", "", "ACK", "NAK"];
const DAY_MS = 86_400_000;

interface Sent {
  readonly type: keyof typeof types;
  readonly mac?: string;
  readonly ciaddr?: string;
  readonly giaddr?: string;
  readonly broadcast?: boolean;
  /** Code and bytes in hex. */
  readonly options?: readonly (readonly [number, string])[];
}
const ip = (text: string) => hex(Uint8Array.from(text.split("."), Number));
const ascii = (text: string) => hex(Uint8Array.from(Buffer.from(text)));

function message({ type, mac = "525400000001", ciaddr, giaddr, broadcast, options = [] }: Sent): Uint8Array {
  const bytes = new Uint8Array(300);
  bytes.set([1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe]);
  if (broadcast) bytes[10] = 0x80;
  if (ciaddr) bytes.set(bytesOf(ip(ciaddr)), 12);
  if (giaddr) bytes.set(bytesOf(ip(giaddr)), 24);
  bytes.set(bytesOf(mac), 28);
  bytes.set(bytesOf("63825363"), 236);
  const all: (readonly [number, string])[] = [[53, hex(Uint8Array.of(types[type]))], ...options];
  bytes.set(
    all.flatMap(([code, value]) => [code, value.length / 2, ...bytesOf(value)]),
    240,
  );
  bytes[240 + all.reduce((sum, [, value]) => sum + 2 + value.length / 2, 0)] = 255;
  return bytes;
}

/** What came back, in one line: type, address, where it goes. */
function ask(dhcp: Dhcp, sent: Sent, nowMs = 0): string {
  const answer = dhcp.onMessage(message(sent), bytesOf(sent.mac ?? "525400000001"), nowMs);
  if (!answer) return "silence";
  expect(hex(answer.payload.subarray(4, 8))).toBe("cafebabe");
  const options = optionsOf(answer.payload);
  const to = answer.broadcast ? "everyone" : answer.toAddress;
  return `${names[Number.parseInt(options.get(53)!, 16)]} ${answer.payload.subarray(16, 20).join(".")} to ${to}`;
}

function optionsOf(payload: Uint8Array): Map<number, string> {
  const options = new Map<number, string>();
  for (let at = 240; payload[at] !== 255; at += 2 + payload[at + 1]!)
    options.set(payload[at]!, hex(payload.subarray(at + 2, at + 2 + payload[at + 1]!)));
  return options;
}

const server: [number, string] = [54, ip("10.0.2.2")];
const wish = (address: string): [number, string] => [50, ip(address)];
const mac = (number: number) => `5254000000${number.toString(16).padStart(2, "0")}`;
/** Discovers and requests; answers the address. */
function lease(dhcp: Dhcp, sent: Omit<Sent, "type">, nowMs = 0): string {
  const address = ask(dhcp, { ...sent, type: "DISCOVER" }, nowMs).split(" ")[1]!;
  const options = [...(sent.options ?? []), server, wish(address)];
  expect(ask(dhcp, { ...sent, type: "REQUEST", options }, nowMs)).toMatch(`ACK ${address}`);
  return address;
}

describe("DHCP", () => {
  test("DISCOVER, OFFER, REQUEST, ACK", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(ask(dhcp, { type: "DISCOVER" })).toBe("OFFER 10.0.2.15 to 10.0.2.15");
    expect(dhcp.leases(0)).toEqual([]);
    const request = { type: "REQUEST", options: [server, wish("10.0.2.15")] } as const;
    expect(ask(dhcp, request)).toBe("ACK 10.0.2.15 to 10.0.2.15");
    expect(dhcp.leases(0)).toEqual([
      { address: "10.0.2.15", mac: "525400000001", hostName: undefined, expiresAt: DAY_MS },
    ]);
  });

  test("tells what the guest needs, and of that what it asks for", () => {
    const dhcp = new Dhcp(lanDefaults);
    const told = (options: Sent["options"]) =>
      Object.fromEntries(
        optionsOf(
          dhcp.onMessage(message({ type: "DISCOVER", ...(options && { options }) }), new Uint8Array(6), 0)!
            .payload,
        ),
      );
    const always = {
      51: "00015180",
      53: "02",
      54: ip("10.0.2.2"),
      58: "0000a8c0",
      59: "00012750",
    };
    expect(told(undefined)).toEqual({
      ...always,
      1: ip("255.255.255.0"),
      3: ip("10.0.2.2"),
      6: ip("10.0.2.2"),
      15: ascii("virga.internal"),
      26: "05dc",
      28: ip("10.0.2.255"),
      42: ip("10.0.2.2"),
    });
    expect(
      told([
        [55, "0103f9"],
        [61, "01525400000001"],
      ]),
    ).toEqual({
      ...always,
      1: ip("255.255.255.0"),
      3: ip("10.0.2.2"),
      61: "01525400000001",
    });
  });

  test("answers to everyone when the client cannot yet receive at its address", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(ask(dhcp, { type: "DISCOVER", broadcast: true })).toBe("OFFER 10.0.2.15 to everyone");
  });

  test("renewing and rebinding extend the lease", () => {
    const dhcp = new Dhcp(lanDefaults);
    lease(dhcp, {});
    const renew = { type: "REQUEST", ciaddr: "10.0.2.15" } as const;
    expect(ask(dhcp, renew, DAY_MS / 2)).toBe("ACK 10.0.2.15 to 10.0.2.15");
    expect(dhcp.leases(DAY_MS + 1)).toHaveLength(1);
    expect(dhcp.leases(DAY_MS * 1.5 + 1)).toHaveLength(0);
  });

  test("a server that has slept believes what is possible and refuses what is not", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(ask(dhcp, { type: "REQUEST", options: [wish("10.0.2.20")] })).toBe("ACK 10.0.2.20 to 10.0.2.20");
    expect(ask(dhcp, { type: "REQUEST", mac: mac(2), options: [wish("10.0.2.20")] })).toBe(
      "NAK 0.0.0.0 to everyone",
    );
    expect(ask(dhcp, { type: "REQUEST", mac: mac(2), options: [wish("192.168.1.5")] })).toMatch(/^NAK/);
    expect(ask(dhcp, { type: "REQUEST", mac: mac(2), ciaddr: "10.0.2.2" })).toMatch(/^NAK/);
    expect(ask(dhcp, { type: "REQUEST", mac: mac(2) })).toBe("silence");
  });

  test("another server's client is left alone, and its offer is free again", () => {
    const dhcp = new Dhcp({ ...lanDefaults, leases: 1 });
    ask(dhcp, { type: "DISCOVER" });
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(2) })).toBe("silence");
    expect(ask(dhcp, { type: "REQUEST", options: [[54, ip("10.0.2.3")], wish("10.0.2.15")] })).toBe(
      "silence",
    );
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(2) })).toMatch(/^OFFER 10.0.2.15/);
  });

  test("addresses are stable: by client id, by hardware address, and after the lease has ended", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(lease(dhcp, { options: [[61, "ff01020304"]] })).toBe("10.0.2.15");
    expect(lease(dhcp, { mac: mac(2) })).toBe("10.0.2.16");
    // The firmware of the first machine has another client id, its system moves to another card.
    expect(lease(dhcp, { options: [[61, "0001"]] })).toBe("10.0.2.15");
    expect(lease(dhcp, { mac: mac(9), options: [[61, "0001"]] })).toBe("10.0.2.15");
    expect(lease(dhcp, { mac: mac(2) }, 30 * DAY_MS)).toBe("10.0.2.16");
    expect(dhcp.leases(30 * DAY_MS)).toHaveLength(1);
  });

  test("a server that takes over gives no address twice, and keeps the promises", () => {
    const before = new Dhcp(lanDefaults);
    expect(lease(before, { mac: mac(1) })).toBe("10.0.2.15");
    ask(before, { type: "DISCOVER", mac: mac(9) });
    const after = new Dhcp(lanDefaults, before.memory());
    expect(after.memory()).toHaveLength(1);
    expect(lease(after, { mac: mac(2) })).toBe("10.0.2.16");
    expect(lease(after, { mac: mac(1) })).toBe("10.0.2.15");
    expect(after.revision).toBeGreaterThan(0);
    // What is stored may be of another LAN.
    const [row] = before.memory();
    expect(new Dhcp(lanDefaults, [{ ...row!, address: 1 }]).memory()).toEqual([]);
  });

  test("a full pool is silent until a lease ends; the one unused longest goes first", () => {
    const dhcp = new Dhcp({ ...lanDefaults, leases: 2 });
    lease(dhcp, { mac: mac(1) }, 0);
    lease(dhcp, { mac: mac(2) }, 1000);
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(3) }, 2000)).toBe("silence");
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(3) }, DAY_MS + 2000)).toMatch(/^OFFER 10.0.2.15/);
    ask(dhcp, { type: "RELEASE", mac: mac(2), ciaddr: "10.0.2.16" }, 3000);
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(4) }, 3000)).toMatch(/^OFFER 10.0.2.16/);
  });

  test("a declined address rests for an hour; only its holder can decline or release it", () => {
    const dhcp = new Dhcp({ ...lanDefaults, leases: 2 });
    lease(dhcp, {});
    ask(dhcp, { type: "DECLINE", mac: mac(7), options: [server, wish("10.0.2.15")] });
    ask(dhcp, { type: "RELEASE", mac: mac(7), ciaddr: "10.0.2.15" });
    expect(dhcp.leases(0)).toHaveLength(1);
    ask(dhcp, { type: "DECLINE", options: [server, wish("10.0.2.15")] });
    expect(lease(dhcp, {})).toBe("10.0.2.16");
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(2) }, 3_599_999)).toBe("silence");
    expect(ask(dhcp, { type: "DISCOVER", mac: mac(2) }, 3_600_000)).toMatch(/^OFFER 10.0.2.15/);
  });

  test("INFORM gets facts and no address", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(ask(dhcp, { type: "INFORM", ciaddr: "10.0.2.77" })).toBe("ACK 0.0.0.0 to 10.0.2.77");
    const answer = dhcp.onMessage(message({ type: "INFORM", ciaddr: "10.0.2.77" }), new Uint8Array(6), 0)!;
    expect(optionsOf(answer.payload).has(51)).toBe(false);
    expect(dhcp.leases(0)).toEqual([]);
  });

  test("machines of one room have different names", () => {
    const dhcp = new Dhcp(lanDefaults);
    const named = (number: number, name: string) =>
      lease(dhcp, { mac: mac(number), options: [[12, ascii(name)]] });
    named(1, "Debian");
    named(2, "debian.example.test");
    named(3, "gateway");
    named(4, "not a name");
    expect(dhcp.leases(0).map(({ hostName }) => hostName)).toEqual([
      "debian",
      "debian-16",
      "gateway-17",
      undefined,
    ]);
  });

  test.each([
    ["a reply", (bytes: Uint8Array) => void (bytes[0] = 2)],
    ["a token ring", (bytes: Uint8Array) => void (bytes[1] = 6)],
    ["no cookie", (bytes: Uint8Array) => void (bytes[236] = 0)],
    ["no type", (bytes: Uint8Array) => void (bytes[240] = 99)],
    ["an option that runs out of the message", (bytes: Uint8Array) => bytes.set([60, 200], 243)],
  ])("%s is dropped", (_, damage) => {
    const bytes = message({ type: "DISCOVER" });
    damage(bytes);
    expect(new Dhcp(lanDefaults).onMessage(bytes, new Uint8Array(6), 0)).toBeNull();
  });

  test("a relay's message is dropped, options in pieces and in `file` are read", () => {
    const dhcp = new Dhcp(lanDefaults);
    expect(ask(dhcp, { type: "DISCOVER", giaddr: "10.0.2.9" })).toBe("silence");
    expect(
      ask(dhcp, {
        type: "DISCOVER",
        options: [
          [50, "0a00"],
          [50, "0214"],
        ],
      }),
    ).toMatch(/10\.0\.2\.20/);
    const bytes = message({ type: "DISCOVER", mac: mac(2), options: [[52, "01"]] });
    bytes.set([50, 4, 10, 0, 2, 30, 255], 108);
    expect(dhcp.onMessage(bytes, new Uint8Array(6), 0)?.toAddress).toBe("10.0.2.30");
  });

  test("any bytes: never throws, and the table stays within the pool", () => {
    const dhcp = new Dhcp({ ...lanDefaults, leases: 4 });
    const anyMessage = fc
      .record({
        type: fc.constantFrom("DISCOVER", "REQUEST", "DECLINE", "RELEASE", "INFORM"),
        mac: fc.nat(40).map(mac),
        ciaddr: fc.constantFrom("0.0.0.0", "10.0.2.15", "10.0.2.18", "10.0.2.19"),
        options: fc.array(
          fc.tuple(fc.constantFrom(12, 50, 52, 54, 55, 61), fc.uint8Array({ maxLength: 8 }).map(hex)),
          { maxLength: 4 },
        ),
      })
      .map((sent) => message(sent as Sent));
    fc.assert(
      fc.property(fc.oneof(anyMessage, fc.uint8Array({ maxLength: 400 })), fc.nat(9), (bytes, hours) => {
        const answer = dhcp.onMessage(bytes, new Uint8Array(6), hours * 3_600_000);
        expect(answer?.payload.length ?? 300).toBeGreaterThanOrEqual(300);
        expect(dhcp.leases(0).length).toBeLessThanOrEqual(4);
      }),
      { numRuns: 2000 },
    );
  });
});
