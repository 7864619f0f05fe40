/**
 * Images on this host, in the shape of what a Virga server serves: chunks and manifests as files named by their hashes,
 * traces, and one record per image. Lives in the cache directory, outside of the checkout; `VIRGA_IMAGES` may name another.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod/mini";
import type { ChunkHash } from "#protocol/ids.ts";
import { MachineDefinition } from "#protocol/machine-definition.ts";
import { type Manifest, MAX_MANIFEST_BYTES, decodeManifest } from "#protocol/manifest.ts";
import { DirectoryChunkStore } from "../../emulator/storage/node-chunk-store.ts";
import { type ChunkedFile, type ChunkerOptions, chunkBytes, chunkFile } from "./chunker.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What is known of one image beside its chunks. */
export const ImageRecord = z.object({
  slug: z.string(),
  name: z.string(),
  description: z.string(),
  definition: MachineDefinition,
});
export type ImageRecord = z.infer<typeof ImageRecord>;

export function cacheDirectory(): string {
  const base = process.env["XDG_CACHE_HOME"];
  return join(base?.startsWith("/") ? base : join(homedir(), ".cache"), "virga");
}

/** Every manifest that a definition names. */
export function manifestsOf({ boot, disks }: MachineDefinition): ChunkHash[] {
  const names = new Set<ChunkHash>();
  for (const { kernel, initrd } of boot)
    for (const hash of initrd ? [kernel, initrd] : [kernel]) names.add(hash);
  for (const disk of disks) if (disk.kind === "chunked") names.add(disk.manifest);
  return [...names];
}

/** A file appears under its name only when it is whole. */
function writeWhole(path: string, bytes: Uint8Array | string): void {
  writeFileSync(`${path}.${process.pid}.part`, bytes);
  renameSync(`${path}.${process.pid}.part`, path);
}

export class ImageStore {
  readonly directory: string;
  readonly chunks: DirectoryChunkStore;
  readonly manifests: DirectoryChunkStore;

  readonly #nowMs: () => number;

  /** `nowMs` dates what is used: milliseconds since 1970. */
  constructor(directory = cacheDirectory(), nowMs: () => number = Date.now) {
    this.directory = directory;
    this.#nowMs = nowMs;
    for (const name of ["chunks", "manifests", "images", "traces"])
      mkdirSync(join(directory, name), { recursive: true });
    this.chunks = new DirectoryChunkStore(join(directory, "chunks"));
    this.manifests = new DirectoryChunkStore(join(directory, "manifests"));
  }

  async #add(
    chunk: (options: ChunkerOptions) => Promise<ChunkedFile>,
    onProgress?: ChunkerOptions["onProgress"],
  ): Promise<ChunkedFile> {
    const options: ChunkerOptions = {
      onChunk: async (hash, bytes) => {
        if (existsSync(this.chunks.fileOf(hash))) return;
        const put = await this.chunks.put(bytes);
        if (!put.ok) throw new Error(`The chunk could not be written: ${JSON.stringify(put.failure)}`);
      },
      ...(onProgress ? { onProgress } : {}),
    };
    const file = await chunk(options);
    writeWhole(this.manifests.fileOf(file.manifest), file.manifestBytes);
    return file;
  }

  addFile(path: string, onProgress?: ChunkerOptions["onProgress"]): Promise<ChunkedFile> {
    return this.#add((options) => chunkFile(path, options), onProgress);
  }

  addBytes(bytes: Uint8Array): Promise<ChunkedFile> {
    return this.#add((options) => chunkBytes(bytes, options));
  }

  async manifestBytes(hash: ChunkHash): Promise<Bytes> {
    const bytes = await this.manifests.get(hash, { maxBytes: MAX_MANIFEST_BYTES });
    if (!bytes.ok) throw new Error(`The manifest ${hash} is not in ${this.directory}: ${bytes.failure.code}`);
    return bytes.value;
  }

  async manifest(hash: ChunkHash): Promise<Manifest> {
    const manifest = decodeManifest(await this.manifestBytes(hash));
    if (!manifest.ok) throw new Error(`The manifest ${hash} is damaged: ${JSON.stringify(manifest.failure)}`);
    return manifest.value;
  }

  /** The record of an image that was built by the recipe of this key, if all its files are here. */
  find(slug: string, key: string): ImageRecord | null {
    const path = this.#recordPath(slug, key);
    if (!existsSync(path)) return null;
    const record = ImageRecord.safeParse(JSON.parse(readFileSync(path, "utf8")));
    if (!record.success || !this.#isWhole(record.data.definition)) return null;
    const now = new Date(this.#nowMs());
    utimesSync(path, now, now);
    return record.data;
  }

  /** The record used last, whatever its recipe was. */
  latest(slug: string): ImageRecord | null {
    for (const key of this.keys(slug)) {
      const record = this.find(slug, key);
      if (record) return record;
    }
    return null;
  }

  /** The recipes of an image that were built, the one used last first. */
  keys(slug: string): string[] {
    const directory = join(this.directory, "images", slug);
    if (!existsSync(directory)) return [];
    const age = (name: string): number => statSync(join(directory, name)).mtimeMs;
    const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
    return names.toSorted((a, b) => age(b) - age(a)).map((name) => name.replace(/\.json$/, ""));
  }

  forget(slug: string, key: string): void {
    rmSync(this.#recordPath(slug, key), { force: true });
  }

  slugs(): string[] {
    return readdirSync(join(this.directory, "images")).sort();
  }

  save(record: ImageRecord, key: string): void {
    mkdirSync(join(this.directory, "images", record.slug), { recursive: true });
    writeWhole(this.#recordPath(record.slug, key), `${JSON.stringify(record, null, 2)}\n`);
  }

  trace(manifest: ChunkHash, boot: string): string | null {
    const path = this.#tracePath(manifest, boot);
    return existsSync(path) ? readFileSync(path, "utf8") : null;
  }

  saveTrace(manifest: ChunkHash, boot: string, json: string): void {
    mkdirSync(join(this.directory, "traces", manifest), { recursive: true });
    writeWhole(this.#tracePath(manifest, boot), json);
  }

  #recordPath(slug: string, key: string): string {
    return join(this.directory, "images", slug, `${key}.json`);
  }

  #tracePath(manifest: ChunkHash, boot: string): string {
    return join(this.directory, "traces", manifest, `${boot}.json`);
  }

  #isWhole(definition: MachineDefinition): boolean {
    return manifestsOf(definition).every((hash) => existsSync(this.manifests.fileOf(hash)));
  }
}
