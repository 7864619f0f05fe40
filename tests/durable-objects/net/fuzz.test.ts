import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emptyIpHeader, readIpv4 } from "../../../durable-objects/net/wire/ipv4.ts";
import { readIpv6 } from "../../../durable-objects/net/wire/ipv6.ts";
import { readArp } from "../../../durable-objects/net/wire/arp.ts";
import { ipOf, readIp } from "../../../durable-objects/net/wire/address.ts";
import { checksum, fold, sum } from "../../../durable-objects/net/wire/checksum.ts";
import { readIcmp } from "../../../durable-objects/net/wire/icmp.ts";
import { emptySegment, readTcp } from "../../../durable-objects/net/wire/tcp.ts";
import { readUdp } from "../../../durable-objects/net/wire/udp.ts";
import { fuzzStack, heldLimitBytes } from "../../fuzz/net.ts";

/** A parser is given a stretch of a larger buffer: it never throws, and what it finds lies inside of the stretch. */
const SEED = 20_261_121;
const stretch = fc
  .record({
    bytes: fc.uint8Array({ maxLength: 300 }),
    start: fc.nat(60),
    version: fc.constantFrom(4, 6, 0x45, 0x60),
  })
  .map(({ bytes, start, version }) => {
    const from = Math.min(start, bytes.length);
    // Half of them begin as the parser hopes.
    if (version > 6 && from < bytes.length) bytes[from] = version;
    return { view: new DataView(bytes.buffer), start: from, end: bytes.length };
  });

const isInside = (start: number, end: number, ...offsets: number[]): void => {
  for (const offset of offsets) {
    expect(offset).toBeGreaterThanOrEqual(start);
    expect(offset).toBeLessThanOrEqual(end);
  }
};

describe(`parsers (seed ${SEED})`, () => {
  const every = (check: (view: DataView, start: number, end: number) => void) =>
    fc.assert(
      fc.property(stretch, ({ view, start, end }) => check(view, start, end)),
      { seed: SEED, numRuns: 3000 },
    );

  test("IPv4 and IPv6", () =>
    every((view, start, end) => {
      for (const read of [readIpv4, readIpv6]) {
        const header = read(view, start, end, emptyIpHeader());
        if (!header) continue;
        const { payload, source, destination } = header;
        isInside(
          start,
          end,
          header.start,
          payload,
          header.end,
          source,
          destination + (header.version === 4 ? 4 : 16),
        );
        expect(payload).toBeLessThanOrEqual(header.end);
      }
    }));

  test("TCP", () =>
    every((view, start, end) => {
      const segment = readTcp(view, start, end, emptySegment());
      if (segment) isInside(start, end, segment.payload, segment.end);
      expect(segment?.sackBlocks ?? 0).toBeLessThanOrEqual(4);
    }));

  test("UDP, ICMP and ARP", () =>
    every((view, start, end) => {
      const [from, to] = [ipOf("10.0.2.15")!, ipOf("10.0.2.2")!];
      const udp = readUdp(view, start, end, from, to);
      if (udp) isInside(start, end, udp.payload, udp.end);
      const icmp = readIcmp(view, start, end, 0);
      if (icmp) isInside(start, end, icmp.payload, icmp.end);
      expect(() => readArp(view, start, end)).not.toThrow();
    }));
});

describe("the checksum", () => {
  test("is RFC 1071's, whatever the length and the place", () => {
    const slow = (bytes: Uint8Array): number => {
      let total = 0;
      for (let at = 0; at < bytes.length; at += 2) {
        total += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
        total = (total & 0xffff) + (total >> 16);
      }
      return total;
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.nat(20), (bytes, start) => {
        const from = Math.min(start, bytes.length);
        expect(fold(sum(new DataView(bytes.buffer), from, bytes.length))).toBe(slow(bytes.subarray(from)));
      }),
      { seed: SEED },
    );
  });

  test("of the example in RFC 1071 §3", () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(fold(sum(new DataView(bytes.buffer), 0, 8))).toBe(0xddf2);
    expect(checksum(0xddf2)).toBe(0x220d);
  });

  test("of the longest run of ones", () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    expect(fold(sum(new DataView(bytes.buffer), 0, 65_534))).toBe(0xffff);
  });
});

test("an address is the same after text", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const ip = readIp(new DataView(bytes.buffer), 0, 6);
      expect(ipOf(ip.text)).toEqual(ip);
    }),
    { seed: SEED },
  );
});

test(`30,000 frames of chance through the stack (seed ${SEED}); npm run fuzz -- net for more`, () => {
  const { frames, peakHeldBytes, sent, dials } = fuzzStack(30_000, SEED);
  expect(frames).toBe(30_000);
  expect(peakHeldBytes).toBeLessThan(heldLimitBytes);
  expect(heldLimitBytes).toBeLessThan(56 << 20);
  // It was a conversation and not a wall.
  expect(sent).toBeGreaterThan(5000);
  expect(dials).toBeGreaterThan(500);
});

test(`30,000 where segments travel uncut (seed ${SEED}); npm run fuzz -- net --long for more`, () => {
  const { peakHeldBytes, longSent } = fuzzStack(30_000, SEED, { long: true });
  expect(peakHeldBytes).toBeLessThan(heldLimitBytes);
  expect(longSent).toBeGreaterThan(200);
});
