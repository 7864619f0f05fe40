import { scanCodes } from "./scan-codes.ts";

/** Two presses of Ctrl+Alt within 600 ms, and nothing between them. */
export function makeLeaveDetector(onLeave: () => void) {
  let pressedAt = -Infinity;
  return (event: KeyboardEvent): void => {
    if (event.type !== "keydown" || event.repeat) return;
    const modifier = event.key === "Alt" || event.key === "Control";
    if (!modifier) pressedAt = -Infinity;
    else if (event.ctrlKey && event.altKey) {
      if (event.timeStamp - pressedAt < 600) onLeave();
      pressedAt = event.timeStamp;
    }
  };
}

export interface ScreenKeysOptions {
  readonly onKeys: (scanCodes: Uint8Array) => void;
  readonly onLeave: () => void;
}

/**
 * Keys of a focused screen, by their place, for the guest's keyboard. What is held when the focus goes is let go: nobody
 * would tell the guest afterwards.
 */
export function makeScreenKeys({ onKeys, onLeave }: ScreenKeysOptions) {
  const held = new Set<string>();
  const release = (): void => {
    for (const code of held) onKeys(scanCodes(code, false)!);
    held.clear();
  };
  const leave = makeLeaveDetector(() => {
    release();
    onLeave();
  });
  const handle = (event: KeyboardEvent): void => {
    const down = event.type === "keydown";
    const codes = scanCodes(event.code, down);
    if (codes) {
      event.preventDefault();
      if (down) held.add(event.code);
      else held.delete(event.code);
      onKeys(codes);
    }
    leave(event);
  };
  return { handle, release };
}
