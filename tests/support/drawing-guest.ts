import { GuestProgram } from "./guest-program.ts";

/** A guest that sets a mode and paints it: the known picture that tests look for on a screen. */
const FRAME_BUFFER = 0xfd00_0000;
/** Pixel i of 00RRGGBB is i times this, low 24 bits. */
const STEP = 0x010305;

const little = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** Sets a mode of 32 bits per pixel by the ports of the display interface. */
export function setMode(program: GuestProgram, width: number, height: number): GuestProgram {
  for (const [index, value] of [
    [4, 0],
    [1, width],
    [2, height],
    [3, 32],
    [4, 0x41],
  ] as const)
    program.out(0x1ce, index, 2).out(0x1cf, value, 2);
  return program;
}

/** mov edi, frame buffer; mov ecx, pixels; xor eax, eax; then: mov [rdi], eax; add eax, STEP; add rdi, 4; dec ecx; jnz. */
export function paint(program: GuestProgram, pixels: number): GuestProgram {
  return program
    .raw(0xbf, ...little(FRAME_BUFFER), 0xb9, ...little(pixels), 0x31, 0xc0)
    .raw(0x89, 0x07, 0x05, ...little(STEP), 0x48, 0x83, 0xc7, 0x04, 0xff, 0xc9, 0x75, 0xf1);
}

export const drawing = (width: number, height: number): GuestProgram =>
  paint(setMode(new GuestProgram(), width, height), width * height).halt();

/** The same picture as RGBA bytes. */
export function pictureRows(width: number, height: number): Uint8ClampedArray {
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    const pixel = Math.imul(i, STEP);
    rgba.set([(pixel >> 16) & 0xff, (pixel >> 8) & 0xff, pixel & 0xff, 0xff], 4 * i);
  }
  return rgba;
}
