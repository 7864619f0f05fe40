/** Reads a word of a 93C46 by its pins, as drivers do. */
export function readMicrowire(
  pins: { drive(select: boolean, clock: boolean, input: boolean): void; sense(): boolean },
  address: number,
): number {
  const clock = (input: boolean): void => {
    pins.drive(true, false, input);
    pins.drive(true, true, input);
  };
  pins.drive(false, false, false);
  const command = (6 << 6) | address;
  for (let bit = 8; bit >= 0; bit--) clock(((command >>> bit) & 1) !== 0);
  let word = 0;
  for (let bit = 0; bit < 16; bit++) {
    clock(false);
    word = (word << 1) | Number(pins.sense());
  }
  pins.drive(false, false, false);
  return word;
}
