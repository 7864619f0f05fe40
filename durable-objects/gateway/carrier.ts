/** One socket as the pure side sees it. */
export interface Outlet {
  send(message: Uint8Array | string): void;
  close(code: number, reason: string): void;
}

/**
 * How frames travel between a guest and its stack on one kind of socket. Bounded: what does not fit is dropped, as on a
 * cable, and the guest's TCP sends it again; `isRoomy` keeps the host from letting it come to that.
 */
export interface Carrier {
  transmit(frame: Uint8Array): void;
  readonly isRoomy: boolean;
  /** Frames of the guest, views of the message. Closes its outlet when the peer breaks the protocol. */
  onMessage(message: Uint8Array | string, nowMs: number): readonly Uint8Array[];
  /** The frames of the last message are dealt with. */
  done(frames: readonly Uint8Array[], nowMs: number): void;
  /** Sends what is due. */
  flush(nowMs: number): void;
  /** When `flush` is wanted; undefined: not before something happens. */
  pollAt(): number | undefined;
  /** Bytes that are kept for the guest. */
  readonly heldBytes: number;
  readonly isQuiet: boolean;
}

/** What went through, for `/metrics`. */
export interface FrameCounts {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  dropped: number;
}
export const noFrames = (): FrameCounts => ({
  framesIn: 0,
  framesOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  dropped: 0,
});

/** A socket that is not there yet: keeps what is sent until it is. What may be sent before is the sender's to bound. */
export class LateOutlet implements Outlet {
  #outlet: Outlet | undefined;
  #early: ((outlet: Outlet) => void)[] = [];

  attach(outlet: Outlet): void {
    this.#outlet = outlet;
    for (const call of this.#early) call(outlet);
    this.#early = [];
  }
  send(message: Uint8Array | string): void {
    if (this.#outlet) this.#outlet.send(message);
    else this.#early.push((outlet) => outlet.send(message));
  }
  close(code: number, reason: string): void {
    if (this.#outlet) this.#outlet.close(code, reason);
    else this.#early.push((outlet) => outlet.close(code, reason));
  }
}
