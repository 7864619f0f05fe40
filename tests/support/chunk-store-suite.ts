import { describe, expect, test } from "vitest";
import { type StoreUnderTest, chunkStoreContract } from "./chunk-store-contract.ts";

/** The contract. Every ChunkStore runs this; a gap is skipped by name, with a reason. */
export function chunkStoreSuite(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`chunk store contract: ${name}`, () => {
    test.each(Object.entries(chunkStoreContract))("%s", async (_, run) => {
      await expect(make().then(run)).resolves.toBeUndefined();
    });
  });
}
