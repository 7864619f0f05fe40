import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { type ChunkStore, DEFAULT_MAX_BYTES, type GetOptions, hashOf } from "./chunk-store.ts";
import { fileFailure } from "./files.ts";

/** Chunks as files of a folder, one each, named by their hashes. */
export class DirectoryChunkStore implements ChunkStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  fileOf(hash: ChunkHash): string {
    return join(this.#path, hash);
  }

  async get(hash: ChunkHash, options: GetOptions = {}): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
    const { maxBytes = DEFAULT_MAX_BYTES } = options;
    try {
      const file = this.fileOf(hash);
      if ((await stat(file)).size > maxBytes) return fail({ code: "corrupt", what: hash });
      const bytes = new Uint8Array(await readFile(file));
      return (await hashOf(bytes)) === hash ? ok(bytes) : fail({ code: "corrupt", what: hash });
    } catch (error) {
      const { code } = error as { code?: string };
      return fail(code === "ENOENT" ? { code: "not-found", what: hash } : fileFailure(error));
    }
  }

  /** Written under another name first: what has the name of a hash is whole. */
  async put(bytes: Uint8Array<ArrayBuffer>): Promise<Outcome<ChunkHash>> {
    try {
      const hash = await hashOf(bytes);
      const file = this.fileOf(hash);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(`${file}.part`, bytes);
      await rename(`${file}.part`, file);
      return ok(hash);
    } catch (error) {
      return fail(fileFailure(error, bytes.length));
    }
  }
}
