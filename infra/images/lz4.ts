/**
 * LZ4 "legacy" streams, the form in which Linux packs itself into a bzImage: magic 0x184C2102, then blocks, each a u32
 * length and an LZ4 block (LZ4 Block Format Description, lz4 1.9 doc/). Matches never reach back past their block's 64 KiB.
 */
const LEGACY_MAGIC = 0x184c2102;

/** Lengths of 15 go on in further bytes until one is not 255 (block format, "literals" and "matches"). */
function longLength(source: Uint8Array, at: number, nibble: number): { length: number; next: number } {
  let length = nibble;
  let next = at;
  if (nibble === 15) {
    let more: number;
    do {
      more = source[next++] ?? 0;
      length += more;
    } while (more === 255);
  }
  return { length, next };
}

/** Decodes one block into `target` from `to` on and answers where the output ended. */
function decodeBlock(source: Uint8Array, target: Uint8Array, to: number): number {
  let at = 0;
  let out = to;
  while (at < source.length) {
    const token = source[at++] ?? 0;
    const literals = longLength(source, at, token >> 4);
    target.set(source.subarray(literals.next, literals.next + literals.length), out);
    at = literals.next + literals.length;
    out += literals.length;
    if (at >= source.length) break;
    const distance = (source[at] ?? 0) | ((source[at + 1] ?? 0) << 8);
    if (distance === 0 || distance > out)
      throw new Error(`LZ4: a match reaches ${distance} bytes back from ${out}`);
    const match = longLength(source, at + 2, token & 15);
    at = match.next;
    const end = out + match.length + 4;
    if (end > target.length) throw new Error("LZ4: the blocks hold more than the stream announced");
    for (; out < end; out++) target[out] = target[out - distance] ?? 0;
  }
  return out;
}

/** Unpacks a legacy stream whose unpacked size is known from outside. */
export function unpackLz4(stream: Uint8Array, unpackedBytes: number): Uint8Array {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  if (view.getUint32(0, true) !== LEGACY_MAGIC) throw new Error("LZ4: not a legacy stream");
  const target = new Uint8Array(unpackedBytes);
  let out = 0;
  for (let at = 4; at + 4 <= stream.length;) {
    const length = view.getUint32(at, true);
    const block = stream.subarray(at + 4, at + 4 + length);
    if (block.length < length) throw new Error("LZ4: the last block is cut short");
    out = decodeBlock(block, target, out);
    at += 4 + length;
  }
  if (out !== unpackedBytes)
    throw new Error(`LZ4: ${out} bytes came out where ${unpackedBytes} were announced`);
  return target;
}
