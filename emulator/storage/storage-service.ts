import { type Failure, type Outcome, fail, ok } from "../protocol/failure.ts";
import type { DiskDefinition } from "../protocol/machine-definition.ts";
import { chunkPath, manifestPath } from "../protocol/store-api.ts";
import type { StorageCommand, StorageNotice } from "../protocol/storage-messages.ts";
import { type BlobCache, BoundedMemory, MemoryBlobCache } from "./blob-cache.ts";
import type { BlockDevice } from "./block-device.ts";
import type { BlockSource, Sources } from "./block-source.ts";
import { ChunkedImage, type Origin } from "./chunked-image.ts";
import { serveDisk } from "./disk-port.ts";
import { type ExportPort, exportDisk } from "./export.ts";
import { Fetcher } from "./fetcher.ts";
import type { Folder } from "./files.ts";
import type { Network } from "./http.ts";
import { HttpChunkStore } from "./http-chunk-store.ts";
import { Ledger } from "./ledger.ts";
import { MemoryFolder } from "./memory-files.ts";
import { Notices } from "./notices.ts";
import { OverlayDisk } from "./overlay-disk.ts";
import { OverlayFolder, resetOverlay } from "./overlay-folder.ts";
import { OVERLAY_BLOCK_BYTES } from "./overlay-log.ts";
import { RawImage } from "./raw-image.ts";
import { SegmentCache } from "./segment-cache.ts";
import { StreamedDisk } from "./streamed-disk.ts";
import { followTraces } from "./traces.ts";

const MiB = 2 ** 20;

/** Every bound on what this worker may take, on the device and in memory. */
export const STORAGE_LIMITS = {
  /** The cache on the device: this share of the quota, and never more than this. The rest is for overlays. */
  cacheQuotaShare: 0.4,
  cacheBytes: 4096 * MiB,
  /** Where the browser does not say what the quota is. */
  unknownQuotaBytes: 1024 * MiB,
  segmentBytes: 64 * MiB,
  minSegmentBytes: 4 * MiB,
  /** Inflated blocks in memory. */
  memoryBytes: 32 * MiB,
  /** Stored chunks in memory, where there is no cache on the device. */
  fallbackCacheBytes: 64 * MiB,
} as const;

/** What the worker runs on; tests give memory, real servers and clocks of their own. */
export interface StorageHost {
  readonly network: Network;
  /** Files that outlive the tab, or why there are none. */
  files(): Promise<Outcome<Folder>>;
  /** What the origin may store altogether; undefined where the browser does not say. */
  quotaBytes(): Promise<number | undefined>;
  notify(notice: StorageNotice): void;
}

interface OpenDisk {
  readonly device: BlockDevice;
  close(): Promise<void>;
}

interface Opened {
  readonly source: BlockSource;
  readonly device: BlockDevice;
  readonly overlay?: OverlayDisk;
  /** True when what is kept of it outlives the tab. */
  readonly persistent: boolean;
  /** Ends what goes on beside the disk. */
  readonly stop?: () => void;
}

interface Room {
  readonly sources: Sources;
  readonly origin: Origin;
  readonly overlays: Folder;
  readonly isPersistent: boolean;
}

type OpenCommand = StorageCommand & { readonly type: "open" };
type PortWithClose<T> = T & { close?(): void };

/** Everything that a storage worker does, without the worker: commands in, notices out, disks on ports. */
export class StorageService {
  readonly #host: StorageHost;
  readonly #notices: Notices;
  readonly #ledger: Ledger;
  readonly #fetcher: Fetcher;
  readonly #memory = new BoundedMemory(STORAGE_LIMITS.memoryBytes);
  readonly #disks = new Map<string, OpenDisk | "opening">();
  #room: Promise<Room> | undefined;

  constructor(host: StorageHost) {
    this.#host = host;
    this.#notices = new Notices(host.network.clock, (notice) => host.notify(notice));
    const changed = (): void => this.#notices.changed(this.#fetcher, this.#ledger);
    this.#ledger = new Ledger(changed);
    this.#fetcher = new Fetcher(host.network.clock, changed);
  }

  /** Resolves when the command is carried out; its result is a notice. */
  async command(command: StorageCommand): Promise<void> {
    switch (command.type) {
      case "open":
        return this.#open(command);
      case "close":
        return this.#close(command.disk);
      case "retry":
        return this.#fetcher.retry();
      case "reset-overlay": {
        const { disk } = command;
        return this.#host.notify({ type: "overlay-reset", disk, outcome: await this.#reset(disk) });
      }
      case "export":
        return this.#export(command.disk, command.source, command.port as unknown as ExportPort);
      default:
        return command satisfies never;
    }
  }

  /** The browser believes that the network is back: a hint, worth one try. */
  networkIsBack(): void {
    this.#fetcher.retry();
  }

  async close(): Promise<void> {
    this.#fetcher.close();
    for (const disk of this.#disks.keys()) await this.#close(disk);
    await (await this.#room)?.sources.cache.close();
  }

  async #open(command: OpenCommand): Promise<void> {
    const { disk } = command;
    const failed = (failure: Failure): void => this.#host.notify({ type: "open-failed", disk, failure });
    if (this.#disks.has(disk)) return failed({ code: "disk-busy", disk });
    this.#disks.set(disk, "opening");
    const opened = await this.#enter()
      .then((room) => this.#openDisk(room, command))
      .catch((error: unknown) => fail({ code: "internal", incident: String(error) }));
    if (!opened.ok) {
      this.#disks.delete(disk);
      return failed(opened.failure);
    }
    const { source, device, overlay, stop, persistent } = opened.value;
    if (!this.#disks.has(disk)) {
      // It was closed before it was open.
      stop?.();
      return overlay?.close();
    }
    const port = command.port as PortWithClose<MessagePort>;
    const { sizeBytes } = device;
    serveDisk(port, device, (offset) => {
      this.#ledger.touch(offset / Math.max(1, sizeBytes), "written");
      if (overlay) this.#ledger.overlay(disk, overlay.overlayBytes);
    });
    this.#disks.set(disk, {
      device,
      close: async () => {
        stop?.();
        port.close();
        await overlay?.close();
      },
    });
    const overlayBytes = overlay?.overlayBytes ?? 0;
    this.#ledger.overlay(disk, overlayBytes);
    const { storedBytes } = source;
    this.#host.notify({ type: "opened", disk, sizeBytes, storedBytes, persistent, overlayBytes });
  }

  async #openDisk(
    room: Room,
    { disk, source: definition, writable, boot }: OpenCommand,
  ): Promise<Outcome<Opened>> {
    const source = await this.#openSource(room, definition);
    if (!source.ok) return source;
    const base = new StreamedDisk(source.value, this.#memory, this.#ledger);
    const { cache } = room.sources;
    if (!writable) {
      // A kernel is read from its first byte to its last.
      base.readAhead.follow(Array.from({ length: source.value.blockCount }, (_, index) => index));
      return ok({ source: source.value, device: base, persistent: cache.persistent });
    }
    const { network } = this.#host;
    const isShared = definition.kind === "chunked";
    const stop = followTraces(base.readAhead, { network, cache, image: source.value.id, boot, isShared });
    const overlay = await this.#openOverlay(room, disk, source.value, base);
    if (!overlay.ok) {
      stop();
      return overlay;
    }
    return ok({
      source: source.value,
      device: overlay.value,
      overlay: overlay.value,
      stop,
      persistent: room.isPersistent,
    });
  }

  /** An image of a size other than the definition says is another image. A definition may leave the size open as 0. */
  async #openSource(room: Room, definition: DiskDefinition): Promise<Outcome<BlockSource>> {
    const source =
      definition.kind === "chunked"
        ? await ChunkedImage.open(definition.manifest, room.origin, room.sources)
        : await RawImage.open(definition.imageId, this.#host.network, room.sources);
    if (source.ok && definition.sizeBytes > 0 && source.value.sizeBytes !== definition.sizeBytes)
      return fail({ code: "image-changed", what: `an image of ${definition.sizeBytes} bytes` });
    return source;
  }

  async #openOverlay(
    room: Room,
    disk: string,
    source: BlockSource,
    base: StreamedDisk,
  ): Promise<Outcome<OverlayDisk>> {
    const folder = await room.overlays.folder(encodeURIComponent(disk));
    if (!folder.ok) return folder;
    const identity = { base: source.id, sizeBytes: source.sizeBytes };
    const store = await OverlayFolder.open(folder.value, identity, (bytes) =>
      room.sources.cache.makeRoom(bytes),
    );
    if (!store.ok) return fail(inWords(store.failure, disk));
    const isZeroInBase = (block: number): boolean =>
      source.storedLength(Math.floor((block * OVERLAY_BLOCK_BYTES) / source.blockBytes)) === 0;
    return ok(new OverlayDisk(base, store.value, isZeroInBase));
  }

  async #close(disk: string): Promise<void> {
    const open = this.#disks.get(disk);
    this.#disks.delete(disk);
    if (open && open !== "opening") await open.close();
  }

  async #reset(disk: string): Promise<Outcome<null>> {
    if (this.#disks.has(disk)) return fail({ code: "disk-busy", disk });
    const room = await this.#enter();
    const folder = await room.overlays.folder(encodeURIComponent(disk));
    if (!folder.ok) return folder;
    const reset = await resetOverlay(folder.value);
    return reset.ok ? reset : fail(inWords(reset.failure, disk));
  }

  /** Exports a disk that is open here as it is now, or one that is not with the changes kept on this device. */
  async #export(disk: string, source: DiskDefinition, port: PortWithClose<ExportPort>): Promise<void> {
    const known = this.#disks.get(disk);
    if (known && known !== "opening") return exportDisk(port, known.device, () => port.close?.());
    const refuse = (failure: Failure): void => port.postMessage(failure, []);
    const room = await this.#enter();
    const base = await this.#openSource(room, source);
    if (!base.ok) return refuse(base.failure);
    const streamed = new StreamedDisk(base.value, this.#memory, this.#ledger);
    const overlay = await this.#openOverlay(room, disk, base.value, streamed);
    if (!overlay.ok) return refuse(overlay.failure);
    exportDisk(port, overlay.value, () => {
      port.close?.();
      void overlay.value.close();
    });
  }

  #enter(): Promise<Room> {
    this.#room ??= this.#furnish();
    return this.#room;
  }

  /** Opens what is on this device. Without files, or with a cache that another tab uses, memory takes its place. */
  async #furnish(): Promise<Room> {
    const { network } = this.#host;
    const files = await this.#host.files();
    const cache = files.ok ? await this.#openCache(files.value) : files;
    const kept: BlobCache = cache.ok ? cache.value : new MemoryBlobCache(STORAGE_LIMITS.fallbackCacheBytes);
    const overlays = files.ok ? await files.value.folder("overlays") : files;
    return {
      sources: { cache: kept, fetcher: this.#fetcher, ledger: this.#ledger },
      origin: {
        chunks: new HttpChunkStore(network, chunkPath, "chunk"),
        manifests: new HttpChunkStore(network, manifestPath, "manifest"),
      },
      overlays: overlays.ok ? overlays.value : new MemoryFolder(),
      isPersistent: overlays.ok,
    };
  }

  async #openCache(files: Folder): Promise<Outcome<SegmentCache>> {
    const folder = await files.folder("cache");
    if (!folder.ok) return folder;
    const { cacheQuotaShare, cacheBytes, unknownQuotaBytes, segmentBytes, minSegmentBytes } = STORAGE_LIMITS;
    const quotaBytes = (await this.#host.quotaBytes()) ?? unknownQuotaBytes;
    const maxBytes = Math.min(cacheBytes, Math.floor(quotaBytes * cacheQuotaShare));
    const limits = {
      maxBytes,
      segmentBytes: Math.min(segmentBytes, Math.max(minSegmentBytes, maxBytes / 16)),
    };
    return SegmentCache.open(folder.value, limits, this.#host.network.clock);
  }
}

/** Failures of files name files; people know disks. */
const inWords = (failure: Failure, disk: string): Failure =>
  failure.code === "disk-busy" ? { code: "disk-busy", disk } : failure;
