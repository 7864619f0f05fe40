import { createMemo, For, onCleanup } from "solid-js";
import type { TextScreen as Screen } from "../machine/create-machine.ts";
import { makeScreenKeys } from "../machine/screen-keys.ts";
import { attributeColours, character } from "../machine/text-cells.ts";

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

export interface TextScreenProps {
  screen: Screen;
  label: string;
  onKeys(scanCodes: Uint8Array): void;
  onLeave(): void;
}

/** The guest's screen in text mode: real text, so that it can be selected, searched and read aloud. */
export function TextScreen(props: TextScreenProps) {
  const rows = createMemo(() =>
    Array.from({ length: props.screen.rows }, (_, row) => runsOf(props.screen, row)),
  );
  const keys = makeScreenKeys({ onKeys: (codes) => props.onKeys(codes), onLeave: () => props.onLeave() });
  onCleanup(keys.release);
  return (
    <div
      class="text-screen"
      tabIndex={0}
      role="textbox"
      aria-multiline="true"
      aria-readonly="true"
      aria-label={props.label}
      onKeyDown={keys.handle}
      onKeyUp={keys.handle}
      onBlur={keys.release}
    >
      <For each={rows()}>
        {(runs) => (
          <div>
            <For each={runs}>
              {(run) => (
                <span
                  classList={{ cursor: run.cursor }}
                  style={{
                    color: attributeColours(run.attribute)[0],
                    "background-color": attributeColours(run.attribute)[1],
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
