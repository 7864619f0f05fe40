/** Steps of 32-bit code about the processor's own registers: control, debug, tables, model-specific ones; and small things. */
import { long, moveEax, word } from "./machine-code.ts";
import { fixed, type Maker, portStep } from "./steps.ts";
import { CR4_BITS, type Step } from "./system-plan.ts";
import { pickSelector } from "./system-transfer-steps.ts";
import { RAM } from "./system-tables.ts";

function cr4(maker: Maker): number {
  return (maker.chance.word() & CR4_BITS) | (maker.pae ? 0x20 : 0);
}

export function controlRegister(maker: Maker): Step {
  const chance = maker.chance;
  switch (chance.below(7)) {
    case 0: {
      const value = (0x80000011 | (chance.word() & 0x5002e)) >>> 0;
      return () => [...moveEax(value), 0x0f, 0x22, 0xc0];
    }
    case 1: {
      // What no processor takes: paging without protection, NW without CD.
      const value = chance.pick([0x80000010, 0xa0000011]);
      return () => [...moveEax(value), 0x0f, 0x22, 0xc0];
    }
    case 2: {
      const value = cr4(maker) | (chance.percent(10) ? chance.pick([0x80000000, 0x8000, 0x20000, 0x20]) : 0);
      return () => [...moveEax(value >>> 0), 0x0f, 0x22, 0xe0];
    }
    case 3:
      return fixed([0x0f, 0x20, chance.pick([0xc3, 0xd3, 0xdb, 0xe3, 0xcb, 0xeb])]);
    case 4: {
      const value = chance.word();
      return () => [...moveEax(value), 0x0f, 0x22, 0xd0];
    }
    case 5:
      return () => [
        ...moveEax((maker.pae ? RAM.paePointers : RAM.directory) | (chance.word() & 0x18)),
        0x0f,
        0x22,
        0xd8,
      ];
    default: {
      const value = chance.word() & 15;
      return fixed(
        chance.pick([
          [0x0f, 0x06],
          [0x66, 0xb8, ...word(value), 0x0f, 0x01, 0xf0],
          [0x0f, 0x01, 0xe3],
          [0x66, 0x0f, 0x01, 0xe3],
        ]),
      );
    }
  }
}

export function debugRegister(maker: Maker): Step {
  const chance = maker.chance,
    number = chance.pick([0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
  if (chance.percent(25)) return () => [0x0f, 0x21, 0xc3 | (number << 3)];
  let value = chance.word();
  if (number < 4)
    value = chance.pick([
      RAM.data + chance.below(16),
      RAM.code + chance.below(60),
      RAM.stack - 4 * chance.below(6),
      chance.word(),
    ]);
  // DR6: Bochs clears bits above the lowest four at the next exception, against SDM 3B §17.2.3.
  else if (number === 6 || number === 4) value = chance.below(16);
  else if (number === 7 || number === 5)
    value = (chance.word() & 0xffff01ff) | 0x400 | (chance.percent(5) ? 0x2000 : 0);
  return () => [...moveEax(value >>> 0), 0x0f, 0x23, 0xc0 | (number << 3)];
}

export function tableRegister(maker: Maker): Step {
  const chance = maker.chance,
    place = RAM.data + 0x300,
    load = [0x66, 0xb8, ...word(pickSelector(maker))];
  return fixed(
    chance.pick([
      [0x0f, 0x01, 0x05, ...long(place)],
      [0x0f, 0x01, 0x0d, ...long(place)],
      [0x0f, 0x00, 0xc3],
      [0x0f, 0x00, 0xcb],
      [...load, 0x0f, 0x00, 0xd0],
      [...load, 0x0f, 0x00, 0xd8],
      [0x0f, 0x09],
    ]),
  );
}

export function modelRegister(maker: Maker): Step {
  const chance = maker.chance,
    msr = chance.pick([0x174, 0x175, 0x176, 0x12345, 0xc0001234]);
  return fixed(
    chance.percent(50)
      ? [0xb9, ...long(msr), 0x0f, 0x32]
      : [0xb9, ...long(msr), ...moveEax(chance.word()), 0x31, 0xd2, 0x0f, 0x30],
  );
}

/** Port E8h too, which Bochs and the harness leave alone. */
export const portAccess = ({ chance }: Maker): Step => portStep(chance, [[0x66, 0xba, ...word(0xe8), 0xec]]);

export function smallInstruction(maker: Maker): Step {
  const chance = maker.chance;
  return fixed(
    chance.pick([
      [0x9b],
      [0x0f, 0x77],
      [0x0f, 0x57, 0xc0],
      [0xd9, 0xe8],
      [0xf0, 0x89, 0xd8],
      [0x0f, 0x22, 0xc8],
      [0x0f, 0x24, 0xc0],
      [0x66, 0x90],
      [0xd6, 0x31, 0xc0],
      [0xc8, 0x08, 0, 1, 0xc9],
      [0x60, 0x61],
      [0x6a, 0x05, 0x58],
    ]),
  );
}
