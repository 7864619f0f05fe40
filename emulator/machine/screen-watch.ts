import type { TextScreen } from "../devices/vga-text.ts";

/** Sends the text screen when it differs from what was sent last. */
export class ScreenWatch {
  readonly #send: (screen: TextScreen) => void;
  #last: TextScreen | undefined;
  #lookedAt = -Infinity;

  constructor(send: (screen: TextScreen) => void) {
    this.#send = send;
  }

  due(nowNs: number, everyNs: number): boolean {
    if (nowNs - this.#lookedAt < everyNs) return false;
    this.#lookedAt = nowNs;
    return true;
  }

  look(screen: TextScreen): void {
    const last = this.#last;
    if (last && last.cursor === screen.cursor && last.cells.every((cell, i) => cell === screen.cells[i]))
      return;
    this.#last = screen;
    this.#send(screen);
  }
}
