import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeTarget } from "../../../../emulator/machine/gdb/target-description.ts";
import { Registers } from "../../../../emulator/machine/registers.ts";
import { makeCpu } from "../../../support/cpu-bench.ts";

describe("the target description", () => {
  test("of long mode is amd64's, of everything else i386's", () => {
    const [long, legacy] = [describeTarget(true), describeTarget(false)];
    expect(long.xml).toContain("<architecture>i386:x86-64</architecture>");
    expect(legacy.xml).toContain("<architecture>i386</architecture>");
    const names = (count: number, from: readonly { name: string }[]) =>
      from.slice(0, count).map(({ name }) => name);
    expect(names(8, long.registers)).toEqual(["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"]);
    expect(names(10, legacy.registers)).toEqual([
      "eax",
      "ecx",
      "edx",
      "ebx",
      "esp",
      "ebp",
      "esi",
      "edi",
      "eip",
      "eflags",
    ]);
    expect(legacy.registers.filter(({ name }) => name.startsWith("xmm"))).toHaveLength(8);
  });

  test.each([true, false])("numbers its registers in their order (long mode: %s)", (isLong) => {
    const { registers, xml } = describeTarget(isLong);
    const numbered = Array.from(
      xml.matchAll(/<reg name="(\w+)" bitsize="(\d+)" type="\w+" regnum="(\d+)"\/>/g),
    );
    expect(numbered.map(([, name, bits, number]) => [name, Number(bits) / 8, Number(number)])).toEqual(
      registers.map(({ name, bytes }, number) => [name, bytes, number]),
    );
    expect(new Set(registers.map(({ name }) => name)).size).toBe(registers.length);
  });

  test.skipIf(!existsSync("build/wasm/cpu-plain.wasm")).each([true, false])(
    "names registers that the processor has (long mode: %s; needs the built core)",
    (isLong) => {
      const registers = new Registers(makeCpu(8));
      for (const { ours, name } of describeTarget(isLong).registers)
        expect(registers.read(ours), name).toBeInstanceOf(Uint8Array);
      expect(registers.read("constructor")).toBeUndefined();
      expect(registers.write("nothing", new Uint8Array(16))).toBe(false);
    },
  );
});
