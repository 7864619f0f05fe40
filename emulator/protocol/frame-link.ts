import { assertFrame, FrameRing, ringBuffer } from "./frame-ring.ts";

/**
 * The wire between a network card and the network behind it: Ethernet frames without FCS, in order, in both directions,
 * never more than a bounded number of bytes under way. Each side holds one end. Two forms behind one interface: rings in
 * shared memory, and messages where a page has no shared memory.
 */
export interface FrameLink {
  /** Takes a copy of a frame of 1 to MAX_FRAME_BYTES bytes. False: there is no room, and the frame was not taken. */
  send(frame: Uint8Array): boolean;
  /** The next frame, which belongs to the caller; null when there is none. */
  receive(): Uint8Array<ArrayBuffer> | null;
  /**
   * `wake` is called after frames have come to an end whose last `receive` answered null (or that has never asked), and after
   * room has come to one whose last `send` was refused; never from inside a call of the link, and sometimes for nothing.
   */
  listen(wake: () => void): void;
  /** How many frames `send` has refused. */
  readonly refused: number;
  close(): void;
}

/** The part of a MessagePort that a link needs. */
export interface FramePort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  start(): void;
  close(): void;
}

/** What is handed to the worker that opens the end: rings are shared, a port is transferred. */
export type FrameLinkEnd =
  | { readonly kind: "rings"; readonly outgoing: SharedArrayBuffer; readonly incoming: SharedArrayBuffer }
  | { readonly kind: "port"; readonly port: FramePort };

/** Bytes that may wait in one direction. */
const LINK_BYTES = 1 << 19;

/** Both ends over shared memory: where `crossOriginIsolated` holds and `waitAsync` is in Atomics. */
export function sharedLinkEnds(capacityBytes = LINK_BYTES): [FrameLinkEnd, FrameLinkEnd] {
  const [there, back] = [ringBuffer(capacityBytes), ringBuffer(capacityBytes)];
  return [
    { kind: "rings", outgoing: there, incoming: back },
    { kind: "rings", outgoing: back, incoming: there },
  ];
}

/** Both ends over the two ports of a MessageChannel: everywhere else. */
export function portLinkEnds(channel: {
  readonly port1: FramePort;
  readonly port2: FramePort;
}): [FrameLinkEnd, FrameLinkEnd] {
  return [
    { kind: "port", port: channel.port1 },
    { kind: "port", port: channel.port2 },
  ];
}

/** Opens an end; exactly once, in the thread that will use it. */
export function openFrameLink(end: FrameLinkEnd): FrameLink {
  return end.kind === "rings" ? new RingLink(end.outgoing, end.incoming) : new PortLink(end.port);
}

class RingLink implements FrameLink {
  refused = 0;
  readonly #out: FrameRing;
  readonly #in: FrameRing;
  #wake: () => void = () => {};
  #closed = false;

  constructor(outgoing: SharedArrayBuffer, incoming: SharedArrayBuffer) {
    this.#out = new FrameRing(outgoing);
    this.#in = new FrameRing(incoming);
  }

  send(frame: Uint8Array): boolean {
    if (this.#out.push(frame)) return true;
    this.refused++;
    this.#out.whenRoomier(this.#ring);
    return false;
  }

  receive(): Uint8Array<ArrayBuffer> | null {
    const frame = this.#in.pop();
    if (!frame) this.#in.whenFuller(this.#ring);
    return frame;
  }

  listen(wake: () => void): void {
    this.#wake = wake;
    this.#in.whenFuller(this.#ring);
  }

  close(): void {
    this.#closed = true;
  }

  readonly #ring = (): void => {
    if (!this.#closed) this.#wake();
  };
}

/** Messages are frames, or the number of bytes that the other side has taken out of its queue. */
class PortLink implements FrameLink {
  refused = 0;
  readonly #port: FramePort;
  readonly #frames: Uint8Array<ArrayBuffer>[] = [];
  #next = 0;
  #underWay = 0;
  #taken = 0;
  #wantsRoom = false;
  #wantsFrames = true;
  #wake: () => void = () => {};

  constructor(port: FramePort) {
    this.#port = port;
    port.addEventListener("message", ({ data }) => this.#hear(data));
    port.start();
  }

  send(frame: Uint8Array): boolean {
    assertFrame(frame);
    if (this.#underWay + frame.length > LINK_BYTES) {
      this.refused++;
      this.#wantsRoom = true;
      return false;
    }
    this.#underWay += frame.length;
    const copy = new Uint8Array(frame);
    this.#port.postMessage(copy, [copy.buffer]);
    return true;
  }

  receive(): Uint8Array<ArrayBuffer> | null {
    const frame = this.#frames[this.#next];
    if (!frame) {
      this.#wantsFrames = true;
      return null;
    }
    if (++this.#next === this.#frames.length) this.#next = this.#frames.length = 0;
    this.#taken += frame.length;
    if (this.#taken >= LINK_BYTES / 8 || this.#next === 0) {
      this.#port.postMessage(this.#taken, []);
      this.#taken = 0;
    }
    return frame;
  }

  listen(wake: () => void): void {
    this.#wake = wake;
    if (this.#frames.length > 0) void Promise.resolve().then(wake);
  }

  close(): void {
    this.#wake = () => {};
    this.#port.close();
  }

  #hear(message: unknown): void {
    const isRoom = typeof message === "number";
    if (isRoom) this.#underWay -= message;
    else if (message instanceof Uint8Array) this.#frames.push(message as Uint8Array<ArrayBuffer>);
    if (!(isRoom ? this.#wantsRoom : this.#wantsFrames)) return;
    if (isRoom) this.#wantsRoom = false;
    else this.#wantsFrames = false;
    this.#wake();
  }
}
