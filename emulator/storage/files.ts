import { type Failure, type Outcome, fail, ok } from "../protocol/failure.ts";

/**
 * The files under the cache and the overlays: what an OPFS `FileSystemSyncAccessHandle` can do and no more, so that the
 * same code runs on OPFS, on Node's files, in memory and on files that break on purpose. Calls are synchronous and
 * throw what the platform throws; `fileFailure` says it as data. Whoever has a file open is the only one.
 */
export interface FileHandle {
  /** Reads at `at` until `into` is full or the file ends; answers the number of bytes read. */
  read(into: Uint8Array<ArrayBuffer>, at: number): number;
  /** Writes all of `bytes` at `at`, lengthening the file when needed; answers the number of bytes written. */
  write(bytes: Uint8Array<ArrayBuffer>, at: number): number;
  truncate(sizeBytes: number): void;
  /** Returns when everything written before is durable. */
  flush(): void;
  getSize(): number;
  close(): void;
}

/** A flat folder of files. */
export interface Folder {
  /**
   * Opens for reading and writing, creating the file when it is absent. `disk-busy` when somebody else has it open, still
   * after `patienceMs`: a worker that ended a moment ago, by a reload, may hold its files for a little while.
   */
  open(name: string, patienceMs?: number): Promise<Outcome<FileHandle>>;
  list(): Promise<readonly string[]>;
  /** Removing what is not there is no failure. */
  remove(name: string): Promise<Outcome<null>>;
  folder(name: string): Promise<Outcome<Folder>>;
}

/** What a thrown error of the file layer means. */
export function fileFailure(error: unknown, neededBytes = 0): Failure {
  const { name = "", code = "", message = String(error) } = error as Partial<Error & { code: string }>;
  if (name === "QuotaExceededError" || code === "ENOSPC" || code === "EDQUOT")
    return { code: "storage-full", neededBytes };
  return { code: "storage-unavailable", problem: message || name };
}

/** Runs work on files and turns what it throws into a failure. */
export function attempt<T>(work: () => T, neededBytes = 0): Outcome<T> {
  try {
    return ok(work());
  } catch (error) {
    return fail(fileFailure(error, neededBytes));
  }
}

/** Fills `into` from `at`; false when the file ends before. */
export function readFully(file: FileHandle, into: Uint8Array<ArrayBuffer>, at: number): boolean {
  let done = 0;
  while (done < into.length) {
    const count = file.read(into.subarray(done), at + done);
    if (count <= 0) return false;
    done += count;
  }
  return true;
}

/** Writes all of `bytes`; a file that takes fewer is full. */
export function writeFully(file: FileHandle, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  let done = 0;
  while (done < bytes.length) {
    const count = file.write(bytes.subarray(done), at + done);
    if (count <= 0) throw new DOMException("The file takes no more bytes.", "QuotaExceededError");
    done += count;
  }
}
