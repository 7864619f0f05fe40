/** Breakpoints, watchpoints and steps of a debugger outside the guest, on the bare core. */
import { describe, expect, test } from "vitest";
import { type Cpu, RAM_BASE, RunExit } from "../../../emulator/cpu/core.ts";
import { Assembler } from "../../support/assembler.ts";
import { at, enterLongMode, getRegister, makeCpu, setRegister } from "../../support/cpu-bench.ts";

const CODE = 0x100000,
  STACK = 0x200000,
  DATA = 0x300000;

function machine(code: readonly number[]): Cpu {
  const cpu = makeCpu(8);
  cpu.ram.set(code, CODE);
  enterLongMode(cpu, BigInt(CODE));
  setRegister(cpu, "rsp", BigInt(STACK));
  return cpu;
}
function loop(): { cpu: Cpu; body: bigint; end: bigint } {
  const a = new Assembler(CODE);
  a.mov("ecx", 5).mov("eax", 0).label("body").alu("add", "eax", 3).alu("sub", "ecx", 1).j("ne", "body").hlt();
  const cpu = machine([...a.code()]);
  return { cpu, body: BigInt(a.address("body")), end: BigInt(CODE + a.code().length - 1) };
}
const rip = (cpu: Cpu): number => Number(cpu.rip);

describe("a breakpoint", () => {
  test("stops before its instruction, each time it is reached", () => {
    const { cpu, body, end } = loop();
    cpu.setPoints([{ kind: "execute", address: body }]);
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) {
      expect(cpu.run(1000)).toBe(RunExit.breakpoint);
      expect(cpu.rip).toBe(body);
      seen.push(Number(getRegister(cpu, "rax")));
      expect(cpu.step()).toBe(RunExit.budget);
    }
    expect(seen).toEqual([0, 3, 6, 9, 12]);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.rip).toBe(end + 1n);
    expect(cpu.retired).toBe(2 + 15 + 1);
  });
  test("in the middle of a block that has run before stops too, and leaves with its removal", () => {
    const { cpu, body } = loop();
    expect(cpu.run(8)).toBe(RunExit.budget);
    const second = body + 3n;
    cpu.setPoints([{ kind: "execute", address: second }]);
    expect(cpu.run(1000)).toBe(RunExit.breakpoint);
    expect(cpu.rip).toBe(second);
    cpu.setPoints([]);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(getRegister(cpu, "rax")).toBe(15n);
  });
  test("at the same offset of another page does nothing", () => {
    const { cpu, body } = loop();
    cpu.setPoints([{ kind: "execute", address: body + 0x1000n }]);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.retired).toBe(18);
  });
  test("changes no byte of the guest", () => {
    const { cpu, body } = loop();
    const before = cpu.ram.slice(CODE, CODE + 64);
    cpu.setPoints([{ kind: "execute", address: body }]);
    cpu.run(1000);
    expect(cpu.ram.slice(CODE, CODE + 64)).toEqual(before);
  });
  test("is told when there is no room", () => {
    const { cpu } = loop();
    const points = Array.from({ length: 300 }, (_, i) => ({ kind: "execute" as const, address: BigInt(i) }));
    expect(cpu.setPoints(points)).toBe(256);
  });
  test("works while the guest steps itself with RFLAGS.TF", () => {
    const { cpu, body } = loop();
    cpu.setPoints([{ kind: "execute", address: body }]);
    cpu.view.setBigUint64(at("DR") + 56, 0x1n, true);
    cpu.view.setBigUint64(at("DR"), 0x7000n, true);
    cpu.reload();
    expect(cpu.run(1000)).toBe(RunExit.breakpoint);
    expect(cpu.rip).toBe(body);
  });
});

describe("a watchpoint", () => {
  const store = (a: Assembler): Assembler => a.mov("ebx", DATA);
  test("stops after the store that hits it, and names the byte", () => {
    const a = store(new Assembler(CODE)).mov("eax", 7);
    // mov [rbx+8], rax; nop; hlt
    const cpu = machine([...a.code(), 0x48, 0x89, 0x43, 0x08, 0x90, 0xf4]);
    cpu.setPoints([{ kind: "write", address: BigInt(DATA + 12), length: 2 }]);
    expect(cpu.run(1000)).toBe(RunExit.watchpoint);
    expect(rip(cpu)).toBe(CODE + a.code().length + 4);
    expect(cpu.watchHit).toMatchObject({ address: BigInt(DATA + 12), writes: true });
    expect(cpu.ram[DATA + 8]).toBe(7);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.retired).toBe(5);
  });
  test("for reads lets stores pass", () => {
    const a = store(new Assembler(CODE));
    // mov [rbx], eax; mov ecx, [rbx]; hlt
    const cpu = machine([...a.code(), 0x89, 0x03, 0x8b, 0x0b, 0xf4]);
    cpu.setPoints([{ kind: "read", address: BigInt(DATA), length: 4 }]);
    expect(cpu.run(1000)).toBe(RunExit.watchpoint);
    expect(rip(cpu)).toBe(CODE + a.code().length + 4);
    expect(cpu.watchHit?.writes).toBe(false);
  });
  test("stops a string instruction at the element that hits", () => {
    const a = new Assembler(CODE);
    a.mov("edi", DATA).mov("ecx", 100).mov("eax", 0x41);
    // rep stosb; hlt
    const cpu = machine([...a.code(), 0xf3, 0xaa, 0xf4]);
    cpu.setPoints([{ kind: "access", address: BigInt(DATA + 40), length: 1 }]);
    expect(cpu.run(1000)).toBe(RunExit.watchpoint);
    expect(getRegister(cpu, "rcx")).toBe(59n);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.ram[DATA + 99]).toBe(0x41);
  });
  test("next to the accessed bytes stays quiet", () => {
    const a = store(new Assembler(CODE));
    const cpu = machine([...a.code(), 0x89, 0x03, 0xf4]);
    cpu.setPoints([{ kind: "write", address: BigInt(DATA + 4), length: 4 }]);
    expect(cpu.run(1000)).toBe(RunExit.halted);
  });
  test("sees the frame that the delivery of an exception pushes", () => {
    // ud2, with a gate to a HLT.
    const cpu = machine([0x0f, 0x0b]);
    const memory = new DataView(cpu.memory.buffer, RAM_BASE);
    cpu.ram[DATA] = 0xf4;
    memory.setBigUint64(0x8010, 0x00af9b000000ffffn, true);
    const gate = BigInt(DATA & 0xffff) | (0x10n << 16n) | (0x8e00n << 32n) | (BigInt(DATA >> 16) << 48n);
    memory.setBigUint64(0x9000 + 16 * 6, gate, true);
    memory.setBigUint64(0x9000 + 16 * 6 + 8, 0n, true);
    cpu.view.setBigUint64(at("GDTR"), 0x8000n, true);
    cpu.view.setUint16(at("GDTR") + 8, 0xff, true);
    cpu.view.setBigUint64(at("IDTR"), 0x9000n, true);
    cpu.view.setUint16(at("IDTR") + 8, 0xfff, true);
    cpu.setPoints([{ kind: "write", address: BigInt(STACK - 8), length: 8 }]);
    expect(cpu.run(1000)).toBe(RunExit.watchpoint);
    expect(rip(cpu)).toBe(DATA);
    expect(cpu.run(1000)).toBe(RunExit.halted);
  });
});

describe("a step", () => {
  test("is one instruction, also where a breakpoint stands", () => {
    const { cpu } = loop();
    cpu.setPoints([{ kind: "execute", address: BigInt(CODE) }]);
    const places = [CODE];
    for (let i = 0; i < 4; i++) {
      expect(cpu.step()).toBe(RunExit.budget);
      places.push(rip(cpu));
    }
    expect(places).toEqual([CODE, CODE + 5, CODE + 10, CODE + 13, CODE + 16]);
    expect(cpu.retired).toBe(4);
  });
  test("holds an interrupt back", () => {
    const cpu = machine([0x90, 0x90]);
    cpu.rflags |= 0x200n;
    cpu.setInterruptPin(true);
    expect(cpu.step()).toBe(RunExit.budget);
    expect(rip(cpu)).toBe(CODE + 1);
  });
  test("of a processor that is halted says so", () => {
    const cpu = machine([0xf4]);
    expect(cpu.step()).toBe(RunExit.budget);
    expect(cpu.step()).toBe(RunExit.halted);
  });
});
