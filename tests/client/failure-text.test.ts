import { expect, test } from "vitest";
import { codeOf, describe } from "../../client/failure-text.ts";
import { httpStatus, type Failure } from "#protocol/failure";

/** One example of every failure there is; a new code without one does not compile. */
const examples: { readonly [Code in Failure["code"]]: Extract<Failure, { code: Code }> } = {
  "not-found": { code: "not-found", what: "a chunk" },
  offline: { code: "offline", what: "a chunk" },
  corrupt: { code: "corrupt", what: "a chunk" },
  "image-changed": { code: "image-changed", what: "the disk" },
  "bad-manifest": { code: "bad-manifest", problem: "it is too short" },
  "storage-full": { code: "storage-full", neededBytes: 4096 },
  "disk-busy": { code: "disk-busy", disk: "debian" },
  "storage-unavailable": { code: "storage-unavailable", problem: "There is no folder." },
  "bad-request": { code: "bad-request", problem: "A disk needs a name." },
  "bad-image": { code: "bad-image", problem: "It has no kernel." },
  "too-large": { code: "too-large", limitBytes: 262144 },
  "too-many-requests": { code: "too-many-requests", retryAfterSeconds: 60 },
  unauthorized: { code: "unauthorized" },
  expired: { code: "expired" },
  "out-of-range": { code: "out-of-range", sizeBytes: 512 },
  unsupported: { code: "unsupported", feature: "SIMD" },
  "tunnel-refused": { code: "tunnel-refused", sentence: "The operator has switched it off." },
  "guest-crashed": { code: "guest-crashed", problem: "Triple fault." },
  internal: { code: "internal", incident: "abc" },
};

test.each(Object.values(examples))("$code says what happened, what is safe and what to do", (failure) => {
  const { title, safe, advice } = describe(failure);
  for (const words of [title, safe, advice]) {
    expect(words.length).toBeGreaterThan(10);
    expect(words).not.toMatch(/!|Oops|undefined|chunk-|overlay/);
  }
  expect(title).not.toMatch(/\.$/);
  expect(codeOf(failure)).toContain(failure.code);
});

test("every failure has an HTTP status", () => {
  for (const code of Object.keys(examples))
    expect(httpStatus[code as Failure["code"]]).toBeGreaterThanOrEqual(400);
});
