/** `virga publish`: cuts a disk into chunks, sends what the server does not have, and puts it into the catalogue. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { type Command, InvalidArgumentError } from "commander";
import { Slug } from "#protocol/ids.ts";
import type { DiskDefinition } from "#protocol/machine-definition.ts";
import { ChunkSender } from "../store/chunk-sender.ts";
import { chunkFile } from "../store/chunker.ts";
import { ImageStore, manifestsOf } from "../store/image-store.ts";
import { Publisher } from "../store/publisher.ts";
import { uploadRaw } from "../store/raw-upload.ts";
import { type KernelOptions, bootEntries } from "./boot-files.ts";
import { LOCAL_URL, publishToken } from "./server.ts";
import { ProgressLine, bytesInWords, say } from "./words.ts";

export interface PublishOptions extends KernelOptions {
  readonly name: string;
  readonly slug: string;
  readonly description: string;
  readonly memory: number;
  readonly ready?: string;
  readonly raw?: boolean;
  readonly url: string;
  readonly token?: string;
}

export const memoryArgument = (value: string): number => {
  const memory = Number(value);
  if (!Number.isInteger(memory) || memory < 16 || memory > 3072)
    throw new InvalidArgumentError("A machine has 16 to 3072 MiB of memory.");
  return memory;
};

export const slugArgument = (value: string): string => {
  if (!Slug.safeParse(value).success)
    throw new InvalidArgumentError(
      "A slug has lower-case letters, digits and hyphens between them, at most 64.",
    );
  return value;
};

const collect = (value: string, list: readonly string[] = []): readonly string[] => [...list, value];

export function addPublish(program: Command): void {
  program
    .command("publish")
    .description("publish a raw disk image, so that it can be started at /m/<slug>")
    .argument("<file>", "the raw disk")
    .requiredOption("--name <name>", "what people read")
    .requiredOption("--slug <slug>", "its name in URLs", slugArgument)
    .option("--description <sentence>", "what is on it", "")
    .option("--memory <MiB>", "memory of the machine", memoryArgument, 512)
    .option("--kernel <file>", "Linux kernel (bzImage or ELF); without it, the one of the demo images")
    .option("--initrd <file>", "initial RAM disk for that kernel")
    .option("--cmdline <words>", "kernel command line; several go with several --boot", collect)
    .option("--boot <id:label>", "a way to start it; the first is the default", collect)
    .option("--ready <text>", "what the console shows when the machine is ready")
    .option(
      "--raw",
      "keep the disk as one object that is read by signed Range requests, not as verified chunks",
    )
    .option("--url <url>", "the Virga server", LOCAL_URL)
    .option("--token <token>", "the publisher's token (or VIRGA_PUBLISH_TOKEN)")
    .action((file: string, options: PublishOptions) => publish(file, options));
}

export async function publish(file: string, options: PublishOptions): Promise<void> {
  const { name, slug, description, memory, ready } = options;
  const publisher = new Publisher(options.url, publishToken(options.url, options.token));
  const store = new ImageStore();
  const boot = await bootEntries(store, file, options);
  const disk = options.raw ? await sendRaw(publisher, slug, file) : await sendChunks(publisher, file);
  const definition = {
    version: 1 as const,
    memoryMiB: memory,
    boot,
    disks: [disk],
    ...(ready ? { ready } : {}),
  };
  await publisher.files(store, manifestsOf({ ...definition, disks: [] }));
  const row = await publisher.image({ slug, name, description, state: "ready", definition });
  say(`${name}: ${bytesInWords(row.sizeBytes)} as ${bytesInWords(row.storedBytes)} of stored bytes`);
  process.stdout.write(`${publisher.url}/m/${slug}\n`);
}

async function sendChunks(publisher: Publisher, path: string): Promise<DiskDefinition> {
  const sender = new ChunkSender(publisher);
  const line = new ProgressLine();
  const { manifest, manifestBytes, sizeBytes } = await chunkFile(path, {
    onChunk: (hash, bytes) => sender.add(hash, bytes),
    onProgress: (doneBytes, size) =>
      line.show(
        `${Math.floor((100 * doneBytes) / size)} % of ${bytesInWords(size)}, sent ${bytesInWords(sender.sentBytes)}`,
      ),
  });
  await sender.flush();
  line.end();
  await publisher.manifest(manifest, manifestBytes);
  return { kind: "chunked", manifest, sizeBytes };
}

async function sendRaw(publisher: Publisher, slug: string, path: string): Promise<DiskDefinition> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  const imageId = `${slug.slice(0, 64)}-${hash.digest("hex").slice(0, 16)}`;
  const line = new ProgressLine();
  const sizeBytes = await uploadRaw(publisher, imageId, path, (doneBytes, size) =>
    line.show(`sent ${bytesInWords(doneBytes)} of ${bytesInWords(size)}`),
  );
  line.end();
  return { kind: "raw", imageId, sizeBytes };
}
