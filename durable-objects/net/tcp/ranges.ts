import type { SackBlock } from "./segment.ts";
import { add, atOrBefore, before, distance } from "./sequence.ts";

/** More holes than this are not told apart: the highest blocks are forgotten and will be sent again. */
export const MAX_RANGES = 32;

/** Adds a block to sorted, disjoint ranges; those that touch become one. */
export function insertRange(ranges: SackBlock[], block: SackBlock): void {
  let { from, to } = block;
  let at = 0;
  while (at < ranges.length && before(ranges[at]!.to, from)) at++;
  let count = 0;
  while (at + count < ranges.length && atOrBefore(ranges[at + count]!.from, to)) {
    const other = ranges[at + count]!;
    if (before(other.from, from)) from = other.from;
    if (before(to, other.to)) to = other.to;
    count++;
  }
  ranges.splice(at, count, { from, to });
  if (ranges.length > MAX_RANGES) ranges.pop();
}

/** Drops what lies before `seq`. */
export function trimRanges(ranges: SackBlock[], seq: number): void {
  while (ranges.length > 0 && atOrBefore(ranges[0]!.to, seq)) ranges.shift();
  const [first] = ranges;
  if (first && before(first.from, seq)) ranges[0] = { from: seq, to: first.to };
}

export const bytesIn = (ranges: readonly SackBlock[]): number =>
  ranges.reduce((sum, { from, to }) => sum + distance(to, from), 0);

/** The first gap at or after `from` and before `to`, at most `most` long; null: none. */
export function firstHole(
  ranges: readonly SackBlock[],
  from: number,
  to: number,
  most: number,
): SackBlock | null {
  let start = from;
  for (const range of ranges) {
    if (atOrBefore(range.to, start)) continue;
    if (before(start, range.from)) {
      const end = before(range.from, to) ? range.from : to;
      const length = Math.min(distance(end, start), most);
      return length > 0 ? { from: start, to: add(start, length) } : null;
    }
    start = range.to;
  }
  const length = Math.min(distance(to, start), most);
  return length > 0 ? { from: start, to: add(start, length) } : null;
}
