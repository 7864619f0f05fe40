/** Shorter pieces are copied together: a view of one byte is an object of a hundred, and keeps the message that it is of. */
const GATHER_BELOW = 2048;
const GATHER_BYTES = 4096;
/** So is a longer one that keeps more than so many times itself. */
const MOST_KEPT = 8;

/**
 * Bytes that wait, in the pieces in which they came. Whoever sent them chose their sizes, so that what is kept is bounded by
 * the number of bytes alone: at most eight times as many and a few kilobytes, in two objects for two kilobytes.
 */
export class PieceQueue {
  readonly #pieces: Uint8Array[] = [];
  #length = 0;
  /** Whether the last piece lies in a block of ours that has room behind it. */
  #isGathering = false;

  /** In bytes. */
  get length(): number {
    return this.#length;
  }

  /** Takes the bytes over. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    const last = this.#pieces.at(-1);
    if (bytes.length >= GATHER_BELOW) {
      this.#isGathering = false;
      const isWasteful = bytes.length * MOST_KEPT < bytes.buffer.byteLength;
      this.#pieces.push(isWasteful ? bytes.slice() : bytes);
    } else if (last && this.#isGathering && last.byteOffset + last.length + bytes.length <= GATHER_BYTES) {
      this.#join(last.buffer, last, bytes);
    } else if (last && !this.#isGathering && last.length < GATHER_BELOW) {
      this.#isGathering = true;
      const block = new Uint8Array(GATHER_BYTES);
      block.set(last);
      this.#join(block.buffer, block.subarray(0, last.length), bytes);
    } else {
      this.#isGathering = false;
      this.#pieces.push(bytes.slice());
    }
  }

  /** The last piece becomes `last` in this block with `bytes` behind it. */
  #join(block: ArrayBufferLike, last: Uint8Array, bytes: Uint8Array): void {
    const joined = new Uint8Array(block, last.byteOffset, last.length + bytes.length);
    joined.set(bytes, last.length);
    this.#pieces[this.#pieces.length - 1] = joined;
  }

  /** The first piece, or at most `most` bytes of it. Undefined: nothing waits. */
  shift(most = Infinity): Uint8Array | undefined {
    const first = this.#pieces[0];
    if (!first) return undefined;
    const piece = first.subarray(0, most);
    this.#length -= piece.length;
    if (piece.length < first.length) this.#pieces[0] = first.subarray(piece.length);
    else this.#pieces.shift();
    // The block goes with its last bytes.
    if (this.#length === 0) this.#isGathering = false;
    return piece;
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#length = 0;
    this.#isGathering = false;
  }
}
