import { MessageChannel } from "node:worker_threads";
import type { Outcome } from "#protocol/failure";
import type { DiskDefinition } from "#protocol/machine-definition";
import type { DiskReply, DiskRequest, StorageCommand, StorageNotice } from "#protocol/storage-messages";
import type { Clock } from "../../emulator/storage/clock.ts";
import { type Folder } from "../../emulator/storage/files.ts";
import { SILENCE_MS } from "../../emulator/storage/http.ts";
import { MemoryFolder } from "../../emulator/storage/memory-files.ts";
import { StorageService } from "../../emulator/storage/storage-service.ts";
import { hastyClock } from "./manual-clock.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What a page and a machine do with a disk, over a real port. */
export class DiskClient {
  readonly port;
  #last = 0;
  readonly #waiting = new Map<number, (outcome: DiskReply["outcome"]) => void>();

  constructor(port: MessageChannel["port1"]) {
    this.port = port;
    port.on("message", ({ id, outcome }: DiskReply) => {
      this.#waiting.get(id)?.(outcome);
      this.#waiting.delete(id);
    });
  }

  ask(request: DiskRequest extends infer R ? (R extends DiskRequest ? Omit<R, "id"> : never) : never) {
    const id = ++this.#last;
    return new Promise<DiskReply["outcome"]>((resolve) => {
      this.#waiting.set(id, resolve);
      this.port.postMessage({ ...request, id });
    });
  }

  async read(offset: number, length: number): Promise<Outcome<Bytes>> {
    const outcome = await this.ask({ type: "read", offset, length });
    return outcome.ok ? { ok: true, value: outcome.value.bytes as Bytes } : outcome;
  }
  write = (offset: number, bytes: Uint8Array) => this.ask({ type: "write", offset, bytes });
  flush = () => this.ask({ type: "flush" });
  discard = (offset: number, length: number) => this.ask({ type: "discard", offset, length });
}

/** The files of a tab that was killed: the same bytes, nobody has them open. */
export function afterKill(folder: MemoryFolder): MemoryFolder {
  const next = new MemoryFolder();
  for (const [name, file] of folder.files) next.files.set(name, file);
  for (const [name, inner] of folder.folders) next.folders.set(name, afterKill(inner));
  return next;
}

/** A storage service with a page's ears, on a real server and files in memory. Time runs a hundred times as fast. */
export class StorageRig {
  readonly notices: StorageNotice[] = [];
  readonly service: StorageService;
  readonly #ports: MessageChannel["port1"][] = [];
  #isOver = false;

  constructor(origin: string, files: Folder | null = new MemoryFolder(), clock: Clock = hastyClock(100)) {
    this.service = new StorageService({
      network: { fetch, clock, origin, silenceMs: 3 * SILENCE_MS },
      files: async () =>
        files
          ? { ok: true, value: files }
          : { ok: false, failure: { code: "storage-unavailable", problem: "no files here" } },
      quotaBytes: async () => 2 ** 30,
      notify: (notice) => this.notices.push(notice),
    });
  }

  command(command: StorageCommand): Promise<void> {
    return this.service.command(command);
  }

  /** Opens a disk and answers the notice and the machine's end. */
  async open(disk: string, source: DiskDefinition, writable = true, boot = "shell") {
    const { port1, port2 } = new MessageChannel();
    this.#ports.push(port1, port2);
    const port = port2 as unknown as MessagePort;
    await this.command({ type: "open", disk, source, writable, port, boot });
    const notice = this.notices.findLast((notice) => "disk" in notice && notice.disk === disk);
    return { notice, disk: new DiskClient(port1) };
  }

  async exported(disk: string, source: DiskDefinition): Promise<Bytes> {
    const { port1, port2 } = new MessageChannel();
    this.#ports.push(port1, port2);
    const pieces: Uint8Array[] = [];
    const done = new Promise<void>((resolve, reject) => {
      port1.on("message", (message: Uint8Array | null | object) => {
        if (message === null) return resolve();
        if (!(message instanceof Uint8Array)) return reject(new Error(JSON.stringify(message)));
        pieces.push(message);
        port1.postMessage("next");
      });
    });
    await this.command({ type: "export", disk, source, port: port2 as unknown as MessagePort });
    port1.postMessage("next");
    await done;
    return new Uint8Array(Buffer.concat(pieces));
  }

  of<T extends StorageNotice["type"]>(type: T) {
    return this.notices.filter((notice): notice is StorageNotice & { type: T } => notice.type === type);
  }

  /** Waits until a notice of this kind is there that fits. */
  async heard<T extends StorageNotice["type"]>(
    type: T,
    fits: (notice: StorageNotice & { type: T }) => boolean = () => true,
  ): Promise<StorageNotice & { type: T }> {
    while (!this.#isOver) {
      const notice = this.of(type).findLast(fits);
      if (notice) return notice;
      await new Promise((resolve) => {
        setTimeout(resolve, 2);
      });
    }
    return new Promise(() => {});
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.service.close();
    for (const port of this.#ports) port.close();
  }
}
