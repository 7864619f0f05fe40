/** Whole programs on the bare core: control flow, faults, self-modifying code, and exact counts of retired instructions. */
import { describe, expect, test } from "vitest";
import { type Cpu, RAM_BASE, RunExit } from "../../../emulator/cpu/core.ts";
import { Assembler } from "../../support/assembler.ts";
import { at, enterLongMode, getRegister, makeCpu, setRegister } from "../../support/cpu-bench.ts";

const CODE = 0x100000,
  STACK = 0x200000,
  DATA = 0x300000;

function machine(
  write: (a: Assembler) => void,
  registers: Readonly<Record<string, number>> = {},
): { cpu: Cpu; a: Assembler } {
  const a = new Assembler(CODE);
  write(a);
  const cpu = makeCpu(8);
  cpu.ram.set(a.code(), CODE);
  enterLongMode(cpu, BigInt(CODE));
  setRegister(cpu, "rsp", BigInt(STACK));
  for (const [name, value] of Object.entries(registers)) setRegister(cpu, name, BigInt(value));
  return { cpu, a };
}
/** Runs in slices of a prime length, so that slices end everywhere. */
function toHalt(cpu: Cpu): void {
  for (let k = 0; k < 10_000; k++) if (cpu.run(997) === RunExit.halted) return;
  throw new Error(`no HLT; RIP ${cpu.rip.toString(16)}`);
}
/** An IDT of 64-bit gates that all lead to one handler. */
function catchAll(cpu: Cpu, handler: number): void {
  const memory = new DataView(cpu.memory.buffer, RAM_BASE);
  memory.setBigUint64(0x8010, 0x00af9b000000ffffn, true);
  memory.setBigUint64(0x8018, 0x00cf93000000ffffn, true);
  for (let vector = 0; vector < 256; vector++) {
    const low = BigInt(handler & 0xffff) | (0x10n << 16n) | (0x8e00n << 32n) | (BigInt(handler >> 16) << 48n);
    memory.setBigUint64(0x9000 + 16 * vector, low, true);
    memory.setBigUint64(0x9000 + 16 * vector + 8, 0n, true);
  }
  cpu.view.setBigUint64(at("GDTR"), 0x8000n, true);
  cpu.view.setUint16(at("GDTR") + 8, 0xff, true);
  cpu.view.setBigUint64(at("IDTR"), 0x9000n, true);
  cpu.view.setUint16(at("IDTR") + 8, 0xfff, true);
}
const word = (cpu: Cpu, place: number): bigint =>
  new DataView(cpu.memory.buffer, RAM_BASE).getBigUint64(place, true);

describe("programs", () => {
  test("fib(15) by recursion, and its instructions counted", () => {
    const { cpu } = machine(
      (a) => {
        a.mov("eax", "edi")
          .call("fib")
          .hlt()
          .label("fib")
          .alu("cmp", "eax", 2)
          .j("b", "done")
          .push("rbx")
          .push("rsi");
        a.mov("ebx", "eax").lea("eax", { base: "rbx", displacement: -1 }).call("fib").mov("esi", "eax");
        a.lea("eax", { base: "rbx", displacement: -2 })
          .call("fib")
          .alu("add", "eax", "esi")
          .pop("rsi")
          .pop("rbx")
          .label("done")
          .ret();
      },
      { rdi: 15 },
    );
    toHalt(cpu);
    expect(getRegister(cpu, "rax")).toBe(610n);
    expect(getRegister(cpu, "rsp")).toBe(BigInt(STACK));
    // 987 calls end at once (cmp, jb, ret), 986 do all 14 instructions; three around them.
    expect(cpu.retired).toBe(987 * 3 + 986 * 14 + 3);
  });

  test("REP MOVSB counts as one instruction however long it is", () => {
    const { cpu } = machine((a) => a.mov("ecx", 100_000).bytes(0xf3, 0xa4).hlt(), {
      rsi: DATA,
      rdi: DATA + 0x40001,
    });
    for (let k = 0; k < 100_000; k++) cpu.ram[DATA + k] = (k * 7) & 255;
    toHalt(cpu);
    expect(cpu.retired).toBe(3);
    expect(getRegister(cpu, "rcx")).toBe(0n);
    expect(getRegister(cpu, "rdi")).toBe(BigInt(DATA + 0x40001 + 100_000));
    expect(
      Buffer.compare(
        cpu.ram.subarray(DATA + 0x40001, DATA + 0x40001 + 100_000),
        cpu.ram.subarray(DATA, DATA + 100_000),
      ),
    ).toBe(0);
  });

  test("REP MOVSB onto itself one byte up repeats the first byte", () => {
    const { cpu } = machine((a) => a.mov("ecx", 9000).bytes(0xf3, 0xa4).hlt(), { rsi: DATA, rdi: DATA + 1 });
    cpu.ram[DATA] = 0x5a;
    toHalt(cpu);
    expect(cpu.ram.subarray(DATA, DATA + 9002).filter((byte) => byte === 0x5a)).toHaveLength(9001);
  });

  test("REP STOSQ fills across pages and stops at its count", () => {
    const { cpu } = machine((a) => a.mov("ecx", 3000).bytes(0xf3, 0x48, 0xab).hlt(), {
      rax: 0x11223344,
      rdi: DATA + 4,
    });
    toHalt(cpu);
    expect(word(cpu, DATA + 4 + 8 * 2999)).toBe(0x11223344n);
    expect(word(cpu, DATA + 4 + 8 * 3000)).toBe(0n);
  });

  test("a run of so many instructions ends near there, and going on changes nothing", () => {
    const loop = (a: Assembler): void =>
      void a
        .mov("ecx", 5000)
        .label("next")
        .alu("add", "rax", "rcx")
        .alu("sub", "ecx", 1)
        .j("ne", "next")
        .hlt();
    const whole = machine(loop).cpu,
      pieces = machine(loop).cpu;
    while (whole.run(1_000_000) !== RunExit.halted);
    let previous = 0;
    while (pieces.run(10) !== RunExit.halted) {
      expect(pieces.retired - previous).toBeLessThan(10 + 64);
      previous = pieces.retired;
    }
    expect([getRegister(pieces, "rax"), pieces.retired]).toEqual([getRegister(whole, "rax"), whole.retired]);
    expect(whole.retired).toBe(1 + 3 * 5000 + 1);
  });
});

describe("faults", () => {
  test("leave RIP, registers and the count before the instruction", () => {
    const { cpu, a } = machine(
      (a) => {
        a.mov("eax", 1)
          .mov("ebx", 2)
          .label("here")
          .alu("add", "rax", { base: "rdi" })
          .hlt()
          .align(64)
          .label("handler")
          .hlt();
      },
      { rdi: 0x7000_0000 },
    );
    catchAll(cpu, a.address("handler"));
    toHalt(cpu);
    const frame = Number(getRegister(cpu, "rsp"));
    expect(word(cpu, frame + 8)).toBe(BigInt(a.address("here")));
    expect(cpu.view.getBigUint64(at("CR2"), true)).toBe(0x7000_0000n);
    expect(getRegister(cpu, "rax")).toBe(1n);
    expect(cpu.retired).toBe(3);
  });

  test("a REP in the middle of a page fault keeps what it has done", () => {
    const { cpu, a } = machine(
      (a) => a.mov("ecx", 64).label("here").bytes(0xf3, 0x48, 0xab).hlt().align(64).label("handler").hlt(),
      { rdi: 0x4000_0000 - 80 },
    );
    catchAll(cpu, a.address("handler"));
    // The first GiB is mapped, but RAM ends long before: stores there go nowhere and cost nothing.
    toHalt(cpu);
    expect(getRegister(cpu, "rcx")).toBe(54n);
    expect(getRegister(cpu, "rdi")).toBe(0x4000_0000n);
    expect(word(cpu, Number(getRegister(cpu, "rsp")) + 8)).toBe(BigInt(a.address("here")));
  });

  test("an instruction across a page's end is fetched from both", () => {
    const { cpu } = machine((a) => {
      a.jmp("far");
      while (a.here < CODE + 0xffd) a.bytes(0x90);
      a.label("far").mov("rax", 0x12345678).alu("add", "eax", 1).hlt();
    });
    toHalt(cpu);
    expect(getRegister(cpu, "rax")).toBe(0x12345679n);
    expect(cpu.retired).toBe(4);
  });

  test("single steps: #DB after each instruction that starts with TF set", () => {
    const { cpu, a } = machine((a) => {
      a.push("rax").bytes(0x9c).alu("or", { base: "rsp" }, 0x100).bytes(0x9d);
      a.mov("eax", 1).mov("ebx", 2).label("loop").alu("sub", "eax", 1).j("e", "out").jmp("loop");
      a.label("out").bytes(0x9c).alu("and", { base: "rsp" }, ~0x100).bytes(0x9d).hlt();
      a.align(64).label("handler").alu("add", "rsi", 1).bytes(0x48, 0xcf);
    });
    catchAll(cpu, a.address("handler"));
    toHalt(cpu);
    // Two MOVs, SUB, JE, PUSHF, AND and the second POPF.
    expect(getRegister(cpu, "rsi")).toBe(7n);
  });
});

describe("self-modifying code", () => {
  test("an instruction may rewrite the next one", () => {
    const { cpu } = machine(
      (a) => {
        a.lea("rdi", { base: "rdi" })
          .label("store")
          .movByte({ base: "rdi" }, 0x2a)
          .label("patched")
          .mov("eax", 1)
          .hlt();
      },
      { rdi: CODE + 3 + 3 + 1 },
    );
    cpu.ram.set([0x48, 0x8d, 0x3f], CODE);
    toHalt(cpu);
    expect(getRegister(cpu, "rax")).toBe(0x2an);
  });

  test("a loop may rewrite its own body while it runs", () => {
    const { cpu } = machine(
      (a) => {
        a.mov("ecx", 10)
          .mov("edx", 0)
          .label("body")
          .alu("add", "edx", 1)
          .alu("add", { base: "rdi" }, 1, 8)
          .alu("sub", "ecx", 1)
          .j("ne", "body")
          .hlt();
      },
      { rdi: CODE + 10 + 2 },
    );
    toHalt(cpu);
    expect(getRegister(cpu, "rdx")).toBe(55n);
    expect(cpu.retired).toBe(2 + 40 + 1);
  });

  test("data beside code is stored without a new translation", () => {
    const { cpu } = machine(
      (a) =>
        a
          .mov("ecx", 1000)
          .label("loop")
          .mov({ base: "rdi" }, "ecx")
          .alu("sub", "ecx", 1)
          .j("ne", "loop")
          .hlt(),
      { rdi: CODE + 0x800 },
    );
    toHalt(cpu);
    expect(cpu.ram[CODE + 0x800]).toBe(1);
  });

  test("writes of the board are seen after invalidate", () => {
    const { cpu } = machine((a) => a.label("loop").mov("eax", 1).bytes(0xeb, 0xf9));
    cpu.run(100);
    expect(getRegister(cpu, "rax")).toBe(1n);
    cpu.ram[CODE + 1] = 9;
    cpu.invalidate(CODE + 1, 1);
    cpu.run(100);
    expect(getRegister(cpu, "rax")).toBe(9n);
  });
});

describe("neighbours that run as one operation", () => {
  test("PUSH RSP after a PUSH pushes what that has left; POP RSP moves the next POP", () => {
    const { cpu } = machine(
      (a) => a.push("rax").push("rsp").pop("rcx").pop("rdx").push("rbx").pop("rsp").pop("rsi").hlt(),
      { rax: 7, rbx: DATA },
    );
    cpu.ram[DATA] = 9;
    toHalt(cpu);
    expect(getRegister(cpu, "rcx")).toBe(BigInt(STACK - 8));
    expect(getRegister(cpu, "rdx")).toBe(7n);
    expect(getRegister(cpu, "rsi")).toBe(9n);
    expect(getRegister(cpu, "rsp")).toBe(BigInt(DATA + 8));
    expect(cpu.retired).toBe(8);
  });

  test.each([
    ["the second push", 8, 1],
    ["the first push", 0, 0],
  ])("a fault of %s names it and keeps what came before", (_which, room, done) => {
    const { cpu, a } = machine((a) =>
      a.label("first").push("rax").label("second").push("rbx").hlt().align(64).label("handler").hlt(),
    );
    catchAll(cpu, a.address("handler"));
    // RSP is just above a hole of the address space; the handler runs on IST1.
    const memory = new DataView(cpu.memory.buffer, RAM_BASE);
    for (let vector = 0; vector < 256; vector++) memory.setUint8(0x9000 + 16 * vector + 4, 1);
    memory.setBigUint64(0xb000 + 36, BigInt(STACK), true);
    cpu.view.setBigUint64(at("TR") + 8, 0xb000n, true);
    cpu.view.setUint32(at("TR") + 4, 0x67, true);
    memory.setBigUint64(0x3000 + 8 * 3, 0n, true);
    cpu.reload();
    setRegister(cpu, "rsp", BigInt(0x800000 + room));
    toHalt(cpu);
    const frame = Number(getRegister(cpu, "rsp"));
    expect(word(cpu, frame + 8)).toBe(BigInt(a.address(done === 1 ? "second" : "first")));
    expect(word(cpu, frame + 32)).toBe(BigInt(0x800000 + room - 8 * done));
    expect(cpu.view.getBigUint64(at("CR2"), true)).toBe(0x7ffff8n);
    expect(cpu.retired).toBe(done + 1);
  });

  test("a push onto the code behind it is seen by that code", () => {
    const { cpu } = machine((a) => a.push("rax").mov("rbx", "rcx").hlt().align(16), { rax: 0xf4f4f4f4 });
    // The push overwrites MOV and all behind it with HLT.
    setRegister(cpu, "rsp", BigInt(CODE + 1 + 8));
    setRegister(cpu, "rcx", 5n);
    toHalt(cpu);
    expect(getRegister(cpu, "rbx")).toBe(0n);
    expect(cpu.retired).toBe(2);
  });

  test("a comparison that faults does not jump", () => {
    const { cpu, a } = machine(
      (a) => {
        a.alu("xor", "eax", "eax")
          .label("here")
          .alu("cmp", { base: "rdi" }, 0, 8)
          .j("e", "wrong")
          .label("wrong")
          .mov("ebx", 1)
          .hlt();
        a.align(64).label("handler").hlt();
      },
      { rdi: 0x7000_0000 },
    );
    catchAll(cpu, a.address("handler"));
    toHalt(cpu);
    expect(word(cpu, Number(getRegister(cpu, "rsp")) + 8)).toBe(BigInt(a.address("here")));
    expect(getRegister(cpu, "rbx")).toBe(0n);
  });

  test("NOPs count although they take no operation", () => {
    const { cpu } = machine((a) =>
      a
        .bytes(0x90, 0xf3, 0x0f, 0x1e, 0xfa)
        .bytes(0x0f, 0x1f, 0x44, 0, 0)
        .mov("eax", 1)
        .bytes(0x90, 0x90)
        .hlt(),
    );
    toHalt(cpu);
    expect(cpu.retired).toBe(7);
  });
});

describe("interrupts", () => {
  /** A program with interrupts on, and a board that raises vector 0x40 when asked. */
  function interruptible(write: (a: Assembler) => void): { cpu: Cpu; raise: () => void } {
    const a = new Assembler(CODE);
    write(a);
    const board: { cpu?: Cpu } = {};
    const cpu = makeCpu(8, {
      acknowledgeInterrupt: () => {
        board.cpu!.setInterruptPin(false);
        return 0x40;
      },
    });
    board.cpu = cpu;
    cpu.ram.set(a.code(), CODE);
    enterLongMode(cpu, BigInt(CODE));
    setRegister(cpu, "rsp", BigInt(STACK));
    catchAll(cpu, a.address("handler"));
    return { cpu, raise: () => cpu.setInterruptPin(true) };
  }

  test("wake a HLT and return behind it", () => {
    const { cpu, raise } = interruptible((a) =>
      a
        .bytes(0xfb)
        .hlt()
        .mov("ebx", 7)
        .bytes(0xfa)
        .hlt()
        .align(16)
        .label("handler")
        .alu("add", "rsi", 1)
        .bytes(0x48, 0xcf),
    );
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    raise();
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect([getRegister(cpu, "rsi"), getRegister(cpu, "rbx")]).toEqual([1n, 7n]);
  });

  test("wait one instruction after STI", () => {
    const { cpu, raise } = interruptible((a) => {
      a.bytes(0xfb)
        .mov("ebx", 7)
        .mov("ecx", 8)
        .bytes(0xfa)
        .hlt()
        .align(16)
        .label("handler")
        .mov("rsi", "rbx")
        .mov("rdi", "rcx")
        .bytes(0x48, 0xcf);
    });
    raise();
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect([getRegister(cpu, "rsi"), getRegister(cpu, "rdi"), getRegister(cpu, "rcx")]).toEqual([7n, 0n, 8n]);
  });

  test("are held off while IF is clear; an NMI is not", () => {
    const { cpu, raise } = interruptible((a) =>
      a.mov("eax", 1).hlt().hlt().align(16).label("handler").alu("add", "rsi", 1).bytes(0x48, 0xcf),
    );
    raise();
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(getRegister(cpu, "rsi")).toBe(0n);
    cpu.raiseNmi();
    cpu.run(1000);
    expect(getRegister(cpu, "rsi")).toBe(1n);
  });

  test("stop() from a callback ends the slice, and the count stays exact", () => {
    const board: { cpu?: Cpu } = {};
    const cpu = makeCpu(8, { ioWrite: () => board.cpu!.stop() });
    board.cpu = cpu;
    const a = new Assembler(CODE).bytes(0xe6, 0x80).mov("eax", 1).hlt();
    cpu.ram.set(a.code(), CODE);
    enterLongMode(cpu, BigInt(CODE));
    expect(cpu.run(1000)).toBe(RunExit.stopped);
    expect(cpu.retired).toBe(1);
    expect(cpu.run(1000)).toBe(RunExit.halted);
    expect(cpu.retired).toBe(3);
  });
});
