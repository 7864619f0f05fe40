import type { GuestMemory } from "../../bus/guest-memory.ts";

/**
 * Split virtqueues (virtio 1.2 §2.7) with indirect descriptors (§2.7.5.3). Not offered: EVENT_IDX, packed rings.
 * The guest writes every byte read here: indices, lengths, addresses and links are checked before use, and a queue that
 * breaks a rule becomes `broken`, which its device reports as DEVICE_NEEDS_RESET.
 */
export interface Segment {
  readonly address: number;
  readonly length: number;
}

/** A request: buffers for the device to read, then buffers for it to write, all inside RAM. */
export interface Chain {
  readonly head: number;
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  readonly readableBytes: number;
  readonly writableBytes: number;
}

const Descriptor = { next: 1, write: 2, indirect: 4 } as const;
const DESCRIPTOR_BYTES = 16;
const AVAIL_NO_INTERRUPT = 1;
/** Longest chain of an indirect table; drivers keep below the queue's size. */
const MAX_INDIRECT = 1024;

export class Virtqueue {
  readonly maxSize: number;
  /** What the driver set up, in the words of §4.1.4.3, and how far the device is. */
  readonly values = {
    SIZE: 0,
    ENABLE: 0,
    VECTOR: 0xffff,
    DESC_LOW: 0,
    DESC_HIGH: 0,
    AVAIL_LOW: 0,
    AVAIL_HIGH: 0,
    USED_LOW: 0,
    USED_HIGH: 0,
    AVAIL_SEEN: 0,
    USED_INDEX: 0,
    BROKEN: 0,
  };
  readonly #memory: GuestMemory;

  constructor(maxSize: number, memory: GuestMemory) {
    this.maxSize = maxSize;
    this.#memory = memory;
    this.reset();
  }

  reset(): void {
    for (const name of Object.keys(this.values) as (keyof typeof this.values)[]) this.values[name] = 0;
    this.values.SIZE = this.maxSize;
    this.values.VECTOR = 0xffff;
  }

  get broken(): boolean {
    return this.values.BROKEN !== 0;
  }

  /** The driver enables the queue; its rings must be inside RAM. */
  enable(): void {
    const { SIZE } = this.values;
    const fits =
      this.#memory.contains(this.#desc, DESCRIPTOR_BYTES * SIZE) &&
      this.#memory.contains(this.#avail, 6 + 2 * SIZE) &&
      this.#memory.contains(this.#used, 6 + 8 * SIZE);
    this.values.ENABLE = 1;
    if (!fits) this.values.BROKEN = 1;
  }

  /**
   * Serves waiting requests, at most one ring's worth: a guest whose used ring overlies its available ring would otherwise
   * offer a new request with every answer. `serve` returns false to leave the rest for later.
   */
  drain(serve: (chain: Chain) => boolean): void {
    for (let left = this.values.SIZE; left > 0; left--) {
      const chain = this.pop();
      if (!chain || !serve(chain)) return;
    }
  }

  /** The next request, or undefined when there is none (or the queue is broken). */
  pop(): Chain | undefined {
    const v = this.values;
    if (!v.ENABLE || v.BROKEN) return undefined;
    const waiting = (this.#memory.readU16(this.#avail + 2) - v.AVAIL_SEEN) & 0xffff;
    if (waiting === 0) return undefined;
    if (waiting > v.SIZE) return this.#break();
    const head = this.#memory.readU16(this.#avail + 4 + 2 * (v.AVAIL_SEEN % v.SIZE));
    v.AVAIL_SEEN = (v.AVAIL_SEEN + 1) & 0xffff;
    return head < v.SIZE ? this.#collect(head) : this.#break();
  }

  /** Puts back the last `count` requests that were popped, as if they had not been looked at. */
  rewind(count: number): void {
    this.values.AVAIL_SEEN = (this.values.AVAIL_SEEN - count) & 0xffff;
  }

  /** Returns a request with so many bytes written. True when the driver wants an interrupt. */
  push(head: number, writtenBytes: number): boolean {
    const v = this.values;
    if (!v.ENABLE || v.BROKEN) return false;
    const at = this.#used + 4 + 8 * (v.USED_INDEX % v.SIZE);
    this.#memory.writeU32(at, head);
    this.#memory.writeU32(at + 4, writtenBytes);
    v.USED_INDEX = (v.USED_INDEX + 1) & 0xffff;
    this.#memory.writeU16(this.#used + 2, v.USED_INDEX);
    return (this.#memory.readU16(this.#avail) & AVAIL_NO_INTERRUPT) === 0;
  }

  get #desc(): number {
    return this.values.DESC_LOW + this.values.DESC_HIGH * 2 ** 32;
  }
  get #avail(): number {
    return this.values.AVAIL_LOW + this.values.AVAIL_HIGH * 2 ** 32;
  }
  get #used(): number {
    return this.values.USED_LOW + this.values.USED_HIGH * 2 ** 32;
  }

  #break(): undefined {
    this.values.BROKEN = 1;
    return undefined;
  }

  #collect(head: number): Chain | undefined {
    let table = this.#desc;
    let entries = this.values.SIZE;
    let index = head;
    let indirect = false;
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    let readableBytes = 0;
    let writableBytes = 0;
    // A chain that is longer than its table has a loop.
    for (let left = entries; left > 0; left--) {
      const at = table + DESCRIPTOR_BYTES * index;
      const address = this.#memory.readU64(at);
      const length = this.#memory.readU32(at + 8);
      const flags = this.#memory.readU16(at + 12);
      const next = this.#memory.readU16(at + 14);
      if (!this.#memory.contains(address, length)) return this.#break();
      if (flags & Descriptor.indirect) {
        entries = length / DESCRIPTOR_BYTES;
        const allowed =
          !indirect &&
          !(flags & Descriptor.next) &&
          Number.isInteger(entries) &&
          entries > 0 &&
          entries <= MAX_INDIRECT;
        if (!allowed) return this.#break();
        indirect = true;
        table = address;
        index = 0;
        left = entries + 1;
        continue;
      }
      if (flags & Descriptor.write) {
        writable.push({ address, length });
        writableBytes += length;
      } else {
        if (writable.length > 0) return this.#break();
        readable.push({ address, length });
        readableBytes += length;
      }
      if (!(flags & Descriptor.next)) return { head, readable, writable, readableBytes, writableBytes };
      if (next >= entries) return this.#break();
      index = next;
    }
    return this.#break();
  }
}

/** Copies bytes out of a chain's segments. The caller has bounded `length`, and knows that they have so many. */
export function gather(
  memory: GuestMemory,
  segments: readonly Segment[],
  start: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let done = 0;
  for (const segment of segments) {
    if (start >= segment.length) {
      start -= segment.length;
      continue;
    }
    const part = Math.min(segment.length - start, length - done);
    bytes.set(memory.view(segment.address + start, part), done);
    done += part;
    start = 0;
    if (done === length) break;
  }
  return bytes;
}

/** Copies bytes into a chain's segments; what does not fit is dropped. */
export function scatter(
  memory: GuestMemory,
  segments: readonly Segment[],
  start: number,
  bytes: Uint8Array,
): void {
  let done = 0;
  for (const segment of segments) {
    if (start >= segment.length) {
      start -= segment.length;
      continue;
    }
    const part = Math.min(segment.length - start, bytes.length - done);
    memory.write(segment.address + start, bytes.subarray(done, done + part));
    done += part;
    start = 0;
    if (done === bytes.length) break;
  }
}
