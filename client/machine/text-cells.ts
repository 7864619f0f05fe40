/** Cells of a VGA text screen as characters and colours. */

/** The 16 colours of the VGA's default palette (IBM VGA Technical Reference, attribute controller). */
// prettier-ignore
const colours = [
  "#000000", "#0000aa", "#00aa00", "#00aaaa", "#aa0000", "#aa00aa", "#aa5500", "#aaaaaa",
  "#555555", "#5555ff", "#55ff55", "#55ffff", "#ff5555", "#ff55ff", "#ffff55", "#ffffff",
];

/** Code page 437 from 0x80 on; below it is ASCII, and control codes show as blanks. */
const upper =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
export const character = (byte: number): string =>
  byte < 0x20 || byte === 0x7f ? " " : byte < 0x80 ? String.fromCharCode(byte) : (upper[byte - 0x80] ?? " ");

/** Colours of letters and of what is behind them. */
export const attributeColours = (attribute: number): readonly [string, string] => [
  colours[attribute & 15]!,
  colours[(attribute >> 4) & 7]!,
];
