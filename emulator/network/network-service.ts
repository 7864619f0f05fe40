import { LearningSwitch } from "../../durable-objects/net/learning-switch.ts";
import type { Failure } from "../protocol/failure.ts";
import type { FrameLink } from "../protocol/frame-link.ts";
import type { NetworkNotice, NetworkState, NetworkStats } from "../protocol/network-messages.ts";
import type { TunnelNotice } from "../protocol/tunnel-notices.ts";
import { Capture } from "./capture.ts";
import type { Clock } from "./clock.ts";
import { FlowList } from "./flow-list.ts";
import type { Uplink, UplinkEvents } from "./uplink.ts";

/** A wire to the machines of other tabs, which may lose frames as Ethernet may. */
export interface Room {
  send(frame: Uint8Array): void;
  /** Becomes true once for the one page whose uplink serves the room; `tell` is called then. */
  whenGateway(tell: () => void): void;
  close(): void;
}

export interface NetworkHost {
  readonly clock: Clock;
  notify(notice: NetworkNotice): void;
  /** Undefined: the cable leads nowhere. */
  makeUplink(events: UplinkEvents): Uplink | undefined;
  /** Undefined: no room was asked for. */
  joinRoom(hear: (frame: Uint8Array) => void): Room | undefined;
}

type Port = "card" | "uplink" | "room";

const STATS_MS = 1000;
/** Frames handled before the worker looks at its other events. */
const TURN_FRAMES = 512;

/**
 * Everything between the machine's card and the world: a switch with the card, an uplink and, when machines of several
 * tabs share a room, a wire to those. Frames the card has no place for yet wait in the uplink's own credit; nothing else
 * is kept.
 */
export class NetworkService {
  readonly #host: NetworkHost;
  readonly #link: FrameLink;
  readonly #lan = new LearningSwitch<Port>();
  #uplink: Uplink | undefined;
  #room: Room | undefined;
  #capture: Capture | undefined;
  #cable = true;
  /** Frames of the uplink that wait for a place at the card. Bounded by the uplink's credit. */
  #waiting: Uint8Array[] = [];
  readonly #flows = new FlowList();
  #sentBytes = 0;
  #receivedBytes = 0;
  #droppedFrames = 0;
  #told = { sentBytes: 0, receivedBytes: 0, atMs: 0 };
  #cancelStats: (() => void) | undefined;

  constructor(host: NetworkHost, link: FrameLink) {
    this.#host = host;
    this.#link = link;
    this.#lan.attach("card");
    this.#told.atMs = host.clock.nowMs();
    this.#room = host.joinRoom((frame) => this.#fromRoom(frame));
    if (this.#room) {
      this.#lan.attach("room");
      this.#state("online");
      this.#room.whenGateway(() => this.#plugUplink());
    } else this.#plugUplink();
    link.listen(() => this.#pump());
  }

  reconnect(): void {
    this.#uplink?.reconnect();
  }

  setCable(connected: boolean): void {
    this.#cable = connected;
    this.#pump();
  }

  setCapture(on: boolean): void {
    this.#capture = on ? new Capture("guest-eth0") : undefined;
    this.#tellStats();
  }

  /** What was captured so far; nothing is forgotten by asking. */
  captureFile(): void {
    if (this.#capture) this.#host.notify({ type: "capture-file", bytes: this.#capture.file() });
  }

  close(): void {
    this.#cancelStats?.();
    this.#uplink?.close();
    this.#room?.close();
    this.#link.close();
  }

  #plugUplink(): void {
    this.#uplink = this.#host.makeUplink({
      frames: (frames) => this.#fromUplink(frames),
      roomy: () => this.#pump(),
      state: (state, failure, retryInMs) => this.#state(state, failure, retryInMs),
      notice: (notice) => this.#notice(notice),
    });
    if (!this.#uplink) return;
    // The gateway was behind the room until now, if another page served it.
    if (this.#room) {
      this.#lan.detach("room");
      this.#lan.attach("room");
    }
    this.#lan.attach("uplink");
    this.#uplink.start();
  }

  /** Moves frames both ways until one side has no more, or no room. */
  #pump(): void {
    this.#toCard();
    let moved = 0;
    for (; moved < TURN_FRAMES && this.#hasRoom(); moved++) {
      const frame = this.#link.receive();
      if (!frame) break;
      this.#fromCard(frame);
    }
    this.#uplink?.flush();
    if (moved === TURN_FRAMES) this.#host.clock.after(0, () => this.#pump());
    if (moved > 0) this.#statsSoon();
  }

  /** A card whose frames the uplink cannot take now is not asked for more. Without a connection they are lost, as on a cable. */
  #hasRoom(): boolean {
    return !this.#uplink || this.#uplink.hasRoom;
  }

  #fromCard(frame: Uint8Array): void {
    if (!this.#cable) return;
    this.#sentBytes += frame.length;
    this.#capture?.add(frame, "outbound", this.#host.clock.nowMs());
    for (const port of this.#lan.forward("card", frame, this.#host.clock.nowMs())) {
      if (port === "uplink") this.#uplink?.send(frame);
      else this.#room?.send(frame);
    }
  }

  #fromUplink(frames: readonly Uint8Array[]): void {
    const now = this.#host.clock.nowMs();
    for (const frame of frames) {
      const ports = this.#lan.forward("uplink", frame, now);
      if (ports.includes("room")) this.#room?.send(frame);
      if (ports.includes("card") && this.#cable) this.#waiting.push(frame);
      else this.#uplink?.consumed(frame);
    }
    this.#pump();
    this.#statsSoon();
  }

  #fromRoom(frame: Uint8Array): void {
    const ports = this.#lan.forward("room", frame, this.#host.clock.nowMs());
    if (ports.includes("uplink") && this.#uplink) {
      if (this.#uplink.hasRoom) this.#uplink.send(frame);
      else this.#droppedFrames++;
    }
    if (ports.includes("card") && this.#cable) {
      if (this.#waiting.length === 0 && this.#link.send(frame)) this.#received(frame);
      else this.#droppedFrames++;
    }
    this.#uplink?.flush();
    this.#statsSoon();
  }

  #toCard(): void {
    let taken = 0;
    for (const frame of this.#waiting) {
      if (this.#cable && !this.#link.send(frame)) break;
      taken++;
      this.#uplink?.consumed(frame);
      if (this.#cable) this.#received(frame);
    }
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken);
  }

  #received(frame: Uint8Array): void {
    this.#receivedBytes += frame.length;
    this.#capture?.add(frame, "inbound", this.#host.clock.nowMs());
  }

  #state(state: NetworkState, failure?: Failure, retryInMs?: number): void {
    this.#host.notify({
      type: "state",
      state,
      ...(failure ? { failure } : {}),
      ...(retryInMs === undefined ? {} : { retryInMs }),
    });
    this.#statsSoon();
  }

  #notice(notice: TunnelNotice): void {
    switch (notice.type) {
      case "flow-opened":
      case "flow-refused":
      case "flow-closed":
        this.#flows.note(notice);
        return this.#statsSoon();
      default:
        return this.#host.notify({ type: "tunnel", notice });
    }
  }

  #statsSoon(): void {
    this.#cancelStats ??= this.#host.clock.after(STATS_MS, () => this.#tellStats());
  }

  #tellStats(): void {
    this.#cancelStats?.();
    this.#cancelStats = undefined;
    const now = this.#host.clock.nowMs();
    const passed = Math.max(1, now - this.#told.atMs) / 1000;
    const sent = this.#sentBytes - this.#told.sentBytes;
    const received = this.#receivedBytes - this.#told.receivedBytes;
    const stats: NetworkStats = {
      sentBytes: this.#sentBytes,
      receivedBytes: this.#receivedBytes,
      sentPerSecond: sent / passed,
      receivedPerSecond: received / passed,
      droppedFrames: this.#droppedFrames,
      rttMs: this.#uplink?.rttMs ?? null,
      capture: this.#capture?.stats() ?? null,
    };
    this.#told = { sentBytes: this.#sentBytes, receivedBytes: this.#receivedBytes, atMs: now };
    this.#host.notify({ type: "stats", stats });
    const flows = this.#flows.changed();
    if (flows) this.#host.notify({ type: "flows", flows });
    // Once more after traffic has stopped, so that the rates go back to nothing; then silence.
    if (sent + received > 0) this.#statsSoon();
  }
}
