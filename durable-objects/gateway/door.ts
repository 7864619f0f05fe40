/** What answers on a socket. Pure: its host calls `onTime` when `pollAt` has come. */
export interface Door {
  onMessage(message: Uint8Array | string): void;
  /** The socket is gone: so are its streams. */
  onClosed(nowMs: number): void;
  onTime(): void;
  pollAt(): number | undefined;
  /** Connections to the world. */
  readonly streamCount: number;
  /** Nothing is open and nothing is under way: the object may sleep. */
  readonly isQuiet: boolean;
}

/** A stream without a byte in either direction for so long is closed (gateway limits, `idleTimeoutMs`). */
export const STREAM_IDLE_MS = 300_000;
/** How often streams are looked at for that. */
export const SWEEP_MS = 30_000;

export const earliest = (...times: (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
};
