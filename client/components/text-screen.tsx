import { createMemo, For } from "solid-js";
import type { TextScreen as Screen } from "../machine/create-machine.ts";
import { scanCodes } from "../machine/scan-codes.ts";

/** The 16 colours of the VGA's default palette (IBM VGA Technical Reference, attribute controller). */
// prettier-ignore
const colours = [
  "#000000", "#0000aa", "#00aa00", "#00aaaa", "#aa0000", "#aa00aa", "#aa5500", "#aaaaaa",
  "#555555", "#5555ff", "#55ff55", "#55ffff", "#ff5555", "#ff55ff", "#ffff55", "#ffffff",
];

/** Code page 437 from 0x80 on; below it is ASCII, and control codes show as blanks. */
const upper =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
const character = (byte: number) =>
  byte < 0x20 || byte === 0x7f ? " " : byte < 0x80 ? String.fromCharCode(byte) : (upper[byte - 0x80] ?? " ");

interface Run {
  text: string;
  attribute: number;
  cursor: boolean;
}

/** Neighbouring cells of one colour, so that a line is a few elements and not eighty. */
function runsOf(screen: Screen, row: number): Run[] {
  const runs: Run[] = [];
  for (let column = 0; column < screen.columns; column++) {
    const at = row * screen.columns + column;
    const attribute = screen.cells[2 * at + 1] ?? 7;
    const cursor = at === screen.cursor;
    const last = runs.at(-1);
    if (last && last.attribute === attribute && !cursor && !last.cursor)
      last.text += character(screen.cells[2 * at] ?? 32);
    else runs.push({ text: character(screen.cells[2 * at] ?? 32), attribute, cursor });
  }
  return runs;
}

/** The guest's screen in text mode: real text, so that it can be selected, searched and read aloud. */
export function TextScreen(props: { screen: Screen; label: string; onKeys(scanCodes: Uint8Array): void }) {
  const rows = createMemo(() =>
    Array.from({ length: props.screen.rows }, (_, row) => runsOf(props.screen, row)),
  );
  const key = (event: KeyboardEvent, down: boolean) => {
    const codes = scanCodes(event.code, down);
    if (!codes) return;
    event.preventDefault();
    props.onKeys(codes);
  };
  return (
    <div
      class="text-screen"
      tabIndex={0}
      role="textbox"
      aria-multiline="true"
      aria-readonly="true"
      aria-label={props.label}
      onKeyDown={(event) => key(event, true)}
      onKeyUp={(event) => key(event, false)}
    >
      <For each={rows()}>
        {(runs) => (
          <div>
            <For each={runs}>
              {(run) => (
                <span
                  classList={{ cursor: run.cursor }}
                  style={{
                    color: colours[run.attribute & 15],
                    "background-color": colours[(run.attribute >> 4) & 7],
                  }}
                >
                  {run.text}
                </span>
              )}
            </For>
          </div>
        )}
      </For>
    </div>
  );
}
