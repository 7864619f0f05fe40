import { LearningSwitch } from "../net/learning-switch.ts";
import { TokenBucket } from "../policy/quota.ts";

/** Made worse than it is: for experiments, and for tests with a seed. */
export interface LinkConditions {
  /** Of each frame on its way out of the switch. */
  readonly delayMs: number;
  /** 0 to 1. */
  readonly loss: number;
  /** Per member; 0: as fast as it goes. */
  readonly bytesPerSecond: number;
  readonly seed: number;
}
export const perfectLink: LinkConditions = { delayMs: 0, loss: 0, bytesPerSecond: 0, seed: 1 };

/** A plug of the switch. */
export interface RoomPort {
  deliver(frame: Uint8Array): void;
}

/** Frames of one member that go to everyone: per second, and at once after a pause. More is a storm, and is dropped. */
const FLOODS_PER_SECOND = 500;
const FLOOD_BURST = 2000;
/** What waits for one member on a link with conditions. */
const QUEUE_BYTES = 512 * 1024;
/** A frame that waits for a member keeps the message that it is of: at most so many times itself, whoever made it. */
const MOST_KEPT = 8;

interface Plug {
  readonly port: RoomPort;
  readonly floods: TokenBucket;
  queue: { readonly frame: Uint8Array; readonly atMs: number }[];
  queuedBytes: number;
  /** When the link has sent what was given to it. */
  busyUntilMs: number;
}

/** A switch with machines on it, whose links may be slow, late or lossy. Pure: `onTime` when `pollAt` has come. */
export class Room {
  readonly #switch = new LearningSwitch<RoomPort>();
  readonly #plugs = new Map<RoomPort, Plug>();
  #conditions: LinkConditions;
  #chance: number;
  readonly counts = { forwarded: 0, storms: 0, lost: 0, overflowed: 0 };

  constructor(conditions: LinkConditions = perfectLink) {
    this.#conditions = conditions;
    this.#chance = conditions.seed >>> 0 || 1;
  }

  get size(): number {
    return this.#plugs.size;
  }
  get isQuiet(): boolean {
    for (const { queue } of this.#plugs.values()) if (queue.length > 0) return false;
    return true;
  }

  join(port: RoomPort): void {
    this.#switch.attach(port);
    const floods = new TokenBucket(FLOODS_PER_SECOND, FLOOD_BURST);
    this.#plugs.set(port, { port, floods, queue: [], queuedBytes: 0, busyUntilMs: 0 });
  }
  leave(port: RoomPort): void {
    this.#switch.detach(port);
    this.#plugs.delete(port);
  }
  has(port: RoomPort): boolean {
    return this.#plugs.has(port);
  }

  /** The frame is kept; nobody changes it afterwards. */
  onFrame(from: RoomPort, frame: Uint8Array, nowMs: number): void {
    const targets = this.#switch.forward(from, frame, nowMs);
    if (targets.length > 1 && !this.#plugs.get(from)!.floods.take(1, nowMs)) {
      this.counts.storms++;
      return;
    }
    if (targets.length === 0) return;
    const isWasteful = frame.length * MOST_KEPT < frame.buffer.byteLength;
    const kept = isWasteful ? frame.slice() : frame;
    for (const target of targets) this.#send(this.#plugs.get(target)!, kept, nowMs);
  }

  #send(plug: Plug, frame: Uint8Array, nowMs: number): void {
    const { delayMs, loss, bytesPerSecond } = this.#conditions;
    if (loss > 0 && this.#random() < loss) {
      this.counts.lost++;
      return;
    }
    this.counts.forwarded++;
    if (delayMs === 0 && bytesPerSecond === 0) return plug.port.deliver(frame);
    if (plug.queuedBytes + frame.length > QUEUE_BYTES) {
      this.counts.overflowed++;
      return;
    }
    const takesMs = bytesPerSecond === 0 ? 0 : (frame.length / bytesPerSecond) * 1000;
    plug.busyUntilMs = Math.max(plug.busyUntilMs, nowMs) + takesMs;
    plug.queue.push({ frame, atMs: plug.busyUntilMs + delayMs });
    plug.queuedBytes += frame.length;
  }

  /** Xorshift of 32 bits (Marsaglia 2003): the same seed loses the same frames. */
  #random(): number {
    this.#chance ^= this.#chance << 13;
    this.#chance ^= this.#chance >>> 17;
    this.#chance ^= this.#chance << 5;
    return (this.#chance >>> 0) / 2 ** 32;
  }

  onTime(nowMs: number): void {
    for (const plug of this.#plugs.values()) {
      let count = 0;
      while (count < plug.queue.length && plug.queue[count]!.atMs <= nowMs) {
        const { frame } = plug.queue[count++]!;
        plug.queuedBytes -= frame.length;
        plug.port.deliver(frame);
      }
      if (count > 0) plug.queue.splice(0, count);
    }
  }

  pollAt(): number | undefined {
    let at: number | undefined;
    for (const { queue } of this.#plugs.values())
      if (queue[0] && (at === undefined || queue[0].atMs < at)) at = queue[0].atMs;
    return at;
  }
}
