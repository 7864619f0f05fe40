import type { Outcome } from "#protocol/failure";
import type { ChunkHash } from "#protocol/ids";
import { hashText } from "#protocol/manifest";
import type { FileHandle, Folder } from "../../emulator/storage/files.ts";
import type { MemoryFolder } from "../../emulator/storage/memory-files.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type File = Pick<FileHandle, "read" | "write" | "getSize">;

const SEGMENT_HEADER_BYTES = 64;
const RECORD_HEADER_BYTES = 96;

/** Finds and damages records in the files of a segment cache, behind its back. */
export function tamperingWith(files: () => Iterable<File>) {
  /** The record with this name: its file, and where its bytes are. */
  const find = (hash: ChunkHash): { file: File; at: number; bytes: Bytes } => {
    for (const file of files()) {
      const all = new Uint8Array(file.getSize());
      file.read(all, 0);
      const view = new DataView(all.buffer);
      for (let at = SEGMENT_HEADER_BYTES; at + RECORD_HEADER_BYTES <= all.length;) {
        const [from, length] = [at + RECORD_HEADER_BYTES, view.getUint32(at + 8, true)];
        if (hashText(all.subarray(at + 16, at + 48)) === hash)
          return { file, at: from, bytes: all.slice(from, from + length) };
        at = from + length;
      }
    }
    throw new Error(`no record is named ${hash}`);
  };
  return {
    corrupt(hash: ChunkHash) {
      const { file, at, bytes } = find(hash);
      bytes[bytes.length >> 1]! ^= 1;
      file.write(bytes, at);
    },
    swap(one: ChunkHash, other: ChunkHash) {
      const [a, b] = [find(one), find(other)];
      a.file.write(b.bytes, a.at);
      b.file.write(a.bytes, b.at);
    },
  };
}

export const segmentsHolding = (folder: MemoryFolder) =>
  tamperingWith(() =>
    [...folder.files.values()].map((file) => ({
      read: (into: Bytes, at: number) => file.read(into, at),
      write: (bytes: Bytes, at: number) => file.write(bytes, at),
      getSize: () => file.sizeBytes,
    })),
  );

/** A folder that lets a test reach the files that another has open. */
export class WatchedFolder implements Folder {
  readonly opened = new Map<string, FileHandle>();
  readonly #folder: Folder;

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  async open(name: string, patienceMs?: number): Promise<Outcome<FileHandle>> {
    const file = await this.#folder.open(name, patienceMs);
    if (file.ok) this.opened.set(name, file.value);
    return file;
  }
  list = () => this.#folder.list();
  remove = (name: string) => this.#folder.remove(name);
  folder = (name: string) => this.#folder.folder(name);
}
