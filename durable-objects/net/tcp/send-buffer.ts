/** Shorter deliveries are gathered, so that a peer that dribbles bytes cannot fill memory with views of one byte. */
const GATHER_BELOW = 2048;
const GATHER_BYTES = 4096;

interface Block {
  bytes: Uint8Array;
  /** How many of `bytes` are filled; the rest of a gathering block is room. */
  used: number;
  readonly gathers: boolean;
}

/** What was delivered for the guest and not acknowledged yet: a stretch of the sequence space that begins at `start`. */
export class SendBuffer {
  readonly #blocks: Block[] = [];
  /** Bytes of the first block that are acknowledged. */
  #skip = 0;
  #length = 0;
  /** Where the last copy ended: new data are copied in order, and the walk need not begin at the head. */
  #cursorBlock = 0;
  #cursorStart = 0;

  get length(): number {
    return this.#length;
  }

  /** Keeps the view when it is long enough to be worth an object of its own. */
  push(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (bytes.length >= GATHER_BELOW) {
      this.#blocks.push({ bytes, used: bytes.length, gathers: false });
      return;
    }
    let from = 0;
    while (from < bytes.length) {
      const tail = this.#tail();
      const count = Math.min(bytes.length - from, tail.bytes.length - tail.used);
      tail.bytes.set(bytes.subarray(from, from + count), tail.used);
      tail.used += count;
      from += count;
    }
  }

  #tail(): Block {
    const last = this.#blocks.at(-1);
    if (last?.gathers && last.used < last.bytes.length) return last;
    const fresh = { bytes: new Uint8Array(GATHER_BYTES), used: 0, gathers: true };
    this.#blocks.push(fresh);
    return fresh;
  }

  /** The first `count` bytes are acknowledged. */
  drop(count: number): void {
    this.#length -= count;
    this.#skip += count;
    let gone = 0;
    while (gone < this.#blocks.length && this.#skip >= this.#blocks[gone]!.used) {
      this.#skip -= this.#blocks[gone]!.used;
      gone++;
    }
    if (this.#length === 0) {
      this.clear();
      return;
    }
    if (gone > 0) this.#blocks.splice(0, gone);
    this.#cursorBlock = 0;
    this.#cursorStart = -this.#skip;
  }

  clear(): void {
    this.#blocks.length = 0;
    this.#length = 0;
    this.#skip = 0;
    this.#cursorBlock = 0;
    this.#cursorStart = 0;
  }

  /** Copies `count` bytes from `offset` on, both counted from the first byte that is not acknowledged. */
  copy(offset: number, count: number, into: Uint8Array, at: number): void {
    if (offset < this.#cursorStart) {
      this.#cursorBlock = 0;
      this.#cursorStart = -this.#skip;
    }
    let left = count;
    let from = offset;
    while (left > 0) {
      const block = this.#blocks[this.#cursorBlock]!;
      const inside = from - this.#cursorStart;
      if (inside >= block.used) {
        this.#cursorStart += block.used;
        this.#cursorBlock++;
        continue;
      }
      const piece = Math.min(left, block.used - inside);
      into.set(block.bytes.subarray(inside, inside + piece), at + count - left);
      left -= piece;
      from += piece;
    }
  }
}
