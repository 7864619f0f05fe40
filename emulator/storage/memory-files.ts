import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { FileHandle, Folder } from "./files.ts";

const PAGE_BYTES = 65536;

/** A file in memory, in pages, so that a growing log is never copied. Bytes never written read as zeros, as on disk. */
export class MemoryFile {
  readonly #pages: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  sizeBytes = 0;

  read(into: Uint8Array, at: number): number {
    const length = Math.max(0, Math.min(into.length, this.sizeBytes - at));
    for (let done = 0; done < length;) {
      const [page, from] = [Math.floor((at + done) / PAGE_BYTES), (at + done) % PAGE_BYTES];
      const count = Math.min(PAGE_BYTES - from, length - done);
      const bytes = this.#pages[page];
      if (bytes) into.set(bytes.subarray(from, from + count), done);
      else into.fill(0, done, done + count);
      done += count;
    }
    return length;
  }

  write(bytes: Uint8Array, at: number): number {
    for (let done = 0; done < bytes.length;) {
      const [page, from] = [Math.floor((at + done) / PAGE_BYTES), (at + done) % PAGE_BYTES];
      const count = Math.min(PAGE_BYTES - from, bytes.length - done);
      const into = (this.#pages[page] ??= new Uint8Array(PAGE_BYTES));
      into.set(bytes.subarray(done, done + count), from);
      done += count;
    }
    this.sizeBytes = Math.max(this.sizeBytes, at + bytes.length);
    return bytes.length;
  }

  truncate(sizeBytes: number): void {
    this.#pages.length = Math.min(this.#pages.length, Math.ceil(sizeBytes / PAGE_BYTES));
    this.#pages[Math.floor(sizeBytes / PAGE_BYTES)]?.fill(0, sizeBytes % PAGE_BYTES);
    this.sizeBytes = sizeBytes;
  }
}

/** A folder in memory. Where OPFS is missing it keeps overlays for as long as the tab lives. */
export class MemoryFolder implements Folder {
  readonly files = new Map<string, MemoryFile>();
  readonly folders = new Map<string, MemoryFolder>();
  readonly #open = new Set<string>();

  async open(name: string): Promise<Outcome<FileHandle>> {
    if (this.#open.has(name)) return fail({ code: "disk-busy", disk: name });
    const file = this.files.get(name) ?? new MemoryFile();
    this.files.set(name, file);
    this.#open.add(name);
    return ok(this.#handle(name, file));
  }

  async list(): Promise<readonly string[]> {
    return [...this.files.keys()];
  }

  async remove(name: string): Promise<Outcome<null>> {
    if (this.#open.has(name)) return fail({ code: "disk-busy", disk: name });
    this.files.delete(name);
    return ok(null);
  }

  async folder(name: string): Promise<Outcome<MemoryFolder>> {
    const folder = this.folders.get(name) ?? new MemoryFolder();
    this.folders.set(name, folder);
    return ok(folder);
  }

  #handle(name: string, file: MemoryFile): FileHandle {
    let closed = false;
    const open = (): MemoryFile => {
      if (closed) throw new DOMException("The file is closed.", "InvalidStateError");
      return file;
    };
    return {
      read: (into, at) => open().read(into, at),
      write: (bytes, at) => open().write(bytes, at),
      truncate: (sizeBytes) => open().truncate(sizeBytes),
      flush: () => void open(),
      getSize: () => open().sizeBytes,
      close: () => {
        closed = true;
        this.#open.delete(name);
      },
    };
  }
}
