/**
 * SipHash-2-4 (Aumasson, Bernstein 2012): the keyed function F of RFC 6528 §3, in halves of 32 bits. v0..v3 are pairs of
 * words, the low one first.
 */
function add64(v: Int32Array, to: number, from: number): void {
  const low = (v[to]! >>> 0) + (v[from]! >>> 0);
  v[to + 1] = v[to + 1]! + v[from + 1]! + (low > 0xffff_ffff ? 1 : 0);
  v[to] = low;
}

/** v[at] = rotate(v[at], bits) ^ v[other]. */
function rotateXor(v: Int32Array, at: number, bits: number, other: number): void {
  const [low, high] = bits >= 32 ? [v[at + 1]!, v[at]!] : [v[at]!, v[at + 1]!];
  const left = bits & 31;
  const turned = (one: number, two: number) => (left === 0 ? one : (one << left) | (two >>> (32 - left)));
  v[at] = turned(low, high) ^ v[other]!;
  v[at + 1] = turned(high, low) ^ v[other + 1]!;
}

function rotate(v: Int32Array, at: number): void {
  const low = v[at]!;
  v[at] = v[at + 1]!;
  v[at + 1] = low;
}

function rounds(v: Int32Array, count: number): void {
  for (let round = 0; round < count; round++) {
    add64(v, 0, 2);
    rotateXor(v, 2, 13, 0);
    rotate(v, 0);
    add64(v, 4, 6);
    rotateXor(v, 6, 16, 4);
    add64(v, 0, 6);
    rotateXor(v, 6, 21, 0);
    add64(v, 4, 2);
    rotateXor(v, 2, 17, 4);
    rotate(v, 4);
  }
}

/** The two halves of the hash, low first. `key` has 16 bytes at least. */
export function sipHash(key: Uint8Array, message: Uint8Array): readonly [low: number, high: number] {
  const k = new DataView(key.buffer, key.byteOffset, 16);
  const words = [
    k.getInt32(0, true),
    k.getInt32(4, true),
    k.getInt32(8, true),
    k.getInt32(12, true),
  ] as const;
  const v = Int32Array.of(
    0x70736575 ^ words[0],
    0x736f6d65 ^ words[1],
    0x6e646f6d ^ words[2],
    0x646f7261 ^ words[3],
    0x6e657261 ^ words[0],
    0x6c796765 ^ words[1],
    0x79746573 ^ words[2],
    0x74656462 ^ words[3],
  );
  const padded = new Uint8Array((message.length + 8) & ~7);
  padded.set(message);
  padded[padded.length - 1] = message.length & 255;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const low = view.getInt32(at, true);
    const high = view.getInt32(at + 4, true);
    v[6] = v[6]! ^ low;
    v[7] = v[7]! ^ high;
    rounds(v, 2);
    v[0] = v[0]! ^ low;
    v[1] = v[1]! ^ high;
  }
  v[4] = v[4]! ^ 0xff;
  rounds(v, 4);
  return [(v[0]! ^ v[2]! ^ v[4] ^ v[6]!) >>> 0, (v[1]! ^ v[3]! ^ v[5]! ^ v[7]!) >>> 0];
}

/** RFC 6528 §3: a clock of 4 µs plus F of the four ends. The other half of F is where the timestamps begin (RFC 7323 §5.4). */
export function initialSequence(
  secret: Uint8Array,
  ends: string,
  nowMs: number,
): { readonly iss: number; readonly tsOffset: number } {
  const message = Uint8Array.from(ends, (letter) => letter.charCodeAt(0));
  const [low, high] = sipHash(secret, message);
  return { iss: (Math.floor(nowMs * 250) + low) >>> 0, tsOffset: high };
}
