import { expect, test } from "vitest";
import { lanDefaults, largeLan } from "../../../durable-objects/net/lan.ts";
import type { Impairments } from "../../support/impairment.ts";
import { downloadBody, sha256 } from "../../support/test-world.ts";
import { TwoStacks } from "../../support/two-stacks.ts";

/** Two stacks and everything that a link can do, in a time of their own: minutes of bad weather in a second. */
const weathers: { readonly [name: string]: Impairments } = {
  fair: { delayMs: 10 },
  "5 % loss": { loss: 0.05, delayMs: 10 },
  "20 % loss": { loss: 0.2, delayMs: 5 },
  reorder: { reorder: 0.2, reorderMs: 15, delayMs: 10 },
  duplicates: { duplicate: 0.3, delayMs: 5, jitterMs: 5 },
  damage: { corrupt: 0.05, delayMs: 5 },
  narrow: { bytesPerMs: 50, queueMs: 100, delayMs: 20 },
  everything: {
    loss: 0.03,
    duplicate: 0.03,
    reorder: 0.05,
    delayMs: 8,
    jitterMs: 6,
    corrupt: 0.01,
    bytesPerMs: 500,
  },
};
/** By seed: the MTU's segments, long ones, and long ones that the guest's card cuts. */
const links = [{}, { long: true }, { long: true, cuts: true }];
const SEEDS = 6;
const LIMIT_MS = 1_800_000;

for (const [name, how] of Object.entries(weathers))
  for (let seed = 1; seed <= SEEDS; seed++)
    test(`${name}: every byte both ways, and an end (seed ${seed})`, () => {
      const { long = false, cuts = false } = links[seed % links.length]!;
      const { segmentBytes } = long ? largeLan : lanDefaults;
      const link = new TwoStacks({ ...how, cuts }, seed, { segmentBytes });
      const sizes = [0, 1, 1460, 60_000];
      const echoes = sizes.map((size, index) => link.open(7003, downloadBody(size, index)));
      const request = (bytes: number) => new TextEncoder().encode(`${bytes} 5\n`);
      const download = link.open(7001, request(150_000));
      const slow = link.open(7001, request(100_000), 50);
      const upload = link.open(7002, downloadBody(150_000, 9));
      link.run(LIMIT_MS);
      const got = (program: typeof upload) => Buffer.concat(program.received);
      for (const [index, echo] of echoes.entries()) {
        expect(echo.closed, `echo of ${sizes[index]} bytes`).toBe("done");
        expect(sha256(got(echo))).toBe(sha256(downloadBody(sizes[index]!, index)));
      }
      expect([download.closed, slow.closed, upload.closed]).toEqual(["done", "done", "done"]);
      expect(sha256(got(download))).toBe(sha256(downloadBody(150_000, 5)));
      expect(sha256(got(slow))).toBe(sha256(downloadBody(100_000, 5)));
      expect(got(upload).toString()).toBe(sha256(downloadBody(150_000, 9)));
      expect(link.stack.counts).toMatchObject({ active: 0, sendHeld: 0, receiveHeld: 0 });
    });

test("a link that breaks for good: both ends give up, and nothing is held", () => {
  const link = new TwoStacks({ delayMs: 5 }, 1);
  const echo = link.open(7003, downloadBody(200_000, 1));
  link.run(40);
  expect(echo.isOpen).toBe(true);
  link.toGuest.offer = () => {};
  link.toStack.offer = () => {};
  link.run(36_000_000);
  expect(echo.closed).toBe("timeout");
  expect(link.world.closings).toEqual(["timeout"]);
  expect(link.stack.counts).toMatchObject({ active: 0, sendHeld: 0, receiveHeld: 0 });
  expect(link.stack.pollAt()).toBeUndefined();
});

test("the same seed is the same run", () => {
  const play = () => {
    const link = new TwoStacks(weathers["everything"]!, 7);
    link.open(7003, downloadBody(50_000, 1));
    link.run(LIMIT_MS);
    return [link.now, link.toGuest.lost, link.toStack.lost];
  };
  expect(play()).toEqual(play());
});
