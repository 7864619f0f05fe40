import type { ChunkHash } from "#protocol/ids";
import { hashBytes } from "#protocol/manifest";
import type { MemoryFile, MemoryFolder } from "../../emulator/storage/memory-files.ts";

/** Finds and damages records in the files of a segment cache, behind its back. */
export function segmentsHolding(folder: MemoryFolder) {
  /** The record with this name: its file, and where its bytes begin and end. */
  const find = (hash: ChunkHash): { file: MemoryFile; at: number; length: number } => {
    for (const file of folder.files.values()) {
      const bytes = new Uint8Array(file.sizeBytes);
      file.read(bytes, 0);
      const at = Buffer.from(bytes).indexOf(hashBytes(hash));
      if (at >= 0) return { file, at: at + 80, length: new DataView(bytes.buffer).getUint32(at - 8, true) };
    }
    throw new Error(`no record is named ${hash}`);
  };
  const take = (hash: ChunkHash) => {
    const { file, at, length } = find(hash);
    const bytes = new Uint8Array(length);
    file.read(bytes, at);
    return bytes;
  };
  return {
    corrupt(hash: ChunkHash) {
      const { file, at, length } = find(hash);
      const bytes = take(hash);
      bytes[length >> 1]! ^= 1;
      file.write(bytes, at);
    },
    swap(one: ChunkHash, other: ChunkHash) {
      const [a, b] = [take(one), take(other)];
      find(one).file.write(b, find(one).at);
      find(other).file.write(a, find(other).at);
    },
  };
}
