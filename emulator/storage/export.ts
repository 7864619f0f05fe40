import type { Failure } from "../protocol/failure.ts";
import type { BlockDevice } from "./block-device.ts";

const PIECE_BYTES = 2 ** 20;

/** The receiving end of an export: every message of its is a wish for the next piece. */
export interface ExportPort {
  onmessage: (() => void) | null;
  postMessage(message: Uint8Array | null | Failure, transfer: Transferable[]): void;
}

/**
 * Sends a disk as it reads, from the first byte to the last: a piece for every wish, then null; a failure ends it.
 * Because the receiver asks, a slow one does not fill memory with pieces.
 */
export function exportDisk(port: ExportPort, device: BlockDevice, onEnd: () => void = () => {}): void {
  let at = 0;
  let turn: Promise<void> = Promise.resolve();
  let isOver = false;
  const end = (last: null | Failure): void => {
    isOver = true;
    port.postMessage(last, []);
    onEnd();
  };
  const send = async (): Promise<void> => {
    if (isOver) return;
    if (at >= device.sizeBytes) return end(null);
    const piece = await device.read(at, Math.min(PIECE_BYTES, device.sizeBytes - at));
    if (!piece.ok) return end(piece.failure);
    at += piece.value.length;
    port.postMessage(piece.value, [piece.value.buffer]);
  };
  port.onmessage = () => {
    turn = turn.then(send);
  };
}
