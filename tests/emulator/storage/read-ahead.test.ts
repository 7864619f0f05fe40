import { describe, expect, test } from "vitest";
import { READ_AHEAD_LIMITS, ReadAhead } from "../../../emulator/storage/read-ahead.ts";
import { encodeTrace, parseTrace } from "../../../emulator/storage/traces.ts";

/** An image of blocks of 1000 stored bytes; every tenth is a hole. What was prefetched is here. */
function bench(aheadBytes = 5000, blockCount = 1000) {
  const prefetched: number[] = [];
  const warmed: number[] = [];
  const readAhead = new ReadAhead(
    {
      blockCount,
      storedLength: (index) => (index % 10 === 9 ? 0 : 1000),
      isHere: (index) => prefetched.includes(index),
      prefetch: (index) => void prefetched.push(index),
      warm: (index) => void warmed.push(index),
    },
    { ...READ_AHEAD_LIMITS, aheadBytes },
  );
  return { prefetched, warmed, readAhead };
}

describe("read-ahead", () => {
  test("without a trace a random reader is left alone", () => {
    const { prefetched, readAhead } = bench();
    for (const index of [5, 50, 7, 70, 71, 3]) readAhead.touch(index);
    expect(prefetched).toEqual([]);
  });

  test("a sequential reader gets the next three blocks, holes left out, and more when it goes on", () => {
    const { prefetched, readAhead } = bench();
    for (const index of [20, 21, 22]) readAhead.touch(index);
    expect(prefetched).toEqual([23, 24, 25]);
    for (const index of [23, 24, 25, 26]) readAhead.touch(index);
    expect(prefetched).toEqual([23, 24, 25, 26, 27, 28]);
    for (let index = 27; index < 60; index++) readAhead.touch(index);
    expect(Math.max(...prefetched)).toBe(67);
  });

  test("reading one block in small pieces is no sequence", () => {
    const { prefetched, readAhead } = bench();
    for (const index of [4, 4, 4, 5, 5]) readAhead.touch(index);
    expect(prefetched).toEqual([]);
  });

  test("the end of the disk is the end", () => {
    const { prefetched, readAhead } = bench(5000, 13);
    for (const index of [9, 10, 11]) readAhead.touch(index);
    expect(prefetched).toEqual([12]);
  });

  test("a trace is fetched in its order, a bounded number of bytes ahead of the guest", () => {
    const { prefetched, readAhead } = bench(3000);
    readAhead.follow([100, 3, 50, 7, 8, 200]);
    expect(prefetched).toEqual([100, 3, 50]);
    readAhead.touch(100);
    expect(prefetched).toEqual([100, 3, 50, 7]);
    readAhead.touch(50);
    expect(prefetched).toEqual([100, 3, 50, 7, 8, 200]);
  });

  test("what a trace says next is made ready in memory", () => {
    const { warmed, readAhead } = bench();
    readAhead.follow([100, 3, 50, 7, 8, 200]);
    readAhead.touch(100);
    expect(warmed).toEqual([3, 50, 7, 8]);
  });

  test("a guest ahead of its trace is not sent back", () => {
    const { prefetched, readAhead } = bench(2000);
    readAhead.touch(7);
    readAhead.follow([1, 2, 7, 3, 4, 5]);
    expect(prefetched).toEqual([3, 4]);
  });

  test("a stranger's trace is cut to what exists, once each", () => {
    const { prefetched, readAhead } = bench();
    readAhead.follow([5, 5, 9, 1_000_000, 6]);
    expect(prefetched).toEqual([5, 6]);
  });

  test("first touches are recorded in order, once each", () => {
    const { readAhead } = bench();
    for (const index of [7, 3, 7, 100, 3]) readAhead.touch(index);
    expect(readAhead.touches).toEqual([7, 3, 100]);
  });
});

describe("traces", () => {
  test("what is encoded is parsed", () => {
    expect(parseTrace(encodeTrace([5, 3, 70]))).toEqual([5, 3, 70]);
  });

  test.each([
    "",
    "[]",
    '{"version":2,"chunks":[1]}',
    '{"version":1,"chunks":[-1]}',
    '{"version":1,"chunks":[1.5]}',
  ])("%j is no trace", (text) => expect(parseTrace(new TextEncoder().encode(text))).toEqual([]));

  test("a trace of more bytes than any is not even parsed", () => {
    expect(parseTrace(new TextEncoder().encode(`${" ".repeat(2 ** 20)}{"version":1,"chunks":[1]}`))).toEqual(
      [],
    );
  });
});
