/** Sequence numbers modulo 2^32 (RFC 9293 §3.4). Every comparison goes through here. */
export const add = (seq: number, count: number): number => (seq + count) >>> 0;
/** a - b as a signed number: how far a lies ahead of b. */
export const distance = (a: number, b: number): number => (a - b) | 0;
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0;
export const atOrBefore = (a: number, b: number): boolean => ((a - b) | 0) <= 0;
