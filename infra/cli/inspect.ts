/** `virga inspect`: what an image, a manifest or a raw disk consists of. */
import { existsSync, readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import { ChunkHash } from "#protocol/ids.ts";
import type { MachineDefinition } from "#protocol/machine-definition.ts";
import {
  MANIFEST_MAGIC,
  MAX_MANIFEST_BYTES,
  type Manifest,
  chunkAt,
  decodeManifest,
} from "#protocol/manifest.ts";
import type { ChunkStore } from "../../emulator/storage/chunk-store.ts";
import { valueOf } from "../headless/disks.ts";
import { type DiskLayout, diskLayoutOfFile } from "../images/disk-layout.ts";
import { chunkFile } from "../store/chunker.ts";
import { manifestsOf } from "../store/image-store.ts";
import { findImage, serverOrigin } from "./image-source.ts";
import { LOCAL_URL } from "./server.ts";
import { ProgressLine, bytesInWords } from "./words.ts";

export interface FileSummary {
  readonly manifest: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly chunks: number;
  readonly holes: number;
  readonly deflated: number;
  readonly distinct: number;
  readonly storedBytes: number;
}

interface Inspection {
  readonly what: "image" | "manifest" | "disk";
  readonly name: string;
  readonly definition?: MachineDefinition;
  readonly layout?: DiskLayout;
  readonly files: readonly FileSummary[];
}

/** Stored bytes count a chunk that occurs twice once. */
export function summarise(name: string, manifest: Manifest): FileSummary {
  const distinct = new Map<string, number>();
  let deflated = 0;
  for (let index = 0; index < manifest.chunkCount; index++) {
    const chunk = chunkAt(manifest, index);
    if (!chunk) continue;
    distinct.set(chunk.hash, chunk.storedBytes);
    if (chunk.deflated) deflated++;
  }
  const { sizeBytes, chunkBytes, chunkCount, storedCount } = manifest;
  const storedBytes = [...distinct.values()].reduce((sum, bytes) => sum + bytes, 0);
  return {
    manifest: name,
    sizeBytes,
    chunkBytes,
    chunks: storedCount,
    holes: chunkCount - storedCount,
    deflated,
    distinct: distinct.size,
    storedBytes,
  };
}

const manifestFrom = async (manifests: ChunkStore, hash: ChunkHash): Promise<FileSummary> =>
  summarise(
    hash,
    valueOf(decodeManifest(valueOf(await manifests.get(hash, { maxBytes: MAX_MANIFEST_BYTES })))),
  );

async function inspectFile(path: string): Promise<Inspection> {
  if (statSync(path).size <= MAX_MANIFEST_BYTES) {
    const bytes = new Uint8Array(readFileSync(path));
    const isManifest = bytes.length >= 4 && new DataView(bytes.buffer).getUint32(0, true) === MANIFEST_MAGIC;
    if (isManifest)
      return { what: "manifest", name: path, files: [summarise(path, valueOf(decodeManifest(bytes)))] };
  }
  const line = new ProgressLine();
  const onProgress = (done: number, size: number): void =>
    line.show(`reading, ${Math.floor((100 * done) / size)} %`);
  const { manifest, manifestBytes } = await chunkFile(path, { onChunk: async () => {}, onProgress });
  line.end();
  return {
    what: "disk",
    name: path,
    layout: diskLayoutOfFile(path),
    files: [summarise(manifest, valueOf(decodeManifest(manifestBytes)))],
  };
}

export async function inspect(name: string, url?: string): Promise<Inspection> {
  const hash = ChunkHash.safeParse(name);
  if (hash.success && !existsSync(name))
    return {
      what: "manifest",
      name,
      files: [await manifestFrom(serverOrigin(url ?? LOCAL_URL).manifests, hash.data)],
    };
  const found = await findImage(name, url);
  if (found.kind === "file") return inspectFile(found.path);
  const { definition, origin } = found;
  const files = await Promise.all(
    manifestsOf(definition).map((manifest) => manifestFrom(origin.manifests, manifest)),
  );
  return { what: "image", name: `${found.name} (${found.slug}, from ${found.from})`, definition, files };
}

function roleOf(definition: MachineDefinition | undefined, hash: string): string {
  if (!definition) return "file";
  if (definition.boot.some(({ kernel }) => kernel === hash)) return "kernel";
  return definition.boot.some(({ initrd }) => initrd === hash) ? "initial RAM disk" : "disk";
}

function* readable({ what, name, definition, layout, files }: Inspection): Generator<string> {
  yield `${what} ${name}`;
  for (const { id, label, commandLine } of definition?.boot ?? [])
    yield `  boot ${id} (${label}): ${commandLine}`;
  if (definition) yield `  memory ${definition.memoryMiB} MiB`;
  if (definition?.processor) yield `  processor ${definition.processor}`;
  if (layout)
    yield `  partition table ${layout.table}${layout.fileSystem ? `, file system ${layout.fileSystem}` : ""}`;
  for (const { number, sizeBytes, fileSystem } of layout?.partitions ?? [])
    yield `  partition ${number}: ${bytesInWords(sizeBytes)}, ${fileSystem ?? "unknown contents"}`;
  for (const file of files) {
    const share = file.sizeBytes > 0 ? ((100 * file.storedBytes) / file.sizeBytes).toFixed(1) : "0";
    yield `  ${roleOf(definition, file.manifest)} ${file.manifest}`;
    yield `    ${bytesInWords(file.sizeBytes)} in ${file.chunks + file.holes} chunks of ${file.chunkBytes / 1024} KiB: ${file.holes} holes, ${file.distinct} different, ${file.deflated} deflated; stored ${bytesInWords(file.storedBytes)} (${share} %)`;
  }
}

export function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("show what an image, a manifest or a raw disk consists of")
    .argument("<image>", "a slug, the hash of a manifest, a manifest file or a raw disk")
    .option("--url <url>", "the Virga server")
    .option("--json", "print one object")
    .action(async (name: string, options: { url?: string; json?: boolean }) => {
      const inspection = await inspect(name, options.url);
      const text = options.json ? JSON.stringify(inspection, null, 2) : [...readable(inspection)].join("\n");
      process.stdout.write(`${text}\n`);
    });
}
