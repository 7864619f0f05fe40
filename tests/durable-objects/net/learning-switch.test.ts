import { expect, test } from "vitest";
import { LearningSwitch } from "../../../durable-objects/net/learning-switch.ts";

const mac = (last: number): number[] => [0x02, 0, 0, 0, 0, last];
const BROADCAST = [255, 255, 255, 255, 255, 255];
const frame = (to: number[], from: number[]): Uint8Array =>
  Uint8Array.of(...to, ...from, 0x08, 0x00, 1, 2, 3);

function threePorts(): LearningSwitch<string> {
  const lan = new LearningSwitch<string>();
  for (const port of ["a", "b", "c"]) lan.attach(port);
  return lan;
}

test("a frame for a station nobody has heard goes to all other ports", () => {
  expect(threePorts().forward("a", frame(mac(2), mac(1)), 0)).toEqual(["b", "c"]);
});

test("what a station sends says where it is", () => {
  const lan = threePorts();
  lan.forward("b", frame(BROADCAST, mac(2)), 0);
  expect(lan.forward("a", frame(mac(2), mac(1)), 1)).toEqual(["b"]);
  expect(lan.forward("b", frame(mac(1), mac(2)), 2)).toEqual(["a"]);
});

test("a station that moves is found at its new port", () => {
  const lan = threePorts();
  lan.forward("b", frame(BROADCAST, mac(2)), 0);
  lan.forward("c", frame(BROADCAST, mac(2)), 1);
  expect(lan.forward("a", frame(mac(2), mac(1)), 2)).toEqual(["c"]);
});

test("a frame for a station behind the port it came from goes nowhere", () => {
  const lan = threePorts();
  lan.forward("a", frame(BROADCAST, mac(2)), 0);
  expect(lan.forward("a", frame(mac(2), mac(1)), 1)).toEqual([]);
});

test("after five minutes of silence a station is looked for everywhere again", () => {
  const lan = threePorts();
  lan.forward("b", frame(BROADCAST, mac(2)), 0);
  expect(lan.forward("a", frame(mac(2), mac(1)), 300_000)).toEqual(["b"]);
  expect(lan.forward("a", frame(mac(2), mac(1)), 300_001)).toEqual(["b", "c"]);
});

test("a port that leaves takes its stations along", () => {
  const lan = threePorts();
  lan.forward("b", frame(BROADCAST, mac(2)), 0);
  lan.detach("b");
  expect(lan.forward("a", frame(mac(2), mac(1)), 1)).toEqual(["c"]);
  expect(lan.forward("b", frame(BROADCAST, mac(2)), 2)).toEqual([]);
});

test("runts, giants and group senders are dropped", () => {
  const lan = threePorts();
  expect(lan.forward("a", new Uint8Array(13), 0)).toEqual([]);
  expect(lan.forward("a", new Uint8Array(16_381), 0)).toEqual([]);
  expect(lan.forward("a", frame(BROADCAST, BROADCAST), 0)).toEqual([]);
  expect(lan.size).toBe(0);
});

test("a port that invents addresses forgets its own, never another's", () => {
  const lan = threePorts();
  lan.forward("b", frame(BROADCAST, mac(2)), 0);
  for (let index = 0; index < 10_000; index++)
    lan.forward("a", frame(BROADCAST, [0x06, 0, 0, 0, index >> 8, index & 255]), 1);
  expect(lan.size).toBe(65);
  expect(lan.forward("c", frame(mac(2), mac(3)), 2)).toEqual(["b"]);
});
