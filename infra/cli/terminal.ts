/** The keyboard of a machine that runs in this terminal: every key is the guest's, but for the ways out. */
import type { ReadStream } from "node:tty";

const CTRL_A = 0x01;
const CTRL_CLOSING_BRACKET = 0x1d;

export type KeyAction = { readonly send: Uint8Array; readonly quit: boolean };

/** Ctrl-] quits at once. Ctrl-A is a prefix: x quits, a second Ctrl-A sends one, anything else sends both. */
export class EscapeKeys {
  #prefixed = false;

  hear(bytes: Uint8Array): KeyAction {
    const send: number[] = [];
    for (const byte of bytes) {
      if (byte === CTRL_CLOSING_BRACKET) return { send: Uint8Array.from(send), quit: true };
      if (this.#prefixed) {
        this.#prefixed = false;
        if (byte === 0x78) return { send: Uint8Array.from(send), quit: true };
        if (byte === CTRL_A) send.push(CTRL_A);
        else send.push(CTRL_A, byte);
      } else if (byte === CTRL_A) this.#prefixed = true;
      else send.push(byte);
    }
    return { send: Uint8Array.from(send), quit: false };
  }
}

export class Terminal {
  readonly #input: ReadStream;
  readonly #onData: (bytes: Buffer) => void;

  /** A pipe's end is not the machine's: the guest goes on until it powers off. */
  constructor(input: ReadStream, send: (bytes: Uint8Array) => void, quit: () => void) {
    this.#input = input;
    const keys = new EscapeKeys();
    this.#onData = (bytes) => {
      if (!input.isTTY) return send(bytes);
      const action = keys.hear(bytes);
      if (action.send.length > 0) send(action.send);
      if (action.quit) quit();
    };
    if (input.isTTY) input.setRawMode(true);
    input.on("data", this.#onData);
    input.resume();
  }

  close(): void {
    if (this.#input.isTTY) this.#input.setRawMode(false);
    this.#input.off("data", this.#onData);
    this.#input.pause();
  }
}
