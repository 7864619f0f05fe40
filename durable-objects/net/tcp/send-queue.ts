/** Bytes that wait to be acknowledged, in the arrays in which the world gave them. Memory is held for what is queued only. */
export class SendQueue {
  #pieces: Uint8Array[] = [];
  /** Bytes of the first piece that were acknowledged. */
  #passed = 0;
  #bytes = 0;

  get length(): number {
    return this.#bytes;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    this.#bytes -= count;
    this.#passed += count;
    let pieces = 0;
    while (pieces < this.#pieces.length && this.#passed >= this.#pieces[pieces]!.length)
      this.#passed -= this.#pieces[pieces++]!.length;
    if (pieces > 0) this.#pieces.splice(0, pieces);
  }

  clear(): void {
    this.#pieces = [];
    this.#passed = this.#bytes = 0;
  }

  /** Copies `count` bytes, beginning `offset` bytes after the first one, to `to` at `at`. */
  copy(offset: number, count: number, to: Uint8Array, at: number): void {
    let skip = this.#passed + offset;
    let place = at;
    let left = count;
    for (const piece of this.#pieces) {
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const taken = Math.min(left, piece.length - skip);
      to.set(skip === 0 && taken === piece.length ? piece : piece.subarray(skip, skip + taken), place);
      place += taken;
      left -= taken;
      skip = 0;
      if (left === 0) return;
    }
  }
}
