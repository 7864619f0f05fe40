import type { MouseMove } from "#protocol/machine-messages";

/** A drag or a rest shorter and nearer than this was a tap. */
const TAP_MS = 250;
const TAP_PIXELS = 8;
/** Pixels of a page that one notch of a wheel scrolls. */
const NOTCH_PIXELS = 100;
const LINES_PER_NOTCH = 3;
const Button = { left: 1, right: 2, middle: 4 } as const;
/** `MouseEvent.button` to bits of the guest's mouse. */
const bits = [Button.left, Button.middle, Button.right] as const;

/**
 * Turns what happens over a screen into what a mouse does. Movement is gathered and goes at most once per `flush`, which the
 * caller asks for with `schedule`; a button goes at once, after the movement before it. A finger moves the pointer as on a
 * touchpad; a tap is a click, a tap of two fingers the other button, and two fingers that move are the wheel.
 */
export function makeScreenMouse(send: (move: MouseMove) => void, schedule: () => void) {
  let dx = 0;
  let dy = 0;
  let wheel = 0;
  let buttons = 0;
  const fingers = new Map<number, { x: number; y: number }>();
  let touch = { atMs: 0, moved: 0, most: 0 };

  const flush = (): void => {
    // The wheel keeps what is less than a notch.
    const [x, y, notches] = [Math.trunc(dx), Math.trunc(dy), Math.trunc(wheel)];
    if (x === 0 && y === 0 && notches === 0) return;
    dx -= x;
    dy -= y;
    wheel -= notches;
    send({ dx: x, dy: y, wheel: notches, buttons });
  };
  const press = (pressed: number): void => {
    flush();
    if (pressed === buttons) return;
    buttons = pressed;
    send({ dx: 0, dy: 0, wheel: 0, buttons });
  };
  const move = (x: number, y: number): void => {
    dx += x;
    dy += y;
    schedule();
  };
  const turn = (notches: number): void => {
    wheel += notches;
    schedule();
  };
  return {
    flush,
    move,
    release: () => press(0),
    button: (button: number, down: boolean): void => {
      const bit = bits[button];
      if (bit !== undefined) press(down ? buttons | bit : buttons & ~bit);
    },
    wheel: ({ deltaY, deltaMode }: { deltaY: number; deltaMode: number }): void =>
      turn(deltaMode === 0 ? deltaY / NOTCH_PIXELS : deltaY / LINES_PER_NOTCH),

    fingerDown(id: number, x: number, y: number, nowMs: number): void {
      if (fingers.size === 0) touch = { atMs: nowMs, moved: 0, most: 0 };
      fingers.set(id, { x, y });
      touch.most = Math.max(touch.most, fingers.size);
    },
    fingerMove(id: number, x: number, y: number): void {
      const from = fingers.get(id);
      if (!from) return;
      fingers.set(id, { x, y });
      touch.moved += Math.abs(x - from.x) + Math.abs(y - from.y);
      if (fingers.size === 1 && touch.most === 1) move(x - from.x, y - from.y);
      else turn(-(y - from.y) / NOTCH_PIXELS);
    },
    fingerUp(id: number, nowMs: number): void {
      fingers.delete(id);
      if (fingers.size > 0 || nowMs - touch.atMs > TAP_MS || touch.moved > TAP_PIXELS) return;
      press(touch.most > 1 ? Button.right : Button.left);
      press(0);
    },
  };
}
