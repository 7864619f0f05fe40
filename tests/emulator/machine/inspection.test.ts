import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Inspection } from "../../../emulator/machine/inspection.ts";
import { reportOf } from "../../../emulator/machine/inspection-report.ts";
import type { Machine } from "../../../emulator/machine/machine.ts";
import { GuestProgram } from "../../support/guest-program.ts";
import { pausedMachine } from "../../support/paused-machine.ts";

const CORE = "build/wasm/cpu-plain.wasm";
const core = existsSync(CORE) ? new WebAssembly.Module(readFileSync(CORE)) : undefined;

const paused = (program: GuestProgram): Promise<Machine> => pausedMachine(core!, program);

describe.skipIf(!core)(`what the page shows of a paused machine (${CORE} is built)`, () => {
  test("is the code around RIP, and the registers, as text", async () => {
    // mov eax, 5; sub eax, 5; push rax; ud2
    const machine = await paused(new GuestProgram().raw(0xb8, 5, 0, 0, 0, 0x83, 0xe8, 5, 0x50, 0x0f, 0x0b));
    machine.step();
    machine.step();
    const report = reportOf(new Inspection(machine.cpu, machine.memory), "");
    const at = report.code.findIndex(({ current }) => current);
    expect(report.code.slice(at - 2, at + 2)).toEqual([
      { address: "0000000001000000", bytes: "b8 05 00 00 00", text: "mov eax, 0x5", current: false },
      { address: "0000000001000005", bytes: "83 e8 05", text: "sub eax, 0x5", current: false },
      { address: "0000000001000008", bytes: "50", text: "push rax", current: true },
      { address: "0000000001000009", bytes: "0f 0b", text: "ud2", current: false },
    ]);
    expect(report).toMatchObject({ bits: 64, halted: false, problem: "" });
    expect(report.registers.slice(0, 2)).toEqual([
      { name: "rip", value: "0000000001000008" },
      { name: "rax", value: "0000000000000000" },
    ]);
    machine.powerOff();
  });

  test.each([
    ["1000005", "0000000001000005", ""],
    ["0x1000005", "0000000001000005", ""],
    ["00000000`01000005", "0000000001000005", ""],
    ["ffff800000000000", "0000000001000000", "No memory is at that address."],
    ["f0000000", "0000000001000000", "No memory is at that address."],
    ["here", "0000000001000000", "That is not a hexadecimal address."],
    ["12345678901234567", "0000000001000000", "That is not a hexadecimal address."],
  ])("goes to %s", async (asked, address, problem) => {
    const machine = await paused(new GuestProgram().raw(0xb8, 5, 0, 0, 0, 0x83, 0xe8, 5, 0xeb, 0xfe));
    const report = reportOf(new Inspection(machine.cpu, machine.memory), asked);
    expect(report.code.map((line) => line.address)).toContain(address);
    expect(report.problem).toBe(problem);
    machine.powerOff();
  });
});
