import { describe, expect, test } from "vitest";
import { type Failure, type Outcome, fail, ok } from "#protocol/failure";
import { type Attempt, type Condition, Fetcher, type Load } from "../../../emulator/storage/fetcher.ts";
import { ManualClock, settle } from "../../support/manual-clock.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Answer = Outcome<Bytes> | Promise<Outcome<Bytes>>;

const bytes = (fill: number): Bytes => new Uint8Array(4).fill(fill);
const offline: Failure = { code: "offline", what: "chunk" };
const corrupt: Failure = { code: "corrupt", what: "chunk" };

/** A fetcher whose loads are answered by the test, and a list of what was tried when. */
function bench() {
  const clock = new ManualClock();
  const conditions: Condition[] = [];
  const fetcher: Fetcher = new Fetcher(clock, () => conditions.push(fetcher.condition()));
  const startMs = clock.nowMs();
  const tried: { name: string; atMs: number; attempt: Attempt }[] = [];
  const load = (name: string, answer: (tries: number) => Answer, impatient = false): Load => {
    let tries = 0;
    return {
      name,
      impatient,
      run: async (attempt) => {
        tried.push({ name, atMs: clock.nowMs() - startMs, attempt });
        return answer(++tries);
      },
    };
  };
  return { clock, fetcher, tried, load, conditions };
}

describe("fetcher", () => {
  test("one name is one request, however many ask", async () => {
    const { fetcher, tried, load } = bench();
    const chunk = load("a", () => ok(bytes(1)));
    const answers = await Promise.all([fetcher.want(chunk, "demand"), fetcher.want(chunk, "ahead")]);
    expect(answers).toEqual([ok(bytes(1)), ok(bytes(1))]);
    expect(tried).toHaveLength(1);
  });

  test("six requests at once; guesses leave two of them free and wait for every demand", async () => {
    const { fetcher, tried, load } = bench();
    const gates = new Map<string, (outcome: Outcome<Bytes>) => void>();
    const gated = (name: string) => load(name, () => new Promise((resolve) => gates.set(name, resolve)));
    for (let index = 0; index < 8; index++) void fetcher.want(gated(`ahead ${index}`), "ahead");
    await settle();
    expect(tried.map(({ name }) => name)).toEqual(["ahead 0", "ahead 1", "ahead 2", "ahead 3"]);
    for (let index = 0; index < 4; index++) void fetcher.want(gated(`demand ${index}`), "demand");
    await settle();
    expect(tried.slice(4).map(({ name }) => name)).toEqual(["demand 0", "demand 1"]);
    gates.get("ahead 0")!(ok(bytes(0)));
    gates.get("ahead 1")!(ok(bytes(0)));
    await settle();
    expect(tried.slice(6).map(({ name }) => name)).toEqual(["demand 2", "demand 3"]);
  });

  test("a guess that the guest asks for becomes a demand", async () => {
    const { fetcher, tried, load } = bench();
    const gates: ((outcome: Outcome<Bytes>) => void)[] = [];
    for (let index = 0; index < 4; index++)
      void fetcher.want(
        load(`busy ${index}`, () => new Promise((resolve) => gates.push(resolve))),
        "ahead",
      );
    const wanted = load("wanted", () => ok(bytes(1)));
    void fetcher.want(wanted, "ahead");
    await settle();
    expect(tried).toHaveLength(4);
    expect(await fetcher.want(wanted, "demand")).toEqual(ok(bytes(1)));
  });

  test("waits double from half a second to half a minute, for ever", async () => {
    const { clock, fetcher, tried, load } = bench();
    clock.chance = 1 - Number.EPSILON;
    void fetcher.want(
      load("a", () => fail(offline)),
      "demand",
    );
    await clock.advance(125_000);
    const waits = tried.slice(1).map(({ atMs }, index) => Math.round(atMs - tried[index]!.atMs));
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(fetcher.condition()).toMatchObject({ state: "offline", failure: offline });
  });

  test("chance shortens a wait by up to a half", async () => {
    const { clock, fetcher, tried, load } = bench();
    clock.chance = 0;
    void fetcher.want(
      load("a", () => fail(offline)),
      "demand",
    );
    await clock.advance(1000);
    expect(tried.map(({ atMs }) => atMs)).toEqual([0, 250, 750]);
  });

  test("a wrong answer is fetched past every cache, five times at most, then waits for a person", async () => {
    const { clock, fetcher, tried, load } = bench();
    let isMended = false;
    const answer = fetcher.want(
      load("a", () => (isMended ? ok(bytes(2)) : fail(corrupt))),
      "demand",
    );
    await clock.advance(100);
    expect(fetcher.condition()).toMatchObject({
      state: "refetching",
      failure: corrupt,
      retryAtMs: expect.any(Number),
    });
    await clock.advance(600_000);
    expect(tried.map(({ attempt }) => attempt.bypassCaches)).toEqual([false, true, true, true, true]);
    expect(fetcher.condition()).toEqual({ state: "refetching", failure: corrupt });
    isMended = true;
    fetcher.retry();
    expect(await answer).toEqual(ok(bytes(2)));
    expect(fetcher.condition()).toEqual({ state: "idle" });
  });

  test("a network that was away for long does not use up the tries of a wrong answer", async () => {
    const { clock, fetcher, load } = bench();
    const answer = fetcher.want(
      load("a", (tries) => (tries < 20 ? fail(offline) : tries < 23 ? fail(corrupt) : ok(bytes(1)))),
      "demand",
    );
    await clock.advance(3_600_000);
    expect(await answer).toEqual(ok(bytes(1)));
  });

  test("who opens a disk hears of what only a person can mend; a guest's read never does", async () => {
    const { clock, fetcher, load } = bench();
    const notFound: Failure = { code: "not-found", what: "manifest" };
    const opening = fetcher.want(
      load("a", () => fail(notFound), true),
      "demand",
    );
    let isAnswered = false;
    void fetcher
      .want(
        load("b", () => fail(notFound)),
        "demand",
      )
      .then(() => (isAnswered = true));
    await clock.advance(3_600_000);
    expect(await opening).toEqual(fail(notFound));
    expect(isAnswered).toBe(false);
  });

  test("a guess fails at the first trouble, and guesses rest until the network is back", async () => {
    const { clock, fetcher, tried, load } = bench();
    expect(
      await fetcher.want(
        load("guess", () => fail(offline)),
        "ahead",
      ),
    ).toEqual(fail(offline));
    void fetcher.want(
      load("resting", () => ok(bytes(1))),
      "ahead",
    );
    await clock.advance(60_000);
    expect(tried.map(({ name }) => name)).toEqual(["guess"]);
    await fetcher.want(
      load("demand", () => ok(bytes(2))),
      "demand",
    );
    await settle();
    expect(tried.map(({ name }) => name)).toEqual(["guess", "demand", "resting"]);
  });

  test("one success wakes everything that waits for the network", async () => {
    const { clock, fetcher, load } = bench();
    let isBack = false;
    const answers = ["a", "b", "c"].map((name) =>
      fetcher.want(
        load(name, () => (isBack ? ok(bytes(1)) : fail(offline))),
        "demand",
      ),
    );
    await clock.advance(20_000);
    isBack = true;
    await fetcher.want(
      load("d", () => ok(bytes(2))),
      "demand",
    );
    expect(await Promise.all(answers)).toEqual([ok(bytes(1)), ok(bytes(1)), ok(bytes(1))]);
  });

  test("what is closed answers everybody with a failure and asks no more", async () => {
    const { clock, fetcher, tried, load } = bench();
    const waiting = fetcher.want(
      load("a", () => fail(offline)),
      "demand",
    );
    await settle();
    fetcher.close();
    expect((await waiting).ok).toBe(false);
    await clock.advance(60_000);
    expect(tried).toHaveLength(1);
  });
});
