import { describe, expect, test } from "vitest";
import { VIDEO_BYTES } from "../../../emulator/cpu/core.ts";
import { at, noCore, P, place, Rig, RW, US } from "./system-rig.ts";

const AT = 0xfd00_0000;
const placed = { at: AT, size: VIDEO_BYTES, window: 0, bank: -1 };
const halt = "f4";
/** mov [rbx], rax; mov rcx, [rbx]. */
const storeAndLoad = "488903488b0b";

/** A machine whose pages at `data` are the first of video memory. */
function rig(video: typeof placed = placed): Rig {
  const machine = new Rig();
  machine.cpu.placeVideo(video);
  for (let page = 0; page < 4; page++)
    machine.write64(at.pt + ((at.data >> 12) + page) * 8, BigInt(AT + page * 4096) | P | RW | US);
  return machine;
}
const dirtyPages = ({ cpu }: Rig): number[] =>
  [...cpu.videoDirty.entries()].filter(([, dirty]) => dirty).map(([page]) => page);

function access(machine: Rig, code: string, address: number, value = 0n): bigint {
  machine.set("rbx", BigInt(address));
  machine.set("rax", value);
  machine.run(code + halt);
  return machine.get("rcx");
}

describe.skipIf(noCore)("video memory", () => {
  test("is memory: stores and loads reach it without the board, also across its pages", () => {
    const machine = rig();
    expect(access(machine, storeAndLoad, at.data + 8, 0x1122334455667788n)).toBe(0x1122334455667788n);
    expect(access(machine, storeAndLoad, at.data + 0xffc, 0xa1a2a3a4a5a6a7a8n)).toBe(0xa1a2a3a4a5a6a7a8n);
    const { video } = machine.cpu;
    expect([video[8], video[15], video[0xffc], video[0x1003]]).toEqual([0x88, 0x11, 0xa8, 0xa1]);
    expect(machine.log.mmio).toEqual([]);
  });

  test("a store marks its page; after a look the next one is seen again; a load marks nothing", () => {
    const machine = rig();
    const look = (): number[] => {
      const pages = dirtyPages(machine);
      machine.cpu.videoDirty.fill(0);
      machine.cpu.watchVideo();
      return pages;
    };
    access(machine, "488b0b", at.data);
    expect(look()).toEqual([]);
    access(machine, storeAndLoad, at.data + 0x1000);
    expect(look()).toEqual([1]);
    machine.set("rbx", BigInt(at.data + 0x2000));
    machine.run(`488903${halt}`);
    expect(look()).toEqual([2]);
    // Without a reload, so that the TLB still holds the page.
    machine.cpu.view.setUint32(place.halted, 0, true);
    machine.setState(place.rip, BigInt(at.code));
    machine.cpu.run(2);
    expect(look()).toEqual([2]);
  });

  test("a string store fills it and marks every page", () => {
    const machine = rig();
    machine.set("rdi", BigInt(at.data));
    machine.set("rcx", 0x600n);
    machine.set("rax", 0x55n);
    machine.run(`f348ab${halt}`);
    expect(dirtyPages(machine)).toEqual([0, 1, 2]);
    expect([machine.cpu.video[0], machine.cpu.video[0x2ff8], machine.cpu.video[0x3000]]).toEqual([
      0x55, 0x55, 0,
    ]);
  });

  test("code in it is not executed, and nothing answers beyond it or when it is away", () => {
    const machine = rig();
    machine.set("rbx", BigInt(at.data));
    expect(machine.run("ffe3").vector).toBe(13);
    const elsewhere = rig({ ...placed, size: 0 });
    expect(access(elsewhere, "488b0b", at.data)).toBe(0xa5a5a5a5a5a5a5a5n);
    expect(elsewhere.log.mmio).toEqual(["read fd000000 4", "read fd000004 4"]);
  });

  test("the legacy window is RAM, the board's, or a piece of video memory", () => {
    const machine = rig();
    access(machine, storeAndLoad, 0xa0000, 1n);
    machine.cpu.placeVideo({ ...placed, window: 0x10000 });
    access(machine, "8803", 0xa0004, 7n);
    expect(machine.log.mmio).toEqual(["write a0004 1 7"]);
    machine.cpu.placeVideo({ ...placed, window: 0x10000, bank: 0x20000 });
    access(machine, storeAndLoad, 0xa1008, 0x42n);
    expect([machine.cpu.video[0x21008], dirtyPages(machine), machine.cpu.ram[0xa0000]]).toEqual([
      0x42,
      [0x21],
      1,
    ]);
    access(machine, storeAndLoad, 0xb0000, 3n);
    machine.cpu.placeVideo(placed);
    expect([access(machine, "488b0b", 0xa0000), access(machine, "488b0b", 0xb0000)]).toEqual([1n, 3n]);
  });
});
