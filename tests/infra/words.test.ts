import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytesInWords, wordsOf } from "../../infra/cli/words.ts";

test("what the system says of files is said for people; the rest as it is", async () => {
  const failure = (path: string): Promise<unknown> => readFile(path).catch((error: unknown) => error);
  const missing = join(import.meta.dirname, "no-such.img");
  expect(wordsOf(await failure(missing))).toBe(`There is no file ${missing}.`);
  expect(wordsOf(await failure(import.meta.dirname))).toMatch(/folder|EISDIR/);
  expect(wordsOf(new Error("Too small."))).toBe("Too small.");
  expect(wordsOf("odd")).toBe("odd");
});

test("sizes", () => {
  expect([999, 1500, 81_000_000].map(bytesInWords)).toEqual(["999 bytes", "1.5 kB", "81 MB"]);
});
