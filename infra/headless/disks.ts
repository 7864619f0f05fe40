/** Disks for machines in Node: streamed images and raw files, with changes that are forgotten when the machine ends. */
import { type FileHandle, open } from "node:fs/promises";
import { type Failure, type Outcome, fail, ok } from "#protocol/failure.ts";
import type { ChunkHash } from "#protocol/ids.ts";
import { parseTrace } from "../../emulator/storage/traces.ts";
import { BoundedMemory, MemoryBlobCache } from "../../emulator/storage/blob-cache.ts";
import type { BlockDevice } from "../../emulator/storage/block-device.ts";
import type { Sources } from "../../emulator/storage/block-source.ts";
import { ChunkedImage, type Origin } from "../../emulator/storage/chunked-image.ts";
import { nameOf } from "../../emulator/storage/chunk-store.ts";
import { realClock } from "../../emulator/storage/clock.ts";
import { Fetcher } from "../../emulator/storage/fetcher.ts";
import { Ledger } from "../../emulator/storage/ledger.ts";
import { MemoryFolder } from "../../emulator/storage/memory-files.ts";
import { OverlayDisk } from "../../emulator/storage/overlay-disk.ts";
import { OverlayFolder } from "../../emulator/storage/overlay-folder.ts";
import { StreamedDisk } from "../../emulator/storage/streamed-disk.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const MiB = 2 ** 20;
/** A disk answers at most 64 MiB at once. */
const PIECE_BYTES = 16 * MiB;

/** Thrown where a failure ends the program anyway. */
export class FailureError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(JSON.stringify(failure));
    this.failure = failure;
  }
}

export function valueOf<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new FailureError(outcome.failure);
  return outcome.value;
}

/** Everything that the disks of one machine share. */
export class DiskRoom {
  readonly ledger = new Ledger();
  readonly #fetcher: Fetcher;
  readonly #memory = new BoundedMemory(64 * MiB);
  readonly #sources: Sources;
  readonly #origin: Origin;

  /** `onTrouble` hears what the disks wait for, and whether they try again by themselves: a read is late, never wrong. */
  constructor(origin: Origin, onTrouble: (failure: Failure, triesAgain: boolean) => void = () => {}) {
    let told = "";
    this.#fetcher = new Fetcher(realClock, () => {
      const { failure, retryAtMs } = this.#fetcher.condition();
      const news = failure ? `${failure.code} ${retryAtMs === undefined}` : "";
      if (failure && news !== told) onTrouble(failure, retryAtMs !== undefined);
      told = news;
    });
    this.#origin = origin;
    this.#sources = { cache: new MemoryBlobCache(64 * MiB), fetcher: this.#fetcher, ledger: this.ledger };
  }

  async openChunked(manifest: ChunkHash, trace: string | null = null): Promise<StreamedDisk> {
    const image = valueOf(await ChunkedImage.open(manifest, this.#origin, this.#sources));
    const disk = new StreamedDisk(image, this.#memory, this.ledger);
    if (trace) disk.readAhead.follow(parseTrace(new TextEncoder().encode(trace)));
    return disk;
  }

  /** The whole of a boot file. */
  async readWhole(manifest: ChunkHash): Promise<Bytes> {
    const disk = await this.openChunked(manifest);
    const bytes = new Uint8Array(disk.sizeBytes);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES)
      bytes.set(valueOf(await disk.read(at, Math.min(PIECE_BYTES, bytes.length - at))), at);
    return bytes;
  }

  close(): void {
    this.#fetcher.close();
  }
}

/** A raw file, as it is. */
export class RawFileDisk implements BlockDevice {
  readonly readOnly = true;
  readonly sizeBytes: number;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
  }

  /** Bytes after the last whole sector are no part of a disk. */
  static async open(path: string): Promise<RawFileDisk> {
    const file = await open(path, "r");
    return new RawFileDisk(file, Math.floor((await file.stat()).size / 512) * 512);
  }

  async read(offset: number, length: number): Promise<Outcome<Bytes>> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) return fail({ code: "out-of-range", sizeBytes: this.sizeBytes });
      done += bytesRead;
    }
    return ok(bytes);
  }

  async write(): Promise<Outcome<null>> {
    return fail({ code: "unsupported", feature: "writing to a base image" });
  }

  async flush(): Promise<Outcome<null>> {
    return ok(null);
  }

  async discard(): Promise<Outcome<null>> {
    return this.write();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** The disk with changes in memory. */
export async function withForgottenChanges(base: BlockDevice): Promise<OverlayDisk> {
  const identity = { base: await nameOf("a disk whose changes are forgotten"), sizeBytes: base.sizeBytes };
  return new OverlayDisk(base, valueOf(await OverlayFolder.open(new MemoryFolder(), identity)));
}
