/**
 * Eight small programs whose weight lies in different places, written for 64-bit and for 32-bit mode alike, and a ninth for
 * 64-bit mode only: what kernels do, which is per-CPU data through GS, far-apart functions, string moves and SYSCALL.
 */
import type { Assembler } from "../../support/assembler.ts";

export const CODE = 0x100000,
  STACK = 0x3ff000,
  DATA = 0x400000,
  MORE = 0x600000,
  /** All of it lies below. */
  END = 0x800000;

export interface Program {
  readonly name: string;
  readonly write: (a: Assembler) => void;
  readonly registers: Readonly<Record<string, number>>;
  readonly prepare?: (memory: DataView, a: Assembler) => void;
}

export const programs: readonly Program[] = [
  { name: "sieve", registers: { rdi: DATA, rsi: 200_000 }, write: sieve },
  { name: "crc", registers: { rdi: DATA, rsi: MORE, rdx: MORE + 400_000 }, write: crc },
  { name: "copy", registers: { rdi: DATA, rsi: MORE, rdx: 100_000 }, write: copy },
  { name: "fib", registers: { rdi: 22 }, write: fib },
  { name: "chase", registers: { rax: DATA, rcx: 500_000 }, write: chase, prepare: linkList },
  { name: "sort", registers: { rdi: DATA, rsi: 20_000 }, write: sort, prepare: scramble },
  { name: "vm", registers: { rsi: MORE, rdi: DATA, rdx: 20_000 }, write: vm, prepare: bytecode },
  { name: "calls", registers: { rdi: DATA, rsi: 10_000, rdx: 20 }, write: calls },
];
export const kernelProgram: Program = {
  name: "kernel",
  registers: { rdi: DATA, rsi: MORE, rdx: 20_000 },
  write: kernel,
};

function sieve(a: Assembler): void {
  a.mov("ecx", 0)
    .label("fill")
    .movByte({ base: "rdi", index: "rcx" }, 1)
    .alu("add", "rcx", 1)
    .alu("cmp", "rcx", "rsi")
    .j("b", "fill");
  a.mov("edx", 2).label("next").alu("cmp", { base: "rdi", index: "rdx" }, 0, 8).j("e", "skip");
  a.lea("rcx", { base: "rdx", index: "rdx" }).alu("cmp", "rcx", "rsi").j("ae", "skip");
  a.label("strike")
    .movByte({ base: "rdi", index: "rcx" }, 0)
    .alu("add", "rcx", "rdx")
    .alu("cmp", "rcx", "rsi")
    .j("b", "strike");
  a.label("skip").alu("add", "rdx", 1).alu("cmp", "rdx", "rsi").j("b", "next");
  a.alu("xor", "eax", "eax")
    .alu("xor", "ecx", "ecx")
    .label("count")
    .movzx("edx", { base: "rdi", index: "rcx" });
  a.alu("add", "eax", "edx").alu("add", "rcx", 1).alu("cmp", "rcx", "rsi").j("b", "count").end();
}
function crc(a: Assembler): void {
  a.mov("eax", -1)
    .label("byte")
    .movzx("ecx", { base: "rsi" })
    .alu("xor", "ecx", "eax")
    .movzx("ecx", "cl")
    .shift("shr", "eax", 8);
  a.alu("xor", "eax", { base: "rdi", index: "rcx", scale: 4 })
    .alu("add", "rsi", 1)
    .alu("cmp", "rsi", "rdx")
    .j("ne", "byte")
    .not("eax")
    .end();
}
function copy(a: Assembler): void {
  a.alu("xor", "ecx", "ecx")
    .label("word")
    .mov("rax", { base: "rsi", index: "rcx", scale: a.word })
    .mov({ base: "rdi", index: "rcx", scale: a.word }, "rax");
  a.alu("add", "rcx", 1).alu("cmp", "rcx", "rdx").j("ne", "word").end();
}
function fib(a: Assembler): void {
  a.mov("eax", "edi")
    .call("fib")
    .end()
    .align(16)
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
}
function chase(a: Assembler): void {
  a.label("step").mov("rax", { base: "rax" }).alu("sub", "ecx", 1).j("ne", "step").end();
}
function sort(a: Assembler): void {
  a.mov("rdx", "rsi").label("gap").shift("shr", "rdx", 1).test("rdx", "rdx").j("e", "end").mov("rcx", "rdx");
  a.label("item").mov("eax", { base: "rdi", index: "rcx", scale: 4 }).mov("rbx", "rcx");
  a.label("shift").alu("cmp", "rbx", "rdx").j("b", "place").mov("rbp", "rbx").alu("sub", "rbp", "rdx");
  a.alu("cmp", "eax", { base: "rdi", index: "rbp", scale: 4 }).j("ae", "place").push("rax");
  a.mov("eax", { base: "rdi", index: "rbp", scale: 4 })
    .mov({ base: "rdi", index: "rbx", scale: 4 }, "eax")
    .pop("rax")
    .mov("rbx", "rbp")
    .jmp("shift");
  a.label("place")
    .mov({ base: "rdi", index: "rbx", scale: 4 }, "eax")
    .alu("add", "rcx", 1)
    .alu("cmp", "rcx", "rsi")
    .j("b", "item")
    .jmp("gap");
  a.label("end").end();
}
const operations = ["opAdd", "opXor", "opInc", "opShl", "opLoop"];
function vm(a: Assembler): void {
  const dispatch = (): void =>
    void a
      .movzx("ecx", { base: "rsi" })
      .alu("add", "rsi", 1)
      .jmp({ base: "rdi", index: "rcx", scale: a.word });
  a.alu("xor", "eax", "eax");
  dispatch();
  a.label("opAdd").alu("add", "eax", "ebx");
  dispatch();
  a.label("opXor").alu("xor", "ebx", "eax");
  dispatch();
  a.label("opInc").alu("add", "ebx", 3);
  dispatch();
  a.label("opShl").shift("shl", "eax", 1);
  dispatch();
  a.label("opLoop").alu("sub", "edx", 1).j("e", "end").lea("rsi", { base: "rsi", displacement: -64 });
  dispatch();
  a.label("end").end();
}
function calls(a: Assembler): void {
  a.label("round")
    .alu("xor", "ecx", "ecx")
    .alu("xor", "eax", "eax")
    .label("next")
    .call("leaf")
    .alu("add", "rcx", 1)
    .alu("cmp", "rcx", "rsi")
    .j("b", "next");
  a.alu("sub", "rdx", 1)
    .j("ne", "round")
    .end()
    .align(4096)
    .label("leaf")
    .push("rbx")
    .push("rbp")
    .mov("rbp", "rsp");
  a.mov("ebx", { base: "rdi", index: "rcx", scale: 4 })
    .test("ebx", 1)
    .j("e", "even")
    .alu("add", "eax", "ebx")
    .jmp("out");
  a.label("even").alu("xor", "eax", "ebx").label("out").pop("rbp").pop("rbx").ret();
}
/** A system-call path: SYSCALL and SYSRET, SWAPGS, per-CPU counters, a lookup in a table, a copy, a lock, four pages of code. */
function kernel(a: Assembler): void {
  a.label("user")
    .push("rdx")
    .push("rsi")
    .push("rdi")
    .bytes(0x0f, 0x05)
    .pop("rdi")
    .pop("rsi")
    .pop("rdx")
    .alu("sub", "rdx", 1)
    .j("ne", "user")
    .hlt();
  a.align(4096)
    .label("entry")
    .bytes(0x0f, 0x01, 0xf8)
    .mov({ gs: true, displacement: 16 }, "rsp")
    .mov("rsp", { gs: true, displacement: 24 });
  for (const name of ["rcx", "r11", "rbx", "rbp", "r12"]) a.push(name);
  a.call("handle");
  for (const name of ["r12", "rbp", "rbx", "r11", "rcx"]) a.pop(name);
  // With RSP restored, SYSRETQ.
  a.mov("rsp", { gs: true, displacement: 16 }).bytes(0x0f, 0x01, 0xf8).bytes(0x48, 0x0f, 0x07);
  a.align(4096)
    .label("handle")
    .mov("rbx", { gs: true, displacement: 0 })
    .alu("add", "rbx", 1)
    .mov({ gs: true, displacement: 0 }, "rbx");
  a.bytes(0xf0, 0x0f, 0xba, 0x2f, 3)
    .mov("rbp", "rdi")
    .mov("ecx", 0)
    .label("find")
    .mov("eax", { base: "rsi", index: "rcx", scale: 4 });
  a.test("eax", "eax")
    .j("ne", "found")
    .alu("add", "ecx", 1)
    .alu("cmp", "ecx", 6)
    .j("b", "find")
    .label("found")
    .call("copyOut");
  a.bytes(0xf0, 0x0f, 0xba, 0x37, 3).ret();
  a.align(4096)
    .label("copyOut")
    .push("rdi")
    .push("rsi")
    .mov("ecx", 8)
    .bytes(0xf3, 0x48, 0xa5)
    .pop("rsi")
    .pop("rdi");
  a.lea("r12", { base: "rdi", displacement: 8 })
    .mov("rax", { base: "r12", displacement: 16 })
    .alu("and", "rax", 0x7f)
    .alu("cmp", "rax", 5);
  a.j("a", "other").alu("or", "eax", 64).label("other").ret();
}

function setWord(memory: DataView, a: Assembler, place: number, value: number): void {
  if (a.word === 8) memory.setBigUint64(place, BigInt(value), true);
  else memory.setUint32(place, value, true);
}
function linkList(memory: DataView, a: Assembler): void {
  // A walk of stride 4097 elements over 32,768 words visits every element before it comes back.
  for (let k = 0; k < 32_768; k++)
    setWord(memory, a, DATA + a.word * k, DATA + a.word * ((k + 4097) % 32_768));
}
function scramble(memory: DataView): void {
  let x = 12345;
  for (let k = 0; k < 20_000; k++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    memory.setUint32(DATA + 4 * k, x, true);
  }
}
function bytecode(memory: DataView, a: Assembler): void {
  for (const [k, name] of operations.entries()) setWord(memory, a, DATA + a.word * k, a.address(name));
  for (let k = 0; k < 63; k++) memory.setUint8(MORE + k, (k * 7) % 4);
  memory.setUint8(MORE + 63, 4);
}
