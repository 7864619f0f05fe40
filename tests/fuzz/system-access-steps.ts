/** Steps of 32-bit code about memory: segments' limits, pages, strings. */
import { long } from "./machine-code.ts";
import { fixed, type Maker } from "./steps.ts";
import { type Step } from "./system-plan.ts";
import { pages, RAM } from "./system-tables.ts";

/** An access through ES, FS or GS near a limit. */
export function segmentAccess(maker: Maker): Step {
  const chance = maker.chance,
    offset = chance.pick([
      0,
      0x7fc,
      0x7fd,
      0x7ff,
      0x800,
      0xffc,
      0xffd,
      0xffe,
      0xfff,
      0x1000,
      0x2000,
      0xffffffff,
      0xfffffffd,
      chance.below(0x1800),
    ]);
  const prefix = chance.pick([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]),
    size = chance.pick([[], [], [0x66]]);
  const opcode = chance.pick([0xa0, 0xa1, 0xa1, 0xa2, 0xa3, 0xa3]);
  // Bochs lets a store through CS pass after SYSEXIT; the native host judges those.
  const usable = prefix === 0x2e ? opcode & ~2 : opcode;
  return () => [prefix, ...size, usable, ...long(offset)];
}

export function pageAccess(maker: Maker): Step {
  const chance = maker.chance,
    page = chance.pick([
      pages.readOnly,
      pages.readOnly,
      pages.absent,
      pages.kernel,
      RAM.data + 0x1000,
      0x400000 + RAM.data,
      0x800000,
      0xfffff000,
    ]);
  const address = page + chance.pick([0, 0, -1, -3, 4, 0xffd, 0xfff, chance.below(0x1000)]);
  return fixed(
    chance
      .pick([
        [0xa1],
        [0xa3],
        [0xff, 0x05],
        [0x87, 0x1d],
        maker.cpl === 0 ? [0x8f, 0x05] : [0x89, 0x1d],
        [0xff, 0x35],
        [0xa0],
        [0xc6, 0x05],
      ])
      .concat(long(address >>> 0), []),
  );
}

export function stringCopy(maker: Maker): Step {
  const chance = maker.chance;
  const edge = (): number =>
    chance.pick([
      0x7fa,
      0xff8,
      0x1000,
      RAM.data + 0xffa,
      RAM.data + 0x100,
      pages.readOnly - 6,
      pages.absent - 5,
    ]);
  const opcode = chance.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad]),
    prefix = chance.pick([[0xf3], [0xf3, 0x64], [0x65], []]);
  const [from, to, count] = [edge(), edge(), chance.below(9)];
  return () => [0xbe, ...long(from), 0xbf, ...long(to), 0xb9, ...long(count), ...prefix, opcode];
}
