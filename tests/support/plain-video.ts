import { VIDEO_PAGE, type VideoMemory, type VideoPlace } from "../../emulator/devices/vga/video-memory.ts";

/** Video memory without a processor: what it was told is kept for the test to read. */
export class PlainVideo implements VideoMemory {
  readonly bytes: Uint8Array;
  readonly dirty: Uint8Array;
  readonly places: VideoPlace[] = [];
  watched = 0;

  constructor(sizeBytes = 0x100_0000) {
    this.bytes = new Uint8Array(sizeBytes);
    this.dirty = new Uint8Array(sizeBytes / VIDEO_PAGE);
  }
  place(where: VideoPlace): void {
    this.places.push(where);
  }
  watch(): void {
    this.watched++;
  }
}
