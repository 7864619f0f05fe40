import { lanDefaults, largeLan } from "../net/lan.ts";
import type { StackConfig } from "../net/world.ts";
import type { Carrier } from "./carrier.ts";
import { type Door, earliest } from "./door.ts";
import { StackHost, type StackHostParts } from "./stack-host.ts";

export type Lan = Omit<StackConfig, "secret" | "epochMs">;

/** 1,024 flows with buffers that fill a fast line, in segments as long as the carrier's frames. */
export const virgaLan: Lan = largeLan;
/** For peers that give no credit: all their buffers together stay under 16 MiB. */
export const foreignLan: Lan = {
  ...lanDefaults,
  maxFlows: 128,
  sendBufferBytes: 65_536,
  receiveBufferBytes: 65_536,
};

/** A guest: its stack, and the way its frames travel. Pure; the object that holds it calls `turn` when `pollAt` has come. */
export class L2Guest<C extends Carrier> implements Door {
  readonly carrier: C;
  readonly #now: () => number;
  #host: StackHost;

  constructor(carrier: C, parts: Omit<StackHostParts, "transmit" | "isRoomy">) {
    this.carrier = carrier;
    this.#now = parts.now;
    this.#makeHost = () =>
      new StackHost({
        ...parts,
        transmit: (frame) => carrier.transmit(frame),
        isRoomy: () => carrier.isRoomy,
      });
    this.#host = this.#makeHost();
  }
  readonly #makeHost: () => StackHost;

  get host(): StackHost {
    return this.#host;
  }

  /** Forgets every flow: the guest's next segments meet a stack that answers them with RST. */
  restart(): void {
    this.#host.close();
    this.#host = this.#makeHost();
  }

  onMessage(message: Uint8Array | string): void {
    const frames = this.carrier.onMessage(message, this.#now());
    for (const frame of frames) this.#host.onFrame(frame);
    this.carrier.done(frames, this.#now());
    this.turn();
  }

  /** At the end of everything that happened, and when `pollAt` has come. */
  turn(): void {
    this.#host.settle();
    this.carrier.flush(this.#now());
    if (!this.#host.isWaiting || !this.carrier.isRoomy) return;
    this.#host.settle();
    this.carrier.flush(this.#now());
  }

  pollAt(): number | undefined {
    return earliest(this.#host.stack.pollAt(), this.carrier.pollAt());
  }

  /** No flow, no question, nothing under way: only timers of the LAN are left. */
  get isQuiet(): boolean {
    return this.#host.isQuiet && this.carrier.isQuiet;
  }

  get streamCount(): number {
    return this.#host.flowCount;
  }

  onTime(): void {
    this.turn();
  }

  onClosed(): void {
    this.#host.close();
  }
}
