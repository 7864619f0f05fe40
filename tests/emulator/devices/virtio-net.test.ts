import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findSegment, finishChecksum, isIntact } from "../../../emulator/devices/ethernet/checksum.ts";
import { cutForLink, cutTcp, Joiner } from "../../../emulator/devices/ethernet/segmentation.ts";
import { NetFeature, VirtioNet } from "../../../emulator/devices/virtio/net.ts";
import { TestWire, testFrame } from "../../support/test-wire.ts";
import { VirtioDriver } from "../../support/virtio-driver.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const RX = 0;
const TX = 1;
const CONTROL = 2;
const BUFFERS = 0x8000;

const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);

function bench(profile: "full" | "windows7" = "full", features = 0xffff_ffff) {
  const wire = new TestWire();
  const driver = new VirtioDriver((port) => new VirtioNet(port, { mac: MAC, wire, profile }));
  const card = driver.device.model as VirtioNet;
  driver.start(16, features);
  const offerBuffers = (count: number, length: number): void => {
    for (let i = 0; i < count; i++) driver.offer(RX, [{ address: BUFFERS + 0x800 * i, length, write: true }]);
    driver.kick(RX);
  };
  /** Puts header and frame into RAM in two buffers and rings the bell. */
  const transmit = (frame: Uint8Array, header: Uint8Array = new Uint8Array(12)): void => {
    driver.board.memory.write(0x2_0000, header);
    driver.board.memory.write(0x2_1000, frame);
    driver.offer(TX, [
      { address: 0x2_0000, length: header.length },
      { address: 0x2_1000, length: frame.length },
    ]);
    driver.kick(TX);
  };
  const control = (...bytes: number[]): number => {
    driver.board.memory.write(0x3_0000, Uint8Array.from(bytes));
    driver.offer(CONTROL, [
      { address: 0x3_0000, length: bytes.length },
      { address: 0x3_1000, length: 1, write: true },
    ]);
    driver.kick(CONTROL);
    return driver.board.memory.readU8(0x3_1000);
  };
  /** Header and frame of every packet that came, over as many buffers as each took. */
  const received = (): { header: Uint8Array; frame: Uint8Array }[] => {
    const used = driver.used(RX);
    const packets = [];
    for (let i = 0; i < used.length;) {
      const at = BUFFERS + 0x800 * i;
      const count = profile === "full" ? driver.board.memory.readU16(at + 10) : 1;
      const headerBytes = profile === "full" ? 12 : 10;
      const bytes = used
        .slice(i, i + count)
        .flatMap(([, length], k) => [...driver.board.memory.view(BUFFERS + 0x800 * (i + k), length)]);
      packets.push({
        header: Uint8Array.from(bytes.slice(0, headerBytes)),
        frame: Uint8Array.from(bytes.slice(headerBytes)),
      });
      i += Math.max(count, 1);
    }
    return packets;
  };
  return { wire, driver, card, offerBuffers, transmit, control, received };
}

test("identity, address, status and one pair of queues", () => {
  const { driver } = bench();
  expect([driver.device.pci.read(0, 4), driver.device.pci.read(0x2c, 4)]).toEqual([0x10411af4, 0x00011af4]);
  expect(Array.from({ length: 6 }, (_, i) => driver.read(0x3000 + i, 1))).toEqual([...MAC]);
  expect([driver.read(0x3006, 2), driver.read(0x3008, 2), driver.read(0x12, 2)]).toEqual([1, 1, 3]);
});

test("windows7: MAC and STATUS only, two queues of 256, a header of ten zero bytes", () => {
  const { driver, wire, card, offerBuffers, transmit, received } = bench("windows7");
  driver.write(0x00, 0);
  expect(driver.read(0x04)).toBe((NetFeature.mac | NetFeature.status | (1 << 28)) >>> 0);
  expect(driver.read(0x12, 2)).toBe(2);
  const frame = testFrame({ payload: pattern(100) });
  transmit(frame, new Uint8Array(10));
  expect(wire.sent).toEqual([frame]);
  expect(driver.used(TX)).toEqual([[0, 0]]);
  offerBuffers(2, 0x600);
  wire.waiting.push(frame);
  card.poll();
  expect(received()).toEqual([{ header: new Uint8Array(10), frame }]);
  expect(driver.used(RX)[0]![1]).toBe(10 + frame.length);
});

test("transitional: by its ports alone, as drivers from before virtio 1.0 do it", () => {
  const wire = new TestWire();
  const driver = new VirtioDriver((port) => new VirtioNet(port, { mac: MAC, wire }), 0xc100);
  const { board, device } = driver;
  const { pci } = device;
  expect([pci.read(0, 4), pci.read(8, 1), pci.read(0x2e, 2)]).toEqual([0x10001af4, 0, 1]);
  expect(driver.read(0x12, 2)).toBe(3);
  const port = (at: number): number => 0xc100 + at;
  board.out(port(18), 3);
  const offered = board.in(port(0), 4);
  board.out(port(4), (offered & ~NetFeature.mergeableBuffers) >>> 0, 4);
  expect(Array.from({ length: 6 }, (_, i) => board.in(port(20 + i)))).toEqual([...MAC]);
  for (const [queue, page] of [
    [RX, 0x10],
    [TX, 0x20],
  ] as const) {
    board.out(port(14), queue, 2);
    expect(board.in(port(12), 2)).toBe(256);
    board.out(port(8), page, 4);
    expect(board.in(port(8), 4)).toBe(page);
  }
  board.out(port(18), 7);
  const frame = testFrame({ payload: pattern(80) });
  const { memory } = board;
  const offer = (page: number, address: number, length: number, flags: number): void => {
    memory.writeU32(page * 4096, address);
    memory.writeU32(page * 4096 + 8, length);
    memory.writeU16(page * 4096 + 12, flags);
    memory.writeU16(page * 4096 + 4096 + 2, 1);
  };
  // The header has ten bytes: no number of buffers without mergeable ones.
  memory.write(0x5_000a, frame);
  offer(0x20, 0x5_0000, 10 + frame.length, 0);
  board.out(port(16), TX, 2);
  expect(wire.sent).toEqual([frame]);
  offer(0x10, 0x6_0000, 1600, 2);
  wire.waiting.push(frame);
  (device.model as VirtioNet).poll();
  expect(memory.view(0x6_000a, frame.length)).toEqual(frame);
  // The used ring begins on the next page.
  expect([memory.readU16(0x1_2002), memory.readU32(0x1_2008)]).toEqual([1, 10 + frame.length]);
  expect([board.in(port(19)), board.in(port(19))]).toEqual([1, 0]);
  board.out(port(18), 0);
  expect([board.in(port(18)), board.in(port(8), 4)]).toEqual([0, 0]);
});

test("a frame that has come interrupts once, and lies in a buffer with its header", () => {
  const { driver, wire, card, offerBuffers, received } = bench();
  offerBuffers(4, 0x600);
  const frame = testFrame({ payload: pattern(60), udp: true });
  wire.waiting.push(frame);
  card.poll();
  const [packet] = received();
  expect(packet!.frame).toEqual(frame);
  expect([...packet!.header]).toEqual([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  expect(driver.read(0x2000, 1)).toBe(1);
  expect(card.counters.receivedFrames).toBe(1);
});

test("a wrong checksum is handed on without the word that it is valid", () => {
  const { wire, card, offerBuffers, received } = bench();
  offerBuffers(2, 0x600);
  const frame = testFrame({ payload: pattern(60) });
  frame[frame.length - 1]! ^= 1;
  wire.waiting.push(frame);
  card.poll();
  expect(received()).toEqual([{ header: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0), frame }]);
});

test("frames wait while there are no buffers, and none is lost", () => {
  const { wire, card, offerBuffers, received } = bench();
  const frames = Array.from({ length: 3 }, (_, i) => testFrame({ payload: pattern(40 + i), udp: true }));
  wire.waiting.push(...frames);
  card.poll();
  offerBuffers(3, 0x600);
  card.poll();
  expect(received().map(({ frame }) => frame)).toEqual(frames);
});

test("segments that follow each other arrive as one, in merged buffers", () => {
  const { wire, card, offerBuffers, received } = bench();
  offerBuffers(8, 0x600);
  const parts = [0, 1, 2].map((i) =>
    testFrame({ payload: pattern(1400, i), sequence: 2 ** 32 - 1400 + 1400 * i }),
  );
  const other = testFrame({ payload: pattern(99), sequence: 5, port: 81 });
  wire.waiting.push(...parts, other);
  card.poll();
  const [joined, single] = received();
  expect(joined!.frame.length).toBe(54 + 3 * 1400);
  expect(joined!.frame.subarray(54)).toEqual(
    Uint8Array.from([0, 1, 2].flatMap((i) => [...pattern(1400, i)])),
  );
  const header = new DataView(joined!.header.buffer);
  expect([header.getUint8(0), header.getUint8(1)]).toEqual([1, 1]);
  expect([2, 4, 6, 8, 10].map((at) => header.getUint16(at, true))).toEqual([54, 1400, 34, 16, 3]);
  expect(single!.frame).toEqual(other);
});

describe("a segment longer than the MTU, as the link brings it", () => {
  const long = () => testFrame({ payload: pattern(15_000), flags: 0x18 });

  test("goes whole to a driver that takes such, with the size of parts that Ethernet would have", () => {
    const { wire, card, offerBuffers, received } = bench();
    offerBuffers(14, 0x600);
    wire.waiting.push(long());
    card.poll();
    const [packet, ...more] = received();
    expect(more).toEqual([]);
    expect(packet!.frame.subarray(54)).toEqual(pattern(15_000));
    const header = new DataView(packet!.header.buffer);
    expect([header.getUint8(0), header.getUint8(1)]).toEqual([1, 1]);
    expect([2, 4, 6, 8].map((at) => header.getUint16(at, true))).toEqual([54, 1460, 34, 16]);
    // The driver, or whoever it hands the packet on to, finishes the checksum.
    finishChecksum(packet!.frame, 34, 16);
    expect(isIntact(packet!.frame, findSegment(packet!.frame)!)).toBe(true);
  });

  test("is cut for a driver that does not, and dropped when it was changed on its way", () => {
    const { wire, card, offerBuffers, received } = bench("full", ~NetFeature.guestTso4);
    offerBuffers(14, 0x600);
    wire.waiting.push(long());
    card.poll();
    const frames = received().map(({ frame }) => frame);
    expect(frames.map(({ length }) => length)).toEqual([...Array<number>(10).fill(1514), 54 + 400]);
    for (const frame of frames) expect(isIntact(frame, findSegment(frame)!)).toBe(true);
    expect(Buffer.concat(frames.map((frame) => frame.subarray(54)))).toEqual(Buffer.from(pattern(15_000)));
    const whole = bench();
    whole.offerBuffers(14, 0x600);
    const damaged = long();
    damaged[9000]! ^= 1;
    whole.wire.waiting.push(damaged, testFrame({ payload: pattern(4000), udp: true }));
    whole.card.poll();
    expect([whole.received(), whole.card.counters.dropped]).toEqual([[], 2]);
  });
});

test("a request of the driver's goes out as it is; what is no frame is dropped", () => {
  const { driver, wire, card, transmit } = bench();
  const frame = testFrame({ payload: pattern(100) });
  transmit(frame);
  transmit(new Uint8Array(13));
  transmit(new Uint8Array(16_381));
  expect(wire.sent).toEqual([frame]);
  expect(card.counters).toMatchObject({ sentFrames: 1, sentBytes: frame.length, dropped: 2 });
  expect(driver.used(TX).length).toBe(3);
});

test("a checksum that the driver has begun is finished", () => {
  const { wire, transmit } = bench();
  const frame = testFrame({ payload: pattern(101) });
  const [high, low] = [frame[50]!, frame[51]!];
  const header = new Uint8Array(12);
  new DataView(header.buffer).setUint16(6, 34, true);
  new DataView(header.buffer).setUint16(8, 16, true);
  header[0] = 1;
  // The pseudo-header's sum: 10.0.2.2 + 10.0.2.15 + 6 + length.
  const sum = 0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 20 + 101;
  frame.set([sum >>> 8, sum & 0xff], 50);
  transmit(frame, header);
  expect([wire.sent[0]![50], wire.sent[0]![51]]).toEqual([high, low]);
});

test("a segment too large for the link is cut into large parts; what the wire has no room for waits, and the ring behind it", () => {
  const { driver, wire, card, transmit } = bench();
  const big = testFrame({ payload: pattern(40_000), flags: 0x19 });
  const header = Uint8Array.of(1, 1, 54, 0, 0, 4, 34, 0, 16, 0, 0, 0);
  wire.room = 2;
  transmit(big, header);
  transmit(testFrame({ payload: pattern(50) }));
  expect(wire.sent.length).toBe(2);
  expect(driver.used(TX).length).toBe(1);
  wire.room = Infinity;
  card.poll();
  expect(wire.sent.map(({ length }) => length)).toEqual([54 + 15_360, 54 + 15_360, 54 + 9280, 54 + 50]);
  expect(wire.sent.slice(0, 3).map((frame) => frame[47])).toEqual([0x10, 0x10, 0x19]);
  for (const frame of wire.sent) expect(isIntact(frame, findSegment(frame)!)).toBe(true);
  expect(driver.used(TX).length).toBe(2);
});

test("the cable: configuration interrupt, status, and nothing passes while it is out", () => {
  const { driver, wire, card, offerBuffers, transmit } = bench();
  offerBuffers(2, 0x600);
  card.setCable(false);
  expect([driver.read(0x2000, 1), driver.read(0x3006, 2)]).toEqual([2, 0]);
  wire.waiting.push(testFrame({ payload: pattern(10) }));
  card.poll();
  transmit(testFrame({ payload: pattern(10) }));
  expect([wire.sent.length, driver.used(RX).length, card.counters.dropped]).toEqual([0, 0, 2]);
  driver.read(0x2000, 1);
  card.setCable(true);
  expect([driver.read(0x2000, 1), driver.read(0x3006, 2)]).toEqual([2, 1]);
});

test("control queue: modes and table decide what is taken; nonsense is an error", () => {
  const { wire, card, control } = bench();
  const accepts = (...to: number[]): boolean => card.filter.accepts(testFrame({ payload: pattern(1), to }));
  const group = [0x33, 0x33, 0, 0, 0, 1];
  const stranger = [2, 0, 0, 0, 0, 9];
  expect(accepts(...stranger)).toBe(true);
  expect(control(0, 0, 0)).toBe(0);
  expect([accepts(...stranger), accepts(...MAC), accepts(...group)]).toEqual([false, true, false]);
  expect(accepts(255, 255, 255, 255, 255, 255)).toBe(true);
  expect(control(1, 0, 1, 0, 0, 0, ...stranger, 1, 0, 0, 0, ...group)).toBe(0);
  expect([accepts(...stranger), accepts(...group)]).toEqual([true, true]);
  expect(control(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(0);
  expect([accepts(...stranger), accepts(...group)]).toEqual([false, false]);
  expect(control(0, 1, 1)).toBe(0);
  expect(accepts(...group)).toBe(true);
  expect(control(1, 1, 2, 2, 2, 2, 2, 2)).toBe(0);
  expect([accepts(...MAC), accepts(2, 2, 2, 2, 2, 2)]).toEqual([false, true]);
  expect([control(9, 9, 1), control(0, 77, 1), control(1, 0, 255, 255, 255, 255), control(1)]).toEqual([
    1, 1, 1, 1,
  ]);
  expect(wire.sent).toEqual([]);
});

test("until the driver is ready, and after it has reset the card, frames are dropped", () => {
  const { driver, wire, card, offerBuffers } = bench();
  offerBuffers(2, 0x600);
  driver.status = 0;
  wire.waiting.push(testFrame({ payload: pattern(10) }), testFrame({ payload: pattern(10) }));
  card.poll();
  expect([wire.waiting.length, card.counters.dropped]).toEqual([0, 2]);
});

describe("a hostile driver", () => {
  test("rings of random descriptors neither throw nor hang nor leave RAM", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            queue: fc.integer({ min: 0, max: 2 }),
            index: fc.integer({ min: 0, max: 15 }),
            address: fc.oneof(
              fc.integer({ min: 0, max: 0xf_ffff }),
              fc.integer({ min: 0, max: 0xffff_ffff }),
            ),
            length: fc.oneof(fc.integer({ min: 0, max: 4096 }), fc.integer({ min: 0, max: 0xffff_ffff })),
            flags: fc.integer({ min: 0, max: 7 }),
            next: fc.integer({ min: 0, max: 20 }),
          }),
          { maxLength: 40 },
        ),
        (steps) => {
          const { driver, wire, card } = bench();
          for (const { queue, index, address, length, flags, next } of steps) {
            driver.descriptor(queue, index, address, length, flags, next);
            driver.makeAvailable(queue, index);
            driver.kick(queue);
            wire.waiting.push(testFrame({ payload: pattern(200), sequence: index * 200 }));
            card.poll();
          }
          expect(driver.board.dirty.every(([at, size]) => at + size <= driver.board.ram.length)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("buffers too small for any frame lose the frame, not the host's time", () => {
    const { driver, wire, card, offerBuffers } = bench();
    offerBuffers(16, 2);
    for (let i = 0; i < 5; i++) wire.waiting.push(testFrame({ payload: pattern(100), udp: true }));
    for (let i = 0; i < 5; i++) card.poll();
    expect([card.counters.dropped, driver.used(RX).length]).toEqual([5, 0]);
  });
});

describe("segments", () => {
  test("cutting and joining are each other's inverse, over both versions of IP", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.integer({ min: 536, max: 1460 }),
        fc.constantFrom(4 as const, 6 as const),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (length, mss, version, sequence) => {
          const frame = testFrame({ payload: pattern(length), sequence, version, flags: 0x18 });
          const joiner = new Joiner();
          for (const part of cutTcp(frame.slice(), mss)) {
            expect(isIntact(part, findSegment(part)!)).toBe(true);
            expect(joiner.offer(part)).toBe(true);
          }
          const whole = joiner.take();
          const bytes = whole instanceof Uint8Array ? whole : whole.frame;
          // All but the checksum, which the joined frame leaves to the driver.
          const checksum = (version === 4 ? 34 : 54) + 16;
          for (const copy of [bytes, frame]) copy.fill(0, checksum, checksum + 2);
          expect(bytes).toEqual(frame);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("parts for the link never exceed its frames, also where the driver has not said the IP length", () => {
    for (const mss of [536, 1260, 1365, 1448, 1460, 4000, 16_000])
      for (const known of [true, false]) {
        const frame = testFrame({ payload: pattern(50_000) });
        if (!known) frame.fill(0, 16, 18);
        const parts = [...cutForLink(frame, mss)];
        expect(Math.max(...parts.map(({ length }) => length)), `${mss}`).toBeLessThanOrEqual(16_380);
        expect(parts.slice(0, -1).every(({ length }) => (length - 54) % mss === 0)).toBe(true);
        expect(Buffer.concat(parts.map((part) => part.subarray(54)))).toEqual(Buffer.from(pattern(50_000)));
      }
  });

  test("any bytes and any sizes: never a throw, never more than the frames that fit", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 0, max: 70_000 }), (bytes, mss) => {
        const frame = new Uint8Array(bytes);
        frame.set([8, 0, 0x45].slice(0, Math.max(0, bytes.length - 12)), Math.min(12, bytes.length));
        let count = 0;
        for (const part of cutTcp(frame, mss)) {
          expect(part.length).toBeLessThanOrEqual(frame.length);
          count++;
        }
        expect(count).toBeLessThanOrEqual(3000 / 32 + 1);
        new Joiner().offer(frame);
      }),
      { numRuns: 500 },
    );
  });
});
