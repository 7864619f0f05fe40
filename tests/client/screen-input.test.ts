import { expect, test } from "vitest";
import { makeScreenKeys } from "../../client/machine/screen-keys.ts";
import { makeScreenMouse } from "../../client/machine/screen-mouse.ts";
import { fitted } from "../../client/machine/screen-size.ts";

function mouseBench() {
  const said: string[] = [];
  let asked = 0;
  const mouse = makeScreenMouse(
    ({ dx, dy, wheel, buttons }) => said.push(`${dx},${dy} ${wheel} ${buttons}`),
    () => asked++,
  );
  return { mouse, told: () => said.splice(0), asked: () => asked };
}

test("movement is gathered until the page's next frame, and a button goes after it at once", () => {
  const { mouse, told, asked } = mouseBench();
  mouse.move(3, 4);
  mouse.move(2, -1);
  expect([told(), asked()]).toEqual([[], 2]);
  mouse.flush();
  expect(told()).toEqual(["5,3 0 0"]);
  mouse.flush();
  mouse.move(1, 1);
  mouse.button(2, true);
  mouse.button(2, true);
  mouse.button(9, true);
  expect(told()).toEqual(["1,1 0 0", "0,0 0 2"]);
  mouse.button(0, true);
  mouse.release();
  expect(told()).toEqual(["0,0 0 3", "0,0 0 0"]);
});

test("the wheel counts notches and keeps what is less than one; so do small movements", () => {
  const { mouse, told } = mouseBench();
  mouse.wheel({ deltaY: 60, deltaMode: 0 });
  mouse.flush();
  mouse.wheel({ deltaY: 60, deltaMode: 0 });
  mouse.flush();
  mouse.wheel({ deltaY: -6, deltaMode: 1 });
  mouse.flush();
  expect(told()).toEqual(["0,0 1 0", "0,0 -1 0"]);
  mouse.move(0.6, 0);
  mouse.flush();
  mouse.move(0.6, 0);
  mouse.flush();
  expect(told()).toEqual(["1,0 0 0"]);
});

test("a finger moves the pointer; a tap clicks, a tap of two is the other button, two that move are the wheel", () => {
  const { mouse, told } = mouseBench();
  mouse.fingerDown(1, 10, 10, 0);
  mouse.fingerMove(1, 40, 30);
  mouse.fingerUp(1, 100);
  mouse.flush();
  expect(told()).toEqual(["30,20 0 0"]);
  mouse.fingerDown(1, 10, 10, 1000);
  mouse.fingerUp(1, 1100);
  expect(told()).toEqual(["0,0 0 1", "0,0 0 0"]);
  mouse.fingerDown(1, 10, 10, 2000);
  mouse.fingerUp(1, 2900);
  expect(told()).toEqual([]);
  mouse.fingerDown(1, 10, 10, 3000);
  mouse.fingerDown(2, 50, 10, 3010);
  mouse.fingerUp(1, 3080);
  mouse.fingerUp(2, 3100);
  expect(told()).toEqual(["0,0 0 2", "0,0 0 0"]);
  mouse.fingerDown(1, 10, 200, 4000);
  mouse.fingerDown(2, 50, 200, 4000);
  mouse.fingerMove(1, 10, 50);
  mouse.fingerMove(3, 0, 0);
  mouse.flush();
  expect(told()).toEqual(["0,0 1 0"]);
});

const key = (type: "keydown" | "keyup", code: string, more: Partial<KeyboardEvent> = {}): KeyboardEvent =>
  ({
    type,
    code,
    key: code,
    repeat: false,
    timeStamp: 0,
    preventDefault: () => {},
    ...more,
  }) as KeyboardEvent;

test("what is held when the focus goes is let go; Ctrl+Alt twice leaves", () => {
  const sent: number[] = [];
  let left = 0;
  const keys = makeScreenKeys({ onKeys: (codes) => sent.push(...codes), onLeave: () => left++ });
  keys.handle(key("keydown", "ShiftLeft"));
  keys.handle(key("keydown", "KeyA"));
  keys.handle(key("keyup", "KeyA"));
  keys.handle(key("keydown", "BrowserBack"));
  keys.release();
  keys.release();
  expect(sent).toEqual([0x2a, 0x1e, 0x9e, 0xaa]);
  for (const timeStamp of [0, 300])
    keys.handle(key("keydown", "AltLeft", { key: "Alt", ctrlKey: true, altKey: true, timeStamp }));
  expect(left).toBe(1);
});

test("graphics fill the room, or whole multiples of device pixels; small VGA modes are 4:3", () => {
  const space = { width: 1000, height: 700 };
  expect(fitted({ width: 500, height: 300 }, space, "fit", 1)).toEqual({ width: 1000, height: 600 });
  expect(fitted({ width: 400, height: 300 }, space, "whole", 1)).toEqual({ width: 800, height: 600 });
  expect(fitted({ width: 400, height: 300 }, space, "whole", 2)).toEqual({ width: 800, height: 600 });
  expect(fitted({ width: 1280, height: 1024 }, space, "whole", 1).height).toBeCloseTo(700);
  expect(fitted({ width: 320, height: 200 }, space, "whole", 1)).toEqual({ width: 640, height: 480 });
});
