import { type Outcome, fail, ok } from "../protocol/failure.ts";
import { type Folder, attempt, fileFailure } from "./files.ts";
import type { OverlayStore } from "./overlay-disk.ts";
import { type OverlayIdentity, OverlayLog } from "./overlay-log.ts";

/** A log is rewritten when it holds more garbage than live blocks, and enough of it to be worth the work. */
const MIN_GARBAGE_BYTES = 16 * 2 ** 20;

const logName = (generation: number): string => `log-${generation}`;
const generationOf = (name: string): number => Number(/^log-(\d+)$/.exec(name)?.[1] ?? Number.NaN);

async function generations(folder: Folder): Promise<readonly number[]> {
  const found = (await folder.list()).map(generationOf).filter(Number.isSafeInteger);
  return found.sort((a, b) => a - b);
}

/**
 * Forgets a disk's changes. Old generations go first: a crash in between leaves the disk as it was. Each log is emptied
 * for good before it is removed, because a removal may be undone by a crash.
 */
export async function resetOverlay(folder: Folder): Promise<Outcome<null>> {
  try {
    for (const generation of await generations(folder)) {
      const file = await folder.open(logName(generation));
      if (!file.ok) return file;
      file.value.truncate(0);
      file.value.flush();
      file.value.close();
      const removed = await folder.remove(logName(generation));
      if (!removed.ok) return removed;
    }
    return ok(null);
  } catch (error) {
    return fail(fileFailure(error));
  }
}

/**
 * The logs of one disk in a folder. Normally there is one; a crash while it is compacted may leave two. The newest that
 * was finished is the disk, the others are removed.
 */
export class OverlayFolder implements OverlayStore {
  readonly #folder: Folder;
  readonly #identity: OverlayIdentity;
  #minGarbageBytes: number;
  /** True when a newer log may be on the device than the one that is written to. */
  #isInDoubt = false;
  readonly makeRoom: (bytes: number) => Promise<number>;
  #log: OverlayLog;

  private constructor(
    folder: Folder,
    identity: OverlayIdentity,
    log: OverlayLog,
    makeRoom: (bytes: number) => Promise<number>,
    minGarbageBytes: number,
  ) {
    this.#folder = folder;
    this.#identity = identity;
    this.#log = log;
    this.makeRoom = makeRoom;
    this.#minGarbageBytes = minGarbageBytes;
  }

  static async open(
    folder: Folder,
    identity: OverlayIdentity,
    makeRoom: (bytes: number) => Promise<number> = async () => 0,
    minGarbageBytes = MIN_GARBAGE_BYTES,
  ): Promise<Outcome<OverlayFolder>> {
    try {
      const log = await newestLog(folder, identity);
      return log.ok ? ok(new OverlayFolder(folder, identity, log.value, makeRoom, minGarbageBytes)) : log;
    } catch (error) {
      return fail(fileFailure(error));
    }
  }

  get log(): OverlayLog {
    return this.#log;
  }

  async compactIfWorthIt(): Promise<Outcome<null>> {
    const { garbageBytes, liveBytes } = this.#log;
    if (garbageBytes <= liveBytes || garbageBytes < this.#minGarbageBytes) return ok(null);
    const compacted = await this.compact();
    // Half as much again, so that a device that is full is not asked after every flush.
    if (!compacted.ok && !this.#isInDoubt) this.#minGarbageBytes = garbageBytes * 1.5;
    return this.#isInDoubt ? compacted : ok(null);
  }

  /** A compaction that fails leaves the log as it was, unless the half-made one cannot be undone either. */
  async compact(): Promise<Outcome<null>> {
    const old = this.#log;
    const name = logName(old.generation + 1);
    const file = await this.#folder.open(name);
    if (!file.ok) return file;
    const fresh = attempt(() => old.compactInto(file.value, this.#identity));
    if (!fresh.ok) {
      const undone = attempt(() => {
        file.value.truncate(0);
        file.value.flush();
      });
      attempt(() => file.value.close());
      await this.#folder.remove(name);
      this.#isInDoubt = !undone.ok;
      return fresh;
    }
    this.#log = fresh.value;
    attempt(() => old.close());
    await this.#folder.remove(logName(old.generation));
    return ok(null);
  }

  close(): void {
    attempt(() => this.#log.close());
  }
}

/** The newest finished log, or a new one when there is none; everything else in the folder is removed. */
async function newestLog(folder: Folder, identity: OverlayIdentity): Promise<Outcome<OverlayLog>> {
  const known = await generations(folder);
  for (const generation of [...known].reverse()) {
    const file = await folder.open(logName(generation));
    if (!file.ok) return file;
    const opened = attempt(() => OverlayLog.open(file.value, identity));
    const outcome = opened.ok ? opened.value : opened;
    if (outcome.ok && outcome.value.kind === "log") {
      for (const other of known) if (other !== generation) await folder.remove(logName(other));
      return ok(outcome.value.log);
    }
    attempt(() => file.value.close());
    if (!outcome.ok) return outcome;
    await folder.remove(logName(generation));
  }
  const generation = 1;
  const file = await folder.open(logName(generation));
  if (!file.ok) return file;
  const created = attempt(() => OverlayLog.create(file.value, identity, generation));
  if (!created.ok) attempt(() => file.value.close());
  return created;
}
