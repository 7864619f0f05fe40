import { type Outcome, fail, ok } from "../protocol/failure.ts";
import { type FileHandle, type Folder, fileFailure } from "./files.ts";
import type { Clock } from "./clock.ts";

const PATIENCE_MS = 3000;
const BUSY_WAIT_MS = 100;

/** Files of the origin-private file system. */
export class OpfsFolder implements Folder {
  readonly #directory: FileSystemDirectoryHandle;
  readonly #clock: Clock;

  constructor(directory: FileSystemDirectoryHandle, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
  }

  open(name: string, patienceMs = PATIENCE_MS): Promise<Outcome<FileHandle>> {
    return this.#whenFree(name, patienceMs, async () => {
      const file = await this.#directory.getFileHandle(name, { create: true });
      return handle(await file.createSyncAccessHandle());
    });
  }

  async list(): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const [name, entry] of this.#directory.entries()) if (entry.kind === "file") names.push(name);
    return names;
  }

  remove(name: string): Promise<Outcome<null>> {
    return this.#whenFree(name, PATIENCE_MS, async () => {
      await this.#directory.removeEntry(name).catch((error: unknown) => {
        if (!isNamed(error, "NotFoundError")) throw error;
      });
      return null;
    });
  }

  async folder(name: string): Promise<Outcome<Folder>> {
    try {
      return ok(
        new OpfsFolder(await this.#directory.getDirectoryHandle(name, { create: true }), this.#clock),
      );
    } catch (error) {
      return fail(fileFailure(error));
    }
  }

  /** Runs work on a file, again for a while when somebody else has the file open. */
  async #whenFree<T>(name: string, patienceMs: number, work: () => Promise<T>): Promise<Outcome<T>> {
    const giveUpMs = this.#clock.nowMs() + patienceMs;
    for (;;) {
      try {
        return ok(await work());
      } catch (error) {
        if (!isNamed(error, "NoModificationAllowedError")) return fail(fileFailure(error));
        if (this.#clock.nowMs() >= giveUpMs) return fail({ code: "disk-busy", disk: name });
        await this.#clock.sleep(BUSY_WAIT_MS);
      }
    }
  }
}

const isNamed = (error: unknown, name: string): boolean =>
  error instanceof DOMException && error.name === name;

/** The same calls with the position as an argument instead of an option. */
const handle = (file: FileSystemSyncAccessHandle): FileHandle => ({
  read: (into, at) => file.read(into, { at }),
  write: (bytes, at) => file.write(bytes, { at }),
  truncate: (sizeBytes) => file.truncate(sizeBytes),
  flush: () => file.flush(),
  getSize: () => file.getSize(),
  close: () => file.close(),
});

/** The root of OPFS, or why there is none: WebKitGTK and private windows of some browsers have no OPFS. */
export async function opfsRoot(clock: Clock): Promise<Outcome<Folder>> {
  try {
    return ok(new OpfsFolder(await navigator.storage.getDirectory(), clock));
  } catch (error) {
    return fail(fileFailure(error));
  }
}
