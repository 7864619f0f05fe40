import { atMost, before, later } from "./sequence.ts";

/** Disjoint stretches of the sequence space in order: left and right edges in turn. All lie within one window. */
export type Ranges = number[];

/** Adds [left, right) and joins what touches. False: there were `most` ranges already and none touches this one. */
export function addRange(ranges: Ranges, left: number, right: number, most: number): boolean {
  let first = 0;
  while (first < ranges.length && before(ranges[first + 1]!, left)) first += 2;
  let last = first;
  let from = left;
  let to = right;
  while (last < ranges.length && atMost(ranges[last]!, to)) {
    if (before(ranges[last]!, from)) from = ranges[last]!;
    to = later(ranges[last + 1]!, to);
    last += 2;
  }
  if (last === first && ranges.length >= 2 * most) return false;
  ranges.splice(first, last - first, from, to);
  return true;
}

/** Forgets everything before `edge`. */
export function trimRanges(ranges: Ranges, edge: number): void {
  let gone = 0;
  while (gone < ranges.length && atMost(ranges[gone + 1]!, edge)) gone += 2;
  if (gone > 0) ranges.splice(0, gone);
  if (ranges.length > 0 && before(ranges[0]!, edge)) ranges[0] = edge;
}
