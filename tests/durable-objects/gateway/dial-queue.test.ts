import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DialQueue, type DialTurn } from "../../../durable-objects/gateway/dial-queue.ts";

/** Names in the order in which they began. */
function rig(atOnce: number, maxWaiting = 100, isShared = true) {
  const queue = new DialQueue(atOnce, maxWaiting, isShared);
  const begun: string[] = [];
  const enter = (caller: string, name = caller): DialTurn | null =>
    queue.enter(caller, () => void begun.push(name));
  return { queue, begun, enter };
}

test("so many at once, then in order as places are given back", () => {
  const { queue, begun, enter } = rig(2, 100, false);
  const turns = ["1", "2", "3", "4"].map((name) => enter("a", name)!);
  expect(begun).toEqual(["1", "2"]);
  turns[1]!.leave();
  turns[0]!.leave();
  expect(begun).toEqual(["1", "2", "3", "4"]);
  expect([queue.runningCount, queue.waitingCount]).toEqual([2, 0]);
});

test("one caller never has all places, and callers take turns", () => {
  const { begun, enter } = rig(4);
  const greedy = Array.from({ length: 8 }, (_, at) => enter("greedy", `g${at}`)!);
  expect(begun).toEqual(["g0", "g1", "g2"]);
  // Its dials to where nobody answers keep three places for seconds: the fourth is for others at once.
  const first = enter("b")!;
  expect(begun.at(-1)).toBe("b");
  enter("b", "b2");
  enter("c");
  greedy[0]!.leave();
  expect(begun.at(-1)).toBe("g3");
  first.leave();
  expect(begun.at(-1)).toBe("b2");
  greedy[1]!.leave();
  expect(begun.at(-1)).toBe("c");
});

test("what nobody wants any more never begins, and holds no place", () => {
  const { queue, begun, enter } = rig(1);
  const running = enter("a")!;
  const waiting = Array.from({ length: 50 }, () => enter("b", "unwanted")!);
  enter("c");
  for (const turn of waiting) turn.leave();
  expect(queue.waitingCount).toBe(1);
  running.leave();
  running.leave();
  expect([begun, queue.runningCount]).toEqual([["a", "c"], 1]);
});

test("more than may wait are told so", () => {
  const { enter } = rig(1, 2);
  enter("a");
  expect([enter("a"), enter("b"), enter("c")].map((turn) => turn === null)).toEqual([false, false, true]);
});

test("any order of coming and leaving: the bounds hold, and everybody who stays gets a turn", () => {
  const step = fc.record({ caller: fc.constantFrom("a", "b", "c"), leave: fc.boolean(), which: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { queue, begun, enter } = rig(3);
      const turns: { turn: DialTurn; name: string }[] = [];
      const left = new Set<string>();
      for (const [at, { caller, leave, which }] of steps.entries()) {
        const known = turns[which % Math.max(1, turns.length)];
        if (leave && known) {
          known.turn.leave();
          left.add(known.name);
        } else turns.push({ turn: enter(caller, `${caller}${at}`)!, name: `${caller}${at}` });
        expect(queue.runningCount).toBeLessThanOrEqual(3);
      }
      const staying = turns.filter(({ name }) => !left.has(name));
      const hasBegun = ({ name }: { name: string }): boolean => begun.includes(name);
      for (let round = 0; round < 100 && !staying.every(hasBegun); round++)
        for (const dial of staying.filter(hasBegun)) dial.turn.leave();
      expect(staying.every(hasBegun)).toBe(true);
      for (const { turn } of turns) turn.leave();
      expect([queue.runningCount, queue.waitingCount]).toEqual([0, 0]);
      expect(new Set(begun).size).toBe(begun.length);
    }),
    { numRuns: 500 },
  );
});
