import { describe, expect, test } from "vitest";
import { extractVmlinux, trimModule } from "../../infra/images/kernel.ts";
import { unpackLz4 } from "../../infra/images/lz4.ts";
import { moduleClosure } from "../../infra/images/modules.ts";
import { TreeBuilder } from "../../infra/images/tree.ts";

/** An LZ4 legacy stream whose blocks are given as bytes. */
function stream(...blocks: readonly (readonly number[])[]): Uint8Array {
  const parts = blocks.flatMap((block) => [block.length & 255, block.length >> 8, 0, 0, ...block]);
  return Uint8Array.of(0x02, 0x21, 0x4c, 0x18, ...parts);
}

const ascii = (text: string): number[] => [...Buffer.from(text, "latin1")];
const words = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

describe("LZ4 legacy", () => {
  test("literals, a match that overlaps itself, and long lengths", () => {
    // "ab", then 6 bytes from 2 back, then "!".
    expect(words(unpackLz4(stream([0x22, ...ascii("ab"), 2, 0, 0x10, ...ascii("!")]), 9))).toBe("abababab!");
    // 15 + 3 literals, then a match of 15 + 255 + 1 + 4 bytes from 1 back.
    const long = [0xff, 3, ...ascii("abcdefghijklmnopqr"), 1, 0, 255, 1, 0x10, ...ascii("!")];
    expect(words(unpackLz4(stream(long), 18 + 275 + 1))).toBe(`abcdefghijklmnopqr${"r".repeat(275)}!`);
  });

  test("blocks follow each other", () => {
    expect(words(unpackLz4(stream([0x20, ...ascii("ab")], [0x10, ...ascii("c")]), 3))).toBe("abc");
  });

  test.each([
    ["another magic", Uint8Array.of(1, 2, 3, 4), 0],
    ["a block cut short", stream([0x20, ...ascii("ab")]).subarray(0, 9), 2],
    ["a match before the beginning", stream([0x12, ...ascii("a"), 5, 0, 0x10, ...ascii("b")]), 8],
    ["more than was announced", stream([0x1f, ...ascii("a"), 1, 0, 200, 0x10, ...ascii("b")]), 4],
    ["less than was announced", stream([0x10, ...ascii("a")]), 4],
  ])("refuses %s", (_, bytes, size) => {
    expect(() => unpackLz4(bytes, size)).toThrow(/LZ4|offset/);
  });
});

/** A 64-bit ELF file with the given sections after its header and their names in the last. */
function elf(sections: Record<string, string>): Uint8Array<ArrayBuffer> {
  const names = Object.keys(sections);
  const strings = `\0${[...names, ".shstrtab"].join("\0")}\0`;
  const bodies = [...Object.values(sections), strings];
  const table = 64 + bodies.reduce((sum, body) => sum + body.length, 0);
  const bytes = new Uint8Array(table + 64 * (bodies.length + 1));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, ...ascii("ELF"), 2, 1, 1]);
  view.setBigUint64(0x28, BigInt(table), true);
  view.setUint16(0x3a, 64, true);
  view.setUint16(0x3c, bodies.length + 1, true);
  view.setUint16(0x3e, bodies.length, true);
  let at = 64;
  for (const [index, body] of bodies.entries()) {
    const header = table + 64 * (index + 1);
    view.setUint32(header, strings.indexOf(`\0${[...names, ".shstrtab"][index]}\0`) + 1, true);
    view.setBigUint64(header + 0x18, BigInt(at), true);
    view.setBigUint64(header + 0x20, BigInt(body.length), true);
    bytes.set(ascii(body), at);
    at += body.length;
  }
  return bytes;
}

/** A bzImage whose payload is this file as one LZ4 block of literals, and relocations after it. */
function bzImage(kernel: Uint8Array, relocations: string): Uint8Array {
  const unpacked = [...kernel, ...ascii(relocations)];
  const extra = unpacked.length - 15;
  const lengths = [...Array.from({ length: Math.floor(extra / 255) }, () => 255), extra % 255];
  const packed = stream([0xf0, ...lengths, ...unpacked]);
  const setupBytes = 2 * 512;
  const bytes = new Uint8Array(setupBytes + 16 + packed.length + 4);
  const view = new DataView(bytes.buffer);
  bytes[0x1f1] = 1;
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, 16, true);
  view.setUint32(0x24c, packed.length + 4, true);
  bytes.set(packed, setupBytes + 16);
  view.setUint32(bytes.length - 4, unpacked.length, true);
  return bytes;
}

describe("kernel", () => {
  test("comes out of its bzImage without relocations and with its type information zeroed", () => {
    const kernel = elf({ ".text": "code", ".BTF": "types", ".data": "data" });
    const out = extractVmlinux(bzImage(kernel, "relocations"));
    expect(out.length).toBe(kernel.length);
    expect(words(out).includes("codedata")).toBe(false);
    expect(words(out.subarray(64, 64 + 13))).toBe("code\0\0\0\0\0data");
  });

  test("a file that is no bzImage is refused in words", () => {
    expect(() => extractVmlinux(new Uint8Array(4096))).toThrow("not a bzImage");
  });

  test("modules lose their signature and their type information", () => {
    const module = elf({ ".text": "code", ".BTF": "types" });
    const trailer = [
      1,
      2,
      3,
      4,
      5,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      5,
      ...ascii("~Module signature appended~\n"),
    ];
    const trimmed = trimModule(Uint8Array.from([...module, ...trailer]));
    expect(trimmed.length).toBe(module.length);
    expect(words(trimmed)).not.toContain("types");
    expect(trimModule(trimmed)).toEqual(trimmed);
  });

  test("modules come after those that they need, each once", () => {
    const builder = new TreeBuilder(1);
    const module = (name: string, depends: string): void => {
      builder.file(`lib/modules/6.1/kernel/${name}.ko`, elf({ ".modinfo": `\0depends=${depends}\0` }));
    };
    module("virtio_blk", "virtio");
    module("virtio-ring", "");
    module("virtio", "virtio_ring");
    module("virtio_pci", "virtio,virtio-ring");
    const names = [...moduleClosure(builder.tree, ["virtio_blk", "virtio_pci"]).keys()];
    expect(names).toEqual(["virtio_ring.ko", "virtio.ko", "virtio_blk.ko", "virtio_pci.ko"]);
    expect(() => moduleClosure(builder.tree, ["nvme"])).toThrow("no module nvme");
  });
});
