import { type Outcome, fail, ok } from "#protocol/failure";
import { type FileHandle, type Folder, fileFailure } from "../../emulator/storage/files.ts";
import { MemoryFile } from "../../emulator/storage/memory-files.ts";

const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly sizeBytes: number };

interface CrashFile {
  /** What is on the device for good, and what a reader sees. */
  readonly durable: MemoryFile;
  readonly current: MemoryFile;
  unflushed: Change[];
}

export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

function apply(file: MemoryFile, change: Change): void {
  if (change.kind === "write") file.write(change.bytes, change.at);
  else file.truncate(change.sizeBytes);
}

function copyOf(file: MemoryFile): MemoryFile {
  const bytes = new Uint8Array(file.sizeBytes);
  file.read(bytes, 0);
  const copy = new MemoryFile();
  copy.write(bytes, 0);
  return copy;
}

/**
 * Files on a device that loses power. Until a flush, every change may be kept, lost or kept in part: writes tear at
 * sectors, in any order, and removals may be undone. Every write, truncate and flush is a step; the power goes in the
 * middle of step `cutAt`, and after that nothing works.
 */
export class CrashFolder implements Folder {
  readonly #files = new Map<string, CrashFile>();
  readonly #removed = new Map<string, CrashFile>();
  readonly #open = new Set<string>();
  steps = 0;
  cutAt = Infinity;
  /** Steps at which the device only refuses, with this error; one unless `last` says more. */
  refuseAt: { readonly step: number; readonly last?: number; readonly error: Error } | undefined;

  async open(name: string): Promise<Outcome<FileHandle>> {
    if (this.#open.has(name)) return fail({ code: "disk-busy", disk: name });
    this.#open.add(name);
    const file = this.#files.get(name) ?? {
      durable: new MemoryFile(),
      current: new MemoryFile(),
      unflushed: [],
    };
    this.#files.set(name, file);
    return ok(this.#handle(name, file));
  }

  async list(): Promise<readonly string[]> {
    return [...this.#files.keys()];
  }

  async remove(name: string): Promise<Outcome<null>> {
    try {
      this.#step();
    } catch (error) {
      if (error instanceof PowerCut) throw error;
      return fail(fileFailure(error));
    }
    const file = this.#files.get(name);
    if (file) this.#removed.set(name, file);
    this.#files.delete(name);
    return ok(null);
  }

  async folder(): Promise<Outcome<Folder>> {
    return ok(this);
  }

  /** What the next start finds, by chance. */
  afterCrash(random: () => number): CrashFolder {
    const next = new CrashFolder();
    const found = [
      ...this.#files,
      ...[...this.#removed].filter(([name]) => random() < 0.5 && !this.#files.has(name)),
    ];
    for (const [name, file] of found) {
      const durable = copyOf(file.durable);
      for (const change of file.unflushed) if (random() < 0.7) applyInPart(durable, change, random);
      next.#files.set(name, { durable, current: copyOf(durable), unflushed: [] });
    }
    return next;
  }

  #step(): void {
    this.steps++;
    if (this.steps >= this.cutAt) throw new PowerCut(`the power went at step ${this.steps}`);
    const { step = Infinity, last = step, error } = this.refuseAt ?? {};
    if (this.steps >= step && this.steps <= last) throw error;
  }

  #handle(name: string, file: CrashFile): FileHandle {
    const change = (change: Change): void => {
      // The change in whose middle the power goes may be on the device in part.
      if (this.steps + 1 === this.cutAt) file.unflushed.push(change);
      this.#step();
      file.unflushed.push(change);
      apply(file.current, change);
    };
    return {
      read: (into, at) => file.current.read(into, at),
      write: (bytes, at) => {
        change({ kind: "write", at, bytes: bytes.slice() });
        return bytes.length;
      },
      truncate: (sizeBytes) => change({ kind: "truncate", sizeBytes }),
      flush: () => {
        this.#step();
        for (const made of file.unflushed) apply(file.durable, made);
        file.unflushed = [];
      },
      getSize: () => file.current.sizeBytes,
      close: () => void this.#open.delete(name),
    };
  }
}

/** Keeps a change whole, or only some of its sectors. */
function applyInPart(file: MemoryFile, change: Change, random: () => number): void {
  if (change.kind === "truncate" || random() < 0.5) return apply(file, change);
  const { at, bytes } = change;
  for (let done = 0; done < bytes.length;) {
    const sectorEnd = (Math.floor((at + done) / SECTOR_BYTES) + 1) * SECTOR_BYTES;
    const end = Math.min(bytes.length, sectorEnd - at);
    if (random() < 0.5) file.write(bytes.subarray(done, end), at + done);
    done = end;
  }
}
