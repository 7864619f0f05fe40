import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

/** Engines give up optimising a function that is too large, so that an interpreter's switch has to stay below a size. */
const MAX_FUNCTION_BYTES = 40_000;
const CODE_SECTION = 10;

/** Sizes of the bodies in the code section (WebAssembly core specification §5.5.13). */
function functionSizes(wasm: Uint8Array): number[] {
  let at = 8;
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < wasm.length) {
    const section = wasm[at++]!,
      bytes = unsigned(),
      end = at + bytes;
    if (section === CODE_SECTION) {
      const sizes = Array.from({ length: unsigned() }, () => {
        const size = unsigned();
        at += size;
        return size;
      });
      expect(at).toBe(end);
      return sizes;
    }
    at = end;
  }
  return [];
}

describe.each(["cpu", "cpu-plain"])("build/wasm/%s.wasm", (name) => {
  const file = `build/wasm/${name}.wasm`;
  test.skipIf(!existsSync(file))("has no function over 40 KB", () => {
    const sizes = functionSizes(readFileSync(file));
    expect(sizes.length).toBeGreaterThan(500);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MAX_FUNCTION_BYTES);
  });
});
