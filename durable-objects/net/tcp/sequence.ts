/** Sequence numbers are unsigned 32-bit numbers modulo 2^32 (RFC 9293 §3.4); plain `<` on them is a mistake. */
export const add = (seq: number, count: number): number => (seq + count) >>> 0;
/** `left - right` as a signed distance. */
export const distance = (left: number, right: number): number => (left - right) | 0;
export const before = (left: number, right: number): boolean => ((left - right) | 0) < 0;
export const atMost = (left: number, right: number): boolean => ((left - right) | 0) <= 0;
export const later = (left: number, right: number): number => (((left - right) | 0) > 0 ? left : right);
