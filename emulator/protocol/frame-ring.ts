/**
 * A ring of Ethernet frames in shared memory with one producer and one consumer, in two threads or in one. Four words of
 * control, then the bytes: records of a u32 length and the frame, padded to four bytes; a record never wraps, and the
 * length 0xFFFFFFFF says that the rest of the ring is skipped. `head` and `tail` count bytes and wrap at 2^32; the ring's
 * size is a power of two. Neither side waits: a full ring refuses, an empty one answers null, and each may ask to be told
 * when that has changed.
 */
/** As `virga-l2-v1` carries them: longer than the MTU only for a TCP segment that the receiver cuts or takes whole. */
export const MAX_FRAME_BYTES = 16_380;

const Control = { head: 0, tail: 1, headAwaited: 2, tailAwaited: 3 } as const;
const CONTROL_BYTES = 16;
const SKIP = 0xffff_ffff;

/** Memory for a ring of so many bytes, a power of two of at least 32,768. */
export function ringBuffer(capacityBytes: number): SharedArrayBuffer {
  if (capacityBytes < 2 * MAX_FRAME_BYTES || (capacityBytes & (capacityBytes - 1)) !== 0)
    throw new RangeError(`a frame ring of ${capacityBytes} bytes`);
  return new SharedArrayBuffer(CONTROL_BYTES + capacityBytes);
}

/** What is not a frame is this program's bug: a device hands on only what it has measured. */
export function assertFrame({ length }: Uint8Array): void {
  if (length === 0 || length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes`);
}

/** One side's view of a ring. A side is producer or consumer and calls that side's two methods only. */
export class FrameRing {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  readonly #lengths: Uint32Array<SharedArrayBuffer>;
  readonly #capacity: number;
  #waiting = false;
  /** Where the consumer was when the last frame was refused. */
  #refusedAt = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#control = new Int32Array(buffer, 0, CONTROL_BYTES / 4);
    this.#bytes = new Uint8Array(buffer, CONTROL_BYTES);
    this.#lengths = new Uint32Array(buffer, CONTROL_BYTES);
    this.#capacity = this.#bytes.length;
  }

  /** Producer. False: the ring has no room for the frame. Throws RangeError for what is no frame. */
  push(frame: Uint8Array): boolean {
    assertFrame(frame);
    const length = frame.length;
    const tail = Atomics.load(this.#control, Control.tail) >>> 0;
    const head = Atomics.load(this.#control, Control.head) >>> 0;
    const record = 4 + ((length + 3) & ~3);
    let at = tail & (this.#capacity - 1);
    const skipped = at + record > this.#capacity ? this.#capacity - at : 0;
    if (((tail - head) >>> 0) + skipped + record > this.#capacity) {
      this.#refusedAt = head | 0;
      return false;
    }
    if (skipped > 0) {
      this.#lengths[at >> 2] = SKIP;
      at = 0;
    }
    this.#lengths[at >> 2] = length;
    this.#bytes.set(frame, at + 4);
    this.#advance(Control.tail, Control.tailAwaited, tail + skipped + record);
    return true;
  }

  /** Consumer. A copy of the next frame, or null. */
  pop(): Uint8Array<ArrayBuffer> | null {
    const head = Atomics.load(this.#control, Control.head) >>> 0;
    const tail = Atomics.load(this.#control, Control.tail) >>> 0;
    if (head === tail) return null;
    let at = head & (this.#capacity - 1);
    let passed = 0;
    if (this.#lengths[at >> 2] === SKIP) {
      passed = this.#capacity - at;
      at = 0;
    }
    const length = this.#lengths[at >> 2]!;
    if (length === 0 || length > MAX_FRAME_BYTES)
      throw new Error(`a frame ring with a record of ${length} bytes`);
    const frame = new Uint8Array(length);
    frame.set(this.#bytes.subarray(at + 4, at + 4 + length));
    this.#advance(Control.head, Control.headAwaited, head + passed + 4 + ((length + 3) & ~3));
    return frame;
  }

  /** Producer, after a refusal: calls once, later, when the consumer has taken something since then. */
  whenRoomier(tell: () => void): void {
    this.#when(Control.head, Control.headAwaited, this.#refusedAt, tell);
  }

  /** Consumer: calls once, later, when the ring is not empty. */
  whenFuller(tell: () => void): void {
    this.#when(Control.tail, Control.tailAwaited, Atomics.load(this.#control, Control.head), tell);
  }

  /** The position first, then the look at who waits: a waiter looks in the other order, so that one of the two sees the other. */
  #advance(position: 0 | 1, awaited: 2 | 3, value: number): void {
    Atomics.store(this.#control, position, value | 0);
    if (Atomics.load(this.#control, awaited) === 0) return;
    Atomics.store(this.#control, awaited, 0);
    Atomics.notify(this.#control, position);
  }

  #when(position: 0 | 1, awaited: 2 | 3, seen: number, tell: () => void): void {
    if (this.#waiting) return;
    this.#waiting = true;
    const told = (): void => {
      this.#waiting = false;
      tell();
    };
    Atomics.store(this.#control, awaited, 1);
    const wait = Atomics.waitAsync(this.#control, position, seen);
    void (wait.async ? wait.value : Promise.resolve()).then(told);
  }
}
