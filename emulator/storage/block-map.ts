/** Blocks of one page: 256 blocks of 4 KiB are 1 MiB of disk and 2 KiB here. */
const PAGE_BLOCKS = 256;

/** A block that reads as zeros without being stored. */
export const ZERO = -1;

/** Where each changed block of a disk is: a sparse array of numbers, 0 where nothing is known. */
export class BlockMap {
  readonly #pages = new Map<number, Float64Array>();
  /** Blocks that are stored, zeros not counted; and all that the map knows. */
  stored = 0;
  known = 0;

  get(block: number): number {
    return this.#pages.get(Math.floor(block / PAGE_BLOCKS))?.[block % PAGE_BLOCKS] ?? 0;
  }

  set(block: number, at: number): void {
    const number = Math.floor(block / PAGE_BLOCKS);
    const page = this.#pages.get(number) ?? new Float64Array(PAGE_BLOCKS);
    this.#pages.set(number, page);
    const before = page[block % PAGE_BLOCKS] ?? 0;
    this.stored += Number(at > 0) - Number(before > 0);
    this.known += Number(at !== 0) - Number(before !== 0);
    page[block % PAGE_BLOCKS] = at;
  }

  /** Every known block in the order of the disk. */
  *entries(): Generator<readonly [block: number, at: number]> {
    for (const number of [...this.#pages.keys()].sort((a, b) => a - b))
      for (const [slot, at] of this.#pages.get(number)?.entries() ?? [])
        if (at !== 0) yield [number * PAGE_BLOCKS + slot, at];
  }
}
