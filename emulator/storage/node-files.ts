import * as fs from "node:fs";
import { join } from "node:path";
import { type Outcome, fail, ok } from "../protocol/failure.ts";
import { type FileHandle, type Folder, fileFailure } from "./files.ts";

/** Files of Node. One process has a file open at most once; other processes are not kept out. */
export class NodeFolder implements Folder {
  readonly #path: string;
  readonly #open = new Set<string>();

  constructor(path: string) {
    this.#path = path;
    fs.mkdirSync(path, { recursive: true });
  }

  async open(name: string): Promise<Outcome<FileHandle>> {
    if (this.#open.has(name)) return fail({ code: "disk-busy", disk: name });
    try {
      const file = nodeFile(join(this.#path, name), "writable");
      this.#open.add(name);
      return ok({
        ...file,
        close: () => {
          this.#open.delete(name);
          file.close();
        },
      });
    } catch (error) {
      return fail(fileFailure(error));
    }
  }

  async list(): Promise<readonly string[]> {
    return fs
      .readdirSync(this.#path, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
  }

  async remove(name: string): Promise<Outcome<null>> {
    try {
      fs.rmSync(join(this.#path, name), { force: true });
      return ok(null);
    } catch (error) {
      return fail(fileFailure(error));
    }
  }

  async folder(name: string): Promise<Outcome<Folder>> {
    try {
      return ok(new NodeFolder(join(this.#path, name)));
    } catch (error) {
      return fail(fileFailure(error));
    }
  }
}

/** One file of Node as a `FileHandle`. Throws when it cannot be opened; `writable` creates it. */
export function nodeFile(path: string, mode: "writable" | "readonly"): FileHandle {
  const flags = mode === "readonly" ? fs.constants.O_RDONLY : fs.constants.O_RDWR | fs.constants.O_CREAT;
  const file = fs.openSync(path, flags);
  return {
    read: (into, at) => fs.readSync(file, into, 0, into.length, at),
    write: (bytes, at) => fs.writeSync(file, bytes, 0, bytes.length, at),
    truncate: (sizeBytes) => fs.ftruncateSync(file, sizeBytes),
    flush: () => fs.fdatasyncSync(file),
    getSize: () => fs.fstatSync(file).size,
    close: () => fs.closeSync(file),
  };
}
