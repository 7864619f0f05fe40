/** Where video memory shows itself to the guest. */
export interface VideoPlace {
  /** Guest-physical address of the linear frame buffer, and its bytes; 0 bytes when it is nowhere. */
  readonly at: number;
  readonly size: number;
  /** Bytes from A0000h that are the display's, and where in video memory they lie; -1: the device answers there. */
  readonly window: number;
  readonly bank: number;
}

/** The memory of the display. The guest reaches it as it reaches RAM; what it has written is noted by page. */
export interface VideoMemory {
  readonly bytes: Uint8Array;
  /** Per `VIDEO_PAGE` bytes: 1 where something was stored since `watch`. */
  readonly dirty: Uint8Array;
  place(where: VideoPlace): void;
  /** After `dirty` was cleared: the next store to each page is noted again. */
  watch(): void;
}

export const VIDEO_PAGE = 4096;

export function markDirty({ dirty }: VideoMemory, start: number, length: number): void {
  if (length > 0) dirty.fill(1, Math.floor(start / VIDEO_PAGE), Math.ceil((start + length) / VIDEO_PAGE));
}
