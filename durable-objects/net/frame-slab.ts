/** One allocation serves this many bytes of frames; the garbage collector takes it when all of them are gone. */
const SLAB_BYTES = 65_536;

/**
 * Where outgoing frames are built. A frame's bytes belong to whoever it is given to, so none is ever used twice; but an
 * ArrayBuffer and a DataView for every frame would cost more than the rest of a segment does.
 */
export class FrameSlab {
  view = new DataView(new ArrayBuffer(0));
  bytes = new Uint8Array(0);
  #next = 0;

  /** Room for a frame of `length` bytes, zeroed: its offset in `view` and `bytes`, until the next call. */
  take(length: number): number {
    // Two bytes after an aligned place: the IP header behind the 14 bytes of Ethernet is then aligned.
    const at = ((this.#next + 7) & ~7) + 2;
    if (at + length > this.bytes.length) {
      const buffer = new ArrayBuffer(Math.max(SLAB_BYTES, length + 2));
      this.view = new DataView(buffer);
      this.bytes = new Uint8Array(buffer);
      this.#next = 2 + length;
      return 2;
    }
    this.#next = at + length;
    return at;
  }

  cut(at: number, length: number): Uint8Array {
    return this.bytes.subarray(at, at + length);
  }
}
