import type { Timers } from "../../bus/timers.ts";
import type { VirtioModel, VirtioPort } from "./pci-transport.ts";
import { gather, scatter, type Chain } from "./virtqueue.ts";

/**
 * Virtio block device (virtio 1.2 §5.2): flush, discard, write-zeroes, several requests in flight. The disk behind it never
 * fails: what cannot be read now is waited for. Not offered: multi-queue, topology, write-back switching, secure erase.
 */
export interface Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** All of these settle only when they are done. */
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
}

const Feature = {
  segMax: 1 << 2,
  readOnly: 1 << 5,
  blockSize: 1 << 6,
  flush: 1 << 9,
  discard: 1 << 13,
  writeZeroes: 1 << 14,
} as const;
const Type = { read: 0, write: 1, flush: 4, id: 8, discard: 11, writeZeroes: 13 } as const;
const Status = { ok: 0, error: 1, unsupported: 2 } as const;
const SECTOR = 512;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const QUEUE_SIZE = 128;
const RANGE_BYTES = 16;
const MAX_RANGES = 16;
const MAX_RANGE_SECTORS = 1 << 21;

/** A larger request is an error; more bytes than this in flight wait in the ring. */
export const MAX_REQUEST_BYTES = 8 << 20;
export const MAX_IN_FLIGHT_BYTES = 16 << 20;

export interface BlkCounters {
  reads: number;
  writes: number;
}

export interface BlkOptions {
  readonly disk: Disk;
  /** What /sys/block/vda/serial shows: ASCII, at most 20 bytes. */
  readonly id: string;
  readonly timers: Timers;
}

export class VirtioBlk implements VirtioModel {
  readonly type = 2;
  readonly subsystem = 2;
  readonly classCode = 0x010000;
  readonly features: number;
  readonly queueSizes = [QUEUE_SIZE];
  readonly counters: BlkCounters = { reads: 0, writes: 0 };
  readonly #port: VirtioPort;
  readonly #disk: Disk;
  readonly #id: Uint8Array;
  readonly #config = new Uint8Array(0x40);
  /** Answers to requests from before a reset are dropped. */
  #generation = 0;
  #inFlightBytes = 0;
  /** Goes on with requests that had to wait for room, from the run loop: never in a chain of answers. */
  readonly #later;

  constructor(port: VirtioPort, { disk, id, timers }: BlkOptions) {
    this.#port = port;
    this.#disk = disk;
    this.#later = timers.create(() => this.onNotify());
    this.#id = new Uint8Array(ID_BYTES);
    this.#id.set(new TextEncoder().encode(id).subarray(0, ID_BYTES));
    const writable = Feature.discard | Feature.writeZeroes;
    this.features =
      Feature.segMax | Feature.blockSize | Feature.flush | (disk.readOnly ? Feature.readOnly : writable);
    this.#layConfig(Math.floor(disk.sizeBytes / SECTOR));
  }

  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += (this.#config[offset + i] ?? 0) * 2 ** (8 * i);
    return value;
  }

  onReset(): void {
    this.#generation++;
    this.#inFlightBytes = 0;
  }

  onNotify(): void {
    const queue = this.#port.queues[0]!;
    if (this.#inFlightBytes < MAX_IN_FLIGHT_BYTES) {
      queue.drain((chain) => {
        if (chain.readableBytes < HEADER_BYTES || chain.writableBytes < 1) queue.values.BROKEN = 1;
        else this.#serve(chain);
        return this.#inFlightBytes < MAX_IN_FLIGHT_BYTES;
      });
    }
    if (queue.broken) this.#port.needsReset();
  }

  /** §5.2.4. */
  #layConfig(sectors: number): void {
    const view = new DataView(this.#config.buffer);
    view.setBigUint64(0x00, BigInt(sectors), true);
    view.setUint32(0x0c, QUEUE_SIZE - 2, true);
    view.setUint32(0x14, SECTOR, true);
    view.setUint32(0x24, MAX_RANGE_SECTORS, true);
    view.setUint32(0x28, MAX_RANGES, true);
    view.setUint32(0x2c, 8, true);
    view.setUint32(0x30, MAX_RANGE_SECTORS, true);
    view.setUint32(0x34, MAX_RANGES, true);
    view.setUint8(0x38, 1);
  }

  #serve(chain: Chain): void {
    const header = new DataView(gather(this.#port.memory, chain.readable, 0, HEADER_BYTES).buffer);
    const type = header.getUint32(0, true);
    const offset = (header.getUint32(8, true) + header.getUint32(12, true) * 2 ** 32) * SECTOR;
    const room = chain.writableBytes - 1;
    const payload = chain.readableBytes - HEADER_BYTES;
    if (type === Type.read) this.#read(chain, offset, room);
    else if (type === Type.write) this.#write(chain, offset, payload);
    else if (type === Type.flush) this.#wait(chain, 0, this.#disk.flush());
    else if (type === Type.id) this.#answer(chain, Status.ok, this.#id.subarray(0, room));
    else if ((type === Type.discard || type === Type.writeZeroes) && !this.#disk.readOnly)
      this.#discard(chain, payload);
    else this.#answer(chain, Status.unsupported);
  }

  #inDisk(offset: number, length: number): boolean {
    return length % SECTOR === 0 && length <= MAX_REQUEST_BYTES && offset + length <= this.#disk.sizeBytes;
  }

  #read(chain: Chain, offset: number, length: number): void {
    if (!this.#inDisk(offset, length)) return this.#answer(chain, Status.error);
    if (length === 0) return this.#answer(chain, Status.ok);
    this.counters.reads++;
    this.#wait(chain, length, this.#disk.read(offset, length));
  }

  #write(chain: Chain, offset: number, length: number): void {
    if (this.#disk.readOnly || !this.#inDisk(offset, length)) return this.#answer(chain, Status.error);
    if (length === 0) return this.#answer(chain, Status.ok);
    this.counters.writes++;
    this.#wait(
      chain,
      length,
      this.#disk.write(offset, gather(this.#port.memory, chain.readable, HEADER_BYTES, length)),
    );
  }

  /** Discarded sectors read as zeros, so writing zeroes is the same (§5.2.6.2). */
  #discard(chain: Chain, payload: number): void {
    const count = payload / RANGE_BYTES;
    if (!Number.isInteger(count) || count < 1 || count > MAX_RANGES) return this.#answer(chain, Status.error);
    const list = new DataView(gather(this.#port.memory, chain.readable, HEADER_BYTES, payload).buffer);
    const ranges = Array.from({ length: count }, (_, i) => ({
      offset:
        (list.getUint32(i * RANGE_BYTES, true) + list.getUint32(i * RANGE_BYTES + 4, true) * 2 ** 32) *
        SECTOR,
      length: list.getUint32(i * RANGE_BYTES + 8, true) * SECTOR,
    }));
    const valid = ranges.every(
      ({ offset, length }) => length <= MAX_RANGE_SECTORS * SECTOR && offset + length <= this.#disk.sizeBytes,
    );
    if (!valid) return this.#answer(chain, Status.error);
    const wanted = ranges.filter(({ length }) => length > 0);
    this.#wait(chain, 0, Promise.all(wanted.map(({ offset, length }) => this.#disk.discard(offset, length))));
  }

  #wait(chain: Chain, bytes: number, done: Promise<unknown>): void {
    const generation = this.#generation;
    this.#inFlightBytes += bytes;
    void done.then((result) => {
      if (generation !== this.#generation) return;
      this.#inFlightBytes -= bytes;
      this.#answer(chain, Status.ok, result instanceof Uint8Array ? result : undefined);
      this.#later.arm(0);
    });
  }

  /** The status is the last byte that the device may write, wherever the driver has cut its buffers. */
  #answer(chain: Chain, status: number, bytes?: Uint8Array): void {
    if (bytes) scatter(this.#port.memory, chain.writable, 0, bytes);
    scatter(this.#port.memory, chain.writable, chain.writableBytes - 1, Uint8Array.of(status));
    this.#port.complete(0, chain.head, (bytes?.length ?? 0) + 1);
  }
}
