/**
 * Guest-visible registers as rows: a row is the datasheet's line, and most rows need no code at all.
 * Values are unsigned and at most 32 bits wide; a wider register is two rows.
 */
export interface Register {
  readonly at: number;
  /** Width in bytes; 1 when absent. */
  readonly bytes?: 1 | 2 | 4;
  readonly reset?: number;
  /** Bits the guest may change; the rest keep their value. */
  readonly writable?: number;
  /** Bits the guest clears by writing 1. */
  readonly w1c?: number;
  readonly onRead?: (stored: number) => number;
  /** Called after the stored value has changed, with all that was written. */
  readonly onWrite?: (written: number) => void;
}

export interface Bank<Name extends string> {
  /** Live values by datasheet name. This object is also the snapshot. */
  readonly values: Record<Name, number>;
  /** Size 1, 2 or 4. Bytes that no row covers read as 0. */
  read(at: number, size?: number): number;
  write(at: number, value: number, size?: number): void;
}

interface Slot<Name extends string> {
  readonly name: Name;
  readonly row: Register;
  readonly bytes: number;
}

/** Two rows that share a byte throw when the device is built. */
export function bank<const Rows extends Record<string, Register>>(rows: Rows): Bank<keyof Rows & string> {
  type Name = keyof Rows & string;
  const values = {} as Record<Name, number>;
  const slots: (Slot<Name> | undefined)[] = [];
  for (const [name, row] of Object.entries(rows) as [Name, Register][]) {
    const slot = { name, row, bytes: row.bytes ?? 1 };
    for (let at = row.at; at < row.at + slot.bytes; at++) {
      const taken = slots[at];
      if (taken) throw new Error(`${name} overlaps ${taken.name} at +${at}`);
      slots[at] = slot;
    }
    values[name] = row.reset ?? 0;
  }

  const get = ({ name, row }: Slot<Name>): number => {
    const stored = values[name];
    return row.onRead ? row.onRead(stored) >>> 0 : stored;
  };
  const set = ({ name, row }: Slot<Name>, value: number): void => {
    const { writable = 0, w1c = 0, onWrite } = row;
    const stored = values[name];
    values[name] = (((stored & ~writable) | (value & writable)) & ~(value & w1c)) >>> 0;
    onWrite?.(value);
  };

  return {
    values,
    read(at, size = 1) {
      const slot = slots[at];
      if (slot && slot.row.at === at && slot.bytes === size) return get(slot);
      return gather(slots, at, size, get);
    },
    write(at, value, size = 1) {
      const slot = slots[at];
      if (slot && slot.row.at === at && slot.bytes === size) set(slot, value);
      else scatter(slots, values, { at, value, size }, set);
    },
  };
}

/** An access that is not exactly one row: every row it touches is read once. */
function gather<Name extends string>(
  slots: readonly (Slot<Name> | undefined)[],
  at: number,
  size: number,
  get: (slot: Slot<Name>) => number,
): number {
  let result = 0;
  let last: Slot<Name> | undefined;
  let value = 0;
  for (let i = 0; i < size; i++) {
    const slot = slots[at + i];
    if (!slot) continue;
    if (slot !== last) value = get(slot);
    last = slot;
    result |= ((value >>> (8 * (at + i - slot.row.at))) & 0xff) << (8 * i);
  }
  return result >>> 0;
}

/** An access that is not exactly one row: every row it touches is written once, its other bytes as they are stored. */
function scatter<Name extends string>(
  slots: readonly (Slot<Name> | undefined)[],
  values: Record<Name, number>,
  { at, value, size }: { at: number; value: number; size: number },
  set: (slot: Slot<Name>, value: number) => void,
): void {
  for (let i = 0; i < size;) {
    const slot = slots[at + i];
    if (!slot) {
      i++;
      continue;
    }
    // Bytes beside the access keep what is stored, but must not clear write-1-to-clear bits.
    let merged = values[slot.name] & ~(slot.row.w1c ?? 0);
    for (; i < size && slots[at + i] === slot; i++) {
      const shift = 8 * (at + i - slot.row.at);
      merged = (merged & ~(0xff << shift)) | (((value >>> (8 * i)) & 0xff) << shift);
    }
    set(slot, merged >>> 0);
  }
}
