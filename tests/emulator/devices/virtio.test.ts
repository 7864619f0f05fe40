import { expect, test } from "vitest";
import {
  MAX_IN_FLIGHT_BYTES,
  MAX_REQUEST_BYTES,
  VirtioBlk,
  type Disk,
} from "../../../emulator/devices/virtio/blk.ts";
import { VirtioConsole } from "../../../emulator/devices/virtio/console.ts";
import { VirtioRng } from "../../../emulator/devices/virtio/rng.ts";
import { settle, VirtioDriver } from "../../support/virtio-driver.ts";

const NEEDS_RESET = 0x40;

/** A disk whose reads wait until the test lets them go. */
class SlowDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly log: string[] = [];
  readonly bytes: Uint8Array;
  readonly waiting: (() => void)[] = [];
  slow = false;

  constructor({ sizeBytes = 64 * 512, readOnly = false } = {}) {
    this.sizeBytes = sizeBytes;
    this.readOnly = readOnly;
    this.bytes = new Uint8Array(Math.min(sizeBytes, 1 << 20));
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    this.log.push(`read ${offset}+${length}`);
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    return this.bytes.slice(offset, offset + length);
  }
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.log.push(`write ${offset}+${bytes.length}`);
    this.bytes.set(bytes, offset);
  }
  async flush(): Promise<void> {
    this.log.push("flush");
  }
  async discard(offset: number, length: number): Promise<void> {
    this.log.push(`discard ${offset}+${length}`);
  }
}

function blkBench(disk = new SlowDisk()) {
  const driver = new VirtioDriver(
    (port, { timers }) => new VirtioBlk(port, { disk, id: "test-disk", timers }),
  );
  return { disk, driver };
}

const HEADER = 0x8000;
const DATA = 0x9000;
const STATUS = 0x8ff0;

function request(
  driver: VirtioDriver,
  type: number,
  sector: number,
  dataBytes: number,
  deviceWrites: boolean,
): number {
  const { memory } = driver.board;
  memory.writeU32(HEADER, type);
  memory.writeU32(HEADER + 8, sector % 2 ** 32);
  memory.writeU32(HEADER + 12, Math.floor(sector / 2 ** 32));
  memory.writeU8(STATUS, 0xff);
  const head = driver.offer(0, [
    { address: HEADER, length: 16 },
    ...(dataBytes ? [{ address: DATA, length: dataBytes, write: deviceWrites }] : []),
    { address: STATUS, length: 1, write: true },
  ]);
  driver.kick(0);
  return head;
}

test("transport: identity, capabilities and layout of the contract", () => {
  const { driver } = blkBench();
  const { pci } = driver.device;
  expect([pci.read(0, 4), pci.read(8, 1), pci.read(0x2c, 4)]).toEqual([0x10421af4, 1, 0x00021af4]);
  const types: number[][] = [];
  for (let at = pci.read(0x34, 1); at !== 0; at = pci.read(at + 1, 1))
    types.push(
      pci.read(at, 1) === 9
        ? [pci.read(at + 3, 1), pci.read(at + 8, 4), pci.read(at + 12, 4)]
        : [pci.read(at, 1)],
    );
  expect(types).toEqual([
    [1, 0, 0x100],
    [2, 0x1000, 0x100],
    [3, 0x2000, 0x20],
    [4, 0x3000, 0x100],
    [5, 0, 0],
    [0x11],
  ]);
});

test("transport: only offered features with VERSION_1 are accepted; selectors above 1 read 0", () => {
  const { driver } = blkBench();
  driver.write(0x00, 2);
  expect(driver.read(0x04)).toBe(0);
  driver.status = 3;
  driver.write(0x08, 0);
  driver.write(0x0c, 1 << 31);
  driver.status = 0x0b;
  expect(driver.status).toBe(3);
  driver.start();
  expect(driver.status).toBe(0x0f);
});

test("transport: the queue that is selected answers; one that does not exist is empty", () => {
  const { driver } = blkBench();
  driver.start();
  expect([driver.read(0x18, 2), driver.read(0x20), driver.read(0x1c, 2)]).toEqual([16, 0x1000, 1]);
  driver.write(0x16, 7, 2);
  expect([driver.read(0x18, 2), driver.read(0x20), driver.read(0x1a, 2)]).toEqual([0, 0, 0xffff]);
  driver.write(0x16, 0, 2);
  driver.write(0x18, 48, 2);
  driver.write(0x1a, 9, 2);
  expect([driver.read(0x18, 2), driver.read(0x1a, 2)]).toEqual([16, 0xffff]);
});

test("transport: configuration access through the PCI window", () => {
  const { driver } = blkBench();
  const { pci } = driver.device;
  let window = pci.read(0x34, 1);
  while (pci.read(window + 3, 1) !== 5) window = pci.read(window + 1, 1);
  pci.write(window + 8, 4, 0x3000);
  pci.write(window + 12, 4, 4);
  expect(pci.read(window + 16, 4)).toBe(64);
  pci.write(window + 8, 4, 0x14);
  pci.write(window + 12, 4, 1);
  pci.write(window + 16, 1, 3);
  expect(driver.status).toBe(3);
  pci.write(window + 8, 4, 0xffff_fff0);
  pci.write(window + 12, 4, 3);
  pci.write(window + 16, 4, 0);
  expect(driver.status).toBe(3);
});

test("blk: configuration space tells capacity, segments and limits", () => {
  const { driver } = blkBench(new SlowDisk({ sizeBytes: 2 ** 41 }));
  const config = (at: number) => driver.read(0x3000 + at);
  expect([config(0), config(4), config(0x0c), config(0x14)]).toEqual([0, 1, 126, 512]);
});

test("blk: reads and writes move bytes, interrupt, and report what was written", async () => {
  const { disk, driver } = blkBench();
  driver.start();
  disk.bytes.set([1, 2, 3], 1024);
  const head = request(driver, 0, 2, 1024, true);
  await settle();
  expect([driver.used(0), driver.board.ram[STATUS], [...driver.board.ram.subarray(DATA, DATA + 3)]]).toEqual([
    [[head, 1025]],
    0,
    [1, 2, 3],
  ]);
  expect([
    driver.board.edges.at(-1),
    driver.read(0x2000, 1),
    driver.read(0x2000, 1),
    driver.board.edges.at(-1),
  ]).toEqual(["+11", 1, 0, "-11"]);
  driver.board.ram.fill(7, DATA, DATA + 512);
  request(driver, 1, 3, 512, false);
  await settle();
  expect([disk.log, disk.bytes[1536], driver.used(0).length]).toEqual([
    ["read 1024+1024", "write 1536+512"],
    7,
    2,
  ]);
});

test("blk: flush, discard, write-zeroes and the serial", async () => {
  const { disk, driver } = blkBench();
  driver.start();
  const { memory, ram } = driver.board;
  request(driver, 4, 0, 0, false);
  await settle();
  memory.writeU32(DATA, 8);
  memory.writeU32(DATA + 8, 16);
  memory.writeU32(DATA + 16, 40);
  memory.writeU32(DATA + 24, 8);
  request(driver, 11, 0, 32, false);
  await settle();
  memory.writeU32(DATA + 8, 1000);
  request(driver, 13, 0, 16, false);
  await settle();
  expect([disk.log, ram[STATUS]]).toEqual([["flush", "discard 4096+8192", "discard 20480+4096"], 1]);
  request(driver, 8, 0, 20, true);
  await settle();
  expect(new TextDecoder().decode(ram.slice(DATA, DATA + 9))).toBe("test-disk");
});

test("blk: beyond the end, odd lengths, unknown types and writes to read-only disks are errors, not accesses", async () => {
  const { disk, driver } = blkBench(new SlowDisk({ readOnly: true }));
  driver.start();
  const status = async (type: number, sector: number, bytes: number, write: boolean) => {
    request(driver, type, sector, bytes, write);
    await settle();
    return driver.board.ram[STATUS];
  };
  expect(await status(0, 64, 512, true)).toBe(1);
  expect(await status(0, 2 ** 55, 512, true)).toBe(1);
  expect(await status(0, 0, 500, true)).toBe(1);
  expect(await status(99, 0, 0, false)).toBe(2);
  expect(await status(1, 0, 512, false)).toBe(1);
  expect(await status(11, 0, 16, false)).toBe(2);
  expect([disk.log, driver.status & NEEDS_RESET]).toEqual([[], 0]);
});

test("blk: requests complete out of order, and answers from before a reset are dropped", async () => {
  const { disk, driver } = blkBench();
  driver.start();
  disk.slow = true;
  const first = request(driver, 0, 0, 512, true);
  const second = request(driver, 0, 1, 512, true);
  disk.waiting[1]!();
  await settle();
  expect(driver.used(0)).toEqual([[second, 513]]);
  disk.waiting[0]!();
  await settle();
  expect(driver.used(0).map(([head]) => head)).toEqual([second, first]);
  request(driver, 0, 2, 512, true);
  driver.start();
  driver.board.ram[STATUS] = 0xff;
  disk.waiting[2]!();
  await settle();
  expect([driver.used(0), driver.board.ram[STATUS]]).toEqual([[], 0xff]);
});

test("blk: what is in flight is bounded; the rest waits in the ring", async () => {
  const disk = new SlowDisk({ sizeBytes: 2 ** 30 });
  const { driver } = blkBench(disk);
  driver.start();
  disk.slow = true;
  const chunk = 512 * 1024;
  const wanted = 16;
  driver.board.memory.writeU32(HEADER, 0);
  // Eight segments over the same memory make 4 MiB.
  for (let i = 0; i < 8; i++)
    driver.board.memory.write(0xa000 + 16 * (i + 1), descriptorBytes(0x10000, chunk, 3, i + 2));
  driver.board.memory.write(0xa000, descriptorBytes(HEADER, 16, 1, 1));
  driver.board.memory.write(0xa000 + 16 * 9, descriptorBytes(STATUS, 1, 2, 0));
  for (let i = 0; i < wanted; i++) {
    driver.descriptor(0, i, 0xa000, 160, 4);
    driver.makeAvailable(0, i);
  }
  driver.kick(0);
  expect(8 * chunk).toBeLessThanOrEqual(MAX_REQUEST_BYTES);
  expect(disk.log.length).toBe(MAX_IN_FLIGHT_BYTES / (8 * chunk));
  for (let i = 0; i < wanted; i++) {
    disk.waiting[i]?.();
    await settle();
    driver.board.pass(0);
  }
  expect([disk.log.length, driver.status & NEEDS_RESET]).toEqual([wanted, 0]);
});

function descriptorBytes(address: number, length: number, flags: number, next: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, address, true);
  view.setUint32(8, length, true);
  view.setUint16(12, flags, true);
  view.setUint16(14, next, true);
  return new Uint8Array(view.buffer);
}

const wicked: Record<string, (driver: VirtioDriver) => void> = {
  "a descriptor that follows itself": (driver) => {
    driver.descriptor(0, 0, HEADER, 16, 1, 0);
    driver.makeAvailable(0, 0);
  },
  "a head beyond the table": (driver) => driver.makeAvailable(0, 999),
  "a link beyond the table": (driver) => {
    driver.descriptor(0, 0, HEADER, 16, 1, 500);
    driver.makeAvailable(0, 0);
  },
  "an address beyond RAM": (driver) => driver.offer(0, [{ address: 2 ** 52, length: 16 }]),
  "a length beyond RAM": (driver) => driver.offer(0, [{ address: HEADER, length: 0xffff_ffff }]),
  "a readable buffer after a writable one": (driver) =>
    driver.offer(0, [
      { address: HEADER, length: 16 },
      { address: STATUS, length: 1, write: true },
      { address: DATA, length: 512 },
    ]),
  "more available than the ring holds": (driver) => driver.board.memory.writeU16(driver.ring(0) + 0x802, 17),
  "no header": (driver) =>
    driver.offer(0, [
      { address: HEADER, length: 15 },
      { address: STATUS, length: 1, write: true },
    ]),
  "no room for the status": (driver) => driver.offer(0, [{ address: HEADER, length: 16 }]),
  "an indirect table in an indirect table": (driver) => {
    driver.board.memory.write(0xa000, descriptorBytes(0xa000, 16, 4, 0));
    driver.descriptor(0, 0, 0xa000, 16, 4);
    driver.makeAvailable(0, 0);
  },
  "an indirect table of odd size": (driver) => {
    driver.descriptor(0, 0, 0xa000, 17, 4);
    driver.makeAvailable(0, 0);
  },
  "an indirect table without end": (driver) => {
    for (let i = 0; i < 4; i++)
      driver.board.memory.write(0xa000 + 16 * i, descriptorBytes(HEADER, 16, 1, (i + 1) % 4));
    driver.descriptor(0, 0, 0xa000, 64, 4);
    driver.makeAvailable(0, 0);
  },
};
for (const [what, act] of Object.entries(wicked)) {
  test(`a driver that offers ${what} must reset the device, and can`, async () => {
    const { disk, driver } = blkBench();
    driver.start();
    act(driver);
    driver.kick(0);
    expect([driver.status & NEEDS_RESET, disk.log, driver.used(0)]).toEqual([NEEDS_RESET, [], []]);
    driver.kick(0);
    driver.start();
    request(driver, 0, 0, 512, true);
    await settle();
    expect([driver.status & NEEDS_RESET, driver.used(0).length]).toEqual([0, 1]);
  });
}

test("rings outside RAM break the queue when it is enabled", () => {
  const { driver } = blkBench();
  driver.status = 3;
  driver.write(0x16, 0, 2);
  driver.write(0x24, 1);
  driver.write(0x1c, 1, 2);
  expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET);
});

test("a used ring that lies over the available ring does not hang the device", () => {
  const driver = new VirtioDriver((port) => new VirtioRng(port, () => 1));
  driver.status = 3;
  driver.write(0x08, 1);
  driver.write(0x0c, 1);
  driver.status = 0x0b;
  driver.write(0x18, 16, 2);
  driver.write(0x20, 0x1000);
  driver.write(0x28, 0x1800);
  driver.write(0x30, 0x1800);
  driver.write(0x1c, 1, 2);
  driver.status = 0x0f;
  driver.descriptor(0, 0, DATA, 4, 2);
  driver.makeAvailable(0, 0);
  driver.kick(0);
  expect(driver.board.memory.readU16(0x1802)).toBeLessThanOrEqual(17);
});

test("rng: fills what the driver may have, 4 KiB at most", () => {
  const driver = new VirtioDriver((port) => new VirtioRng(port, () => 0x01020304));
  driver.start();
  driver.offer(0, [{ address: DATA, length: 6, write: true }]);
  driver.offer(0, [{ address: DATA + 0x100, length: 0x8000, write: true }]);
  driver.kick(0);
  expect(driver.used(0).map(([, length]) => length)).toEqual([6, 4096]);
  expect([...driver.board.ram.subarray(DATA, DATA + 7)]).toEqual([4, 3, 2, 1, 4, 3, 0]);
});

test("console: bytes both ways, and MSI-X instead of the line", () => {
  const heard: string[] = [];
  let port!: VirtioConsole;
  const driver = new VirtioDriver(
    (transport) =>
      (port = new VirtioConsole(transport, (bytes) => heard.push(new TextDecoder().decode(bytes)), {
        columns: 100,
        rows: 30,
      })),
  );
  driver.start();
  expect(driver.read(0x3000)).toBe(100 | (30 << 16));
  driver.board.ram.set(new TextEncoder().encode("hello"), DATA);
  driver.offer(1, [{ address: DATA, length: 5 }]);
  driver.kick(1);
  expect(heard).toEqual(["hello"]);
  driver.device.msix.write(0x10, 4, 0xfee0_0000);
  driver.device.msix.write(0x18, 4, 0x51);
  driver.device.msix.write(0x1c, 4, 0);
  const { pci } = driver.device;
  let capability = pci.read(0x34, 1);
  while (pci.read(capability, 1) !== 0x11) capability = pci.read(capability + 1, 1);
  pci.write(capability + 2, 2, 0x8000);
  driver.write(0x16, 0, 2);
  driver.write(0x1a, 1, 2);
  driver.board.edges.length = 0;
  driver.read(0x2000, 1);
  driver.board.edges.length = 0;
  port.receiveFromHost(new TextEncoder().encode("hi"));
  expect(driver.used(0)).toEqual([]);
  driver.offer(0, [{ address: DATA + 64, length: 64, write: true }]);
  driver.kick(0);
  expect([driver.used(0).map(([, length]) => length), driver.messages, driver.board.edges]).toEqual([
    [2],
    [0x51],
    [],
  ]);
});
